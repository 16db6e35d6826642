import { expect, test } from 'vitest';
import { type EntryFormat, entryAt, offsetOf, runFrom } from '../../../../src/disk/qcow2/entries.js';
import { refcountOf, setRefcount } from '../../../../src/disk/qcow2/refcounts.js';
import { Seeded } from '../../../support/seeded.js';

const format = (clusterBits: number, version: 2 | 3 = 3): EntryFormat => ({
  version,
  clusterBits,
  clusterBytes: 2 ** clusterBits,
  subclusters: false,
});

function tableOf(...entries: readonly bigint[]): Buffer {
  const table = Buffer.alloc(entries.length * 8);
  entries.forEach((entry, index) => {
    table.writeBigUInt64BE(entry, index * 8);
  });
  return table;
}

test('places of up to 56 bits are exact', () => {
  for (let bit = 9; bit < 56; bit++) {
    for (const place of [
      2n ** BigInt(bit),
      2n ** 56n - 2n ** BigInt(bit),
      (2n ** 55n + 2n ** BigInt(bit)) % 2n ** 56n,
    ]) {
      const table = tableOf(place | (1n << 63n));
      expect(BigInt(offsetOf(table.readUInt32BE(0), table.readUInt32BE(4)))).toBe(place);
      expect(BigInt(entryAt(table, 0, format(9)).at)).toBe(place);
    }
  }
});

test.each([9, 12, 16, 21])(
  'compressed places and sectors are split where clusters of 2^%i bytes split them',
  (bits) => {
    const placeBits = BigInt(62 - (bits - 8));
    const place = 2n ** (placeBits < 53n ? placeBits - 1n : 52n) + 12345n;
    const sectors = 2n ** (62n - placeBits) - 1n;
    const entry = entryAt(tableOf((1n << 62n) | (sectors << placeBits) | place), 0, format(bits));
    expect(entry).toEqual({
      kind: 'compressed',
      at: Number(place),
      bytes: (Number(sectors) + 1) * 512 - Number(place % 512n),
      copied: false,
    });
  },
);

test('runs of entries are what the entries are one by one', () => {
  const seeded = new Seeded(8);
  for (let time = 0; time < 3000; time++) {
    const shape = format(seeded.pick([9, 16, 21]), seeded.pick([2, 3]));
    const cluster = BigInt(shape.clusterBytes);
    const fileBytes = Number(cluster) * 40 - seeded.int(0, 1) * 100;
    const entries: bigint[] = [];
    for (let at = BigInt(seeded.int(1, 30)); entries.length < 12; at++) {
      const kind = seeded.random();
      if (kind < 0.5) entries.push(at * cluster + (seeded.chance(0.8) ? 1n << 63n : 0n));
      else if (kind < 0.7) entries.push(seeded.pick([0n, 0n, 1n]));
      else if (kind < 0.8) entries.push(BigInt(seeded.int(1, 60)) * cluster + BigInt(seeded.pick([0, 1, 2, 512])));
      else if (kind < 0.85) entries.push((1n << 62n) | at);
      else entries.push(entries.at(-1) ?? 0n);
    }
    const table = tableOf(...entries);
    const first = entryAt(table, 0, shape);
    for (const anyPlace of [false, true]) {
      const count = runFrom(table, 0, shape, { end: entries.length, fileBytes, anyPlace });
      for (let index = 1; index < count; index++) {
        const { kind, at, problem } = entryAt(table, index, shape);
        expect({ kind, problem }).toEqual({ kind: first.kind, problem: undefined });
        if (kind === 'data' && !anyPlace) expect(at).toBe(first.at + index * shape.clusterBytes);
        if (kind === 'data') expect(at).toBeLessThanOrEqual(fileBytes - shape.clusterBytes);
      }
      if (count > 1) expect(first.problem).toBeUndefined();
    }
  }
});

test.each([1, 2, 4, 8, 16, 32, 64])('refcounts of %i bits are set without touching their neighbours', (bits) => {
  const seeded = new Seeded(bits);
  const block = Buffer.alloc(512);
  const values = Array.from({ length: (512 * 8) / bits }, () => seeded.int(0, Math.min(2 ** bits, 2 ** 53) - 1));
  for (const index of values.keys()) setRefcount(block, index, bits, 2 ** Math.min(bits, 53) - 1);
  for (const [index, value] of values.entries()) setRefcount(block, index, bits, value);
  expect(values.map((_, index) => refcountOf(block, index, bits))).toEqual(values);
});
