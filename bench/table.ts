/** Prints what was measured: the runs of each case, and one table of all numbers with their targets at the end. */
import { formatBytes } from '../src/core/units.js';
import type { Printer } from './demo-print.js';
import type { Machine } from './machine.js';
import { type CaseResult, type ContenderResult, wallTimes } from './measure.js';
import { type Bound, type Finding, median, type Unit } from './statistics.js';

/** Fewer runs than this do not make a claim. */
const RUNS_MIN = 7;

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

export interface NamedResult {
  readonly name: string;
  readonly title: string;
  readonly result: CaseResult;
}

/** One row for each number. Says at the end how many targets were missed. */
export function printSummary(print: Printer, results: readonly NamedResult[]): void {
  const head = ['case', 'number', 'median', 'spread', 'best', 'runs', 'target', 'verdict'];
  const findings = results.flatMap(({ name, result }) => result.findings.map((finding) => ({ name, finding })));
  const rows = findings.map(({ name, finding }) => summaryRow(name, finding));
  print.line('');
  for (const line of columns([head, ...rows])) print.line(line);
  print.line('');
  for (const { name, result } of results) for (const note of result.notes) print.line(`${name}: ${note}`);
  const promised = findings.filter(({ finding }) => finding.bound !== undefined);
  const kept = promised.filter(({ finding }) => finding.verdict.startsWith('ok'));
  print.line(`${kept.length} of ${promised.length} targets met`);
  if (findings.some(({ finding }) => finding.unit === 'x' && finding.runs < RUNS_MIN)) {
    print.line(`Ratios of fewer than ${RUNS_MIN} pairs are a trial and no claim.`);
  }
}

function summaryRow(name: string, finding: Finding): readonly string[] {
  const { what, unit, runs, median: middle, min, max, best, bound, verdict } = finding;
  const spread = runs === 1 ? '' : `${show(min, unit)} – ${show(max, unit)}`;
  const target = bound === undefined ? '' : showBound(bound, unit);
  return [name, what, show(middle, unit), spread, show(best, unit), String(runs), target, verdict];
}

function showBound({ kind, value, aim }: Bound, unit: Unit): string {
  return `${kind} ${show(value, unit)}${aim === undefined ? '' : `, aim ${show(aim, unit)}`}`;
}

const DIGITS: Readonly<Record<Unit, number>> = { x: 2, s: 3, MiB: 0, '%': 2 };

function show(value: number, unit: Unit): string {
  return `${value.toFixed(DIGITS[unit])} ${unit}`;
}

function columns(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
