/**
 * What a path stands on (free space, local or remote, the size of a device), and the way out for a process whose
 * threads are stuck there. Failures are errno Errors.
 */
import { closeSync, openSync, readFileSync, statfsSync, statSync } from 'node:fs';
import { constants } from 'node:os';
import { errnoOf } from '../core/errors.js';
import { errnoError, libc, type PathBytes } from './libc.js';
import { decodePath } from './path-bytes.js';

const SEEK_END = 2;
const SECTOR_BYTES = 512;

/**
 * statfs types whose inodes or times another machine, a program, or a mount may make up (linux/magic.h and the
 * projects' own).
 */
const REMOTE_TYPES: ReadonlyMap<number, string> = new Map([
  [0x4d44, 'FAT, whose inodes are numbered anew by every mount'],
  [0x2011bab0, 'exFAT, as FAT'],
  [0x6969, 'NFS'],
  [0x517b, 'SMB'],
  [0xff534d42, 'CIFS'],
  [0xfe534d42, 'SMB 2'],
  [0x65735546, 'FUSE, virtiofs'],
  [0x01021997, '9p'],
  [0x00c36400, 'Ceph'],
  [0x5346414f, 'AFS'],
  [0x6b414653, 'kAFS'],
  [0x73757245, 'Coda'],
  [0x564c, 'NCP'],
  [0x0bd00bd0, 'Lustre'],
  [0x47504653, 'GPFS'],
  [0x19830326, 'BeeGFS'],
  [0x20030528, 'OrangeFS'],
  [0xaad7aaea, 'PanFS'],
  [0x786f4256, 'VirtualBox'],
  [0xbacbacbc, 'VMware'],
]);

/** Bytes that this user may still write there; undefined where the file system does not say. */
export function freeBytes(path: PathBytes): number | undefined {
  try {
    const { blocks, bavail, bsize } = statfsSync(path, { bigint: true });
    // A file system of no size at all is one that never learned its size, as some FUSE ones.
    if (blocks === 0n) return undefined;
    const free = bavail * bsize;
    return free > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(free);
  } catch (error) {
    if (errnoOf(error) === 'ENOSYS' || errnoOf(error) === 'ENOTSUP') return undefined;
    throw error;
  }
}

/** Whether inode numbers cannot be relied on there: a network file system, or one that a program serves. */
export function isRemoteFileSystem(path: PathBytes): boolean {
  return REMOTE_TYPES.has(Number(BigInt.asUintN(32, statfsSync(path, { bigint: true }).type)));
}

/**
 * Makes all that was written to the file system of an open file durable; false where that cannot be asked for, and each
 * file has to be synced by itself. An error of its storage since the descriptor was opened is thrown (syncfs(2)).
 */
export function syncFileSystem(fd: number): boolean {
  const answer = libc()?.syncfs(fd);
  if (answer === undefined || answer === -constants.errno.ENOSYS) return false;
  if (answer < 0) throw errnoError('syncfs', answer);
  return true;
}

/** Where other file systems are mounted below a folder; Linux tells. */
export function mountsBelow(folder: string): string[] {
  return mountPoints().filter((point) => isBelow(folder, point) && point !== folder);
}

/** At which of those the file system of a path is mounted, told without touching it; `/` when at none. */
export function mountOf(path: string, points: readonly string[]): string {
  const above = points.filter((point) => point === path || isBelow(point, path));
  return above.reduce((deepest, point) => (point.length > deepest.length ? point : deepest), '/');
}

/** In the order in which they were mounted. */
export function mountPoints(): string[] {
  if (process.platform !== 'linux') return [];
  const lines = readFileSync('/proc/self/mountinfo', 'latin1').trim().split('\n');
  return lines.map((line) => {
    const escaped = line.split(' ')[4] ?? '';
    const bytes = escaped.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
    return decodePath(Buffer.from(bytes, 'latin1'));
  });
}

function isBelow(folder: string, path: string): boolean {
  return path.startsWith(folder === '/' ? '/' : `${folder}/`);
}

/** Size of a block device. @throws errno Errors: ENODEV when it is none, or when nothing here knows its size */
export function deviceBytes(path: PathBytes): number {
  const stat = statSync(path, { bigint: true });
  if (!stat.isBlockDevice()) throw errnoError('stat', -constants.errno.ENODEV, path);
  const major = ((stat.rdev >> 8n) & 0xfffn) | ((stat.rdev >> 32n) & ~0xfffn);
  const minor = (stat.rdev & 0xffn) | ((stat.rdev >> 12n) & 0xffffff00n);
  try {
    return Number(readFileSync(`/sys/dev/block/${major}:${minor}/size`, 'ascii')) * SECTOR_BYTES;
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    return deviceBytesBySeek(path);
  }
}

function deviceBytesBySeek(path: PathBytes): number {
  const fd = openSync(path, 'r');
  try {
    const size = libc()?.lseek(fd, 0, SEEK_END) ?? -constants.errno.ENODEV;
    if (size < 0) throw errnoError('lseek', size, path);
    return size;
  } finally {
    closeSync(fd);
  }
}

/**
 * Ends the process at once, threads in a system call included: no exit handlers, no buffered output. Without koffi it
 * ends by SIGKILL, which is quick too but loses the exit code.
 */
export function hardExit(code: number): never {
  libc()?._exit(code);
  process.kill(process.pid, 'SIGKILL');
  throw new Error('the process outlived its own SIGKILL');
}
