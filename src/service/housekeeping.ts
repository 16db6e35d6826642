/** What time alone does to jobs: retries that are due, limits of time, what is forgotten; looked at once a second. */
import { type Clock, nowMs } from '../core/clock.js';
import { TransferError } from '../core/errors.js';
import { isFinal } from './job.js';
import type { JobBook } from './job-book.js';
import type { JobDesk } from './job-desk.js';
import type { JobRecord } from './job-record.js';
import type { Policy } from './policy/policy.js';
import type { Runners } from './runners.js';
import { surroundings } from './wakeups.js';

export interface HousekeepingParts {
  readonly book: JobBook;
  readonly desk: JobDesk;
  readonly runners: Runners;
  readonly clock: Clock;
  readonly policy: () => Policy;
  readonly cancel: (job: JobRecord, reason: string, keepPartial: boolean) => Promise<void>;
  readonly note: (sentence: string) => void;
}

const TICK_MS = 1000;
/** Clocks are brought into step by less than this all the time. */
const CLOCK_SET_MS = 10_000;
/** Of what changes by days. */
const SWEEP_MS = 10 * 60_000;

export class Housekeeping {
  readonly #parts: HousekeepingParts;
  readonly #closing = new AbortController();
  /** When jobs began to wait for a retry; absent: none does. */
  #around: string | undefined;
  /** Between the clock on the wall and that which only counts. */
  #offsetMs: number;
  #sweptMs: number;
  #lastMs: number;
  #ticking: Promise<void> | undefined;

  constructor(parts: HousekeepingParts) {
    this.#parts = parts;
    this.#sweptMs = nowMs(parts.clock);
    this.#lastMs = this.#sweptMs;
    this.#offsetMs = parts.clock.wallMs() - this.#sweptMs;
  }

  start(): void {
    this.#ticking = this.#tick();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#ticking;
  }

  async #tick(): Promise<void> {
    const { clock, desk, runners, book } = this.#parts;
    const { signal } = this.#closing;
    for (;;) {
      await clock.sleep(TICK_MS, signal);
      if (signal.aborted) return;
      const now = nowMs(clock);
      this.#count(now - this.#lastMs);
      this.#lastMs = now;
      this.#retry(this.#clockSet(now));
      desk.tick();
      runners.sweep();
      book.flush();
      if (now - this.#sweptMs < SWEEP_MS) continue;
      this.#sweptMs = now;
      await this.#sweep().catch((thrown) => this.#parts.note(TransferError.from(thrown).message));
    }
  }

  /** Time in transfer, and its end. */
  #count(passedMs: number): void {
    const { desk, book } = this.#parts;
    for (const id of desk.runs.keys()) {
      const job = book.find(id);
      if (job?.state !== 'transferring') continue;
      job.transferMs += passedMs;
      if (job.transferMsMax > 0 && job.transferMs >= job.transferMsMax) void this.#expire(job);
    }
  }

  async #expire(job: JobRecord): Promise<void> {
    const { desk, book } = this.#parts;
    desk.dispatcher.remove(job.id);
    const hint = 'What was copied is kept. Raise the maximum time, then resume it.';
    const message = 'its maximum time of transfer is used up';
    book.pass(job, 'error', message, { error: { code: 'E_TIMEOUT', message, hint } });
    await desk.runs.get(job.id)?.suspend();
    book.keepSoon(job);
  }

  /** Whether the clock on the wall was set; what counts on it as time in which nothing happened moves with it. */
  #clockSet(now: number): boolean {
    const { clock, book } = this.#parts;
    const setMs = clock.wallMs() - now - this.#offsetMs;
    this.#offsetMs += setMs;
    if (Math.abs(setMs) < CLOCK_SET_MS) return false;
    for (const job of book.all()) {
      job.progressAt += setMs;
      job.changedAt += setMs;
    }
    return true;
  }

  /** Those that are due, or whose time is none any more; all of them when a network or a volume has come or gone. */
  #retry(clockSet: boolean): void {
    const { desk, book, clock } = this.#parts;
    const waiting = [...book.all()].filter(({ state }) => state === 'transient-error');
    const around = waiting.length === 0 ? undefined : surroundings();
    const changed = this.#around !== undefined && around !== this.#around;
    this.#around = around;
    for (const job of waiting) {
      if (clockSet) desk.queue(job, 'the clock was set: it tries again at once');
      else if (changed) desk.queue(job, 'a network or a volume came or went: it tries again at once');
      else if (clock.wallMs() >= (job.retryAt ?? 0)) desk.queue(job, `tries again (${job.retries})`);
    }
  }

  async #sweep(): Promise<void> {
    const { book, clock, policy, cancel } = this.#parts;
    const { inactivityMs, inactivityDeletesPartial, historyMs } = policy();
    const old: string[] = [];
    for (const job of [...book.all()]) {
      const stillMs = clock.wallMs() - job.changedAt;
      if (isFinal(job.state)) {
        if (stillMs >= historyMs) old.push(job.id);
      } else if (inactivityMs > 0 && stillMs >= inactivityMs) {
        await cancel(job, 'nothing happened to it for too long (policy)', !inactivityDeletesPartial);
      }
    }
    if (old.length > 0) await book.forget(old);
  }
}
