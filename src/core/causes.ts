/** What a job's time is told as: one word for everything that a second of it can be spent on. */

/** What a pace may hold a job back for, each with its own sum. */
export const PACE_CAUSES = [
  'limit',
  'classLimit',
  'allLimit',
  'windowLimit',
  'deadline',
  'sourcePressure',
  'targetPressure',
  'linkPressure',
] as const;
/**
 * `limit`: the job's own. `classLimit`, `allLimit`: what its class, or all jobs together, may take. `windowLimit`: a
 * window of the policy says so. `deadline`: no more is needed to be done in time. The others: somebody else needs the
 * source, the target, or the way between.
 */
export type PaceCause = (typeof PACE_CAUSES)[number];

/** One of each for all of them, under the names that {@link TimeSpent} has. */
export function byPaceCause<T>(make: (cause: PaceCause) => T): Record<`${PaceCause}Ms`, T> {
  const entries = PACE_CAUSES.map((cause) => [`${cause}Ms`, make(cause)] as const);
  return Object.fromEntries(entries) as Record<`${PaceCause}Ms`, T>;
}

/** In the order in which they are shown: what moves bytes first, then what waits, then what surrounds it. */
export const CAUSES = [
  'sourceRead',
  'hash',
  'targetWrite',
  'readBack',
  'flush',
  'worker',
  ...PACE_CAUSES,
  'retry',
  'queue',
  'idle',
  'between',
  'opening',
  'committing',
  'suspended',
  'error',
  'held',
  'away',
] as const;
/**
 * `worker`: all workers were busy with other chunks. `queue`: other jobs went first. `idle`: nothing was left to start
 * while other lanes still worked. `between`: opening and closing chunks. `held`: whole, and waiting to be completed.
 * `away`: the service did not run.
 */
export type Cause = (typeof CAUSES)[number];

/** Milliseconds on the clock, which add up to the time that passed; what took none is absent. */
export type TimeByCause = { readonly [C in Cause]?: number };

/** For people, as the beginning of a line. */
export const CAUSE_NAMES: Readonly<Record<Cause, string>> = {
  sourceRead: 'reading the source',
  hash: 'hashing',
  targetWrite: 'writing the target',
  readBack: 'reading the target again',
  flush: 'waiting for a flush',
  worker: 'waiting for a worker',
  limit: 'its own limit',
  classLimit: 'the limit of its class',
  allLimit: 'the limit of all jobs',
  windowLimit: 'the limit of a window',
  deadline: 'in no hurry: its deadline',
  sourcePressure: 'others needed the source',
  targetPressure: 'others needed the target',
  linkPressure: 'others needed the link',
  retry: 'waiting for a retry',
  queue: 'behind other jobs',
  idle: 'nothing left to start',
  between: 'everything between',
  opening: 'looking at both ends',
  committing: 'putting it in place',
  suspended: 'suspended',
  error: 'stopped by an error',
  held: 'waiting to be completed',
  away: 'the service did not run',
};

/** Both together; `sign` -1: what the one has more than the other, which may be negative. */
export function addedTimes(one: TimeByCause, other: TimeByCause, sign: 1 | -1 = 1): TimeByCause {
  const sum: { [C in Cause]?: number } = { ...one };
  for (const [cause, ms] of Object.entries(other) as [Cause, number][]) sum[cause] = (sum[cause] ?? 0) + sign * ms;
  return sum;
}

export function totalTime(times: TimeByCause): number {
  return Object.values(times).reduce((sum, ms) => sum + ms, 0);
}
