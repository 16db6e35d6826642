/** Why a job waits: the rule that binds it, who is in its way, until when, and what its user may do. */
import type { Backlog } from './backlog.js';
import type { Running, Situation } from './scheduler.js';

export interface WhyWaiting {
  /** `window`, `priority`, `jobs-at-once`, `foreground-at-once`, `migrations-at-once`, `path-limit`, `next`. */
  readonly rule: string;
  readonly sentence: string;
  /** Ids of the jobs in its way. */
  readonly behind: readonly string[];
  /** On the clock of `now`, except for windows: milliseconds since 1970. */
  readonly until?: number;
  readonly hint?: string;
}

/** Of a job in the backlog; undefined when it is not there. `nameOf` a job as people know it; else by its id. */
export function whyWaiting(
  _id: string,
  _backlog: Backlog,
  _running: readonly Running[],
  _situation: Situation,
  _nameOf?: (id: string) => string,
): WhyWaiting | undefined {
  throw new Error('comes next');
}
