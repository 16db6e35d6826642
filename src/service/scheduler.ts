/**
 * Who runs next, as a pure function: the same question has the same answer, and nothing is remembered but what the
 * caller hands in again. Foreground before high before normal before low; equals take turns; a small share keeps those
 * who are outranked from starving. Limits hold in every answer.
 */

import type { Backlog } from './backlog.js';
import type { JobKind, Priority } from './job.js';
import type { Policy } from './policy.js';

/** A job that may run, or does. */
export interface Contender {
  readonly id: string;
  readonly owner: string;
  readonly priority: Priority;
  readonly kind: JobKind;
  /** Keys of the storages that it reads and writes, such as mount points or `s3://host`; each once. */
  readonly sourcePaths: readonly string[];
  readonly targetPaths: readonly string[];
  /** Its place among its equals, the least first: when it began to wait, or when its last slice ended. */
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

/** What the scheduler carries from one call to the next. Opaque: begin with {@link NO_SHARES}, hand back the last. */
export interface Shares {
  readonly at: number;
  /** Milliseconds of running that each class has saved up, and how fast it saves while it is outranked. */
  readonly credit: Readonly<Record<Priority, number>>;
  readonly earning: Readonly<Record<Priority, number>>;
  /** Jobs that run by their class's share: nobody outranks them until then. */
  readonly granted: readonly { readonly id: string; readonly priority: Priority; readonly until: number }[];
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
  /** In the order in which they matter. The caller takes them out of the backlog. */
  readonly start: readonly string[];
  /** These stop first, and go back into the backlog as `again`. */
  readonly preempt: readonly Preemption[];
  /** On the clock of `now`: ask again then, if nothing happens before. */
  readonly nextAt?: number;
  readonly shares: Shares;
}

const NOTHING: Readonly<Record<Priority, number>> = { foreground: 0, high: 0, normal: 0, low: 0 };
export const NO_SHARES: Shares = { at: 0, credit: NOTHING, earning: NOTHING, granted: [] };

/** Whoever it says to start counts as running from then on, and whoever it preempts as waiting. */
export function schedule(_backlog: Backlog, _running: readonly Running[], _situation: Situation): Decision {
  throw new Error('comes next');
}
