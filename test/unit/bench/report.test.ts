/** What the bench writes down, and what it makes of it: the baseline, README's table, the chart, the page. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { changesSince } from '../../../bench/change.js';
import { renderChart } from '../../../bench/chart.js';
import { Printer } from '../../../bench/demo-print.js';
import { BASELINE, CHART } from '../../../bench/options.js';
import { renderPage } from '../../../bench/page.js';
import { readmeTable } from '../../../bench/readme-table.js';
import { assertRecordable, type Report, readReport, recorded, writeReport } from '../../../bench/report.js';
import { ratioFinding, valueFinding, worstFinding } from '../../../bench/statistics.js';
import { printChanges, printSummary } from '../../../bench/table.js';
import { MiB } from '../../../src/core/units.js';
import { projectRoot } from '../../tidy/source-files.js';
import { caseOf, machine, reportOf } from './reports.js';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'blockferry-bench-report-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const ones = Array.from({ length: 9 }, () => 1);
const around = (value: number): number[] => ones.map((_, run) => value * (1 + (run - 4) / 100));
const golden = (name: string): string => `golden/${name}`;

/** Every kind of number: met and missed targets, both directions, one run and many, below zero, left out. */
function sampleReport(): Report {
  const cp = { kind: 'at most', value: 1.05, aim: 0.85 } as const;
  const costs = { wallSecondsMedian: 1.42, wallSecondsBest: 1.3, cpuSecondsMedian: 1.7, peakRssBytes: 95 * MiB };
  const resent = [0, 12, 80];
  return reportOf([
    caseOf('resume', [
      worstFinding('sent twice', 'MiB', resent, { kind: 'at most', value: 544 }),
      valueFinding('time lost by the kill', 's', [-0.1, 0.2, 0.5]),
    ]),
    caseOf('cached', [ratioFinding('blockferry / cp', around(1.42), ones, cp)], {
      contenders: [{ name: 'blockferry <&> "cp"', ...costs, runs: [] }],
    }),
    caseOf('durable', [ratioFinding('blockferry / cp + sync', around(0.9), ones, { ...cp, value: 1.15 })]),
    caseOf('rsync', [ratioFinding('rsync / blockferry', around(3.29), ones, { kind: 'at least', value: 3 })]),
    caseOf('limits', [worstFinding('1.00 MiB/s: above', '%', [-0.02], { kind: 'at most', value: 2 })]),
    caseOf('rss', [worstFinding('blockferry: peak memory', 'MiB', [95.2, 94], { kind: 'at most', value: 200 })]),
    caseOf('hash', [valueFinding('xxh64 from zero:', 'GiB/s', around(4.2))]),
    caseOf('tree', [], { notes: ['left out: copy -r: not here'] }),
  ]);
}

function printed(write: (print: Printer) => void): string {
  let text = '';
  write(new Printer({ write: (piece: string) => (text += piece) } as unknown as NodeJS.WriteStream));
  return text;
}

test('the terminal shows one row for each number, and what changed since the baseline', async () => {
  const [before, now] = [sampleReport(), sampleReport()];
  const slower = { ...caseOf('durable', [ratioFinding('blockferry / cp + sync', around(1.3), ones)]) };
  const cases = now.cases.map((one) => (one.name === 'durable' ? slower : one));
  const changes = changesSince(before, { ...now, cases });
  const text = printed((print) => {
    printSummary(print, before);
    printChanges(print, changes);
  });
  await expect(text).toMatchFileSnapshot(golden('terminal.txt'));
});

test('README has a table of ratios, and a line for each number that is none', async () => {
  await expect(`${readmeTable(sampleReport())}\n`).toMatchFileSnapshot(golden('readme-table.md'));
});

test('the chart draws every ratio, in the order of the bench', async () => {
  const chart = renderChart(sampleReport());
  await expect(chart).toMatchFileSnapshot(golden('chart.svg'));
  expect(chart.indexOf('>cached<')).toBeLessThan(chart.indexOf('>durable<'));
});

test('the page holds all numbers, and needs no network and no script', async () => {
  const page = renderPage(sampleReport(), changesSince(sampleReport(), sampleReport()));
  await expect(page).toMatchFileSnapshot(golden('page.html'));
  expect(page).not.toMatch(/<script|https?:|url\(|@import|src=|href=/);
  expect(page).toContain('blockferry &lt;&amp;&gt; &quot;cp&quot;');
  expect(page).toContain('Test &lt;CPU&gt; &amp; co');
});

test('a report of no numbers at all is still a page, a chart and a table', () => {
  const empty = reportOf([caseOf('tree', [], { notes: ['left out'] })]);
  expect(renderPage(empty)).toContain('0 of 0 targets met');
  expect(renderChart(empty)).toContain('</svg>');
  expect(readmeTable(empty)).toContain('| case');
});

test('a recorded case replaces the one of that name, and the others stay', () => {
  const ratio = (value: number) => ratioFinding('blockferry / cp', around(value), ones);
  const baseline = reportOf([caseOf('cached', [ratio(1.4)]), caseOf('durable', [ratio(1.1)])]);
  const now = reportOf([caseOf('durable', [ratio(1.23456789)]), caseOf('rsync', [ratio(3)]), caseOf('cached', [])]);
  const merged = recorded(baseline, now);
  expect(merged.cases.map(({ name, findings }) => [name, findings[0]?.median])).toEqual([
    ['cached', 1.4],
    ['durable', 1.2346],
    ['rsync', 3],
  ]);
});

test('numbers of a trial, of another size and of another machine are not recorded', () => {
  const baseline = reportOf([]);
  expect(() => assertRecordable(undefined, reportOf([], { quick: true }))).toThrow(/trial/);
  expect(() => assertRecordable(baseline, reportOf([], { sizeBytes: MiB }))).toThrow(/another machine or another/);
  const elsewhere = reportOf([], { machine: { ...machine, cores: 64 } });
  expect(() => assertRecordable(baseline, elsewhere)).toThrow(/another machine/);
  assertRecordable(baseline, reportOf([], { machine: { ...machine, kernel: 'a newer one' } }));
});

test('what was written is read again; what is no report is refused by name', async () => {
  const path = join(folder, 'report.json');
  await writeReport(path, sampleReport());
  expect(await readReport(path)).toEqual(sampleReport());
  expect(readFileSync(path, 'utf8')).toContain('"values": [0, 12, 80]');
  writeFileSync(path, '{"schema": 2}');
  await expect(readReport(path)).rejects.toThrow(/report.json: expected the results of the bench, schema 1/);
  writeFileSync(path, 'no');
  await expect(readReport(path)).rejects.toThrow(/is no JSON/);
  await expect(readReport(join(folder, 'absent'))).rejects.toThrow(/absent: ENOENT/);
});

test.runIf(existsSync(BASELINE))("README's table and chart are those of the recorded baseline", async () => {
  const baseline = await readReport(BASELINE);
  expect(readFileSync(CHART, 'utf8'), 'npm run bench -- --from bench/baseline.json --chart docs/bench.svg').toBe(
    renderChart(baseline),
  );
  const readme = readFileSync(join(projectRoot, 'README.md'), 'utf8');
  expect(readme, 'npm run bench -- --from bench/baseline.json --table').toContain(
    readmeTable(baseline).split('\n\n')[0],
  );
});
