/** Prints what was measured: the runs of each case, and one table of all numbers with their targets at the end. */
import { formatBytes } from '../src/core/units.js';
import type { Change } from './change.js';
import type { Printer } from './demo-print.js';
import type { Machine } from './machine.js';
import { type CaseResult, type ContenderResult, wallTimes } from './measure.js';
import type { Report } from './report.js';
import { columns, show, showBound, showChange, showKept, showSpread, showTarget, showTrial } from './show.js';
import { type Finding, median } from './statistics.js';

export function printMachine(print: Printer, machine: Machine): void {
  const { cores, cpu, memoryBytes, kernel, fileSystem, node, blockferry, tools } = machine;
  print.line(`blockferry ${blockferry}, Node ${node}; ${cores} cores (${cpu}), ${formatBytes(memoryBytes)} of memory`);
  print.line(`Linux ${kernel}, ${fileSystem}; memory and CPU by ${machine.measuredBy}`);
  for (const version of Object.values(tools)) print.note(version);
}

export function printCase(print: Printer, { contenders, findings, notes }: CaseResult): void {
  const rows = contenders.map(contenderRow);
  const head = ['', 'wall median', 'best', 'CPU median', 'peak memory'];
  if (rows.length > 0) for (const line of columns([head, ...rows])) print.note(line);
  for (const finding of findings) print.note(`${finding.what}: ${sentence(finding)}`);
  for (const note of notes) print.warn(note);
}

function contenderRow({ name, runs }: ContenderResult): readonly string[] {
  const walls = wallTimes({ name, runs });
  const peak = Math.max(...runs.map((run) => run.peakRssBytes));
  const seconds = [median(walls), Math.min(...walls)].map((value) => `${value.toFixed(3)} s`);
  return [name, ...seconds, `${median(runs.map((run) => run.cpuSeconds)).toFixed(2)} s`, formatBytes(peak)];
}

function sentence(finding: Finding): string {
  const { unit, runs, median: middle, min, max, best, bound, verdict } = finding;
  const spread = runs === 1 ? '' : `, ${show(min, unit)} to ${show(max, unit)}, best of ${runs} ${show(best, unit)}`;
  const promise = bound === undefined ? '' : ` (target ${showBound(bound, unit)})`;
  return `${show(middle, unit)}${spread}: ${verdict}${promise}`;
}

/** One row for each number. Says at the end how many targets were missed. */
export function printSummary(print: Printer, { cases, quick }: Report): void {
  const head = ['case', 'number', 'median', 'spread', 'best', 'runs', 'target', 'verdict'];
  const findings = cases.flatMap(({ findings }) => findings);
  const rows = cases.flatMap(({ name, findings }) => findings.map((finding) => summaryRow(name, finding)));
  print.line('');
  for (const line of columns([head, ...rows])) print.line(line);
  print.line('');
  for (const { name, notes } of cases) for (const note of notes) print.line(`${name}: ${note}`);
  print.line(`${showKept(findings)}. ${showTrial(quick, findings)}`.trim());
}

function summaryRow(name: string, finding: Finding): readonly string[] {
  const { what, unit, runs, median: middle, best, verdict } = finding;
  const numbers = [show(middle, unit), showSpread(finding), show(best, unit), String(runs)];
  return [name, what, ...numbers, showTarget(finding), verdict];
}

/** What is news, number by number; the rest is counted. */
export function printChanges(print: Printer, changes: readonly Change[]): void {
  const news = changes.filter(({ verdict }) => verdict === 'better' || verdict === 'worse');
  print.line('');
  print.line(news.length === 0 ? 'Since the baseline: no change beyond the noise.' : 'Since the baseline:');
  const rows = news.map((change) => {
    const { what, unit, before = Number.NaN, after } = change;
    return [change.case, what, `${show(before, unit)} → ${show(after, unit)}`, showChange(change)];
  });
  for (const line of columns(rows)) print.line(`  ${line}`);
  const rest = ['within the noise', 'too few runs', 'another machine', 'not in the baseline'].flatMap((verdict) => {
    const count = changes.filter((change) => change.verdict === verdict).length;
    return count === 0 ? [] : [`${count} ${verdict}`];
  });
  if (rest.length > 0) print.line(`  ${rest.join(', ')}`);
}
