/** Percentiles by nearest rank: each is a value that was measured. */

export interface Percentiles {
  readonly count: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** Of all values together, divided by `unit`; undefined when there are none. */
export function percentiles(values: readonly Float64Array[], unit = 1): Percentiles | undefined {
  const count = values.reduce((sum, { length }) => sum + length, 0);
  if (count === 0) return undefined;
  const sorted = new Float64Array(count);
  let at = 0;
  for (const some of values) {
    sorted.set(some, at);
    at += some.length;
  }
  sorted.sort();
  const rank = (share: number): number => (sorted[Math.max(0, Math.ceil(share * count) - 1)] as number) / unit;
  return { count, p50: rank(0.5), p90: rank(0.9), p99: rank(0.99), p999: rank(0.999), max: rank(1) };
}
