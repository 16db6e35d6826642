/** How the bench judges what it measured. */
import { expect, test } from 'vitest';
import { median, ratioFinding, valueFinding, windowRates, worstFinding } from '../../../bench/statistics.js';

const bound = { kind: 'at most', value: 1.05, aim: 0.85 } as const;

test('the median of an even number of runs is between the two in the middle', () => {
  expect(median([9, 1, 3])).toBe(3);
  expect(median([1, 2, 10, 4])).toBe(3);
});

test('a ratio is told by the median of its pairs and by the best runs, which need not be of one pair', () => {
  const found = ratioFinding('ours / theirs', [2, 1, 3], [1, 2, 2], bound);
  expect(found).toMatchObject({ runs: 3, median: 1.5, min: 0.5, max: 2, best: 1, verdict: 'only the best' });
});

test('a ratio meets its target only when the median and the best runs do', () => {
  const verdict = (top: number[], bottom: number[]): string => ratioFinding('', top, bottom, bound).verdict;
  expect(verdict([1, 1, 1], [1, 1, 1])).toBe('ok');
  expect(verdict([0.8, 0.8, 0.8], [1, 1, 1])).toBe('ok, aim met');
  expect(verdict([2, 2, 2], [1, 1, 1])).toBe('missed');
  expect(verdict([1, 1, 1], [1, 1, 0.5])).toBe('only the median');
});

test('a program that must take at least so much longer than ours misses its target when it is too fast', () => {
  const slower = { kind: 'at least', value: 3, aim: 4 } as const;
  expect(ratioFinding('', [3.5, 3.5], [1, 1], slower).verdict).toBe('ok');
  expect(ratioFinding('', [2.9, 2.9], [1, 1], slower).verdict).toBe('missed');
  expect(ratioFinding('', [4, 4], [1, 1], slower).verdict).toBe('ok, aim met');
});

test('a memory bound is missed when one run in many is above it', () => {
  const memory = { kind: 'at most', value: 200 } as const;
  expect(worstFinding('', 'MiB', [90, 90, 201], memory)).toMatchObject({ median: 90, max: 201, verdict: 'missed' });
  expect(worstFinding('', 'MiB', [90, 90, 200], memory).verdict).toBe('ok');
});

test('a number without a target is stated', () => {
  expect(valueFinding('', 's', [2, 1])).toMatchObject({ median: 1.5, best: 1, verdict: 'stated' });
});

test('a limit is watched in every window, so that a burst is seen although the whole copy was slow enough', () => {
  // 100 bytes a second, but for one second in which 600 bytes went through and four in which nothing did.
  const bytes = [0, 100, 200, 300, 900, 900, 900, 900, 900, 1000, 1100];
  const samples = bytes.map((value, second) => ({ atMs: second * 1000, bytes: value }));
  expect(windowRates(samples, 10_000)).toEqual({ slowest: 110, fastest: 110 });
  expect(windowRates(samples, 4000)).toEqual({ slowest: 0, fastest: 225 });
  expect(windowRates(samples, 11_000)).toBeUndefined();
});
