/**
 * Who runs next, as a pure function: the same question has the same answer, and nothing is remembered but what the
 * caller hands in again. Foreground before high before normal before low; equals take turns; a small share keeps those
 * who are outranked from starving. Limits hold in every answer.
 */

import type { Backlog } from './backlog.js';
import { type JobKind, PRIORITIES, type Priority } from './job.js';
import { sliceLeft } from './places.js';
import type { Policy } from './policy/policy.js';
import { Round } from './round.js';
import type { Shares } from './shares.js';

export { NO_SHARES, type Shares } from './shares.js';

/** A job that may run, or does. */
export interface Contender {
  readonly id: string;
  readonly owner: string;
  readonly priority: Priority;
  readonly kind: JobKind;
  /** Keys of the storages that it reads and writes, such as mount points or `s3://host`; each once. */
  readonly sourcePaths: readonly string[];
  readonly targetPaths: readonly string[];
  /**
   * Its place among its equals, the least first: when it began to wait. Whoever had a slice waits as if it came a slice
   * later, and takes no place from an equal before that, so that jobs do not push each other around in circles.
   */
  readonly since: number;
  /** Of the slice that it still has: what it used before a higher job took its place. */
  readonly usedMs?: number;
}

export interface Running extends Contender {
  /** Of its current slice. */
  readonly startedAt: number;
}

/** Which classes may run now, by the maintenance windows ({@link classesAt} makes it). */
export interface AllowedClasses {
  readonly classes: readonly Priority[];
  /** The window's name; `default` outside of all. */
  readonly rule: string;
  /** Milliseconds since 1970; absent: for ever. */
  readonly until?: number;
}

export interface Situation {
  readonly policy: SchedulerPolicy;
  readonly allowed: AllowedClasses;
  readonly shares: Shares;
  /** Milliseconds of a clock that never goes back; `since` and `startedAt` are of the same one. */
  readonly now: number;
}

export type SchedulerPolicy = Pick<
  Policy,
  | 'jobsAtOnce'
  | 'foregroundAtOnce'
  | 'perSourcePath'
  | 'perTargetPath'
  | 'migrationsAtOnce'
  | 'sliceMs'
  | 'lowSharePercent'
>;

export type PreemptRule = 'priority' | 'slice' | 'share' | 'window' | 'limit';

export interface Preemption {
  readonly id: string;
  /** The job that takes its place; absent where a window or a lowered limit ends it. */
  readonly by?: string;
  readonly rule: PreemptRule;
  /** It waits on as this: with its place, or behind its equals when its slice is over. */
  readonly again: Contender;
}

export interface Decision {
  /** In the order in which they matter. The caller takes them out of the backlog, and adds `startedAt` to them. */
  readonly start: readonly string[];
  /** These stop first, and go back into the backlog as `again`. */
  readonly preempt: readonly Preemption[];
  /** On the clock of `now`: ask again then, if nothing happens before. */
  readonly nextAt?: number;
  readonly shares: Shares;
}

/** Whoever it says to start counts as running from then on, and whoever it preempts as waiting. */
export function schedule(backlog: Backlog, running: readonly Running[], situation: Situation): Decision {
  const round = new Round(backlog, running, situation);
  round.enforce();
  round.grant();
  for (const priority of PRIORITIES) round.fill(priority);
  return decide(round, situation);
}

function decide(round: Round, { policy, now }: Situation): Decision {
  const { book } = round;
  const earning = { foreground: 0, high: 0, normal: 0, low: 0 };
  const times = book.granted.map(({ until }) => until);
  for (const priority of PRIORITIES) {
    const waiting = round.waiting(priority);
    const equals = round.running.filter((job) => job.priority === priority);
    const runsByShare = equals.filter(({ id }) => book.isGranted(id));
    if (waiting.length + runsByShare.length === 0) book.forget(priority);
    if (!round.allows(priority)) continue;
    earning[priority] = (inTheWay(round, [...runsByShare, ...waiting]) * policy.lowSharePercent) / 100;
    times.push(book.sliceAt(priority, earning[priority]) ?? Number.POSITIVE_INFINITY);
    if (waiting.length === 0) continue;
    times.push(...equals.map((job) => now + sliceLeft(job, policy.sliceMs, now)));
    if (equals.length > 0) times.push(...waiting.map(({ since }) => since));
  }
  const nextAt = Math.ceil(Math.min(...times.filter((time) => time > now)));
  return {
    start: round.started,
    preempt: round.displaced.map(({ was: _, ...preemption }) => preemption),
    ...(Number.isFinite(nextAt) ? { nextAt } : {}),
    shares: book.close(earning),
  };
}

/** How many running jobs hold what those of a class cannot get by taking turns. */
function inTheWay({ places }: Round, jobs: readonly Contender[]): number {
  const keys = new Set(jobs.flatMap((job) => places.outranked(job)));
  return new Set([...keys].flatMap((key) => places.at(key)).map(({ job }) => job.id)).size;
}
