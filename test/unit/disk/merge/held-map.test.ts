import { expect, test } from 'vitest';
import { KiB, MiB, TiB } from '../../../../src/core/units.js';
import { type Held, HeldMap, heldIn } from '../../../../src/disk/held-map.js';
import { Seeded } from '../../../support/seeded.js';

const PIECE = 64 * KiB;

test('ranges are rounded to whole pieces, in order, and touch nowhere', () => {
  for (let seed = 0; seed < 50; seed++) {
    const seeded = new Seeded(seed);
    const size = seeded.int(1, 300) * PIECE - seeded.int(0, PIECE - 1);
    const map = new HeldMap(size, 0);
    const expected = new Uint8Array(Math.ceil(size / PIECE));
    for (let count = 0; count < seeded.int(0, 20); count++) {
      const offset = seeded.int(0, size - 1);
      const length = Math.min(size - offset, seeded.int(0, 40 * PIECE));
      map.add({ offset, length });
      if (length > 0) expected.fill(1, Math.floor(offset / PIECE), Math.floor((offset + length - 1) / PIECE) + 1);
    }
    const found = new Uint8Array(expected.length);
    let end = -1;
    for (const { offset, length } of map.ranges()) {
      expect(offset).toBeGreaterThan(end);
      end = offset + length;
      found.fill(1, offset / PIECE, Math.ceil(end / PIECE));
    }
    expect(found, `seed ${seed}`).toEqual(expected);
    expect(end).toBeLessThanOrEqual(size);
  }
});

test('a disk of 64 TiB in blocks of 4 KiB takes no more than some MiB', () => {
  const map = new HeldMap(64 * TiB, 4 * KiB);
  map.add({ offset: 40 * TiB + 5, length: 3 });
  map.add({ offset: 64 * TiB - 1, length: 1 });
  expect(map.pieceBytes).toBe(512 * KiB);
  expect([...map.ranges()]).toEqual([
    { offset: 40 * TiB, length: 512 * KiB },
    { offset: 64 * TiB - 512 * KiB, length: 512 * KiB },
  ]);
});

test('pieces are as large as the blocks of the image that is written to', () => {
  const map = new HeldMap(9 * MiB, 2 * MiB);
  map.add({ offset: 3 * MiB, length: 1 });
  map.add({ offset: 8 * MiB, length: 1 });
  expect([...map.ranges()]).toEqual([
    { offset: 2 * MiB, length: 2 * MiB },
    { offset: 8 * MiB, length: MiB },
  ]);
});

test('what an image holds itself is told with neighbours joined, without what it leaves to its parent', async () => {
  const runs = ['data', 'data', 'absent', 'zero', 'zero', 'data', 'absent'] as const;
  const allocation = () => runs.map((kind) => ({ kind, length: 10 }));
  const held: Held[] = [];
  for await (const one of heldIn({ allocation }, 70)) held.push(one);
  expect(held).toEqual([
    { kind: 'data', offset: 0, length: 20 },
    { kind: 'zero', offset: 30, length: 20 },
    { kind: 'data', offset: 50, length: 10 },
  ]);
});
