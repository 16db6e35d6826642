import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, openSync, rmSync, statfsSync, truncateSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { KiB, MiB, TiB } from '../../src/core/units.js';
import { status } from '../../src/index.js';
import {
  copyNow,
  disturbedCopy,
  expectClear,
  expectDone,
  expectPartialOnly,
  failureOf,
  leftIn,
  pairIn,
  partialCopy,
  scratchFolder,
  targetIn,
} from '../support/copying.js';
import { mounted } from '../support/mounts.js';

/** Takes all of the space but `spareBytes`, and answers the file that has it. */
function fill(folder: string, spareBytes = 0): string {
  const path = join(folder, 'neighbour');
  const fd = openSync(path, 'a');
  const free = (): number => Number(statfsSync(folder).bavail * statfsSync(folder).bsize);
  try {
    for (let length = MiB; length >= 4 * KiB; ) {
      const room = free() - spareBytes;
      if (room < length) length /= 2;
      else writeSync(fd, Buffer.alloc(length, 1));
    }
  } catch (thrown) {
    expect(thrown).toMatchObject({ code: 'ENOSPC' });
  } finally {
    closeSync(fd);
  }
  return path;
}

test('a copy that cannot fit is refused before it begins, and says how much is missing', async (context) => {
  const { folder } = await mounted(context, 'tmpfs', 8);
  const pair = pairIn(folder, 16 * MiB);
  const error = await failureOf(copyNow(pair));
  expectClear(error, { code: 'E_NO_SPACE', exitCode: 3, names: pair.target, says: /Free some space/ });
  expect(error.message).toMatch(/needs 16\.0 MiB more; 8\.00 MiB are free/);
  expect(leftIn(folder)).toEqual([]);
});

test('what a partial copy holds already counts as space that it has', async (context) => {
  const { folder } = await mounted(context, 'tmpfs', 16);
  const pair = pairIn(folder, 12 * MiB);
  await partialCopy(pair, 8 * MiB);
  fill(folder, 5 * MiB);
  const done = await copyNow(pair);
  expect(done.bytesReused).toBeGreaterThanOrEqual(8 * MiB);
  expectDone(pair);
});

test('a partial for which there is no room is refused, kept, and completed once there is', async (context) => {
  const { folder } = await mounted(context, 'tmpfs', 16);
  const pair = pairIn(folder, 12 * MiB);
  await partialCopy(pair, 4 * MiB);
  const neighbour = fill(folder);
  expectClear(await failureOf(copyNow(pair)), {
    code: 'E_NO_SPACE',
    exitCode: 3,
    names: pair.target,
    says: /Nothing was lost/,
  });
  expectPartialOnly(pair);
  rmSync(neighbour);
  expect((await copyNow(pair)).bytesReused).toBeGreaterThanOrEqual(4 * MiB);
  expectDone(pair);
});

test.for(['tmpfs', 'ext4', 'xfs', 'btrfs'] as const)(
  'a %s that fills up in the middle keeps what was copied, and the same command goes on once space is freed',
  async (kind, context) => {
    // A btrfs writes each rewritten byte to a new place, so it needs more room than the image to go on.
    const { folder } = await mounted(context, kind, kind === 'btrfs' ? 300 : 40);
    const pair = pairIn(folder, 24 * MiB);
    let neighbour = '';
    const ended = await disturbedCopy(
      pair,
      () => {
        neighbour = fill(folder);
      },
      { atBytes: 6 * MiB, rate: 16 * MiB },
    );
    expectClear(ended, { code: 'E_NO_SPACE', exitCode: 3, names: 'target.img', says: /kept/ });
    expectPartialOnly(pair);
    // A full btrfs may refuse even what was set aside for the journal, so only the copy itself is asked of it.
    const recorded = kind === 'btrfs' ? 0 : 5 * MiB;
    if (recorded > 0) expect((await status(pair.target)).partial).toMatchObject({ stopped: { code: 'E_NO_SPACE' } });
    rmSync(neighbour);
    // A btrfs counts the space of a removed file as free only after its next commit.
    execFileSync('sync', ['-f', folder]);
    const done = await copyNow(pair);
    expect(done.bytesReused).toBeGreaterThanOrEqual(recorded);
    expect(done.bytesReused + done.bytesCopied).toBe(24 * MiB);
    expectDone(pair);
  },
);

test('a full disk loses no finished chunk, however long the journal has become', async (context) => {
  const { folder } = await mounted(context, 'tmpfs', 24);
  const pair = pairIn(folder, 12 * MiB);
  const small = { ...pair, chunkBytes: 8 * KiB };
  let neighbour = '';
  const ended = await disturbedCopy(
    small,
    () => {
      neighbour = fill(folder);
    },
    { atBytes: 6 * MiB, rate: 16 * MiB },
  );
  expect(ended).toMatchObject({ code: 'E_NO_SPACE' });
  rmSync(neighbour);
  const done = await copyNow(small);
  expect(done.bytesReused).toBeGreaterThanOrEqual(5 * MiB);
  expectDone(pair);
});

test('a file that the file system cannot hold is refused by name, and nothing is left', async (context) => {
  // With blocks of 1 KiB, which is what so small an ext4 gets, a file ends at 4 TiB.
  const { folder } = await mounted(context, 'ext4', 32);
  const source = join(scratchFolder(), 'large.img');
  closeSync(openSync(source, 'w'));
  truncateSync(source, 5 * TiB);
  const { target } = targetIn(folder);
  const error = await failureOf(copyNow({ source, target, chunkBytes: 8 * MiB }));
  expectClear(error, { code: 'E_TOO_LARGE', exitCode: 3, names: 'target.img', says: /file system/ });
  expect(leftIn(folder)).toEqual([]);
  expect(existsSync(target)).toBe(false);
});
