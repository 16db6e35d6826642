/** The bench as a user starts it, with the smallest case that it has. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Report } from '../../bench/report.js';
import { start } from './command.js';

const MAIN = fileURLToPath(new URL('../../dist/bench/main.js', import.meta.url));
let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'blockferry-bench-e2e-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test('one quick case measures, writes its results and a page, and leaves nothing else behind', async () => {
  const args = ['--quick', '--dir', folder, '--json', 'results.json', '--html', 'page.html', '--chart', 'chart.svg'];
  const { exitCode, out, err } = await start(folder, [process.execPath, MAIN, 'dd', ...args]).ended;
  expect(err).toBe('');
  expect(exitCode).toBe(0);
  expect(out).toContain('its numbers mean nothing');
  const report = JSON.parse(readFileSync(join(folder, 'results.json'), 'utf8')) as Report;
  expect(report).toMatchObject({ schema: 1, quick: true, machine: { node: process.version } });
  const [bench] = report.cases;
  expect(bench?.contenders.map(({ name, runs }) => [name, runs?.length])).toEqual([
    ['blockferry', 2],
    ['dd', 2],
  ]);
  expect(bench?.findings).toMatchObject([{ what: 'blockferry / dd', unit: 'x', runs: 2 }]);
  const [ours, theirs] = bench?.contenders ?? [];
  const ratios = ours?.runs?.map((run, at) => run.wallSeconds / (theirs?.runs?.[at]?.wallSeconds ?? 0));
  expect(bench?.findings[0]?.values).toEqual(ratios);
  expect(readFileSync(join(folder, 'page.html'), 'utf8')).toContain('blockferry / dd');
  expect(readdirSync(folder).sort()).toEqual(['chart.svg', 'page.html', 'results.json']);
});

test('results are told again without measuring', async () => {
  const measure = ['dd', '--quick', '--dir', folder, '--json', 'results.json'];
  await start(folder, [process.execPath, MAIN, ...measure]).ended;
  const { exitCode, out } = await start(folder, [process.execPath, MAIN, '--from', 'results.json', '--table']).ended;
  expect(exitCode).toBe(0);
  expect(out).toContain('| the same, beside `dd bs=1M`');
});

test.each([
  [['nothing-like-it'], 'no such case: nothing-like-it'],
  [['dd', '--quick', '--record'], 'a --quick run is a trial'],
  [['--from', 'absent.json'], 'cannot read'],
  [['dd', '--size', '1MiB'], 'expected a multiple of 16MiB'],
])('%j is refused before anything is measured', async (args, message) => {
  const { exitCode, out, err } = await start(folder, [process.execPath, MAIN, ...args]).ended;
  expect(err).toContain(message);
  expect(out).toBe('');
  expect(exitCode).toBe(2);
});
