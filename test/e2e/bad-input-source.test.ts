import { execFileSync } from 'node:child_process';
import { appendFileSync, chmodSync, existsSync, renameSync, rmSync, statSync, truncateSync, utimesSync } from 'node:fs';
import { expect, test } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { status } from '../../src/index.js';
import { type FileLayer, realFiles } from '../../src/platform/file-layer.js';
import {
  bytesOf,
  CHUNK,
  copyNow,
  disturbedCopy,
  expectClear,
  expectDone,
  expectPartialOnly,
  failureOf,
  leftIn,
  makeFile,
  type Pair,
  pairIn,
  partialCopy,
  patch,
  scratchFolder,
  targetIn,
} from '../support/copying.js';
import { inlineTransfer } from '../support/inline-copy.js';

const SIZE = 8 * MiB;

const CHANGES: readonly { readonly how: string; readonly change: (pair: Pair) => void }[] = [
  {
    how: 'is rewritten in a part that is copied already',
    change: ({ source }) => patch(source, 100, Buffer.from('new')),
  },
  {
    how: 'is rewritten in a part that is not copied yet',
    change: ({ source }) => patch(source, SIZE - 100, Buffer.from('new')),
  },
  { how: 'gets another modification time', change: ({ source }) => utimesSync(source, 1, 1) },
  { how: 'is truncated', change: ({ source }) => truncateSync(source, SIZE - 5) },
  { how: 'is truncated to nothing', change: ({ source }) => truncateSync(source, 0) },
  { how: 'grows', change: ({ source }) => appendFileSync(source, 'more') },
  {
    how: 'is replaced by another file',
    change: ({ source }) => {
      makeFile(`${source}.new`, SIZE, 'other');
      renameSync(`${source}.new`, source);
    },
  },
];

test.for(CHANGES)(
  'a source that $how during the copy is never spliced, and --discard is the way out',
  async ({ change }) => {
    const pair = pairIn(scratchFolder(), SIZE);
    const ended = await disturbedCopy(pair, () => change(pair));
    expectClear(ended, { code: 'E_SOURCE_CHANGED', exitCode: 3, names: pair.source, says: /--discard/ });
    expectPartialOnly(pair);
    const again = await failureOf(copyNow(pair));
    expectClear(again, { code: 'E_PART_OTHER_SOURCE', exitCode: 2, names: pair.target, says: /--discard/ });
    expectPartialOnly(pair);
    const done = await copyNow({ ...pair, discard: true });
    expect(done).toMatchObject({ bytesReused: 0, bytesTotal: statSync(pair.source).size });
    expectDone(pair);
  },
);

test('a source that is removed during the copy is an error; put back, the copy goes on', async () => {
  const pair = pairIn(scratchFolder(), SIZE);
  const ended = await disturbedCopy(pair, () => renameSync(pair.source, `${pair.source}.away`));
  expectClear(ended, { code: 'E_SOURCE_CHANGED', exitCode: 3, names: pair.source });
  expectClear(await failureOf(copyNow(pair)), { code: 'E_SOURCE_MISSING', exitCode: 2, names: pair.source });
  expectPartialOnly(pair);
  renameSync(`${pair.source}.away`, pair.source);
  expect(await copyNow(pair)).toMatchObject({ bytesReused: SIZE, bytesCopied: 0 });
  expectDone(pair);
});

test('a source that was rewritten since and has its old modification time again is read again', async () => {
  const pair = pairIn(scratchFolder(), SIZE);
  await partialCopy(pair);
  const { mtimeNs } = statSync(pair.source, { bigint: true });
  patch(pair.source, 100, Buffer.from('new'));
  execFileSync('touch', [
    '-d',
    `@${mtimeNs / 1_000_000_000n}.${String(mtimeNs % 1_000_000_000n).padStart(9, '0')}`,
    pair.source,
  ]);
  expect(statSync(pair.source, { bigint: true })).toMatchObject({ mtimeNs });
  expect(await copyNow(pair)).toMatchObject({ bytesMismatched: CHUNK });
  expectDone(pair);
});

test('other permissions between two runs cost one more look at the source, and nothing is copied again', async () => {
  const pair = pairIn(scratchFolder(), SIZE);
  await partialCopy(pair);
  chmodSync(pair.source, 0o640);
  const { bytesMismatched, bytesReused } = await copyNow(pair);
  expect(bytesMismatched).toBe(0);
  expect(bytesReused).toBeGreaterThan(0);
  expectDone(pair);
});

test.skipIf(!existsSync('/proc/self/maps'))(
  'a file that calls itself empty and has bytes is refused, not copied as empty',
  async () => {
    const { target, folder } = targetIn(scratchFolder());
    const error = await failureOf(copyNow({ source: '/proc/self/maps', target }));
    expectClear(error, { code: 'E_SOURCE_KIND', exitCode: 2, names: '/proc/self/maps' });
    expect(leftIn(folder)).toEqual([]);
  },
);

test('a source that is rewritten during the copy and gets its time back is never spliced', async () => {
  const pair = pairIn(scratchFolder(), SIZE);
  const before = statSync(pair.source);
  // What stat gives is rounded: whole seconds are put back exactly.
  utimesSync(pair.source, before.atime, Math.floor(before.mtimeMs / 1000));
  const { atime, mtime } = statSync(pair.source);
  const ended = await disturbedCopy(pair, () => {
    patch(pair.source, 100, Buffer.from('new'));
    utimesSync(pair.source, atime, mtime);
  });
  expectClear(ended, { code: 'E_SOURCE_CHANGED', exitCode: 3, names: pair.source, says: /proves it/ });
  expectPartialOnly(pair);
  const { bytesMismatched } = await copyNow(pair);
  expect(bytesMismatched).toBe(CHUNK);
  expectDone(pair);
});

test('other permissions make no other source', async () => {
  const pair = pairIn(scratchFolder(), SIZE);
  const ended = await disturbedCopy(pair, () => chmodSync(pair.source, 0o640));
  expect(ended).toMatchObject({ bytesTotal: SIZE });
  expectDone(pair);
});

test('a partial copy of one source refuses another of the same size and keeps to the first', async () => {
  const pair = pairIn(scratchFolder(), SIZE);
  await partialCopy(pair);
  const other = pairIn(pair.folder, SIZE, 'other');
  const error = await failureOf(copyNow(other));
  expectClear(error, { code: 'E_PART_OTHER_SOURCE', exitCode: 2, names: pair.source, says: /--discard/ });
  expect(error.message).toContain(other.source);
  expect((await copyNow(pair)).bytesReused).toBeGreaterThanOrEqual(2 * MiB);
  expectDone(pair);
});

test('a source that changes between two runs is refused, and its bytes stay as they are', async () => {
  const pair = pairIn(scratchFolder(), SIZE);
  await partialCopy(pair);
  patch(pair.source, 5, bytesOf(5, 'new'));
  expectClear(await failureOf(copyNow(pair)), { code: 'E_PART_OTHER_SOURCE', exitCode: 2, names: pair.target });
  rmSync(pair.part);
  rmSync(pair.journal);
  await copyNow(pair);
  expectDone(pair);
});

test('a chunk that was read while the source changed is not put on record', async () => {
  const pair = pairIn(scratchFolder(), SIZE);
  const blockBytes = CHUNK / 8;
  const changesAt = 3 * CHUNK + 4 * blockBytes;
  const readSync = (fd: number, into: Uint8Array, from: number, length: number, at: number): number => {
    // Behind what is read already, so that this chunk is half of the old source, half of the new one.
    if (at === changesAt) patch(pair.source, at + length, Buffer.from('new'));
    return realFiles.readSync(fd, into, from, length, at);
  };
  const files: FileLayer = { ...realFiles, readSync: readSync as FileLayer['readSync'] };
  const ended = await failureOf(inlineTransfer({ ...pair, files, chunkBytes: CHUNK, blockBytes, lanes: 1 }).run());
  expectClear(ended, { code: 'E_SOURCE_CHANGED', exitCode: 3, names: pair.source, says: /--discard/ });
  expect(ended.detail.chunk).toBe(3);
  expectPartialOnly(pair);
  expect((await status(pair.target)).partial).toMatchObject({ bytesClaimed: 3 * CHUNK });
});
