import { expect, test } from 'vitest';
import { chartSvg, linearAxis, logAxis, type Panel } from '../../../src/cli/render/chart-svg.js';
import { GiB, MiB } from '../../../src/core/units.js';

const lines = (values: readonly (number | undefined)[], scale: 'linear' | 'log' = 'linear'): Panel => ({
  ...{ kind: 'lines', title: 'Lines', across: 'threads', labels: values.map((_, at) => `${at}`), scale },
  series: [{ name: 'one', values }],
  format: String,
});

const svgOf = (...panels: readonly Panel[]): string => chartSvg({ title: 'A chart', about: [], panels });

test('names cannot break the drawing: what XML reserves is written as text', () => {
  const svg = chartSvg({ title: '<b> & "c"', about: ['a\u0007\ud800b'], panels: [] });
  expect(svg).toContain('&#60;b&#62; &#38; &#34;c&#34;');
  expect(svg).toContain('a??b');
  expect(svg).not.toContain('<b>');
});

test('each line has a mark of its own, and a missing value is a gap in the marks', () => {
  const svg = svgOf(lines([1, undefined, 3]));
  // Two values, and the one in the legend.
  expect(svg.match(/<circle /g)).toHaveLength(3);
});

test('a panel without values, or with zeroes only, is drawn without a broken number', () => {
  const empty: Panel = { kind: 'bars', title: 'Bars', bars: [{ name: 'none', value: 0 }], format: String };
  const svg = svgOf(lines([]), lines([0, 0]), lines([undefined], 'log'), lines([0], 'log'), empty);
  expect(svg).not.toMatch(/NaN|Infinity|undefined/);
});

test('a linear axis begins at 0 and ends above the largest value, in few steps', () => {
  for (const most of [3, 900 * MiB, 1.1 * GiB, 2.75 * GiB, 17 * GiB]) {
    const { ticks, at } = linearAxis([most / 3, most]);
    expect(ticks[0]).toBe(0);
    expect(ticks.at(-1)).toBeGreaterThanOrEqual(most);
    expect(ticks.length).toBeLessThanOrEqual(7);
    expect(at(most)).toBeGreaterThan(0.6);
    expect(at(most)).toBeLessThanOrEqual(1);
  }
});

test('a logarithmic axis has whole powers of ten around all values', () => {
  const { ticks, at } = logAxis([0.059, 19]);
  expect(ticks).toEqual([0.01, 0.1, 1, 10, 100]);
  expect(at(1)).toBeCloseTo(0.5);
});
