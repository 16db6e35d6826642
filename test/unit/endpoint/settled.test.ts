import { expect, test } from 'vitest';
import { unsettledMs } from '../../../src/endpoint/settled.js';

const at = (ms: number, ns = 0): { mtimeNs: bigint } => ({ mtimeNs: BigInt(ms) * 1_000_000n + BigInt(ns) });

test('a file with a whole second as its time is left alone for two: its file system may keep no finer ones', () => {
  expect(unsettledMs(at(5_000), 5_000)).toBe(2000);
  expect(unsettledMs(at(5_000), 6_500)).toBe(500);
  expect(unsettledMs(at(5_000), 7_000)).toBe(0);
});

test('a file with a finer time is left alone for a tick of the clock', () => {
  expect(unsettledMs(at(5_000, 1), 5_005)).toBe(15);
  expect(unsettledMs(at(5_000, 1), 5_020)).toBe(0);
});

test('a time that lies a little ahead is one of another clock, and a time far ahead is nobody’s now', () => {
  expect(unsettledMs(at(6_000), 5_000)).toBe(3000);
  expect(unsettledMs(at(60_000), 5_000)).toBe(0);
});
