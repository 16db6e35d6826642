import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { status } from '../../src/index.js';
import { startCopy } from '../support/copy-process.js';
import {
  CHUNK,
  copyNow,
  disturbedCopy,
  expectClear,
  expectDone,
  expectPartialOnly,
  failureOf,
  pairIn,
  scratchFolder,
} from '../support/copying.js';

const SIZE = 24 * MiB;

const WAYS = [
  ['flock', '0'],
  ['a socket, without koffi', '1'],
] as const;

test.for(WAYS)(
  'a second process is kept out of a target by %s, told by whom, and let in after kill -9',
  async ([, off]) => {
    const pair = pairIn(scratchFolder(), SIZE);
    const env = { BLOCKFERRY_NO_NATIVE: off };
    const first = startCopy({ ...pair, chunkBytes: CHUNK, limitBytesPerSecond: 4 * MiB }, { env });
    await first.reached(2 * MiB);
    for (const options of [{}, { overwrite: true }, { discard: true }]) {
      const second = await startCopy({ ...pair, ...options }, { env }).ended;
      expect(second).toMatchObject({ exitCode: 2, error: { code: 'E_LOCKED' } });
      expect(second.error?.message).toContain(`process ${first.child.pid}`);
      expect(second.error?.hint).toMatch(/kept/);
    }
    expect((await status(pair.target)).partial).toMatchObject({
      bytesTotal: SIZE,
      lastOpened: { pid: first.child.pid },
    });
    // Two seconds of work are on record by now, or soon: then it is killed.
    await first.reached(11 * MiB);
    await first.kill();
    expectPartialOnly(pair);
    const third = await startCopy({ ...pair, chunkBytes: CHUNK }, { env }).ended;
    expect(third.exitCode).toBe(0);
    expect(third.result?.bytesReused).toBeGreaterThanOrEqual(4 * MiB);
    expectDone(pair);
  },
);

test('a copy in the same process is kept out too, and the first one ends well', async () => {
  const pair = pairIn(scratchFolder(), SIZE);
  const ended = await disturbedCopy(pair, async () => {
    const error = await failureOf(copyNow(pair));
    expectClear(error, {
      code: 'E_LOCKED',
      exitCode: 2,
      names: `process ${process.pid}`,
      says: /Wait for it or stop it/,
    });
  });
  expect(ended).toMatchObject({ bytesCopied: SIZE });
  expectDone(pair);
});

test('a process that ends on purpose lets the next one in at once', async () => {
  const pair = pairIn(scratchFolder(), SIZE);
  await disturbedCopy(pair, (run) => run.suspend());
  expect(existsSync(pair.target)).toBe(false);
  expect((await copyNow(pair)).bytesReused).toBeGreaterThanOrEqual(2 * MiB);
  expectDone(pair);
});
