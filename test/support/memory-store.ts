/** A job store without a disk: what is kept lives as long as the shelf that it stands on. */
import { TransferError } from '../../src/core/errors.js';
import type { Job } from '../../src/service/job.js';
import type { JobProgress, JobStore, StoredState } from '../../src/service/job-store.js';
import type { Told } from '../../src/service/told.js';

const TOLD_MAX = 10_000;

/** What outlives a store. */
export class Shelf {
  readonly jobs = new Map<string, Job>();
  told: readonly Told[] = [];
}

export class MemoryStore implements JobStore {
  readonly #shelf: Shelf;

  constructor(shelf = new Shelf()) {
    this.#shelf = shelf;
  }

  async load(): Promise<StoredState> {
    return { jobs: [...this.#shelf.jobs.values()], told: this.#shelf.told, notes: [] };
  }

  async put(jobs: readonly Job[], told: readonly Told[]): Promise<void> {
    for (const job of jobs) this.#shelf.jobs.set(job.id, structuredClone(job));
    this.#shelf.told = [...this.#shelf.told, ...structuredClone(told)].slice(-TOLD_MAX);
  }

  progress(progress: readonly JobProgress[]): void {
    for (const { id, files, ...times } of structuredClone(progress)) {
      const job = this.#shelf.jobs.get(id);
      if (!job) continue;
      const changed = new Map(files.map((file) => [file.index, file]));
      this.#shelf.jobs.set(id, { ...job, ...times, files: job.files.map((file) => changed.get(file.index) ?? file) });
    }
  }

  async remove(ids: readonly string[]): Promise<void> {
    for (const id of ids) this.#shelf.jobs.delete(id);
  }

  async close(): Promise<void> {
    // Nothing is open.
  }
}

/** A store whose disk is full from some moment on. */
export class FullStore extends MemoryStore {
  full = false;

  override async put(jobs: readonly Job[], told: readonly Told[]): Promise<void> {
    if (this.full) throw new TransferError('E_STORE', 'the disk of the store is full');
    return super.put(jobs, told);
  }

  override async remove(ids: readonly string[]): Promise<void> {
    if (this.full) throw new TransferError('E_STORE', 'the disk of the store is full');
    return super.remove(ids);
  }
}
