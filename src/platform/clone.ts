/**
 * Sharing blocks between files (reflinks): FICLONERANGE of ioctl_ficlonerange(2), through koffi. A refusal is an answer
 * in words; only a failing storage is an error.
 */
import { closeSync, constants as files, openSync } from 'node:fs';
import type { ByteRange } from '../core/chunk.js';
import { errnoOf } from '../core/errors.js';
import type { CloneProbe } from '../core/target.js';
import { KiB } from '../core/units.js';
import { errnoError, libc, type PathBytes } from './libc.js';

/** _IOW(0x94, 13, struct file_clone_range); powerpc numbers the direction of an ioctl differently. */
const FICLONERANGE = process.arch === 'ppc64' ? 0x8020940d : 0x4020940d;
/** Not among Node's constants; open(2): a file without a name, which ends with its descriptor. */
const O_TMPFILE = 0o20000000 | (files.O_DIRECTORY ?? 0);
/** A whole number of blocks of every file system. */
const PROBE_BYTES = 64 * KiB;

const REFUSALS: ReadonlyMap<string | undefined, string> = new Map([
  ['EXDEV', 'source and target are on different file systems'],
  ['ENOTSUP', 'the file system cannot share blocks between files'],
  ['ENOTTY', 'the file system cannot share blocks between files'],
  ['ENOSYS', 'the file system cannot share blocks between files'],
  ['EINVAL', 'the file system cannot share these bytes: chunks off its block grid, or files of different kinds'],
  ['EPERM', 'the file system does not permit it for these files'],
  ['ETXTBSY', 'one of the two is used for swapping'],
]);

/**
 * Makes the range of `to` share the blocks of the same range of `from`; other bytes stay. Ranges lie on the blocks of
 * the file system, but may end with the file. Answers why it cannot be done; undefined: it is done.
 * @throws errno Errors
 */
export function cloneRange(from: number, to: number, { offset, length }: ByteRange): string | undefined {
  const native = libc();
  if (native === undefined) return 'it takes koffi, which is not installed here';
  // struct file_clone_range: the source's descriptor, offset and length, and the offset in the target.
  const argument = Buffer.from(BigInt64Array.from([from, offset, length, offset].map(BigInt)).buffer);
  const answer = native.ioctl(to, FICLONERANGE, argument);
  if (answer >= 0) return undefined;
  const error = errnoError('ioctl', answer);
  const refusal = REFUSALS.get(error.code);
  if (refusal === undefined) throw error;
  return `${refusal} (${error.code})`;
}

/** Whether files in a folder could share blocks with a file: asked by doing it, with a file that has no name. */
export function probeClone(from: number, size: number, folder: PathBytes): CloneProbe {
  let to: number | undefined;
  try {
    to = openSync(folder, O_TMPFILE | files.O_RDWR, 0o600);
    const refused = size === 0 ? undefined : cloneRange(from, to, { offset: 0, length: Math.min(size, PROBE_BYTES) });
    return refused === undefined ? 'shares' : { refused };
  } catch (thrown) {
    // What is wrong with the folder or its storage will be told by whoever writes there.
    if (errnoOf(thrown) === undefined) throw thrown;
    return 'unknown';
  } finally {
    if (to !== undefined) closeSync(to);
  }
}
