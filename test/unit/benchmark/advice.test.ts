import { expect, test } from 'vitest';
import { adviceOf, noiseOf, smallestOfBest } from '../../../src/benchmark/advice.js';
import { MiB, TiB } from '../../../src/core/units.js';
import { coldRead, copied, directRead, directWrite, fetchOf, measured, xxh64 } from './report-samples.js';

const hashes = [measured('machine', xxh64, 1, 9000), measured('machine', xxh64, 2, 18_000)];

test('the settings are the smallest whose copies are within 3 % of the best', () => {
  const { settings, basis } = adviceOf(hashes, [copied(1, 2, 600), copied(2, 4, 971), copied(4, 8, 1000)]);
  expect({ settings, basis }).toEqual({ settings: { workers: 2, lanes: 4, chunkBytes: 8 * MiB }, basis: 'copies' });
});

test('what is more than 3 % slower is not as good, however small it is', () => {
  expect(smallestOfBest([copied(1, 2, 969), copied(4, 8, 1000)], 0.03)).toMatchObject({ workers: 4 });
});

test('among equals fewer lanes win, then the chunk that is nearest to the default', () => {
  const equals = [copied(2, 8, 1000), copied(2, 4, 1000, 32 * MiB), copied(2, 4, 1000), copied(2, 4, 1000, MiB)];
  expect(smallestOfBest(equals, 0.03)).toMatchObject({ lanes: 4, chunkBytes: 8 * MiB });
});

test('runs that differ by more than 3 % make more settings as good as the best', () => {
  const copies = [
    { ...copied(1, 2, 900), runs: [1, 1.25] },
    { ...copied(4, 8, 1000), runs: [1, 1] },
  ];
  expect(noiseOf(copies)).toBeCloseTo(0.1);
  expect(adviceOf(hashes, copies).settings).toMatchObject({ workers: 1 });
  expect(noiseOf([copied(1, 2, 900)])).toBe(0.03);
});

test.each([
  ['source', 400, 800, 9000],
  ['target', 800, 400, 9000],
  ['hash', 800, 900, 300],
] as const)('the slowest part is named: the %s', (by, read, write, hash) => {
  const results = [
    measured('machine', xxh64, 1, hash),
    measured('source', coldRead, 1, read),
    measured('target', directWrite, 1, write),
  ];
  const advice = adviceOf(results, [copied(1, 2, 250)]);
  expect(advice.limit).toEqual({ by, bytesPerSecond: Math.min(read, write, hash) * MiB });
  expect(advice.msPerTiB).toBeCloseTo((TiB / (250 * MiB)) * 1000);
});

test('hashing is reckoned with as many threads as the settings have', () => {
  const slowHash = [measured('machine', xxh64, 1, 300), measured('machine', xxh64, 4, 1100)];
  const results = [...slowHash, measured('source', coldRead, 1, 700)];
  expect(adviceOf(results, [copied(2, 4, 500)]).limit).toEqual({ by: 'hash', bytesPerSecond: 600 * MiB });
});

test('without copies the workers are those that reading, writing and hashing want', () => {
  const reads = [
    measured('source', coldRead, 1, 500),
    measured('source', coldRead, 2, 900),
    measured('source', coldRead, 4, 910),
  ];
  expect(adviceOf([...hashes, ...reads], [])).toMatchObject({
    basis: 'parts',
    settings: { workers: 2, lanes: 4 },
    limit: { by: 'source', bytesPerSecond: 910 * MiB },
  });
});

test('a source that is fetched gets the lanes and the chunk that were fastest', () => {
  const fetched = [
    measured('source', fetchOf(1), 1, 100),
    measured('source', fetchOf(4), 1, 300),
    measured('source', fetchOf(8), 1, 305),
  ];
  expect(adviceOf([...hashes, ...fetched], []).settings).toEqual({ workers: 1, lanes: 4, chunkBytes: 8 * MiB });
});

test('where the cache cannot be emptied, direct reads are what is known of the source', () => {
  const refused = { end: 'source', pattern: coldRead, threads: 1, refused: 'no koffi' } as const;
  const { limit } = adviceOf([refused, measured('source', directRead, 1, 200)], []);
  expect(limit).toEqual({ by: 'source', bytesPerSecond: 200 * MiB });
});

test('nothing measured is no advice', () => {
  expect(adviceOf(hashes, [])).toEqual({ basis: 'parts', noise: 0.03 });
});
