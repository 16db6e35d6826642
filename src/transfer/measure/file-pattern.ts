/**
 * Reads and writes a local file in one of the patterns. What is read is opened for reading only; what is written is
 * always the benchmark's own scratch file.
 */
import { randomFillSync } from 'node:crypto';
import { constants, fstatSync, statfsSync } from 'node:fs';
import { errnoOf, TransferError } from '../../core/errors.js';
import { MiB } from '../../core/units.js';
import { alignedBuffer, dropCache, REFUSED } from '../../platform/direct-io.js';
import { type FileLayer, readFully, writeFully } from '../../platform/file-layer.js';
import { encodePath, showPath } from '../../platform/path-bytes.js';
import { measureError } from './measure-errors.js';
import { createIn, SCRATCH_FILE } from './scratch.js';
import type { FileTask, Filled, FillTask, MeasureOutcome, ReadPattern, WritePattern } from './tasks.js';
import { assertRunning, type Deed, type TimedParts, timed } from './timed.js';

const { O_RDONLY, O_RDWR, O_NOFOLLOW, O_NONBLOCK } = constants;
/** tmpfs and ramfs (linux/magic.h). */
const IN_MEMORY_TYPES: ReadonlySet<number> = new Set([0x01021994, 0x858458f6]);
const SECTOR_BYTES = 4096;
const FILL_BLOCK_BYTES = MiB;
/** So often, that the time a slow storage needs shows while the file is made. */
const FILL_FLUSH_BYTES = 64 * MiB;

export function measureFile(files: FileLayer, task: FileTask, parts: TimedParts): MeasureOutcome {
  const { pattern, path } = task;
  const direct = pattern.access === 'direct';
  if (direct && !constants.O_DIRECT) return { refused: 'this system has no O_DIRECT' };
  try {
    const fd = files.openSync(encodePath(path), flagsOf(pattern) | (direct ? constants.O_DIRECT : 0));
    try {
      return measureOpened(files, fd, task, parts);
    } finally {
      files.closeSync(fd);
    }
  } catch (thrown) {
    if (direct && REFUSED.has(errnoOf(thrown))) return { refused: `O_DIRECT is refused (${errnoOf(thrown)})` };
    throw measureError(pattern.kind, path, thrown);
  }
}

function flagsOf({ kind }: FileTask['pattern']): number {
  return kind === 'read' ? O_RDONLY | O_NONBLOCK : O_RDWR | O_NOFOLLOW;
}

function measureOpened(files: FileLayer, fd: number, task: FileTask, parts: TimedParts): MeasureOutcome {
  const { pattern, range } = task;
  if (needsStorage(pattern) && isInMemory(fd)) return { refused: 'this file system is memory, and has no storage' };
  if (range.length < pattern.blockBytes) return { refused: 'too few bytes to read' };
  // Pages that are in the cache already would spare the system to find room for what is written.
  if (pattern.access === 'buffered') dropCache(fd, range);
  if (pattern.kind === 'write') return timed(writing(files, fd, pattern, task), task, parts);
  if (pattern.access === 'cold') {
    // What was not written out yet could not be dropped.
    files.fdatasyncSync(fd);
    if (!dropCache(fd, range)) return { refused: 'the page cache cannot be dropped without koffi' };
  }
  return timed(reading(files, fd, pattern, task), task, parts);
}

function needsStorage({ access }: FileTask['pattern']): boolean {
  return access === 'direct' || access === 'cold';
}

/** Devices have names in such a file system, and are none of it. */
function isInMemory(fd: number): boolean {
  return fstatSync(fd).isFile() && IN_MEMORY_TYPES.has(statfsSync(`/proc/self/fd/${fd}`).type >>> 0);
}

/** Positions of blocks inside the range: in order and round again, or anywhere. `wrapped`: a round begins. */
function positions({ pattern, range }: FileTask): { next(): number; wrapped(): boolean } {
  const blocks = Math.floor(range.length / pattern.blockBytes);
  const random = pattern.kind === 'read' && pattern.order === 'random';
  let count = 0;
  return {
    next: () => {
      const block = random ? Math.floor(Math.random() * blocks) : count % blocks;
      count++;
      return range.offset + block * pattern.blockBytes;
    },
    wrapped: () => !random && count > 0 && count % blocks === 0,
  };
}

function reading(files: FileLayer, fd: number, pattern: ReadPattern, task: FileTask): Deed {
  const buffer = alignedBuffer(pattern.blockBytes).subarray(0, pattern.blockBytes);
  const at = positions(task);
  const once = (): number => {
    const position = at.next();
    const got = readFully(files, fd, buffer, position);
    if (got === buffer.length) return got;
    throw new TransferError('E_SOURCE_CHANGED', `${showPath(task.path)} became shorter while it was read`, {
      hint: 'Stop what writes to it, then measure again.',
    });
  };
  if (pattern.access === 'cold') return { once, prepare: () => at.wrapped() && dropCache(fd, task.range) };
  return { once };
}

function writing(files: FileLayer, fd: number, pattern: WritePattern, task: FileTask): Deed {
  const buffer = randomBlock(pattern.blockBytes);
  const at = positions(task);
  const flush = (): void => files.fdatasyncSync(fd);
  const once = (): number => {
    const position = at.next();
    stamp(buffer, position);
    writeFully(files, fd, buffer, position);
    if (pattern.flush === 'each') flush();
    return buffer.length;
  };
  return pattern.flush === 'end' ? { once, warmed: flush, finish: flush } : { once };
}

function randomBlock(bytes: number): Uint8Array {
  return randomFillSync(alignedBuffer(bytes).subarray(0, bytes));
}

let stamps = Math.floor(Math.random() * 2 ** 31);

/** Makes every sector one that was never written before: storage that shares equal blocks must not look fast. */
function stamp(buffer: Uint8Array, position: number): void {
  const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length);
  for (let at = 0; at + 16 <= buffer.length; at += SECTOR_BYTES) {
    view.setFloat64(at, position + at);
    view.setUint32(at + 8, stamps++);
  }
}

/** Makes the scratch file: random bytes, all of them on the storage. @throws TransferError */
export function fillScratch(files: FileLayer, task: FillTask, parts: TimedParts): Filled {
  const { scratch, bytesMin, bytesMax, secondsMax } = task;
  const { clock, control } = parts;
  try {
    const { path, fd } = createIn(files, scratch, SCRATCH_FILE);
    try {
      const block = randomBlock(FILL_BLOCK_BYTES);
      const startNs = clock.nowNs();
      const elapsed = (): number => Number(clock.nowNs() - startNs) / 1e9;
      let bytes = 0;
      while (bytes < bytesMin || (bytes < bytesMax && elapsed() < secondsMax)) {
        assertRunning(control);
        stamp(block, bytes);
        writeFully(files, fd, block, bytes);
        bytes += block.length;
        if (bytes % FILL_FLUSH_BYTES === 0) files.fdatasyncSync(fd);
      }
      files.fdatasyncSync(fd);
      return { path, bytes, bytesPerSecond: bytes / elapsed() };
    } finally {
      files.closeSync(fd);
    }
  } catch (thrown) {
    throw measureError('write', scratch.path, thrown);
  }
}
