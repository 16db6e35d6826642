/**
 * Reading and writing that leave the page cache as they found it: RWF_DONTCACHE of preadv2(2) and pwritev2(2), since
 * Linux 6.14, where the file system takes it. What was in the cache stays there, and nothing is added to it.
 */
import { constants } from 'node:os';
import { errnoError, libc } from './libc.js';

const RWF_DONTCACHE = 0x80;

const { EOPNOTSUPP, EINVAL, ENOSYS } = constants.errno;
const REFUSED: ReadonlySet<number> = new Set([-EOPNOTSUPP, -EINVAL, -ENOSYS]);

/**
 * One read, which may fill less than all of `into`; 0 at the end of the file. Undefined: it cannot be done here, and
 * nothing was read. @throws errno Errors
 */
export function readUncached(fd: number, into: Uint8Array, position: number): number | undefined {
  return answered('preadv2', libc()?.preadv2(fd, into, position, RWF_DONTCACHE));
}

/** One write, which may take less than all of `bytes`, and whose writing to the storage begins at once. */
export function writeUncached(fd: number, bytes: Uint8Array, position: number): number | undefined {
  return answered('pwritev2', libc()?.pwritev2(fd, bytes, position, RWF_DONTCACHE));
}

function answered(syscall: string, answer: number | undefined): number | undefined {
  if (answer === undefined || REFUSED.has(answer)) return undefined;
  if (answer < 0) throw errnoError(syscall, answer);
  return answer;
}

/** Whether any of the file is in the page cache (cachestat(2), since Linux 6.5); where that cannot be told, it is. */
export function isCached(fd: number): boolean {
  const wholeFile = Buffer.alloc(16);
  const counts = Buffer.alloc(40);
  const answer = libc()?.cachestat(fd, wholeFile, counts);
  return answer !== 0 || counts.readBigUInt64LE() > 0n;
}
