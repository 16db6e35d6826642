import { execFileSync } from 'node:child_process';
import { closeSync, ftruncateSync, openSync, statfsSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { KiB, MiB } from '../../src/core/units.js';
import { copy } from '../../src/index.js';
import { nativeAvailable } from '../../src/platform/libc.js';
import {
  bytesOf,
  CHUNK,
  copyNow,
  expectClear,
  expectDone,
  expectSame,
  failureOf,
  leftIn,
  makeFile,
  type Pair,
  pairIn,
  partialCopy,
  scratchFolder,
  targetIn,
} from '../support/copying.js';
import { runCrashChild } from '../support/crash-run.js';
import { type Mount, mountLoop, mountsAvailable } from '../support/mounts.js';

const native = nativeAvailable();
const KINDS = ['btrfs', 'xfs'] as const;

async function mounted(kind: 'btrfs' | 'xfs' | 'ext4', sizeMiB = 0): Promise<Mount> {
  const mount = await mountLoop(kind, sizeMiB);
  onTestFinished(() => mount.unmount());
  return mount;
}

/** A source on the same file system as its target. */
async function pairOn(kind: 'btrfs' | 'xfs' | 'ext4', length: number, sizeMiB = 300): Promise<Pair> {
  const { folder } = await mounted(kind, sizeMiB);
  const source = join(folder, 'source.img');
  makeFile(source, length);
  return { source, ...targetIn(folder) };
}

/** What is left, once everything that was written has its blocks. */
function freeBytes(folder: string): number {
  execFileSync('sync', ['-f', folder]);
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}

/** Whether every extent of the file is shared with another one, as the file system itself says. */
function sharesAll(path: string): boolean {
  const lines = execFileSync('filefrag', ['-v', path], { encoding: 'utf8' }).split('\n');
  const extents = lines.filter((line) => /^\s*\d+:/.test(line));
  return extents.length > 0 && extents.every((line) => /shared/.test(line));
}

for (const kind of KINDS) {
  const possible = native && mountsAvailable(kind);

  test.skipIf(!possible)(`${kind}: a copy shares the blocks of its source, and is proven like any other`, async () => {
    for (const length of [16 * MiB, 3 * CHUNK + 4097, 5 * KiB + 1]) {
      const pair = await pairOn(kind, length);
      for (const reflink of ['auto', 'always'] as const) {
        const result = await copyNow({ ...pair, reflink, overwrite: true });
        expect(result).toMatchObject({ bytesCloned: length, bytesCopied: 0, bytesTotal: length });
        if (length > 64 * KiB) expect(sharesAll(pair.target)).toBe(true);
        expectDone(pair);
      }
    }
  });

  test.skipIf(!possible)(`${kind}: a clone has the same digests as a copy`, async () => {
    const pair = await pairOn(kind, 3 * CHUNK + 4097);
    const cloned = await copyNow(pair);
    const copied = await copyNow({ ...pair, reflink: 'never', overwrite: true });
    expect(copied).toMatchObject({ bytesCloned: 0, root: cloned.root });
    expect(sharesAll(pair.target)).toBe(false);
  });

  test.skipIf(!possible)(`${kind}: a clone keeps the holes of its source, and takes no space`, async () => {
    const pair = await pairOn(kind, 0);
    const fd = openSync(pair.source, 'r+');
    ftruncateSync(fd, 400 * MiB + 123);
    for (let n = 0; n < 5; n++) writeSync(fd, bytesOf(32 * MiB - 12_288, `${n}`), 0, 32 * MiB - 12_288, n * 80 * MiB);
    closeSync(fd);
    const before = freeBytes(pair.folder);
    for (const [name, reflink] of [
      ['one', 'always'],
      ['two', 'auto'],
    ] as const) {
      const target = targetIn(pair.folder, name);
      const { bytesCloned } = await copyNow({ ...pair, ...target, reflink, chunkBytes: 8 * MiB });
      expect(bytesCloned).toBeGreaterThanOrEqual(5 * (32 * MiB - 12_288));
      expectSame(pair.source, target.target);
    }
    expect(before - freeBytes(pair.folder)).toBeLessThan(16 * MiB);
    // The same without sharing does not fit, and is refused before it begins.
    const refused = copyNow({ ...pair, ...targetIn(pair.folder, 'three'), reflink: 'never', chunkBytes: 8 * MiB });
    expect(await failureOf(refused)).toMatchObject({ code: 'E_NO_SPACE' });
  });

  test.skipIf(!possible)(`${kind}: a clone that was killed or suspended goes on where it was`, async () => {
    const pair = await pairOn(kind, 32 * MiB);
    await partialCopy({ ...pair, reflink: 'always' });
    const options = { source: pair.source, target: pair.target, chunkBytes: CHUNK, reflink: 'always' as const };
    for (const nth of [10, 20]) {
      const kill = { at: 'file-call', call: 'cloneRange', nth, when: 'after' } as const;
      expect((await runCrashChild(options, kill)).killed).toBe(true);
    }
    const result = await copyNow(options);
    expect(result.bytesReused).toBeGreaterThanOrEqual(2 * MiB);
    expect(result.bytesReused + result.bytesCloned).toBe(32 * MiB);
    expect(sharesAll(pair.target)).toBe(true);
    expectDone(pair);
  });

  test.skipIf(!possible)(
    `${kind}: what an interrupted copy had written is gone on with by sharing the rest`,
    async () => {
      const pair = await pairOn(kind, 32 * MiB);
      await partialCopy({ ...pair, reflink: 'never' });
      const { bytesReused, bytesCloned } = await copyNow({ ...pair, reflink: 'always' });
      expect([bytesReused > 0, bytesCloned > 0, bytesReused + bytesCloned]).toEqual([true, true, 32 * MiB]);
      expectDone(pair);
    },
  );
}

test.skipIf(!native || !mountsAvailable('btrfs'))('a clone obeys the limit, since it is read back', async () => {
  const pair = await pairOn('btrfs', 8 * MiB);
  const run = copy({ ...pair, reflink: 'always', chunkBytes: CHUNK, limitBytesPerSecond: 8 * MiB });
  let limitMs = 0;
  for await (const event of run) if (event.type === 'progress') limitMs = event.spent.limitMs;
  const { bytesCloned, elapsedMs } = await run.result;
  expect(bytesCloned).toBe(8 * MiB);
  expect(limitMs).toBeGreaterThan(0);
  // The limit is an upper bound, so the time is a lower one, less the burst that a limit allows.
  expect(elapsedMs).toBeGreaterThan(900);
});

test.skipIf(!native || !mountsAvailable('ext4'))(
  'where blocks cannot be shared, auto copies, and always fails before it changes anything',
  async () => {
    const pair = await pairOn('ext4', MiB);
    expectClear(await failureOf(copyNow({ ...pair, reflink: 'always' })), {
      code: 'E_USAGE',
      exitCode: 2,
      names: 'cannot share blocks between files (ENOTSUP)',
      says: /--reflink auto/,
    });
    expect(leftIn(pair.folder)).toEqual([]);
    expect(await copyNow(pair)).toMatchObject({ bytesCloned: 0, bytesCopied: MiB });
    expectDone(pair);
  },
);

test.skipIf(!native || !mountsAvailable('btrfs'))('blocks are not shared between file systems', async () => {
  const { folder } = await mounted('btrfs');
  const pair = pairIn(folder, MiB);
  expect(await failureOf(copyNow({ ...pair, reflink: 'always' }))).toMatchObject({
    code: 'E_USAGE',
    message: expect.stringContaining('on different file systems (EXDEV)'),
  });
  expect(leftIn(pair.folder)).toEqual([]);
  expect(await copyNow(pair)).toMatchObject({ bytesCloned: 0 });
  expectDone(pair);
});

test.skipIf(!native || !mountsAvailable('btrfs'))(
  'chunks off the block grid of the file system are copied with auto, and refused with always',
  async () => {
    const pair = await pairOn('btrfs', MiB);
    const options = { ...pair, chunkBytes: 100_000 };
    expect(await failureOf(copyNow({ ...options, reflink: 'always' }))).toMatchObject({ code: 'E_USAGE' });
    expect(await copyNow(options)).toMatchObject({ bytesTotal: MiB });
    expectDone(pair);
  },
);

test('without koffi, auto copies and always says what is missing', async () => {
  vi.stubEnv('BLOCKFERRY_NO_NATIVE', '1');
  onTestFinished(() => void vi.unstubAllEnvs());
  const pair = pairIn(scratchFolder(), MiB);
  expect(await failureOf(copyNow({ ...pair, reflink: 'always' }))).toMatchObject({
    code: 'E_USAGE',
    message: expect.stringContaining('koffi'),
  });
  expect(await copyNow(pair)).toMatchObject({ bytesCloned: 0 });
  expectDone(pair);
});

test('a source that is no local file has no blocks to share', async () => {
  const { folder, target } = targetIn(scratchFolder());
  writeFileSync(join(folder, 'keep'), '');
  expect(await failureOf(copyNow({ source: 'zero:1MiB', target, reflink: 'always' }))).toMatchObject({
    code: 'E_USAGE',
    message: expect.stringContaining('no local file'),
  });
  expect(await copyNow({ source: 'zero:1MiB', target })).toMatchObject({ bytesTotal: MiB });
});
