/**
 * What differs between the jobs as they are and as they are stored. Jobs and files are never changed, only replaced: so
 * what is the same object is not written again, and one file of ten thousand costs one row.
 */
import type { Job, JobFile } from '../job.js';
import type { JobProgress } from '../job-store.js';
import type { Told } from '../told.js';
import type { Batch, JobRows } from './job-database.js';

type Times = Pick<Job, 'changedAt' | 'progressAt' | 'transferMs' | 'time'>;

interface Progress {
  readonly times: Times;
  readonly files: ReadonlyMap<number, JobFile>;
}

/** Changes that are on their way. One of `stored` and `failed` is called, before anything else is taken. */
export interface Taken {
  readonly batch: Batch;
  readonly stored: () => void;
  /** Progress is tried again; the rest is for those to say again who are told. */
  readonly failed: () => void;
}

export class Changes {
  /** As they are in the database. */
  readonly #stored = new Map<string, Job>();
  /** `undefined`: to be removed. */
  #jobs = new Map<string, Job | undefined>();
  #told: Told[] = [];
  #progress = new Map<string, Progress>();

  loaded(jobs: readonly Job[]): void {
    for (const job of jobs) this.#stored.set(job.id, job);
  }

  put(jobs: readonly Job[], told: readonly Told[]): void {
    for (const job of jobs) this.#set(job.id, job);
    for (const one of told) this.#told.push(one);
  }

  remove(ids: readonly string[]): void {
    for (const id of ids) this.#set(id, undefined);
  }

  /** Of a job that was never put there is none. */
  progress(progress: readonly JobProgress[]): void {
    for (const { id, files, ...times } of progress) {
      const changed = new Map(files.map((file) => [file.index, file]));
      const earlier = this.#progress.get(id);
      this.#progress.set(id, { times, files: over(earlier, changed) });
    }
  }

  get hasProgress(): boolean {
    return this.#progress.size > 0;
  }

  /** All that waits. */
  take(durable: boolean): Taken {
    const [jobs, told, progress] = [this.#jobs, this.#told, this.#progress];
    [this.#jobs, this.#told, this.#progress] = [new Map(), [], new Map()];
    const changed = new Map(jobs);
    for (const [id, news] of progress) {
      const job = changed.has(id) ? changed.get(id) : this.#stored.get(id);
      if (job) changed.set(id, applied(job, news));
    }
    const rows = [...changed.values()].flatMap((job) => (job ? [rowsOf(job, this.#stored.get(job.id))] : []));
    return {
      batch: {
        jobs: rows,
        told: told.map((one) => ({ id: one.id, body: JSON.stringify(one) })),
        removed: [...changed].flatMap(([id, job]) => (job ? [] : [id])),
        durable,
      },
      stored: () => this.#remember(changed),
      failed: () => this.#giveBack(progress),
    };
  }

  /** It says all of the job: what was known of its progress before is older. */
  #set(id: string, job: Job | undefined): void {
    this.#jobs.set(id, job);
    this.#progress.delete(id);
  }

  #remember(changed: ReadonlyMap<string, Job | undefined>): void {
    for (const [id, job] of changed) {
      if (job) this.#stored.set(id, job);
      else this.#stored.delete(id);
    }
  }

  /** Behind what came since. */
  #giveBack(progress: ReadonlyMap<string, Progress>): void {
    for (const [id, earlier] of progress) {
      if (this.#jobs.has(id)) continue;
      const later = this.#progress.get(id);
      this.#progress.set(id, later ? { times: later.times, files: over(earlier, later.files) } : earlier);
    }
  }
}

function over(earlier: Progress | undefined, later: ReadonlyMap<number, JobFile>): ReadonlyMap<number, JobFile> {
  return earlier ? new Map([...earlier.files, ...later]) : later;
}

function applied(job: Job, { times, files }: Progress): Job {
  return { ...job, ...times, files: job.files.map((file) => files.get(file.index) ?? file) };
}

function rowsOf(job: Job, before: Job | undefined): JobRows {
  const { files, ...head } = job;
  const changed = files.filter((file, n) => file !== before?.files[n]);
  return {
    id: job.id,
    body: JSON.stringify(head),
    files: changed.map((file) => ({ number: file.index, body: JSON.stringify(file) })),
    fileCount: files.length,
  };
}
