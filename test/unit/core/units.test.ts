import fc from 'fast-check';
import { expect, test } from 'vitest';
import { TransferError } from '../../../src/core/errors.js';
import {
  formatBytes,
  formatDuration,
  GiB,
  KiB,
  MiB,
  parseBytes,
  parseDuration,
  parseRate,
  TiB,
} from '../../../src/core/units.js';

test.each([
  ['1', 1],
  ['512B', 512],
  ['64KiB', 64 * KiB],
  ['8MiB', 8 * MiB],
  ['8M', 8 * MiB],
  ['8m', 8 * MiB],
  ['8MB', 8_000_000],
  ['1.5GiB', 1.5 * GiB],
  ['2 TiB', 2 * TiB],
  ['400Mbit', 50_000_000],
  ['1gbit', 125_000_000],
  [' 10 KB ', 10_000],
])('%s is a size', (text, bytes) => {
  expect(parseBytes(text, '--limit')).toBe(bytes);
});

test.each(['50MiB', '50MiB/s', '50MiBps', ' 50M/s '])('%s is a rate', (text) => {
  expect(parseRate(text, '--limit')).toBe(50 * MiB);
});

test.each([
  '',
  '0',
  '-1',
  '0.5',
  '1e9',
  'MiB',
  '8 MiB 2',
  '8XiB',
  '0x10',
  '1,5GiB',
  'NaN',
  'Infinity',
  '9007199254740993',
  '9PiB/h',
  '99999PiB',
  '8MiBB',
  'constructor',
])('%j is refused, and the error says what a size looks like', (text) => {
  const refusal = (() => {
    try {
      return parseBytes(text, '--chunk-size');
    } catch (thrown) {
      return thrown;
    }
  })();
  expect(refusal).toBeInstanceOf(TransferError);
  expect(refusal).toMatchObject({ code: 'E_USAGE', exitCode: 2 });
  expect((refusal as TransferError).message).toContain('--chunk-size');
  expect((refusal as TransferError).detail.hint).toContain('8MiB');
});

test.each([
  [0, '0 B'],
  [1023, '1023 B'],
  [1024, '1.00 KiB'],
  [10 * KiB, '10.0 KiB'],
  [1023 * KiB, '1023 KiB'],
  [1024 * KiB - 1, '1.00 MiB'],
  [1.5 * GiB, '1.50 GiB'],
  [5 * TiB, '5.00 TiB'],
])('%i bytes are written as %s', (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});

test('what is written for people reads as the same size, to half a percent', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2 ** 52 }), (bytes) => {
      const read = parseBytes(formatBytes(bytes), 'size');
      expect(Math.abs(read - bytes)).toBeLessThanOrEqual(Math.max(1, bytes * 0.005));
    }),
  );
});

test.each([
  [0, '0.0 s'],
  [9940, '9.9 s'],
  [9960, '10 s'],
  [59_400, '59 s'],
  [59_600, '1 min 00 s'],
  [200_000, '3 min 20 s'],
  [7_500_000, '2 h 05 min'],
  [273_600_000, '3 d 4 h'],
  [-5, '0.0 s'],
])('%i ms are written as %s', (ms, text) => {
  expect(formatDuration(ms)).toBe(text);
});

test.each([
  ['500ms', 500],
  ['30s', 30_000],
  ['1.5 h', 5_400_000],
  ['15min', 900_000],
  ['15m', 900_000],
  ['90d', 90 * 86_400_000],
  [' 2w ', 14 * 86_400_000],
])('%s is a time', (text, ms) => {
  expect(parseDuration(text, '--for')).toBe(ms);
});

test.each(['', '30', '0s', '-1s', '1 month', 's', '1e3s', '0.1ms', '999999999999w'])('%j is no time', (text) => {
  expect(() => parseDuration(text, '--for')).toThrow(TransferError);
});
