/** The jobs of a state folder, in a SQLite database that a thread of its own reads and writes. */
import type { Clock } from '../../core/clock.js';
import { TransferError } from '../../core/errors.js';
import type { Job } from '../job.js';
import type { JobProgress, JobStore, StoredState } from '../job-store.js';
import type { Told } from '../told.js';

export interface SqliteStoreParts {
  /** Where `jobs.sqlite` is, its backup and its lock; made for the user alone where it is missing. */
  readonly folder: string;
  readonly clock: Clock;
  /** Hears what nobody waits for: a backup or a batch of progress that could not be written. A sentence for a log. */
  readonly note?: (sentence: string) => void;
}

export class SqliteStore implements JobStore {
  readonly #parts: SqliteStoreParts;

  constructor(parts: SqliteStoreParts) {
    this.#parts = parts;
  }

  load(): Promise<StoredState> {
    return Promise.reject(new TransferError('E_BUG', `not written yet: ${this.#parts.folder}`));
  }

  put(_jobs: readonly Job[], _told: readonly Told[]): Promise<void> {
    return Promise.reject(new TransferError('E_BUG', 'not written yet'));
  }

  progress(_progress: readonly JobProgress[]): void {
    throw new TransferError('E_BUG', 'not written yet');
  }

  remove(_ids: readonly string[]): Promise<void> {
    return Promise.reject(new TransferError('E_BUG', 'not written yet'));
  }

  async close(): Promise<void> {
    // Nothing is open yet.
  }
}
