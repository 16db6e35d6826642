/** What a log lays over a file, compared with the same laid over plain bytes. */
import { expect, test } from 'vitest';
import type { DiskBytes } from '../../../../src/disk/image.js';
import { replayedBytes, Segments } from '../../../../src/disk/vhdx/segments.js';
import { Seeded } from '../../../support/seeded.js';

const spot = { name: 'a test', what: 'log', at: 0 };

test('newer changes lie over older ones, in whatever order and size they come', async () => {
  const seeded = new Seeded(21);
  for (let round = 0; round < 200; round++) {
    const own = seeded.bytes(seeded.int(1, 400));
    const log = seeded.bytes(1000);
    const sectors = new SharedArrayBuffer(log.length);
    Buffer.from(sectors).set(log);
    const fileBytes = own.length + seeded.int(0, 200);
    const plain = Buffer.alloc(fileBytes);
    plain.set(own);
    const changes = Array.from({ length: seeded.int(0, 30) }, () => {
      const offset = seeded.int(0, fileBytes - 1);
      const length = seeded.int(0, Math.min(80, fileBytes - offset));
      return { offset, length, ...(seeded.chance(0.6) && { at: seeded.int(0, 900) }) };
    });
    for (const { offset, length, at } of changes) {
      plain.set(at === undefined ? Buffer.alloc(length) : log.subarray(at, at + length), offset);
    }
    const segments = new Segments();
    for (const change of changes.toReversed()) segments.add(change, spot);
    const file: DiskBytes = {
      name: 'a test',
      size: own.length,
      read: async ({ offset, length }) => Buffer.from(own.subarray(offset, offset + length)),
    };
    const replayed = replayedBytes(file, { fileBytes, segments: segments.list, sectors });
    expect((await replayed.read({ offset: 0, length: fileBytes }, 'all')).equals(plain)).toBe(true);
    const from = seeded.int(0, fileBytes - 1);
    const part = await replayed.read({ offset: from, length: seeded.int(0, fileBytes - from) }, 'some');
    expect(part.equals(plain.subarray(from, from + part.length))).toBe(true);
    const more = replayed.read({ offset: from, length: fileBytes + 1 - from }, 'more');
    await expect(more).rejects.toMatchObject({ code: 'E_DISK_FORMAT' });
  }
});

test('more places than can be put in order quickly are refused', () => {
  const segments = new Segments();
  const fill = (): void => {
    for (let at = 0; at < 40_000; at++) segments.add({ offset: at * 8192, length: 4096 }, spot);
  };
  expect(fill).toThrow(/32768 changed places/);
});
