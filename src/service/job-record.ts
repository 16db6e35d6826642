/**
 * A job as the service works with it. Its files are never changed, only replaced, so that a store can tell by looking
 * which of ten thousand it has to write.
 */
import type { Job, JobFile } from './job.js';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
export type JobRecord = Omit<Mutable<Job>, 'files'> & { readonly files: JobFile[] };
type Change = { readonly [K in keyof JobFile]?: JobFile[K] | undefined };

export function recordOf(job: Job): JobRecord {
  return { ...job, files: [...job.files] };
}

/** As it is now; what comes later changes nothing of it. */
export function snapshotOf(record: JobRecord): Job {
  return { ...record, files: [...record.files] };
}

/** `undefined` takes away. */
export function changeFile({ files }: JobRecord, index: number, change: Change): void {
  const entries = Object.entries({ ...files[index], ...change }).filter(([, value]) => value !== undefined);
  files[index] = Object.fromEntries(entries) as unknown as JobFile;
}
