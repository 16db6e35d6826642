/** The rank-sum test, beside a plain count of all ways to deal the runs out. */
import { expect, test } from 'vitest';
import { rankSumProbability } from '../../../bench/rank-test.js';
import { Seeded } from '../../support/seeded.js';

test('two groups that do not overlap are as unlikely as the two ways to sort them so', () => {
  expect(rankSumProbability([1, 2, 3], [4, 5, 6])).toBeCloseTo(2 / 20, 12);
  const nine = Array.from({ length: 9 }, (_, at) => at);
  expect(
    rankSumProbability(
      nine,
      nine.map((value) => value + 9),
    ),
  ).toBeCloseTo(2 / 48_620, 12);
});

test('groups of equal values, and a group of nothing, are no evidence', () => {
  expect(rankSumProbability([5, 5, 5, 5], [5, 5, 5])).toBe(1);
  expect(rankSumProbability([], [1, 2])).toBe(1);
  expect(rankSumProbability([1, 4], [2, 3])).toBe(1);
});

test('it is the same both ways round, and one slow run changes it little', () => {
  const [one, other] = [
    [1.0, 1.1, 1.2, 1.3, 1.05],
    [1.15, 1.25, 1.35, 1.4, 1.45],
  ];
  const plain = rankSumProbability(one, other);
  expect(rankSumProbability(other, one)).toBeCloseTo(plain, 12);
  expect(rankSumProbability(one, [...other.slice(0, 4), 100])).toBeCloseTo(plain, 12);
});

/** Every way to take `size` of the values, by brute force. */
function plainProbability(one: readonly number[], other: readonly number[]): number {
  const all = [...one, ...other];
  const rank = (value: number): number =>
    all.filter((x) => x < value).length + (all.filter((x) => x === value).length + 1) / 2;
  const ranks = all.map(rank);
  const mean = (one.length * (all.length + 1)) / 2;
  const far = (picked: readonly number[]): number =>
    Math.abs(picked.reduce((sum, at) => sum + (ranks[at] as number), 0) - mean);
  const subsets = Array.from({ length: 2 ** all.length }, (_, bits) =>
    all.flatMap((_, at) => ((bits >> at) & 1 ? [at] : [])),
  ).filter((picked) => picked.length === one.length);
  const distance = far(one.map((_, at) => at));
  return subsets.filter((picked) => far(picked) >= distance).length / subsets.length;
}

test('it counts what a plain count counts, with ties and with groups of different sizes', () => {
  const seeded = new Seeded(7);
  for (let round = 0; round < 40; round++) {
    const group = (): number[] => Array.from({ length: seeded.int(1, 5) }, () => seeded.int(1, 6));
    const [one, other] = [group(), group()];
    expect(rankSumProbability(one, other), JSON.stringify([one, other])).toBeCloseTo(plainProbability(one, other), 12);
  }
});
