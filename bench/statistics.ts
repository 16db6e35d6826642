/**
 * What is said of repeated runs, and how it is judged. Noise on a shared machine only adds time, so a ratio is told
 * twice, by the median of its pairs and by the best runs, and it holds only when both do. Bounds of memory, limits and
 * re-sent bytes are judged by the worst run.
 */

export interface Bound {
  readonly kind: 'at most' | 'at least';
  readonly value: number;
  /** What we would like, where that is more than what we promise. */
  readonly aim?: number;
}

export type Unit = 'x' | 's' | 'ms' | 'MiB' | '%' | 'GiB/s';
export type Better = 'lower' | 'higher';

export type Verdict = 'ok' | 'ok, aim met' | 'only the median' | 'only the best' | 'missed' | 'stated';

/** One number of the bench, as measured. */
export interface Finding {
  readonly what: string;
  readonly unit: Unit;
  readonly runs: number;
  /** Run by run, in the order in which they ran. */
  readonly values: readonly number[];
  readonly better: Better;
  readonly median: number;
  readonly min: number;
  readonly max: number;
  /** The best run of the one over the best run of the other; for a plain number, its best run. */
  readonly best: number;
  /** Absent: stated, not promised. */
  readonly bound?: Bound;
  readonly verdict: Verdict;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  if (sorted.length === 0) return Number.NaN;
  if (sorted.length % 2 === 1) return sorted[Math.floor(middle)] as number;
  return ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

/** The ratio of two measures that were taken in pairs, run by run. */
export function ratioFinding(what: string, top: readonly number[], bottom: readonly number[], bound?: Bound): Finding {
  const ratios = top.map((value, run) => value / (bottom[run] ?? Number.NaN));
  const best = Math.min(...top) / Math.min(...bottom);
  return finding({ what, unit: 'x', values: ratios, best, ...(bound && { bound }) });
}

/** A number judged by its worst run: a memory bound or a limit that holds only mostly does not hold. */
export function worstFinding(what: string, unit: Unit, values: readonly number[], bound: Bound): Finding {
  const found = valueFinding(what, unit, values, bound);
  const worst = bound.kind === 'at most' ? found.max : found.min;
  return { ...found, verdict: holds(worst, bound.kind, bound.value) ? 'ok' : 'missed' };
}

/** A number judged as ratios are: by its median and by its best run. */
export function valueFinding(what: string, unit: Unit, values: readonly number[], bound?: Bound): Finding {
  const best = betterOf(unit, bound) === 'higher' ? Math.max(...values) : Math.min(...values);
  return finding({ what, unit, values, best, ...(bound && { bound }) });
}

/** A target says it; without one, only of a rate is more the better. */
function betterOf(unit: Unit, bound: Bound | undefined): Better {
  if (bound === undefined) return unit === 'GiB/s' ? 'higher' : 'lower';
  return bound.kind === 'at least' ? 'higher' : 'lower';
}

interface Measured {
  readonly what: string;
  readonly unit: Unit;
  readonly values: readonly number[];
  readonly best: number;
  readonly bound?: Bound;
}

function finding({ what, unit, values, best, bound }: Measured): Finding {
  const middle = median(values);
  const spread = { median: middle, min: Math.min(...values), max: Math.max(...values), best };
  const verdict = bound === undefined ? 'stated' : judge(middle, best, bound);
  const better = betterOf(unit, bound);
  return { what, unit, runs: values.length, values, better, ...spread, ...(bound && { bound }), verdict };
}

function judge(middle: number, best: number, { kind, value, aim }: Bound): Verdict {
  const [byMedian, byBest] = [holds(middle, kind, value), holds(best, kind, value)];
  if (!byMedian || !byBest) return byMedian ? 'only the median' : byBest ? 'only the best' : 'missed';
  return aim !== undefined && holds(middle, kind, aim) && holds(best, kind, aim) ? 'ok, aim met' : 'ok';
}

function holds(value: number, kind: Bound['kind'], bound: number): boolean {
  return kind === 'at most' ? value <= bound : value >= bound;
}

export interface ProgressSample {
  readonly atMs: number;
  readonly bytes: number;
}

/**
 * The slowest and the fastest rate, in bytes per second, of all windows that begin and end at a sample and are just as
 * long as asked or longer; undefined when the samples do not span one window.
 */
export function windowRates(
  samples: readonly ProgressSample[],
  windowMs: number,
): { readonly slowest: number; readonly fastest: number } | undefined {
  const rates = samples.flatMap((first) => {
    const last = samples.find((sample) => sample.atMs - first.atMs >= windowMs);
    return last === undefined ? [] : [((last.bytes - first.bytes) * 1000) / (last.atMs - first.atMs)];
  });
  return rates.length === 0 ? undefined : { slowest: Math.min(...rates), fastest: Math.max(...rates) };
}
