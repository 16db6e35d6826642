/**
 * What changed since the baseline, and what is only noise. A number changed when three things hold:
 *
 * 1. The rank-sum test says that chance seldom sorts the runs so (bench/rank-test.ts), over the single values: the
 *    ratios of interleaved pairs, which a slow minute of the machine moves much less than seconds.
 * 2. It still says so when asked about all numbers at once: of forty numbers two are "significant at 5 %" by chance.
 *    Benjamini and Hochberg ("Controlling the false discovery rate", 1995) hold the share of false alarms among all
 *    alarms at 5 %; when nothing changed at all, 19 runs of the bench in 20 stay silent.
 * 3. The median moved by 5 % or more. Runs of one session agree better with each other than with those of another day:
 *    page placement, disk and neighbours differ, and no test over one session can see that (Kalibera and Jones,
 *    "Rigorous benchmarking in reasonable time", 2013). So a small difference is never news.
 *
 * A run of a shared machine falls into a slow mode now and then and takes twice as long or more. Such pairs are left
 * out where they stand clearly apart from the others, see {@link withoutSlowMode}; simulated with a slow run in twenty
 * among 30 numbers of 9 pairs, this finds 24 in 25 changes of 10 % instead of one in two, at the same rate of false
 * alarms.
 *
 * Seconds, rates and memory of another machine are not compared; ratios are.
 */
import { rankSumProbability } from './rank-test.js';
import { type Report, sameMachine } from './report.js';
import type { Better, Finding, Unit } from './statistics.js';

const FALSE_ALARMS_MAX = 0.05;
const SHIFT_MIN = 0.05;
const SLOW_FACTOR = 2;
const USUAL_SHARE_MIN = 0.6;
const USUAL_SPREAD_MAX = 1.5;

export type ChangeVerdict =
  | 'better'
  | 'worse'
  | 'within the noise'
  | 'too few runs'
  | 'another machine'
  | 'not in the baseline';

export interface Change {
  readonly case: string;
  readonly what: string;
  readonly unit: Unit;
  /** Median in the baseline. */
  readonly before?: number;
  /** Median now. */
  readonly after: number;
  /** Part by which the median moved: 0.1 for a tenth more. */
  readonly shift?: number;
  /** Of the rank-sum test; absent where it was not asked. */
  readonly probability?: number;
  readonly verdict: ChangeVerdict;
}

/** One answer for each number of `now`. The reports must be of the same sizes: see {@link comparable}. */
export function changesSince(baseline: Report, now: Report): readonly Change[] {
  const sameAbsolute = sameMachine(baseline.machine, now.machine);
  const asked = now.cases.flatMap(({ name, findings }) => {
    const old = baseline.cases.find((one) => one.name === name)?.findings;
    return findings.map((finding) =>
      ask(
        name,
        old?.find((one) => one.what === finding.what),
        finding,
        sameAbsolute,
      ),
    );
  });
  const level = alarmLevel(asked.flatMap(({ change }) => change.probability ?? []));
  return asked.map(({ change, better }) => judged(change, better, level));
}

/** Why two reports cannot be compared, or undefined. */
export function incomparable(baseline: Report, now: Report): string | undefined {
  if (now.quick !== baseline.quick) return 'a --quick run is compared with no other';
  if (now.sizeBytes !== baseline.sizeBytes) return `the baseline was measured with --size ${baseline.sizeBytes}`;
  return undefined;
}

interface Asked {
  readonly change: Change;
  readonly better: Better;
}

function ask(name: string, old: Finding | undefined, now: Finding, sameAbsolute: boolean): Asked {
  const { what, unit, better, median: after } = now;
  const about = { case: name, what, unit, after };
  if (old === undefined) return { better, change: { ...about, verdict: 'not in the baseline' } };
  const compared = { ...about, before: old.median, shift: after / old.median - 1 };
  if (unit !== 'x' && unit !== '%' && !sameAbsolute) {
    return { better, change: { ...compared, verdict: 'another machine' } };
  }
  const [one, other] = [withoutSlowMode(old), withoutSlowMode(now)];
  if (tooFew(one.length, other.length)) return { better, change: { ...compared, verdict: 'too few runs' } };
  const probability = rankSumProbability(one, other);
  return { better, change: { ...compared, probability, verdict: 'within the noise' } };
}

/**
 * Ratios without those that are twice the median or half of it, if what remains is most of them and agrees well. Where
 * a number is noisy all over, nothing is left out: that would make it look surer than it is.
 */
function withoutSlowMode({ unit, values, median }: Finding): readonly number[] {
  if (unit !== 'x') return values;
  const usual = values.filter((value) => value < median * SLOW_FACTOR && value > median / SLOW_FACTOR);
  const most = usual.length >= USUAL_SHARE_MIN * values.length;
  return most && Math.max(...usual) < USUAL_SPREAD_MAX * Math.min(...usual) ? usual : values;
}

/** Whether even groups that do not overlap at all could be chance. */
function tooFew(one: number, other: number): boolean {
  const apart = rankSumProbability(
    Array.from({ length: one }, (_, at) => at),
    Array.from({ length: other }, (_, at) => one + at),
  );
  return apart > FALSE_ALARMS_MAX / 2;
}

/** The largest probability that still counts: the k-th smallest of n is at most k/n of the share of false alarms. */
function alarmLevel(probabilities: readonly number[]): number {
  const sorted = [...probabilities].sort((a, b) => a - b);
  const passing = sorted.filter((value, at) => value <= (FALSE_ALARMS_MAX * (at + 1)) / sorted.length);
  return passing.at(-1) ?? -1;
}

function judged(change: Change, better: Better, level: number): Change {
  const { probability, shift } = change;
  if (probability === undefined || shift === undefined) return change;
  if (probability > level || Math.abs(shift) < SHIFT_MIN) return change;
  return { ...change, verdict: shift < 0 === (better === 'lower') ? 'better' : 'worse' };
}
