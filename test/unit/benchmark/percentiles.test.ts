import { expect, test } from 'vitest';
import { percentiles } from '../../../src/benchmark/percentiles.js';

const upTo = (count: number): Float64Array => Float64Array.from({ length: count }, (_, at) => count - at);

test('a percentile is a value that was measured: the one at its rank', () => {
  expect(percentiles([upTo(1000)])).toEqual({ count: 1000, p50: 500, p90: 900, p99: 990, p999: 999, max: 1000 });
});

test('the values of all threads are one set, told in the unit that is asked for', () => {
  const [one, other] = [Float64Array.of(3e6, 1e6), Float64Array.of(2e6)];
  expect(percentiles([one, other], 1e6)).toMatchObject({ count: 3, p50: 2, max: 3 });
});

test('one value is every percentile, and no value has none', () => {
  expect(percentiles([Float64Array.of(7)])).toEqual({ count: 1, p50: 7, p90: 7, p99: 7, p999: 7, max: 7 });
  expect(percentiles([new Float64Array()])).toBeUndefined();
});
