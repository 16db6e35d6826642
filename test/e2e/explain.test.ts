import { expect, test } from 'vitest';
import { MiB } from '../../src/core/units.js';
import type { TransferResult } from '../../src/index.js';
import { blockferry, workFolder } from './command.js';

test('--explain tells behind the result where the time went, and what bounds the copy', async () => {
  const { folder } = await workFolder(40 * MiB);
  const limited = blockferry(folder, 'copy', '--explain', '--limit', '40MiB', '--workers', '2', 'disk.img', 'copy.img');
  const { exitCode, out, err } = await limited.ended;
  expect(exitCode).toBe(0);
  const lines = out.split('\n').slice(0, -1);
  expect(lines.slice(0, 3).join('\n')).toMatch(/is copied to[\s\S]*proven:[\s\S]*root:/);
  expect(lines[3]).toMatch(/^time spent \(lanes: \d+, workers: 2\)$/);
  expect(out).toMatch(/\n {4}the limit +[\d.]+ s +\d\d % {2}#+\n/);
  expect(lines.at(-1)).toBe('  The limit that was set bounds the copy: a higher --limit makes it faster.');
  expect(Math.max(...lines.slice(3).map((line) => line.length))).toBeLessThanOrEqual(80);
  // In a pipe there is neither a bar nor a map.
  expect(err).not.toMatch(/\[#|to do/);
});

test('the result for programs has the same account, which adds up, whether asked for or not', async () => {
  const { folder } = await workFolder(40 * MiB);
  const { out } = await blockferry(folder, 'copy', '--json', '--read-back', 'disk.img', 'copy.img').ended;
  const result = JSON.parse(out.trim().split('\n').at(-1) ?? '') as TransferResult & { type: string };
  expect(result.type).toBe('result');
  const { lanes, copying, readingBack } = result.spent;
  for (const { wallMs, spent } of [copying, readingBack]) {
    const sum = Object.values(spent).reduce((total, ms) => total + ms, 0);
    expect(Math.abs(sum - wallMs * lanes)).toBeLessThanOrEqual(0.02 * wallMs * lanes);
  }
});

test('--quiet keeps the explanation to itself', async () => {
  const { folder } = await workFolder(MiB);
  const quiet = await blockferry(folder, 'copy', '--explain', '--quiet', 'disk.img', 'copy.img').ended;
  expect(quiet).toEqual({ exitCode: 0, out: '', err: '' });
});

test('--explain is refused where it would say nothing: a tree has no single bound', async () => {
  const { folder } = await workFolder(10);
  const { exitCode, err } = await blockferry(folder, 'copy', '-r', '--explain', '.', 'copy').ended;
  expect(exitCode).toBe(2);
  expect(err).toContain('--explain is for the copy of a single file');
});
