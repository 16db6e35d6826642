/** Jobs, files and events as a service would hand them to its store. */
import { randomUUID } from 'node:crypto';
import type { Job, JobFile } from '../../src/service/job.js';
import type { JobProgress } from '../../src/service/job-store.js';
import type { Told } from '../../src/service/told.js';

const AT = 1_790_000_000_000;

export function jobWith(changes: Partial<Job> = {}, fileCount = 2): Job {
  return {
    ...{ id: randomUUID(), owner: 'ada', kind: 'copy', name: 'nightly', priority: 'normal', autoComplete: true },
    ...{ limitBytesPerSecond: 0, retryDelayMsMin: 5_000, retryDelayMsMax: 600_000, noProgressMsMax: 1_209_600_000 },
    ...{ transferMsMax: 0, state: 'queued', reason: 'waits for its turn', options: { readBack: true } },
    ...{ createdAt: AT, changedAt: AT, progressAt: AT, transferMs: 0, retries: 0 },
    files: Array.from({ length: fileCount }, (_, index) => fileWith(index)),
    ...changes,
  };
}

export function fileWith(index: number, changes: Partial<JobFile> = {}): JobFile {
  return {
    index,
    source: { text: `https://ada:secret@example.org/${index}.vhdx`, name: `https://example.org/${index}.vhdx` },
    target: { text: `/images/${index}.vhdx`, name: `/images/${index}.vhdx` },
    state: 'waiting',
    ...{ bytesDone: 0, bytesReused: 0, bytesZero: 0 },
    ...changes,
  };
}

/** A job after some of its files went on. */
export function progressOf(job: Job, files: readonly JobFile[], changes: Partial<JobProgress> = {}): JobProgress {
  return { id: job.id, files, changedAt: AT + 60_000, progressAt: AT + 60_000, transferMs: 59_999.25, ...changes };
}

export function withProgress(job: Job, { files, ...times }: JobProgress): Job {
  return { ...job, ...times, files: job.files.map((file) => files.find(({ index }) => index === file.index) ?? file) };
}

export function toldOf(id: number, job: Job): Told {
  const { state, reason } = job;
  return { id, job: job.id, event: { schema: 1, at: AT + id, type: 'state', state, source: 'a', target: 'b', reason } };
}
