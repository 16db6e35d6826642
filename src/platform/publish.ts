/**
 * Giving a finished file its name without ever replacing another one, and making the name durable. After a crash at any
 * point the file has its old name, its new name or both, and calling again finishes the work.
 */
import {
  closeSync,
  constants as files,
  fsyncSync,
  linkSync,
  lstatSync,
  openSync,
  renameSync,
  unlinkSync,
} from 'node:fs';
import { constants } from 'node:os';
import { errnoOf } from '../core/errors.js';
import { errnoError, libc, type PathBytes } from './libc.js';

const AT_FDCWD = -100;
const RENAME_NOREPLACE = 1;

const { EEXIST, EINVAL, EOPNOTSUPP, ENOSYS } = constants.errno;
const NO_RENAMEAT2: ReadonlySet<number> = new Set([-EINVAL, -EOPNOTSUPP, -ENOSYS]);
/** EIO: some FUSE programs, rclone's mount among them, answer so what they know nothing of; a rename then tells. */
const NO_LINKS: ReadonlySet<string | undefined> = new Set([
  'EPERM',
  'ENOTSUP',
  'EOPNOTSUPP',
  'ENOSYS',
  'EMLINK',
  'EIO',
]);

/**
 * Renames `from` to `to`, which must be on the same file system, unless `to` exists (a dangling link counts). Says how:
 * `renamed` at once · `linked` by a second name and the removal of the first, also when an earlier call was cut short
 * between the two · `checked` by looking first, which another process can slip through · `exists`: nothing was done.
 * @throws errno Errors
 */
export function publishNew(from: PathBytes, to: PathBytes): 'renamed' | 'linked' | 'checked' | 'exists' {
  const answer = libc()?.renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) ?? -ENOSYS;
  if (answer === 0) return 'renamed';
  if (answer === -EEXIST) return finishLink(from, to);
  if (NO_RENAMEAT2.has(answer)) return publishByLink(from, to);
  throw errnoError('renameat2', answer, to);
}

function publishByLink(from: PathBytes, to: PathBytes): 'linked' | 'checked' | 'exists' {
  try {
    linkSync(from, to);
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return finishLink(from, to);
    if (NO_LINKS.has(errnoOf(error))) return publishByCheck(from, to);
    throw error;
  }
  unlinkSync(from);
  return 'linked';
}

/** Two names on one inode are what a crash between link and unlink leaves. */
function finishLink(from: PathBytes, to: PathBytes): 'linked' | 'exists' {
  const [first, second] = [lstatSync(from, { bigint: true }), lstatSync(to, { bigint: true })];
  if (first.dev !== second.dev || first.ino !== second.ino) return 'exists';
  unlinkSync(from);
  return 'linked';
}

function publishByCheck(from: PathBytes, to: PathBytes): 'checked' | 'exists' {
  if (lstatSync(to, { throwIfNoEntry: false }) !== undefined) return 'exists';
  renameSync(from, to);
  return 'checked';
}

/** Makes the names in a folder durable; a file system that has nothing to sync there is taken at its word. */
export function syncFolder(path: PathBytes): void {
  const fd = openSync(path, files.O_RDONLY | files.O_DIRECTORY);
  try {
    fsyncSync(fd);
  } catch (error) {
    // EINVAL and ENOTSUP say that folders cannot be synced here; anything else says that the names may be lost.
    const code = errnoOf(error);
    if (code !== 'EINVAL' && code !== 'ENOTSUP' && code !== 'EOPNOTSUPP') throw error;
  } finally {
    closeSync(fd);
  }
}
