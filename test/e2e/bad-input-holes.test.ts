import { execFileSync } from 'node:child_process';
import { closeSync, openSync, statSync, truncateSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { KiB, MiB } from '../../src/core/units.js';
import { copy, verify } from '../../src/index.js';
import { nativeAvailable } from '../../src/platform/libc.js';
import {
  bytesOf,
  CHUNK,
  copyNow,
  expectDone,
  partialCopy,
  patch,
  scratchFolder,
  switchNative,
  targetIn,
} from '../support/copying.js';
import { PLACES, placeFor } from '../support/mounts.js';

const SIZE = 30 * MiB;
const DATA_BYTES = 6 * MiB;

/** Data at the beginning, at odd places and at the end; holes of several chunks and holes within chunks between. */
function makeSparse(path: string): string {
  const fd = openSync(path, 'w');
  const place = (at: number, length: number): void => void writeSync(fd, bytesOf(length, `at ${at}`), 0, length, at);
  place(0, MiB);
  place(10 * MiB + 64 * KiB, 3 * MiB);
  place(20 * MiB + 4 * KiB, 64 * KiB);
  place(25 * MiB, MiB);
  place(SIZE - 100, 100);
  closeSync(fd);
  return path;
}
test('a comparison reads no hole that both files have, and finds what lies in the hole of one', async (context) => {
  if (!nativeAvailable()) context.skip('holes are asked for through koffi');
  const folder = scratchFolder();
  const [one, other] = ['one', 'other'].map((name) => makeSparse(join(folder, name))) as [string, string];
  for (const path of [one, other]) truncateSync(path, 5 * 1024 ** 4);
  const alike = await verify({ target: one, source: other }).result;
  expect(alike).toMatchObject({ same: true, one: { size: 5 * 1024 ** 4 } });
  patch(other, 3 * 1024 ** 4 + 5, Buffer.from('x'));
  truncateSync(other, 4 * 1024 ** 4);
  const { differing } = await verify({ target: one, source: other }).result;
  expect(differing).toEqual([
    { offset: 3 * 1024 ** 4 + 5, length: 1 },
    { offset: 4 * 1024 ** 4, length: 1024 ** 4 },
  ]);
});

test('the root of a comparison is that of the copy, whether holes are read or not', async () => {
  const source = makeSparse(join(scratchFolder(), 'sparse.img'));
  const { target } = targetIn(scratchFolder());
  const { root } = await copy({ source, target }).result;
  const roots = [];
  for (const off of ['0', '1']) {
    switchNative(off);
    roots.push((await verify({ target, source }).result).root);
  }
  expect(roots).toEqual([root, root]);
});

const allocated = (path: string): number => statSync(path).blocks * 512;

test.for(PLACES.flatMap((place) => (['0', '1'] as const).map((off) => [place, off] as const)))(
  'on %s a sparse file keeps its holes (BLOCKFERRY_NO_NATIVE=%s)',
  async ([place, off], context) => {
    switchNative(off);
    const mount = await placeFor(context, place);
    const source = makeSparse(join(scratchFolder(), 'sparse.img'));
    const pair = { source, ...targetIn(mount.folder) };
    const done = await copy({ ...pair, chunkBytes: CHUNK, readBack: true }).result;
    expect(done.bytesTotal).toBe(SIZE);
    expectDone(pair);
    expect(allocated(pair.target)).toBeLessThanOrEqual(DATA_BYTES + MiB);
    expect(allocated(pair.target)).toBeGreaterThanOrEqual(5 * MiB);
  },
);

test.for(['0', '1'])(
  'a sparse copy that is stopped and resumed keeps its holes (BLOCKFERRY_NO_NATIVE=%s)',
  async (off) => {
    const source = makeSparse(join(scratchFolder(), 'sparse.img'));
    const pair = { source, ...targetIn(scratchFolder()) };
    await partialCopy(pair, 28 * MiB);
    switchNative(off);
    await copyNow(pair);
    expectDone(pair);
    if (off === '0') expect(allocated(pair.target)).toBeLessThanOrEqual(DATA_BYTES + MiB);
  },
);

test('bytes that somebody wrote into a hole of the partial are gone from the copy', async () => {
  const source = makeSparse(join(scratchFolder(), 'sparse.img'));
  const pair = { source, ...targetIn(scratchFolder()) };
  await partialCopy(pair, 28 * MiB);
  patch(pair.part, 5 * MiB + 17, Buffer.from('intruder'));
  patch(pair.part, 27 * MiB, Buffer.from('intruder'));
  await copyNow(pair);
  expectDone(pair);
});

test('a file that is one hole takes no space and no time', async () => {
  const source = join(scratchFolder(), 'hole.img');
  closeSync(openSync(source, 'w'));
  truncateSync(source, 3 * 1024 * MiB + 5);
  const pair = { source, ...targetIn(scratchFolder()) };
  const done = await copy(pair).result;
  expect(done).toMatchObject({ bytesTotal: 3 * 1024 * MiB + 5, bytesCopied: 0, bytesZero: 3 * 1024 * MiB + 5 });
  expect(statSync(pair.target).size).toBe(3 * 1024 * MiB + 5);
  expect(allocated(pair.target)).toBeLessThanOrEqual(64 * KiB);
});

test('written zeroes become holes where the source shows none', async () => {
  const source = join(scratchFolder(), 'zeroes.img');
  execFileSync('dd', ['if=/dev/zero', `of=${source}`, 'bs=1M', 'count=16', 'status=none']);
  switchNative('1');
  const pair = { source, ...targetIn(scratchFolder()) };
  await copyNow(pair);
  expectDone(pair);
  expect(allocated(pair.target)).toBeLessThanOrEqual(MiB);
});
