/** Copies that make way for others, on real files: they end, byte for byte, and go on where they were stopped. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { goalOf, leaseFor } from '../../src/api/yielding.js';
import { MiB } from '../../src/core/units.js';
import { parseLocation } from '../../src/endpoint/location.js';
import { type CopyOptions, copy, copyTree } from '../../src/index.js';
import { CHUNK, copyNow, failureOf, pairIn, scratchFolder, switchNative } from '../support/copying.js';
import { MAIN, start, workFolder } from './command.js';

const SIZE = 12 * MiB + 4097;
const MANNERS: readonly Pick<CopyOptions, 'yield' | 'protectLatencyMs'>[] = [
  { yield: 'gentle' },
  { yield: 'fair' },
  { yield: 'greedy' },
  { protectLatencyMs: 5 },
];

describe.each(MANNERS)('a copy with %o', (manner) => {
  test('has every byte of its source, and leaves nothing behind', async () => {
    const { source, target } = pairIn(scratchFolder(), SIZE);
    const result = await copyNow({ source, target, reflink: 'never', ...manner });
    expect(result.bytesCopied).toBe(SIZE);
    expect(readFileSync(target).equals(readFileSync(source))).toBe(true);
  });
});

test('a copy that yields is stopped, and the next goes on with what was finished', async () => {
  const { source, target } = pairIn(scratchFolder(), SIZE);
  const options = { source, target, reflink: 'never', yield: 'gentle', chunkBytes: CHUNK, workers: 2 } as const;
  const run = copy({ ...options, limitBytesPerSecond: 8 * MiB });
  for await (const event of run) {
    if (event.type === 'progress' && event.bytesDone > SIZE / 4) void run.suspend();
  }
  expect((await failureOf(run.result)).code).toBe('E_STOPPED');
  const result = await copyNow(options);
  expect(result.bytesReused).toBeGreaterThan(0);
  expect(readFileSync(target).equals(readFileSync(source))).toBe(true);
});

test('without system calls beyond those of Node a copy yields too', async () => {
  switchNative('1');
  const { source, target } = pairIn(scratchFolder(), SIZE);
  await copyNow({ source, target, yield: 'gentle' });
  expect(readFileSync(target).equals(readFileSync(source))).toBe(true);
});

test('a tree that yields arrives whole', async () => {
  const { source, folder } = pairIn(scratchFolder(), SIZE);
  await copyTree({ sources: [source], target: join(folder, 'into'), yield: 'fair' }).result;
  expect(readFileSync(join(folder, 'into', 'source.img')).equals(readFileSync(source))).toBe(true);
});

test('a copy that was asked to make way for nobody is watched by nobody', async () => {
  const ends = { source: parseLocation('/a'), target: parseLocation('/b') };
  expect(await leaseFor(ends, goalOf({}))).toBeUndefined();
});

test('what a copy cannot see of others it says in a note, and of a link nobody sees more', async (context) => {
  context.skip(!existsSync('/dev/shm'), 'needs a file system in memory');
  const ends = { source: parseLocation('/dev/shm/disk.img'), target: parseLocation('https://backup.example/disk.img') };
  const lease = await leaseFor(ends, 'gentle');
  expect(lease?.notes).toHaveLength(1);
  expect(lease?.notes[0]).toContain('what others do at /dev/shm/disk.img cannot be seen');
  expect(lease?.paces).toHaveLength(2);
  lease?.release();
});

describe('on the command line', () => {
  test('a copy yields as it is told to', async () => {
    const { folder, content } = await workFolder(MiB);
    const program = [process.execPath, MAIN, 'copy', '--yield', 'gentle', 'disk.img', 'copy.img'];
    expect(await start(folder, program).ended).toMatchObject({ exitCode: 0 });
    expect(readFileSync(join(folder, 'copy.img')).equals(content)).toBe(true);
  });

  test.each([
    [['--yield', 'polite'], 'gentle, fair, greedy'],
    [['--protect', '5ms'], 'latency=5ms'],
    [['--protect', 'latency=0ms'], '1ms to 10s'],
    [['--protect', 'latency=11s'], '1ms to 10s'],
    [['--protect', 'latency=-5ms'], '1ms to 10s'],
    [['--yield', 'fair', '--protect', 'latency=5ms'], 'one of them was expected'],
  ])('%j is refused, with what was expected', async (flags, expected) => {
    const { folder } = await workFolder(4096);
    const { exitCode, err } = await start(folder, [process.execPath, MAIN, 'copy', ...flags, 'disk.img', 'b']).ended;
    expect(exitCode).toBe(2);
    expect(err).toContain(expected);
  });
});

test.each([
  [{ yield: 'polite' }, 'gentle, fair, greedy'],
  [{ protectLatencyMs: Number.NaN }, '1 to 10000 ms'],
  [{ yield: 'fair', protectLatencyMs: 5 }, 'one of them'],
])('callers without types are refused what cannot be: %o', async (options, expected) => {
  const error = await failureOf(() => copyNow({ source: '/a', target: '/b', ...(options as Partial<CopyOptions>) }));
  expect(error).toMatchObject({ code: 'E_USAGE' });
  expect(error.message).toContain(expected);
});
