/** A job as the service works with it: what the others see is a copy. */
import type { Job, JobFile } from './job.js';
import type { JobProgress } from './job-store.js';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
export type FileRecord = Mutable<JobFile>;
export type JobRecord = Omit<Mutable<Job>, 'files'> & { readonly files: FileRecord[] };

export function recordOf(job: Job): JobRecord {
  return structuredClone(job) as JobRecord;
}

/** As it is now; what comes later changes nothing of it. */
export function snapshotOf(record: JobRecord): Job {
  return { ...record, files: record.files.map((file) => ({ ...file })) };
}

export function progressOf({ id, files, changedAt, progressAt, transferMs }: JobRecord): JobProgress {
  return { id, files: files.map((file) => ({ ...file })), changedAt, progressAt, transferMs };
}
