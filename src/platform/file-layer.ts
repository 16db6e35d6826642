/**
 * Every call that a local end or a journal makes on files, in one object, so that the power-cut model can put a
 * recording layer in its place. All are synchronous: they run on workers, where blocking costs nobody else.
 */
import * as fs from 'node:fs';
import { applyAttributes, readAttributes, setTimes } from './attributes.js';
import { cloneRange, probeClone } from './clone.js';
import { syncFileSystem } from './file-system.js';
import { extentsOf, punchHole, reserveSpace, supportsHoles } from './holes.js';
import { publishNew, syncFolder } from './publish.js';
import { isCached, readUncached, writeUncached } from './uncached.js';
import { awaitWriteback, beginWriteback } from './writeback.js';

export interface FileLayer
  extends Pick<
    typeof fs,
    | 'chmodSync'
    | 'closeSync'
    | 'fchmodSync'
    | 'fchownSync'
    | 'fdatasyncSync'
    | 'fsyncSync'
    | 'ftruncateSync'
    | 'openSync'
    | 'readSync'
    | 'renameSync'
    | 'symlinkSync'
    | 'unlinkSync'
    | 'writeSync'
  > {
  readonly fstat: (fd: number) => fs.BigIntStats;
  readonly lstat: (path: fs.PathLike) => fs.BigIntStats | undefined;
  readonly stat: (path: fs.PathLike) => fs.BigIntStats | undefined;
  readonly readAttributes: typeof readAttributes;
  readonly applyAttributes: typeof applyAttributes;
  readonly setTimes: typeof setTimes;
  readonly cloneRange: typeof cloneRange;
  readonly probeClone: typeof probeClone;
  readonly readUncached: typeof readUncached;
  readonly writeUncached: typeof writeUncached;
  readonly isCached: typeof isCached;
  readonly beginWriteback: typeof beginWriteback;
  readonly awaitWriteback: typeof awaitWriteback;
  readonly extentsOf: typeof extentsOf;
  readonly punchHole: typeof punchHole;
  readonly reserveSpace: typeof reserveSpace;
  readonly supportsHoles: typeof supportsHoles;
  readonly publishNew: typeof publishNew;
  readonly syncFolder: typeof syncFolder;
  readonly syncFileSystem: typeof syncFileSystem;
}

export const realFiles: FileLayer = {
  chmodSync: fs.chmodSync,
  closeSync: fs.closeSync,
  fchmodSync: fs.fchmodSync,
  fchownSync: fs.fchownSync,
  fdatasyncSync: fs.fdatasyncSync,
  fsyncSync: fs.fsyncSync,
  ftruncateSync: fs.ftruncateSync,
  openSync: fs.openSync,
  readSync: fs.readSync,
  renameSync: fs.renameSync,
  symlinkSync: fs.symlinkSync,
  unlinkSync: fs.unlinkSync,
  writeSync: fs.writeSync,
  fstat: (fd) => fs.fstatSync(fd, { bigint: true }),
  lstat: (path) => fs.lstatSync(path, { bigint: true, throwIfNoEntry: false }),
  stat: (path) => fs.statSync(path, { bigint: true, throwIfNoEntry: false }),
  readAttributes,
  applyAttributes,
  setTimes,
  cloneRange,
  probeClone,
  readUncached,
  writeUncached,
  isCached,
  beginWriteback,
  awaitWriteback,
  extentsOf,
  punchHole,
  reserveSpace,
  supportsHoles,
  publishNew,
  syncFolder,
  syncFileSystem,
};

/**
 * Writes all of the bytes at the position; a short write goes on, since a full disk shows only on the next call. With
 * `leavesCache` past the page cache, where that can be done.
 */
export function writeFully(
  files: FileLayer,
  fd: number,
  bytes: Uint8Array,
  position: number,
  leavesCache = false,
): void {
  for (let done = 0; done < bytes.length; ) {
    const past = leavesCache ? files.writeUncached(fd, bytes.subarray(done), position + done) : undefined;
    done += past ?? files.writeSync(fd, bytes, done, bytes.length - done, position + done);
  }
}

/** Reads until the buffer is full or the file ends, and says how much it got. `leavesCache`: as for writing. */
export function readFully(
  files: FileLayer,
  fd: number,
  into: Uint8Array,
  position: number,
  leavesCache = false,
): number {
  let done = 0;
  while (done < into.length) {
    const past = leavesCache ? files.readUncached(fd, into.subarray(done), position + done) : undefined;
    const got = past ?? files.readSync(fd, into, done, into.length - done, position + done);
    if (got === 0) break;
    done += got;
  }
  return done;
}
