import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { KiB, MiB, TiB } from '../../src/core/units.js';
import { type CopyOptions, copy } from '../../src/index.js';
import { copyNow, expectDone, failureOf, leftIn, pairIn, scratchFolder } from '../support/copying.js';

const NONSENSE: readonly Partial<CopyOptions>[] = [
  { chunkBytes: 0 },
  { chunkBytes: -1 },
  { chunkBytes: 1 },
  { chunkBytes: 4095 },
  { chunkBytes: 1.5 * MiB + 0.5 },
  { chunkBytes: 3 * TiB },
  { chunkBytes: Number.NaN },
  { chunkBytes: Number.POSITIVE_INFINITY },
  { limitBytesPerSecond: Number.NaN },
  { limitBytesPerSecond: -1 },
  { limitBytesPerSecond: 0.5 },
  { limitBytesPerSecond: Number.POSITIVE_INFINITY },
  { limitBytesPerSecond: 2 ** 70 },
  { lanes: 0 },
  { lanes: -3 },
  { lanes: 1.5 },
  { lanes: Number.NaN },
  { workers: 0 },
  { workers: -1 },
  { workers: 0.5 },
  { workers: 1e9 },
  { algorithm: 'md5' as never },
];

const show = (options: Partial<CopyOptions>): string =>
  Object.entries(options)
    .map(([name, value]) => `${name} ${value}`)
    .join();

test.for(NONSENSE.map((options) => [show(options), options] as const))(
  '%s is refused as usage, and nothing is made',
  async ([, options]) => {
    const pair = pairIn(scratchFolder(), 64 * KiB);
    const error = await failureOf(() => copy({ ...pair, ...options }).result);
    expect(error).toMatchObject({ code: 'E_USAGE', exitCode: 2 });
    expect(error.message).toMatch(/\w/);
    expect(readdirSync(pair.folder)).toEqual([]);
    await copyNow(pair);
    expectDone(pair);
  },
);

test('a limit of 0 is no limit, and a limit below one chunk a second still copies', async () => {
  const pair = pairIn(scratchFolder(), 64 * KiB);
  await copyNow({ ...pair, limitBytesPerSecond: 0 });
  expectDone(pair);
  const slow = pairIn(scratchFolder(), 64 * KiB);
  await copyNow({ ...slow, limitBytesPerSecond: 128 * KiB, chunkBytes: 4 * KiB });
  expectDone(slow);
});

test('a nonsense limit during the copy is refused and leaves the copy as it is', async () => {
  const pair = pairIn(scratchFolder(), 2 * MiB);
  const run = copy({ ...pair, limitBytesPerSecond: 2 * MiB, chunkBytes: 256 * KiB });
  for (const nonsense of [Number.NaN, -1, Number.POSITIVE_INFINITY]) {
    expect(await failureOf(run.setLimit(nonsense))).toMatchObject({ code: 'E_USAGE' });
  }
  await run.setLimit(0);
  await run.result;
  expectDone(pair);
});

test('odd chunk sizes copy as well as round ones', async () => {
  for (const chunkBytes of [4096, 5000, 99_991, 1024 * MiB]) {
    const pair = pairIn(scratchFolder(), 300_001);
    expect(await copyNow({ ...pair, chunkBytes, lanes: 64 })).toMatchObject({ chunkBytes, bytesCopied: 300_001 });
    expectDone(pair);
  }
});

test('an unknown scheme is refused by name; a path that looks like one can still be written', async () => {
  const pair = pairIn(scratchFolder(), 10);
  for (const location of ['gopher://host/file', 'smb://server/share/file']) {
    const error = await failureOf(() => copyNow({ ...pair, source: location }));
    expect(error).toMatchObject({ code: 'E_USAGE', exitCode: 2 });
    expect(error.message).toContain(location.slice(0, location.indexOf('/')));
  }
  expect(await failureOf(() => copyNow({ ...pair, target: 'zero:5' }))).toMatchObject({
    code: 'E_USAGE',
  });
  expect(leftIn(pair.folder)).toEqual([]);
});

test('a copy that fails at once ends its threads in peace, however many are still starting', () => {
  const built = new URL('../../dist/src/index.js', import.meta.url).href;
  const program = `
    import { copy } from ${JSON.stringify(built)};
    for (let n = 0; n < 12; n++)
      await copy({ source: '/nothing/here', target: '/nothing/there', workers: 8 }).result.catch((error) => {
        if (error.code !== 'E_SOURCE_MISSING') throw error;
      });
  `;
  const ended = spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' });
  expect({ status: ended.status, signal: ended.signal, stderr: ended.stderr }).toEqual({
    status: 0,
    signal: null,
    stderr: '',
  });
});

test('a process whose copy was refused ends by itself', () => {
  const built = new URL('../../dist/src/index.js', import.meta.url).href;
  const program = `
    import { copy } from ${JSON.stringify(built)};
    const options = { source: '/x', target: '/y', limitBytesPerSecond: NaN };
    try { await copy(options).result; } catch { console.log('refused'); }
  `;
  const out = execFileSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  expect(out).toBe('refused\n');
});
