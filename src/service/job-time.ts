/**
 * Where the time of a job went since it was made: stretches that follow each other without a gap, each told by cause,
 * so that they add up to the time that passed. They stay few: what is short, or of one cause, grows together.
 */
import { addedTimes, type Cause, type TimeByCause, totalTime } from '../core/causes.js';
import type { JobState } from '../core/events.js';

export interface JobTime {
  /** Milliseconds since 1970: when the first stretch begins, and up to when all is told. */
  readonly from: number;
  readonly until: number;
  /** One after the other; each is as long as its causes together. */
  readonly spans: readonly TimeByCause[];
  /** The jobs that went first, the last that came last. */
  readonly behind: readonly Behind[];
}

export interface Behind {
  /** Its id. */
  readonly job: string;
  /** How long it was in the way; several may be at the same time. */
  readonly ms: number;
  /** How often this job had to stop for it. */
  readonly preempted: number;
}

/** Enough for a picture, and few enough to be written with each change. */
const SPANS_MAX = 48;
/** Of what has several causes: shorter ones grow together. */
const SPAN_MS_MIN = 1000;
/** Those that were in the way for the shortest time are forgotten first. */
const BEHIND_MAX = 20;

/** What a job's time is while nothing of it runs; absent: what its files say. */
export const STATE_CAUSES: Readonly<Partial<Record<JobState, Cause>>> = {
  queued: 'queue',
  suspended: 'suspended',
  error: 'error',
  'transient-error': 'retry',
  transferred: 'held',
};

export function newJobTime(at: number): JobTime {
  return { from: at, until: at, spans: [], behind: [] };
}

/** So many milliseconds more, of the causes in their proportion; without any they went into looking at the ends. */
export function spentTime(time: JobTime, ms: number, causes: TimeByCause, until: number): JobTime {
  const known = Object.values(causes).reduce((sum, part) => sum + Math.max(0, part), 0);
  const span: { [C in Cause]?: number } = {};
  for (const [cause, part] of Object.entries(known > 0 ? causes : { opening: 1 }) as [Cause, number][]) {
    if (part > 0) span[cause] = Math.round((part / (known || 1)) * ms * 1000) / 1000;
  }
  return { ...time, until, spans: ms > 0 ? joined(time.spans, span) : time.spans };
}

/** These jobs were in the way for so long. */
export function stoodBehind(time: JobTime, jobs: readonly string[], ms: number): JobTime {
  return jobs.reduce((sum, job) => noted(sum, job, ms, 0), time);
}

export function preemptedBy(time: JobTime, job: string): JobTime {
  return noted(time, job, 0, 1);
}

function noted(time: JobTime, job: string, ms: number, preempted: number): JobTime {
  const before = time.behind.find((one) => one.job === job) ?? { job, ms: 0, preempted: 0 };
  const now = { job, ms: before.ms + ms, preempted: before.preempted + preempted };
  const others = time.behind.filter((one) => one.job !== job);
  if (others.length < BEHIND_MAX) return { ...time, behind: [...others, now] };
  const least = others.reduce((shortest, one) => (one.ms < shortest.ms ? one : shortest));
  return { ...time, behind: [...others.filter((one) => one !== least), now] };
}

/** After a start of the service: what it was not there for. */
export function takenUp(time: JobTime, state: JobState, at: number): JobTime {
  const ms = at - time.until;
  if (ms <= 0) return { ...time, until: at };
  const cause = state === 'queued' ? undefined : STATE_CAUSES[state];
  return spentTime(time, ms, { [cause ?? 'away']: 1 }, at);
}

export function totalsOfTime({ spans }: JobTime): TimeByCause {
  return spans.reduce((sum, span) => addedTimes(sum, span), {});
}

function joined(spans: readonly TimeByCause[], span: TimeByCause): readonly TimeByCause[] {
  const last = spans.at(-1);
  if (last && growsInto(last, span)) return [...spans.slice(0, -1), addedTimes(last, span)];
  return fewer([...spans, span]);
}

function growsInto(last: TimeByCause, span: TimeByCause): boolean {
  const [causes, others] = [Object.keys(last), Object.keys(span)];
  if (causes.length === 1 && others.length === 1) return causes[0] === others[0];
  return totalTime(last) < SPAN_MS_MIN && causes.length > 1 && others.length > 1;
}

/** The two neighbours that are shortest together become one. */
function fewer(spans: readonly TimeByCause[]): readonly TimeByCause[] {
  if (spans.length <= SPANS_MAX) return spans;
  const ms = spans.map(totalTime);
  let at = 0;
  for (let next = 1; next < spans.length - 1; next++) {
    if ((ms[next] ?? 0) + (ms[next + 1] ?? 0) < (ms[at] ?? 0) + (ms[at + 1] ?? 0)) at = next;
  }
  const one = addedTimes(spans[at] ?? {}, spans[at + 1] ?? {});
  return [...spans.slice(0, at), one, ...spans.slice(at + 2)];
}
