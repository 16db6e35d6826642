/**
 * Has what was just written go to the storage at once, and waits until it is there: many small writes instead of a
 * flood at the next flush. It makes nothing durable; a flush is still needed, and finds little to do.
 */
import type { ByteRange } from '../core/chunk.js';
import { errnoError, libc } from './libc.js';

const WAIT_BEFORE = 1;
const WRITE = 2;
const WAIT_AFTER = 4;
/** How a file system says that it cannot: what is written goes there with the next flush. */
const REFUSED = new Set(['ENOSYS', 'EINVAL', 'ESPIPE', 'ENOTSUP', 'EOPNOTSUPP']);

/** False where that cannot be had. @throws errno Errors, of this or of an earlier write */
export function writeThrough(fd: number, { offset, length }: ByteRange): boolean {
  const answer = libc()?.sync_file_range(fd, offset, length, WAIT_BEFORE | WRITE | WAIT_AFTER);
  if (answer === undefined) return false;
  if (answer >= 0) return true;
  const error = errnoError('sync_file_range', answer);
  if (REFUSED.has(error.code ?? '')) return false;
  throw error;
}
