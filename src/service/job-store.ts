/**
 * Where jobs survive. The service keeps them all in memory and writes through: what `put` and `remove` resolve is
 * durable; `progress` is batched, and may be lost with the process, since a transfer's own journal knows better.
 */
import type { Job, JobFile } from './job.js';
import type { Told } from './told.js';

export interface JobProgress {
  readonly id: string;
  readonly files: readonly JobFile[];
  readonly changedAt: number;
  readonly progressAt: number;
  readonly transferMs: number;
}

export interface StoredState {
  readonly jobs: readonly Job[];
  /** The newest events, oldest first: whoever was away hears them. */
  readonly told: readonly Told[];
  /** Sentences for people: a database that was damaged and restored, an older format that was brought up to date. */
  readonly notes: readonly string[];
}

export interface JobStore {
  /** To be called once, first. @throws TransferError E_STORE */
  load(): Promise<StoredState>;
  /** Durable when it resolves; the events that tell of it are kept in the same transaction. */
  put(jobs: readonly Job[], told: readonly Told[]): Promise<void>;
  /** Resolves at once; errors are told by the next `put`. */
  progress(progress: readonly JobProgress[]): void;
  remove(ids: readonly string[]): Promise<void>;
  close(): Promise<void>;
}
