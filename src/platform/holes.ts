/**
 * Where a file has holes, and how to make one. An answer may call data what is zero, never the reverse: wherever the
 * system cannot tell, everything is data.
 */
import { fstatSync, statfsSync } from 'node:fs';
import { constants } from 'node:os';
import type { ByteRange } from '../core/chunk.js';
import type { Extent } from '../core/endpoint.js';
import { errnoError, type Libc, libc } from './libc.js';

const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;

/** Several ZFS releases, Debian 12's among them, call freshly written data a hole (OpenZFS issue 15526). */
const ZFS_SUPER_MAGIC = 0x2fc12fc1n;

const { ENXIO, EINVAL, EOPNOTSUPP, ENOSYS } = constants.errno;
const UNSUPPORTED: ReadonlySet<number> = new Set([-EINVAL, -EOPNOTSUPP, -ENOSYS]);

/**
 * Whether holes can be told from data in this file of `size` bytes. Moves the descriptor's offset: read by position.
 */
export function supportsHoles(fd: number, size: number): boolean {
  return size > 0 && seekerFor(fd) !== undefined;
}

/** The C library, where SEEK_DATA works on this descriptor and can be believed. */
function seekerFor(fd: number): Libc | undefined {
  const native = libc();
  if (native === undefined) return undefined;
  const data = native.lseek(fd, 0, SEEK_DATA);
  if (UNSUPPORTED.has(data)) return undefined;
  if (data < 0 && data !== -ENXIO) throw errnoError('lseek', data);
  return statfsSync(`/proc/self/fd/${fd}`, { bigint: true }).type === ZFS_SUPER_MAGIC ? undefined : native;
}

/**
 * The extents of the range, in order, without gaps, covering exactly the range. Bytes past the end of the file are
 * called data, so that whoever reads them finds that the file became shorter. Moves the descriptor's offset: read by
 * position.
 */
export function* extentsOf(fd: number, range: ByteRange): Generator<Extent> {
  const seeker = seekerFor(fd);
  const end = range.offset + range.length;
  let at = range.offset;
  while (at < end) {
    const data = seeker === undefined ? at : Math.min(end, nextData(seeker, fd, at));
    if (data > at) yield { kind: 'zero', offset: at, length: data - at };
    if (data === end) return;
    const hole = seeker === undefined ? end : Math.min(end, nextHole(seeker, fd, data));
    yield { kind: 'data', offset: data, length: hole - data };
    at = hole;
  }
}

/** The first byte at or after `at` that may be data; the end of the file where only a hole is left. */
function nextData(native: Libc, fd: number, at: number): number {
  const data = native.lseek(fd, at, SEEK_DATA);
  if (data >= 0) return data;
  if (data === -ENXIO) return Math.max(at, fstatSync(fd).size);
  throw errnoError('lseek', data);
}

/**
 * The first byte after `data` that is a hole; infinity at or past the end of the file, where nothing more can be told.
 */
function nextHole(native: Libc, fd: number, data: number): number {
  const hole = native.lseek(fd, data, SEEK_HOLE);
  if (hole > data) return hole;
  if (hole >= 0 || hole === -ENXIO) return Number.POSITIVE_INFINITY;
  throw errnoError('lseek', hole);
}

/** Sets space aside for the range, whatever the file's size; false where that cannot be done, a full disk included. */
export function reserveSpace(fd: number, range: ByteRange): boolean {
  return libc()?.fallocate(fd, FALLOC_FL_KEEP_SIZE, range.offset, range.length) === 0;
}

/**
 * Makes the range read as zero and gives its space back; the file keeps its size. Works on block devices too, where the
 * range must lie on their sectors. False: it cannot be done here, and nothing was changed. @throws errno Errors
 */
export function punchHole(fd: number, range: ByteRange): boolean {
  if (range.length === 0) return true;
  const answer = libc()?.fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, range.offset, range.length);
  if (answer === undefined || UNSUPPORTED.has(answer)) return false;
  if (answer < 0) throw errnoError('fallocate', answer);
  return true;
}
