/**
 * Writing into a damaged image in place, as a merge does. It may be refused; it may never crash, work without end or
 * take more memory than a reader. An image in which `check` finds nothing wrong must afterwards read as before, but for
 * what was written, and there must still be nothing wrong with it.
 */
import type { ByteRange } from '../../src/core/chunk.js';
import { TransferError } from '../../src/core/errors.js';
import { MiB } from '../../src/core/units.js';
import { type ChainLink, DiskChain } from '../../src/disk/chain.js';
import { assertInside } from '../../src/disk/disk-bytes.js';
import { formatNamed, openImage } from '../../src/disk/formats.js';
import type { DiskFormat } from '../../src/disk/image.js';
import type { DiskFile } from '../../src/disk/image-writer.js';
import { contentDifference, contentOf } from '../support/disk-content.js';
import type { Seeded } from '../support/seeded.js';
import type { SparseContent } from '../support/sparse-content.js';
import { ALLOCATION_BYTES_MAX, memoryExceeded, resetMemory } from './allocations.js';
import { type Verdict, wrongIn } from './judge.js';
import type { Overlay } from './overlay.js';

export interface Writable {
  readonly file: Overlay;
  readonly format: DiskFormat;
  readonly under: readonly ChainLink[];
}

/** Larger disks would take long to be compared. */
const DISK_BYTES_MAX = 16 * MiB;
const SECTOR = 512;
const CALLS_MAX = 200_000;

export async function judgeWriter(writable: Writable, seeded: Seeded): Promise<Verdict> {
  const { file, format } = writable;
  resetMemory();
  const wrongBefore = await wrongIn(file.bytes(), format);
  const before = await refusable(() => contentNow(writable));
  const written = await refusable(() => writeSome(writable, before?.size ?? DISK_BYTES_MAX, seeded));
  if (before === undefined || written === undefined) return { kind: 'refused', why: 'reading or writing' };
  if (wrongBefore) return { kind: 'found', why: wrongBefore.code };
  const expected = written.reduce((content, { offset, bytes }) => content.patched(offset, bytes), before);
  const differs = await contentDifference(await chainOf(writable), expected);
  if (differs !== undefined) return { kind: 'failed', why: `after writing: ${differs}` };
  const wrongAfter = await wrongIn(file.bytes(), format);
  if (wrongAfter) return { kind: 'failed', why: `after writing: ${wrongAfter.code}: ${wrongAfter.message}` };
  return { kind: 'same', why: 'but for what was written' };
}

/** Undefined: it was refused, as it may be. */
async function refusable<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (thrown) {
    if (thrown instanceof TransferError && thrown.code !== 'E_BUG') return undefined;
    throw thrown;
  }
}

async function chainOf({ file, format, under }: Writable): Promise<DiskChain> {
  const bytes = file.bytes();
  const image = await openImage(bytes, format);
  return new DiskChain([{ bytes, image }, ...(image.parent ? under : [])]);
}

async function contentNow(writable: Writable): Promise<SparseContent> {
  const chain = await chainOf(writable);
  if (chain.size > DISK_BYTES_MAX) throw new TransferError('E_TOO_LARGE', 'not compared');
  return contentOf(chain);
}

interface Write {
  readonly offset: number;
  readonly bytes: Buffer;
}

async function writeSome({ file, format }: Writable, size: number, seeded: Seeded): Promise<readonly Write[]> {
  const disk = diskFile(file);
  const writer = await (await formatNamed(format)).openWriter?.(disk);
  if (!writer) return [];
  const writes = rangesOf(size, writer.unitBytes ?? SECTOR, seeded).map(({ offset, length }) => ({
    offset,
    bytes: seeded.chance(0.3) ? Buffer.alloc(length) : seeded.bytes(length),
  }));
  writer.begin(writes.map(({ offset, bytes }) => ({ offset, length: bytes.length })));
  for (const { offset, bytes } of writes) {
    let done = 0;
    const content = bytes.every((byte) => byte === 0) ? 'zero' : 'data';
    for (const { at, length } of writer.place({ offset, length: bytes.length }, content)) {
      if (at !== undefined) disk.write(at, bytes.subarray(done, done + length));
      done += length;
    }
    if (done !== bytes.length) throw new Error(`places of ${done} bytes for ${bytes.length} at ${offset}`);
    disk.flush();
    writer.publish();
  }
  writer.finish();
  return writes;
}

/** Some, in order and apart. */
function rangesOf(size: number, unit: number, seeded: Seeded): readonly ByteRange[] {
  const units = Math.ceil(size / unit);
  const ranges: ByteRange[] = [];
  for (let first = seeded.int(0, 20); first < units && ranges.length < 12; ) {
    const last = Math.min(units, first + seeded.int(1, seeded.pick([1, 9, 300])));
    ranges.push({ offset: first * unit, length: Math.min(size, last * unit) - first * unit });
    first = last + seeded.int(0, Math.max(1, Math.floor(units / 8)));
  }
  return ranges;
}

/** The damaged file, open for writing; nothing of it becomes durable. */
function diskFile(file: Overlay): DiskFile {
  let calls = 0;
  const bounded = (): void => {
    if (++calls > CALLS_MAX) throw new Error(`endless: ${calls} calls`);
    if (memoryExceeded()) throw new Error(`more memory than ${ALLOCATION_BYTES_MAX} bytes`);
  };
  const readNow: DiskFile['readNow'] = (range, what) => {
    bounded();
    assertInside(range, what, { name: 'image', size: file.size });
    return file.read(range);
  };
  return {
    name: 'image',
    get size() {
      return file.size;
    },
    read: async (range, what) => readNow(range, what),
    readNow,
    write: (at, bytes) => {
      bounded();
      if (at + bytes.length > file.size) file.resize(at + bytes.length);
      file.write(at, bytes);
    },
    flush: () => undefined,
    setSize: (bytes) => file.resize(bytes),
  };
}
