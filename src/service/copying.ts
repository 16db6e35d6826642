/** A file of a job while it is copied or held, and what is written down of how it ended. */
import { addedTimes, type TimeByCause } from '../core/causes.js';
import type { ProgressEvent } from '../core/events.js';
import type { FileEnd, FileRun } from './file-run.js';
import { changeFile, type JobRecord } from './job-record.js';

export interface Copying {
  /** Absent until there are threads for it. */
  run?: FileRun;
  held: boolean;
  /** Others have to wait as it does: it closes what it has open. */
  lettingGo: boolean;
  latest?: ProgressEvent;
  /** Of its time, what is counted already: what it waits for its name is none of the job's copying. */
  counted: TimeByCause;
  /** Resolves when how it ended is written down. */
  ended: Promise<FileEnd>;
}

/** Of its time, what is not counted yet. */
export function notCounted({ run, counted }: Copying): TimeByCause {
  return run ? addedTimes(run.spent, counted, -1) : {};
}

/** What was `whole` stays so, whatever kept it from its name; where nobody will complete it, it is tried again. */
export function writeDown(job: JobRecord, file: number, end: FileEnd, whole: boolean): void {
  if ('result' in end) {
    const { root, bytesTotal, bytesReused, bytesZero } = end.result;
    const bytes = { size: bytesTotal, bytesDone: bytesTotal, bytesReused, bytesZero };
    changeFile(job, file, { state: 'committed', root, ...bytes, mark: undefined, error: undefined });
    return;
  }
  const stopped = end.error.code === 'E_STOPPED';
  const otherwise = stopped ? 'waiting' : 'failed';
  const error = stopped ? {} : { error: end.error.toJSON() };
  changeFile(job, file, { state: whole ? 'transferred' : otherwise, mark: undefined, ...error });
}
