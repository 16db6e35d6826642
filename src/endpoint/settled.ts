/**
 * A file whose last change is so young that the next one could carry the same time: that one would go unseen. So it is
 * waited until every later change shows, and only then is the file looked at and read.
 */
import type { BigIntStats } from 'node:fs';
import { systemClock } from '../core/clock.js';
import { TransferError } from '../core/errors.js';
import type { FileLayer } from '../platform/file-layer.js';
import { showPath } from '../platform/path-bytes.js';

/** What FAT keeps; ext3 and others keep whole seconds. */
const COARSE_MS = 2000;
/** The longest tick of a kernel's clock, by which times go on file systems with finer ones before Linux 6.13. */
const TICK_MS = 20;
const ROUNDS_MAX = 5;

/** How long until a change would show; 0: it would by now. Clocks of other machines may be a little ahead. */
export function unsettledMs({ mtimeNs }: Pick<BigIntStats, 'mtimeNs'>, wallMs: number): number {
  const grainMs = mtimeNs % 1_000_000_000n === 0n ? COARSE_MS : TICK_MS;
  const ageMs = wallMs - Number(mtimeNs / 1_000_000n);
  return Math.abs(ageMs) < grainMs ? grainMs - ageMs : 0;
}

/**
 * The open file once its time is old enough to tell a change.
 * @throws TransferError E_SOURCE_CHANGED when it is written to all the while
 */
export async function settled<F extends { readonly fd: number; readonly stat: BigIntStats }>(
  files: FileLayer,
  file: F,
  shown: string,
): Promise<F> {
  let { stat } = file;
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const waitMs = unsettledMs(stat, systemClock.wallMs());
    if (waitMs === 0) return { ...file, stat };
    await systemClock.sleep(Math.ceil(waitMs));
    stat = files.fstat(file.fd);
  }
  throw new TransferError('E_SOURCE_CHANGED', `${showPath(shown)} is being written to`, {
    hint: 'Stop what writes to it, then run the same command again. Nothing was put under the name of the target.',
  });
}
