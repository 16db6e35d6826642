import { expect, test } from 'vitest';
import { meter, newPaceLevel, readMeter, setPaceLevel, setPaceShape } from '../../../src/core/pace-level.js';
import { KiB, MiB } from '../../../src/core/units.js';
import { Pace } from '../../../src/transfer/pace.js';
import { FakeClock } from '../../support/fake-clock.js';

const cellsOf = (level: SharedArrayBuffer): BigInt64Array => new BigInt64Array(level);

test('blocks that were read are added up by those levels that measure reads, and by no other', () => {
  const [reads, writes, plain] = [
    newPaceLevel(0, 'sourcePressure', 'reads'),
    newPaceLevel(0, 'targetPressure', 'writes'),
    newPaceLevel(),
  ];
  const pace = new Pace([plain, reads, writes].map(cellsOf), new FakeClock());
  pace.measured('reads', 64 * KiB, 2_000_000n);
  pace.measured('reads', 64 * KiB, 4_000_000n);
  pace.measured('writes', KiB, 1_000_000n);
  expect(readMeter(reads)).toEqual({ bytes: 128 * KiB, blocks: 2, latencyMs: 6, latencyMs2: 20, fastestMs: 2 });
  expect(readMeter(writes)).toMatchObject({ bytes: KiB, blocks: 1, latencyMs: 1 });
  expect(readMeter(plain)).toMatchObject({ bytes: 0, blocks: 0 });
});

test('the quickest block is that since the last reading', () => {
  const level = newPaceLevel(0, 'sourcePressure', 'reads');
  meter(cellsOf(level), 1, 5_000_000n);
  meter(cellsOf(level), 1, 3_000_000n);
  expect(readMeter(level).fastestMs).toBe(3);
  expect(readMeter(level).fastestMs).toBe(0);
  meter(cellsOf(level), 1, 9_000_000n);
  expect(readMeter(level)).toMatchObject({ fastestMs: 9, blocks: 3 });
});

test('a block that hung for days leaves sums that can be', () => {
  const level = newPaceLevel(0, 'sourcePressure', 'reads');
  for (let block = 0; block < 1000; block++) meter(cellsOf(level), 1, 10n ** 18n);
  const { latencyMs, latencyMs2 } = readMeter(level);
  expect(latencyMs).toBe(60_000_000);
  expect(latencyMs2).toBeGreaterThan(0);
});

test('a level that gives way has small blocks, and makes little good for a late timer', () => {
  const clock = new FakeClock();
  const level = newPaceLevel(0, 'sourcePressure', 'reads');
  const pace = new Pace([cellsOf(level)], clock);
  expect(pace.blockBytes(256 * KiB)).toBe(256 * KiB);
  setPaceShape(level, { blockBytesMax: 64 * KiB, burstMs: 10 });
  setPaceLevel(level, 10 * MiB);
  expect(pace.blockBytes(256 * KiB)).toBe(64 * KiB);
  pace.reserve(MiB);
  clock.advance(10_000);
  // A tenth of a second's bytes are due when 90 ms have passed, and not 50.
  expect(pace.reserve(MiB)).toBe(0);
  expect(pace.reserve(1)).toBeCloseTo(90, 0);
});
