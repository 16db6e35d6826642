/**
 * The benchmark's own folder inside a location. It has a random name, mode 0700 and a locked file: what a killed run
 * left is told by that, and nothing else in the location is written or removed. On Linux the folder is held by a
 * descriptor: whoever renames it, or puts something else under its name, leads nothing elsewhere. Then the emptied
 * folder stays where it was moved, and so does what has its name. Without /proc the path is used, unprotected.
 */
import { randomBytes } from 'node:crypto';
import { type BigIntStats, constants, mkdirSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { errnoOf, TransferError } from '../../core/errors.js';
import type { FileLayer } from '../../platform/file-layer.js';
import { deviceBytes, freeBytes } from '../../platform/file-system.js';
import { inFolder } from '../../platform/folder.js';
import { type HeldLock, lockDescriptor } from '../../platform/lock.js';
import { isOurUid, whyNotOurs } from '../../platform/own-file.js';
import { decodePath, encodePath, showPath } from '../../platform/path-bytes.js';
import { measureError } from './measure-errors.js';
import type { Place, Scratch } from './tasks.js';

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR } = constants;
const SCRATCH_NAME = /^\.blockferry-bench-[0-9a-f]{16}$/;
const LOCK = 'lock';
/** Read and written by the measurements. */
export const SCRATCH_FILE = 'scratch';
/** What a copy makes: the target, and its part and journal while it is under way. */
const COPY_NAMES = /^(copy|\.copy\.blockferry-(part|journal))$/;
const NAMES = /^(lock|scratch|copy|\.copy\.blockferry-(part|journal))$/;
const TRIES = 8;

/** Locks that need a handle live on the thread that took them. */
const heldLocks = new Map<number, HeldLock>();

export async function lookAtPlace(files: FileLayer, path: string): Promise<Place | undefined> {
  try {
    const stat = files.stat(encodePath(path));
    if (stat === undefined) return undefined;
    const kind = kindOf(path, stat);
    const removed = kind === 'folder' ? await removeLeftovers(files, path) : 0;
    const free = kind === 'device' ? undefined : freeBytes(encodePath(path));
    const fileSystem = kind === 'device' ? undefined : fileSystemOf(stat);
    return {
      kind,
      bytes: kind === 'device' ? deviceBytes(encodePath(path)) : kind === 'file' ? Number(stat.size) : 0,
      hasHoles: kind === 'file' && stat.blocks * 512n < stat.size,
      removed,
      ...(free !== undefined && { freeBytes: free }),
      ...(fileSystem !== undefined && { fileSystem }),
    };
  } catch (thrown) {
    throw measureError('look', path, thrown);
  }
}

function kindOf(path: string, stat: BigIntStats): Place['kind'] {
  if (stat.isDirectory()) return 'folder';
  if (stat.isFile()) return 'file';
  if (stat.isBlockDevice()) return 'device';
  throw new TransferError('E_SOURCE_KIND', `${showPath(path)} is a special file (pipe, socket or character device)`, {
    hint: 'Give a folder, a file, a block device or a URL.',
  });
}

/** The type of the mount that has this device number; btrfs, which gives each subvolume its own, has none. */
function fileSystemOf({ dev }: BigIntStats): string | undefined {
  if (process.platform !== 'linux') return undefined;
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn);
  const minor = (dev & 0xffn) | ((dev >> 12n) & 0xffffff00n);
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  // proc(5): ID, parent, major:minor, root, mount point, options, optional fields, "-", type.
  const found = lines.find((line) => line.split(' ')[2] === `${major}:${minor}`);
  return found?.split(' - ')[1]?.split(' ')[0];
}

export async function openScratch(files: FileLayer, folder: string): Promise<Scratch> {
  try {
    for (let tries = 0; tries < TRIES; tries++) {
      const own = join(folder, `.blockferry-bench-${randomBytes(8).toString('hex')}`);
      mkdirSync(encodePath(own), { mode: 0o700 });
      // Another run may have taken the folder for a killed one's before it was locked: then there is a next name.
      const scratch = await holdScratch(files, own, O_CREAT | O_EXCL);
      if (typeof scratch === 'object') return scratch;
    }
    throw new TransferError(
      'E_LOCKED',
      `${showPath(folder)}: somebody keeps removing or replacing our scratch folder`,
      {
        hint: 'Choose a folder that nobody else writes to.',
      },
    );
  } catch (thrown) {
    throw measureError('write', folder, thrown);
  }
}

/**
 * Opens the folder itself, never what a link leads to, and locks it. `removed`: nothing but an empty folder was left of
 * a killed run; undefined: it is in use, gone or not ours.
 * @param flags of the lock's file: 0 for a folder that a killed run left, otherwise the folder must be new
 */
async function holdScratch(files: FileLayer, path: string, flags: number): Promise<Scratch | 'removed' | undefined> {
  const folderFd = openIfThere(files, encodePath(path), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (folderFd === undefined) return undefined;
  let held: Scratch | undefined;
  try {
    const folder = decodePath(Buffer.from(inFolder({ fd: folderFd, path }, '')));
    const stat = files.fstat(folderFd);
    if (!(flags === 0 ? isOurs(stat) : isNew(files, folder, stat))) return undefined;
    const lockFd = await lockedIn(files, folder, flags);
    if (typeof lockFd === 'number') held = { path, folder, folderFd, lockFd };
    else if (lockFd === 'absent' && flags === 0 && removeHeld(files, path, folderFd)) return 'removed';
    return held;
  } finally {
    if (!held) files.closeSync(folderFd);
  }
}

/** Not a folder that was moved under the name since. A mount that maps owners and modes may show others than ours. */
function isNew(files: FileLayer, folder: string, { uid }: BigIntStats): boolean {
  return readdirSync(encodePath(folder)).length === 0 && isOurUid(files, folder, uid);
}

/** Removes the name only while it is the folder that is held. */
function removeHeld(files: FileLayer, path: string, folderFd: number): boolean {
  const [held, there] = [files.fstat(folderFd), files.lstat(encodePath(path))];
  return there?.dev === held.dev && there.ino === held.ino && removeEmpty(path);
}

/** The descriptor of the folder's locked file; absent: there is no such file (any more). */
async function lockedIn(files: FileLayer, own: string, flags: number): Promise<number | 'busy' | 'absent'> {
  const path = encodePath(join(own, LOCK));
  const fd = openIfThere(files, path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | flags);
  if (fd === undefined) return 'absent';
  let answer: 'busy' | 'absent' = 'absent';
  try {
    const lock = await lockDescriptor(fd);
    const [opened, there] = [files.fstat(fd), files.lstat(path)];
    if (lock !== 'busy' && there?.ino === opened.ino && whyNotOurs(files, own, opened) === undefined) {
      heldLocks.set(fd, lock);
      return fd;
    }
    if (lock === 'busy') answer = 'busy';
  } catch (thrown) {
    files.closeSync(fd);
    throw thrown;
  }
  files.closeSync(fd);
  return answer;
}

/** Undefined: there is nothing, or a link or a file in the place of a folder. */
function openIfThere(files: FileLayer, path: string | Buffer, flags: number): number | undefined {
  try {
    return files.openSync(path, flags, 0o600);
  } catch (thrown) {
    if (['ENOENT', 'ELOOP', 'ENOTDIR'].includes(errnoOf(thrown) ?? '')) return undefined;
    throw thrown;
  }
}

/** Removes scratch folders of this user whose run is gone; says how many. */
async function removeLeftovers(files: FileLayer, folder: string): Promise<number> {
  let removed = 0;
  for (const entry of readdirSync(encodePath(folder), { withFileTypes: true })) {
    const own = join(folder, entry.name);
    if (!SCRATCH_NAME.test(entry.name) || !entry.isDirectory() || !isOurs(files.lstat(encodePath(own)))) continue;
    const held = await holdScratch(files, own, 0);
    if (held === undefined) continue;
    if (held === 'removed' || clearScratch(files, held, 'all')) removed++;
  }
  return removed;
}

function isOurs(stat: BigIntStats | undefined): boolean {
  const uid = process.getuid?.();
  return stat !== undefined && (uid === undefined || stat.uid === BigInt(uid)) && (stat.mode & 0o077n) === 0n;
}

/** False when somebody else was quicker, or something is in it. */
function removeEmpty(folder: string): boolean {
  try {
    rmdirSync(encodePath(folder));
    return true;
  } catch (thrown) {
    if (['ENOENT', 'ENOTEMPTY', 'EEXIST'].includes(errnoOf(thrown) ?? '')) return false;
    throw thrown;
  }
}

/** Removes what is ours by name; what somebody else put there stays, and the folder with it: false. */
export function clearScratch(files: FileLayer, scratch: Scratch, what: 'copy' | 'all'): boolean {
  const { path, folder, folderFd, lockFd } = scratch;
  const mine = what === 'copy' ? COPY_NAMES : NAMES;
  try {
    const names = readdirSync(encodePath(folder)).filter((name) => mine.test(name));
    // The lock goes last: what a kill in between leaves is still known as ours.
    for (const name of names.filter((name) => name !== LOCK)) files.unlinkSync(encodePath(join(folder, name)));
    if (what === 'copy') return true;
    if (names.includes(LOCK)) files.unlinkSync(encodePath(join(folder, LOCK)));
    return removeHeld(files, path, folderFd);
  } catch (thrown) {
    throw measureError('write', path, thrown);
  } finally {
    if (what === 'all') {
      closeLock(files, lockFd);
      files.closeSync(folderFd);
    }
  }
}

function closeLock(files: FileLayer, fd: number): void {
  heldLocks.get(fd)?.release();
  heldLocks.delete(fd);
  files.closeSync(fd);
}

/** A new file in the scratch folder, which must not exist yet. */
export function createIn(files: FileLayer, scratch: Scratch, name: string): { path: string; fd: number } {
  const path = join(scratch.folder, name);
  return { path, fd: files.openSync(encodePath(path), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600) };
}
