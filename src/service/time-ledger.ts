/** Keeps where the time of each job goes: brought up to date before its state changes, and whenever it is looked at. */
import { addedTimes, type Cause, type TimeByCause } from '../core/causes.js';
import { type Clock, nowMs } from '../core/clock.js';
import { isFinal } from './job.js';
import type { JobRecord } from './job-record.js';
import { newJobTime, preemptedBy, STATE_CAUSES, spentTime, stoodBehind, takenUp } from './job-time.js';

interface Entry {
  atMs: number;
  /** What its files had told by then; never falls, as what is under way is told anew when it ends. */
  told: TimeByCause;
  /** Who was in its way at the last look. */
  behind: readonly string[];
}

/** So many of those that wait are asked a second whom they wait for: the answer costs, and changes slowly. */
const ASKED_AT_ONCE = 8;

export class TimeLedger {
  readonly #clock: Clock;
  readonly #entries = new Map<string, Entry>();
  /** Where the time of its files went until now. */
  #spentBy: (id: string) => TimeByCause = () => ({});
  /** The round of those that wait. */
  #round: Iterator<JobRecord> | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  readFrom(spentBy: (id: string) => TimeByCause): void {
    this.#spentBy = spentBy;
  }

  /** At the start of the service. One without a record of its time begins one now. */
  begin(job: JobRecord): void {
    const at = this.#clock.wallMs();
    if (isFinal(job.state)) return;
    job.time = job.time ? takenUp(job.time, job.state, at) : newJobTime(at);
  }

  /** All that passed since the last time belongs to the state in which the job is. */
  bring(job: JobRecord): void {
    if (isFinal(job.state)) return void this.#entries.delete(job.id);
    const atMs = nowMs(this.#clock);
    const entry = this.#entry(job.id, atMs);
    const ms = atMs - entry.atMs;
    const spent = this.#spentBy(job.id);
    const cause = STATE_CAUSES[job.state];
    const causes: TimeByCause = cause ? { [cause]: 1 } : newSince(entry.told, spent);
    let time = job.time ?? newJobTime(job.createdAt);
    time = spentTime(time, ms, causes, this.#clock.wallMs());
    if (job.state === 'queued') time = stoodBehind(time, entry.behind, ms);
    job.time = time;
    entry.atMs = atMs;
    entry.told = cause ? spent : highest(entry.told, spent);
  }

  /** It had to stop for that one, which is in its way from now on. */
  preempted(job: JobRecord, by: string): void {
    this.bring(job);
    if (job.time) job.time = preemptedBy(job.time, by);
    this.#entry(job.id, nowMs(this.#clock)).behind = [by];
  }

  forget(id: string): void {
    this.#entries.delete(id);
  }

  /** To be called about once a second: asks some of those that wait, in turns, who is in their way. */
  ask(jobs: () => Iterable<JobRecord>, inTheWay: (id: string) => readonly string[]): void {
    for (let asked = 0; asked < ASKED_AT_ONCE; ) {
      this.#round ??= jobs()[Symbol.iterator]();
      const { value: job, done } = this.#round.next();
      if (done) {
        this.#round = undefined;
        return;
      }
      if (job.state !== 'queued') continue;
      asked++;
      const entry = this.#entry(job.id, nowMs(this.#clock));
      const behind = inTheWay(job.id);
      // Who is in its way at the first look was so before.
      if (entry.behind.length === 0) entry.behind = behind;
      this.bring(job);
      entry.behind = behind;
    }
  }

  #entry(id: string, atMs: number): Entry {
    const entry = this.#entries.get(id) ?? { atMs, told: {}, behind: [] };
    this.#entries.set(id, entry);
    return entry;
  }
}

/** Other jobs are none of what a running one waits for: its lanes tell of that when they go on. */
function newSince(told: TimeByCause, now: TimeByCause): TimeByCause {
  const { queue: _, ...rest } = addedTimes(now, told, -1);
  return rest;
}

function highest(one: TimeByCause, other: TimeByCause): TimeByCause {
  const most: { [C in Cause]?: number } = { ...one };
  for (const [cause, ms] of Object.entries(other) as [Cause, number][]) most[cause] = Math.max(most[cause] ?? 0, ms);
  return most;
}
