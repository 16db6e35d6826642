import { expect, test } from 'vitest';
import { benchChart } from '../../../src/cli/render/bench-chart.js';
import { benchLines, copyCommandLine, progressText, shortTime } from '../../../src/cli/render/bench-table.js';
import { MiB } from '../../../src/core/units.js';
import { coldRead, fetchOf, measured, sampleReport } from '../benchmark/report-samples.js';

test('the table of two folders ends with the settings to paste', async () => {
  const lines = benchLines(sampleReport(), ['/vms', '/backup']);
  await expect(`${lines.join('\n')}\n`).toMatchFileSnapshot('golden/bench-table.txt');
  expect(lines.at(-1)).toBe('  blockferry copy --workers 2 --lanes 4 /vms/FILE /backup/');
});

test('no line of the table is longer than 80 columns', () => {
  const lines = benchLines(sampleReport(), ['/vms', '/backup']);
  expect(lines.filter((line) => line.length > 80)).toEqual([]);
});

test('the chart of the same result is what it was', async () => {
  await expect(benchChart(sampleReport())).toMatchFileSnapshot('golden/bench-chart.svg');
});

const settings = { workers: 2, lanes: 4, chunkBytes: 8 * MiB };
const end = (kind: 'folder' | 'file' | 'stream', name: string) => ({ kind, name, bytes: MiB });

test.each([
  ['a folder alone', { source: end('folder', '/a'), target: end('folder', '/a') }, ['/a'], 'FILE /a/'],
  ['a file alone', { source: end('file', 'my disk') }, ['my disk'], "'my disk' TARGET"],
  ['a name like an option', { source: end('file', '-x') }, ['-x'], '-- -x TARGET'],
  [
    'a URL',
    { source: end('stream', 'http://h/x'), target: end('folder', 'b/') },
    ['http://h/x', 'b/'],
    'http://h/x b/',
  ],
  ['a URL with a secret', { source: end('stream', 'http://h/x?k=…') }, ['http://h/x?k=secret'], 'URL TARGET'],
])('the command line for %s can be pasted into a shell', (_what, report, locations, ending) => {
  expect(copyCommandLine(settings, locations, report)).toBe(`blockferry copy --workers 2 --lanes 4 ${ending}`);
});

test('a chunk size is named where it is not the default', () => {
  const report = { source: end('file', 'a') };
  expect(copyCommandLine({ ...settings, chunkBytes: 32 * MiB }, ['a', 'b'], report)).toContain('--chunk-size 32MiB');
});

test('what runs is told in one line', () => {
  const { pattern } = measured('source', coldRead, 4, 1);
  const now = { end: 'source', pattern, threads: 4 } as const;
  expect(progressText({ done: 6, steps: 30, now })).toBe(' 7/30  read: buffered, cache empty, 1 MiB, 4 threads');
  expect(progressText({ done: 24, steps: 30, now: settings })).toBe('25/30  copy: 2 workers, 4 lanes, 8 MiB chunks');
});

test('a source that is fetched is told by workers and lanes', () => {
  const report = { ...sampleReport(), measurements: [measured('source', fetchOf(4), 2, 100)], copies: [] };
  const text = benchLines(report, ['http://h/x']).join('\n');
  expect(text).toMatch(/chunk +wk x ln .*\n {2}chunks in order +8 MiB +2 x 4 +100 MiB\/s/);
});

test.each([
  [0.0019, '1.9 us'],
  [0.085, '85 us'],
  [0.9996, '1.0 ms'],
  [12.4, '12 ms'],
  [2100, '2.1 s'],
])('%d ms is told as %s', (ms, text) => {
  expect(shortTime(ms)).toBe(text);
});
