/** How the runs of a chain are read: by one reader each, at once where that can be, and never past what they say. */
import { expect, test } from 'vitest';
import type { ByteRange } from '../../../src/core/chunk.js';
import type { ChunkReader } from '../../../src/core/endpoint.js';
import { MiB } from '../../../src/core/units.js';
import { DiskChain } from '../../../src/disk/chain.js';
import type { DiskImage, Run } from '../../../src/disk/image.js';
import { readRuns } from '../../../src/disk/run-reader.js';
import { codeOf } from '../../support/reading.js';

const FILE_BYTES = 64 * MiB;
/** Byte `at` of every container. */
const byteAt = (at: number): number => (at * 7 + (at >> 8)) & 0xff;

/** A chain of one image whose runs are these, from byte 0 on. */
function chainOf(...runs: Run[]): DiskChain {
  const size = runs.reduce((sum, { length }) => sum + length, 0);
  const image = {
    size,
    *runs({ offset, length }: ByteRange): Iterable<Run> {
      let at = 0;
      for (const run of runs) {
        const from = Math.max(at, offset);
        const inside = Math.min(at + run.length, offset + length) - from;
        if (inside > 0) yield { ...run, ...(run.kind === 'data' && { at: run.at + from - at }), length: inside };
        at += run.length;
      }
    },
  } as unknown as DiskImage;
  return new DiskChain([{ image, bytes: { name: 'disk.img', size: FILE_BYTES, read: async () => Buffer.alloc(0) } }]);
}

interface Opened {
  readonly places: ByteRange[];
  open: number;
}

function readerOf(chain: DiskChain, range: ByteRange, late = false): { reader: ChunkReader; opened: Opened } {
  const opened: Opened = { places: [], open: 0 };
  const openPlace = (_: number, place: ByteRange): ChunkReader => {
    opened.places.push(place);
    opened.open++;
    let position = place.offset;
    const next = (into: Uint8Array): number => {
      const got = Math.min(into.length, place.offset + place.length - position);
      for (let n = 0; n < got; n++) into[n] = byteAt(position + n);
      position += got;
      return got;
    };
    return { next: late ? async (into) => next(into) : next, close: () => void opened.open-- };
  };
  return { reader: readRuns(chain, range, openPlace), opened };
}

async function read(reader: ChunkReader, length: number, blockBytes: number): Promise<Buffer> {
  const whole = Buffer.alloc(length, 0xee);
  for (let at = 0; at < length; ) {
    const block = whole.subarray(at, Math.min(length, at + blockBytes));
    expect(await reader.next(block)).toBe(block.length);
    at += block.length;
  }
  expect(await reader.next(Buffer.alloc(100))).toBe(0);
  reader.close();
  return whole;
}

const data = (length: number, at: number): Run => ({ kind: 'data', length, at });
const zero = (length: number): Run => ({ kind: 'zero', length });
const stored = (at: number, length: number): Buffer =>
  Buffer.from(Uint8Array.from({ length }, (_, n) => byteAt(at + n)));

test.each([false, true])(
  'runs of every kind are read in order, in blocks of any size (late answers: %s)',
  async (late) => {
    const made: Run = { kind: 'made', length: 1000, make: () => Buffer.alloc(1000, 0x55) };
    const chain = chainOf(data(5000, 100), zero(3000), made, { kind: 'absent', length: 512 }, data(700, 9000));
    const expected = Buffer.concat([
      stored(100, 5000),
      Buffer.alloc(3000),
      Buffer.alloc(1000, 0x55),
      Buffer.alloc(512),
      stored(9000, 700),
    ]);
    for (const blockBytes of [1, 999, 4096, 20_000]) {
      const { reader, opened } = readerOf(chain, { offset: 0, length: expected.length }, late);
      expect((await read(reader, expected.length, blockBytes)).equals(expected)).toBe(true);
      expect(opened.open).toBe(0);
    }
    const { reader } = readerOf(chain, { offset: 4000, length: 2000 }, late);
    expect((await read(reader, 2000, 512)).equals(expected.subarray(4000, 6000))).toBe(true);
  },
);

test('neighbouring runs are read by one reader, and once they are known each block comes at once', async () => {
  const sectors = Array.from({ length: 8192 }, (_, n) => data(512, 4096 + n * 512));
  const { reader, opened } = readerOf(chainOf(...sectors), { offset: 0, length: 4 * MiB });
  const block = Buffer.alloc(65_536);
  expect(await reader.next(block)).toBe(block.length);
  for (let at = block.length; at < 4 * MiB; at += block.length) expect(reader.next(block)).toBe(block.length);
  expect(block.equals(stored(4096 + 4 * MiB - block.length, block.length))).toBe(true);
  expect(opened.places).toEqual([{ offset: 4096, length: 4 * MiB }]);
  reader.close();
  expect(opened.open).toBe(0);
});

test('a run outside of its container is refused before anything of it is read', async () => {
  for (const at of [FILE_BYTES - 100, -512, Number.MAX_SAFE_INTEGER]) {
    const { reader, opened } = readerOf(chainOf(data(512, at)), { offset: 0, length: 512 });
    expect(await codeOf(() => reader.next(Buffer.alloc(512)))).toBe('E_DISK_FORMAT');
    expect(opened.places).toEqual([]);
  }
});

test('bytes that an image should make and does not are no full answer', async () => {
  const chain = chainOf({ kind: 'made', length: 512, make: () => Buffer.alloc(511) });
  const { reader } = readerOf(chain, { offset: 0, length: 512 });
  expect(await reader.next(Buffer.alloc(512))).toBe(511);
});
