/** How far a job is: its files together. */
import type { ProgressEvent, TimeSpent } from '../core/events.js';
import type { Job, JobFile } from './job.js';

/** All files together. */
interface Totals {
  bytesDone: number;
  /** Of the files whose size is known. */
  bytesTotal: number;
  bytesReused: number;
  bytesZero: number;
  filesDone: number;
  filesFailed: number;
  /** The size of each file is known. */
  isWhole: boolean;
}

export function totalsOf(files: readonly JobFile[]): Totals {
  // No spread: of ten thousand jobs in a list it would be half the work.
  const totals: Totals = {
    bytesDone: 0,
    bytesTotal: 0,
    bytesReused: 0,
    bytesZero: 0,
    filesDone: 0,
    filesFailed: 0,
    isWhole: true,
  };
  for (const file of files) {
    totals.bytesDone += file.bytesDone;
    totals.bytesTotal += file.size ?? 0;
    totals.bytesReused += file.bytesReused;
    totals.bytesZero += file.bytesZero;
    totals.isWhole &&= file.size !== undefined;
    if (file.state === 'transferred' || file.state === 'committed') totals.filesDone++;
    if (file.state === 'failed') totals.filesFailed++;
  }
  return totals;
}

/** `spent`: of each file that is under way. */
export function progressOf(
  { files }: Job,
  { phase, proof }: ProgressEvent,
  rate: number,
  spent: readonly TimeSpent[],
): Omit<ProgressEvent, 'schema' | 'at'> {
  const { bytesDone, bytesTotal, bytesReused, bytesZero, filesDone, filesFailed } = totalsOf(files);
  return {
    type: 'progress',
    ...{ phase, proof, bytesDone, bytesTotal, bytesReused, bytesZero, rateBytesPerSecond: rate },
    ...(rate > 0 && { remainingMs: Math.round(((bytesTotal - bytesDone) / rate) * 1000) }),
    spent: spent.reduce(added),
    ...(files.length > 1 && { files: { done: filesDone, total: files.length, skipped: 0, failed: filesFailed } }),
  };
}

function added(one: TimeSpent, other: TimeSpent): TimeSpent {
  const keys = Object.keys(one) as (keyof TimeSpent)[];
  return Object.fromEntries(keys.map((key) => [key, one[key] + other[key]])) as unknown as TimeSpent;
}
