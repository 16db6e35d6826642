/**
 * The jobs of a state folder, in a SQLite database that a thread of its own reads and writes. What is put while another
 * write is under way goes with the next one, in one transaction; so does progress, which otherwise goes in batches.
 */
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { Clock } from '../../core/clock.js';
import { TransferError } from '../../core/errors.js';
import { ThreadLink } from '../../core/thread-link.js';
import type { Job } from '../job.js';
import type { JobProgress, JobStore, StoredState } from '../job-store.js';
import type { Told } from '../told.js';
import { Changes, type Taken } from './changes.js';
import type { StoreDeeds } from './store-thread.js';

export interface SqliteStoreParts {
  /** Where `jobs.sqlite` is, its backup and its lock; made for the user alone where it is missing. */
  readonly folder: string;
  readonly clock: Clock;
  /** Hears what nobody waits for: a backup or a batch of progress that could not be written. A sentence for a log. */
  readonly note?: (sentence: string) => void;
}

/** How much of what is shown a killed process loses; a transfer's own journal knows better. */
const PROGRESS_MS = 400;
/** A disk that is full stays so for a while. */
const TROUBLE_MS = 5_000;
const BACKUP_MS = 3_600_000;
/** Sooner at first: what ran before may have been killed without making one. */
const FIRST_BACKUP_MS = 60_000;

interface Waiting {
  readonly resolve: () => void;
  readonly reject: (error: TransferError) => void;
}

interface Thread {
  readonly worker: Worker;
  readonly link: ThreadLink<StoreDeeds>;
}

export class SqliteStore implements JobStore {
  readonly #parts: SqliteStoreParts;
  readonly #changes = new Changes();
  readonly #closing = new AbortController();
  #thread: Thread | undefined;
  #closed: Promise<void> | undefined;
  readonly #waiting: Waiting[] = [];
  #writing: Promise<void> | undefined;
  #batching = false;
  /** Whether progress could not be stored, which is told once. */
  #inTrouble = false;
  #changedSinceBackup = false;

  constructor(parts: SqliteStoreParts) {
    this.#parts = parts;
  }

  /** @throws TransferError E_STORE, E_LOCKED, E_AUTH (others may read or change what is there) */
  async load(): Promise<StoredState> {
    if (this.#thread) throw new TransferError('E_BUG', 'a store is loaded once');
    const { folder, clock } = this.#parts;
    this.#thread = startThread(resolve(folder));
    try {
      const state = await this.#thread.link.ask('open', { at: clock.wallMs() });
      this.#changes.loaded(state.jobs);
      this.#changedSinceBackup = state.jobs.length > 0;
      void this.#keepBackups();
      return state;
    } catch (thrown) {
      await this.close();
      throw thrown;
    }
  }

  put(jobs: readonly Job[], told: readonly Told[]): Promise<void> {
    this.#changes.put(jobs, told);
    return this.#durable();
  }

  remove(ids: readonly string[]): Promise<void> {
    this.#changes.remove(ids);
    return this.#durable();
  }

  progress(progress: readonly JobProgress[]): void {
    this.#changes.progress(progress);
    this.#batch();
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  #durable(): Promise<void> {
    if (!this.#thread) return Promise.reject(new TransferError('E_BUG', 'a store is loaded before it is used'));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#writing ??= this.#write();
    });
  }

  /** What comes until the end of the wait goes with it. */
  #batch(): void {
    if (!this.#batching && this.#changes.hasProgress && !this.#closing.signal.aborted) void this.#writeLater();
  }

  async #writeLater(): Promise<void> {
    this.#batching = true;
    await this.#parts.clock.sleep(this.#inTrouble ? TROUBLE_MS : PROGRESS_MS, this.#closing.signal);
    this.#batching = false;
    if (this.#changes.hasProgress) this.#writing ??= this.#write();
  }

  /** One batch after the other, until nobody waits; progress that came meanwhile waits for its time. */
  async #write(): Promise<void> {
    do {
      // What is put at the same moment goes together.
      await Promise.resolve();
      const waiting = this.#waiting.splice(0);
      let taken: Taken | undefined;
      try {
        taken = this.#changes.take(waiting.length > 0);
        await this.#thread?.link.ask('write', taken.batch);
        taken.stored();
        this.#changedSinceBackup = true;
        this.#inTrouble = false;
        for (const one of waiting) one.resolve();
      } catch (thrown) {
        taken?.failed();
        this.#failed(TransferError.from(thrown), waiting);
      }
    } while (this.#waiting.length > 0);
    this.#writing = undefined;
    this.#batch();
  }

  #failed(error: TransferError, waiting: readonly Waiting[]): void {
    for (const one of waiting) one.reject(error);
    if (waiting.length === 0 && !this.#inTrouble) this.#parts.note?.(`progress is not stored: ${error.message}`);
    this.#inTrouble = true;
  }

  async #keepBackups(): Promise<void> {
    for (let waitMs = FIRST_BACKUP_MS; ; waitMs = BACKUP_MS) {
      await this.#parts.clock.sleep(waitMs, this.#closing.signal);
      if (this.#closing.signal.aborted) return;
      await this.#backUp();
    }
  }

  async #backUp(): Promise<void> {
    if (!this.#changedSinceBackup) return;
    this.#changedSinceBackup = false;
    try {
      await this.#thread?.link.ask('backUp', undefined);
    } catch (thrown) {
      this.#changedSinceBackup = true;
      this.#parts.note?.(TransferError.from(thrown).message);
    }
  }

  async #close(): Promise<void> {
    this.#closing.abort();
    if (!this.#thread) return;
    const { worker, link } = this.#thread;
    try {
      await this.#writing;
      if (this.#changes.hasProgress) await this.#write();
      await this.#backUp();
      await link.ask('close', undefined);
    } catch (thrown) {
      // All that was put is in the log, from which the next start reads it.
      this.#parts.note?.(TransferError.from(thrown).message);
    } finally {
      link.end(new TransferError('E_STORE', 'the store of jobs is closed'));
      await worker.terminate();
    }
  }
}

/** Node 20 cannot load a worker written in TypeScript, so the built one is used even when this file runs as source. */
function startThread(folder: string): Thread {
  const root = import.meta.url.endsWith('.ts') ? '../../../dist/' : '../../../';
  const file = fileURLToPath(new URL(`${root}workers/store-worker.js`, import.meta.url));
  const worker = new Worker(file, { workerData: { folder } });
  const link = new ThreadLink<StoreDeeds>(worker, {});
  const ended = (cause?: unknown): void => {
    link.end(
      new TransferError('E_STORE', 'the thread that stores jobs has ended', {
        hint: 'This is a bug in Blockferry; start the service again: what was stored is kept. Please report it.',
        cause,
      }),
    );
  };
  worker.once('error', ended);
  worker.once('exit', () => ended());
  return { worker, link };
}
