/** How far a job is: its files together. */
import type { ProgressEvent, TimeSpent } from '../core/events.js';
import type { Job } from './job.js';

/** `spent`: of each file that is under way. */
export function progressOf(
  { files }: Job,
  { phase, proof }: ProgressEvent,
  rate: number,
  spent: readonly TimeSpent[],
): Omit<ProgressEvent, 'schema' | 'at'> {
  let [bytesDone, bytesTotal, bytesReused, bytesZero, done, failed] = [0, 0, 0, 0, 0, 0];
  for (const file of files) {
    bytesDone += file.bytesDone;
    bytesTotal += file.size ?? 0;
    bytesReused += file.bytesReused;
    bytesZero += file.bytesZero;
    if (file.state === 'transferred' || file.state === 'committed') done++;
    if (file.state === 'failed') failed++;
  }
  return {
    type: 'progress',
    ...{ phase, proof, bytesDone, bytesTotal, bytesReused, bytesZero, rateBytesPerSecond: rate },
    ...(rate > 0 && { remainingMs: Math.round(((bytesTotal - bytesDone) / rate) * 1000) }),
    spent: spent.reduce(added),
    ...(files.length > 1 && { files: { done, total: files.length, skipped: 0, failed } }),
  };
}

function added(one: TimeSpent, other: TimeSpent): TimeSpent {
  const keys = Object.keys(one) as (keyof TimeSpent)[];
  return Object.fromEntries(keys.map((key) => [key, one[key] + other[key]])) as unknown as TimeSpent;
}
