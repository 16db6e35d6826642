/**
 * Where jobs survive. The service keeps them all in memory and writes through: what `put` and `remove` resolve is
 * durable; `progress` is batched, and may be lost with the process, since a transfer's own journal knows better.
 *
 * A job or a file that was given is never changed afterwards: a changed one is another object. That is how a store
 * knows what it need not write again.
 */
import type { Job, JobFile } from './job.js';
import type { JobTime } from './job-time.js';
import type { Told } from './told.js';

export interface JobProgress {
  readonly id: string;
  /** Those that changed. */
  readonly files: readonly JobFile[];
  readonly changedAt: number;
  readonly progressAt: number;
  readonly transferMs: number;
  readonly time?: JobTime;
}

export interface StoredState {
  /** In the order in which they were first put. */
  readonly jobs: readonly Job[];
  /** The newest events, oldest first: whoever was away hears them. */
  readonly told: readonly Told[];
  /** Sentences for people: a database that was damaged and restored, an older format that was brought up to date. */
  readonly notes: readonly string[];
}

export interface JobStore {
  /** To be called once, first. @throws TransferError E_STORE; E_LOCKED while another service has it */
  load(): Promise<StoredState>;
  /**
   * Durable when it resolves; the events that tell of it are kept in the same transaction. What it rejects is not
   * stored, and is not tried again: a later `put` of the same job says all of it. @throws TransferError E_STORE
   */
  put(jobs: readonly Job[], told: readonly Told[]): Promise<void>;
  /**
   * Returns at once. What cannot be written is kept and tried again, with the next `put` at the latest, which tells why
   * it cannot. Of a job that was not put there is none.
   */
  progress(progress: readonly JobProgress[]): void;
  remove(ids: readonly string[]): Promise<void>;
  /** Writes what waits, and lets go of the store. */
  close(): Promise<void>;
}
