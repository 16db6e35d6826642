/** How numbers of the bench are written, the same in the terminal, on the page and in README. */
import type { Change } from './change.js';
import type { Bound, Finding, Unit } from './statistics.js';

const DIGITS: Readonly<Record<Unit, number>> = { x: 2, s: 3, ms: 2, MiB: 0, '%': 2, 'GiB/s': 2 };

/** Fewer runs than this do not make a claim. */
const RUNS_MIN = 7;

export function show(value: number, unit: Unit): string {
  return `${value.toFixed(DIGITS[unit])} ${unit}`;
}

export function showBound({ kind, value, aim }: Bound, unit: Unit): string {
  return `${kind} ${show(value, unit)}${aim === undefined ? '' : `, aim ${show(aim, unit)}`}`;
}

/** Empty for a number that was measured once. */
export function showSpread({ runs, min, max, unit }: Finding): string {
  return runs === 1 ? '' : `${show(min, unit)} – ${show(max, unit)}`;
}

export function showTarget({ bound, unit }: Finding): string {
  return bound === undefined ? '' : showBound(bound, unit);
}

/** `worse: +12 %, p 0.0004`, or only the verdict. */
export function showChange({ verdict, shift, probability }: Change): string {
  if (shift === undefined || probability === undefined) return verdict;
  const percent = `${shift < 0 ? '−' : '+'}${Math.abs(shift * 100).toFixed(1)} %`;
  return `${verdict}: ${percent}, p ${probability.toPrecision(2)}`;
}

/** How many of the numbers with a target met it, as a sentence. */
export function showKept(findings: readonly Finding[]): string {
  const promised = findings.filter(({ bound }) => bound !== undefined);
  const kept = promised.filter(({ verdict }) => verdict.startsWith('ok'));
  return `${kept.length} of ${promised.length} targets met`;
}

/** A warning to those who would believe the numbers, or nothing. */
export function showTrial(quick: boolean, findings: readonly Finding[]): string {
  if (quick) return 'A quick trial with small sizes: its numbers mean nothing.';
  const few = findings.some(({ unit, runs }) => unit === 'x' && runs < RUNS_MIN);
  return few ? `Ratios of fewer than ${RUNS_MIN} pairs are a trial and no claim.` : '';
}

/** Rows of cells under each other; the first row is the head. */
export function columns(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = columnWidths(rows);
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

export function columnWidths(rows: readonly (readonly string[])[]): readonly number[] {
  return rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
}
