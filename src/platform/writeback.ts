/**
 * Writing out early what was written to a file: sync_file_range(2), through koffi. It makes nothing durable (no
 * metadata, no cache of the disk), and is no flush; it only keeps what is left to do for one small.
 */
import { constants } from 'node:os';
import type { ByteRange } from '../core/chunk.js';
import { libc } from './libc.js';

const WAIT_BEFORE = 1;
const WRITE = 2;
const WAIT_AFTER = 4;

const { EINVAL, ENOSYS, ESPIPE, EOPNOTSUPP, EPERM } = constants.errno;
/** Some sandboxes answer EPERM for calls that they do not know. */
const REFUSED: ReadonlySet<number> = new Set([-EINVAL, -ENOSYS, -ESPIPE, -EOPNOTSUPP, -EPERM]);

/** Has the system begin to write the range out, without waiting for it. False: that cannot be asked here. */
export function beginWriteback(fd: number, range: ByteRange): boolean {
  return asked(fd, range, WRITE);
}

/**
 * Returns when nothing of the range is left to write. A failed write is not told, and yet this descriptor counts as
 * having heard of it: never call it on the one that flushes are made on. False: it cannot be asked here.
 */
export function awaitWriteback(fd: number, range: ByteRange): boolean {
  return asked(fd, range, WAIT_BEFORE | WRITE | WAIT_AFTER);
}

function asked(fd: number, { offset, length }: ByteRange, flags: number): boolean {
  // A length of 0 would mean "to the end of the file".
  if (length === 0) return true;
  const answer = libc()?.sync_file_range(fd, offset, length, flags);
  return answer !== undefined && !REFUSED.has(answer);
}
