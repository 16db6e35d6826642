/**
 * The rank-sum test of Mann and Whitney ("On a test of whether one of two random variables is stochastically larger
 * than the other", 1947), exact and with ties: how often chance alone would sort two groups of runs as far apart as
 * they are. It looks at the order of the runs only, so one slow run among nine moves it little, and no shape of the
 * noise is assumed.
 */

/**
 * The two-sided probability, from 0 to 1, that groups of one origin differ at least so much; 1 when one is empty.
 * Exact: every way to deal all runs out to two groups of these sizes is counted.
 */
export function rankSumProbability(one: readonly number[], other: readonly number[]): number {
  const ranks = doubledRanks([...one, ...other]);
  const sum = ranks.slice(0, one.length).reduce((total, rank) => total + rank, 0);
  // The mean of the sum over all deals, doubled as the ranks are.
  const mean = one.length * (one.length + other.length + 1);
  const distance = Math.abs(sum - mean);
  const ways = waysBySum(ranks, one.length);
  const all = ways.reduce((total, count) => total + count, 0);
  const asFar = ways.reduce((total, count, at) => total + (Math.abs(at - mean) >= distance ? count : 0), 0);
  return asFar / all;
}

/** Ranks from 1 in the order of the values, times two, so that the mean rank of equals is a whole number. */
function doubledRanks(values: readonly number[]): readonly number[] {
  return values.map((value) => {
    const below = values.filter((other) => other < value).length;
    const equal = values.filter((other) => other === value).length;
    return 2 * below + equal + 1;
  });
}

/** At index s: in how many ways `count` of the ranks have the sum s. */
function waysBySum(ranks: readonly number[], count: number): readonly number[] {
  const sumMax = ranks.reduce((total, rank) => total + rank, 0);
  const ways = Array.from({ length: count + 1 }, () => new Array<number>(sumMax + 1).fill(0));
  (ways[0] as number[])[0] = 1;
  for (const rank of ranks) {
    // From the largest group down, so that each rank is dealt out once.
    for (let size = count; size >= 1; size--) {
      const [from, to] = [ways[size - 1] as number[], ways[size] as number[]];
      for (let sum = sumMax; sum >= rank; sum--) to[sum] = (to[sum] as number) + (from[sum - rank] as number);
    }
  }
  return ways[count] as number[];
}
