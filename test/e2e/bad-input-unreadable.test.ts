import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { copy, status, TransferError, verify } from '../../src/index.js';
import { badDiskPossible, makeDisk } from '../support/bad-disk.js';
import {
  CHUNK,
  copyNow,
  expectClear,
  expectDone,
  expectPartialOnly,
  failureOf,
  makeFile,
  scratchFolder,
  targetIn,
} from '../support/copying.js';

const SIZE = 16 * MiB;
/** In chunk 40, not at its beginning. */
const BAD = 40 * CHUNK + 5 * 4096;

test('a sector that cannot be read is named with chunk and byte; then only the rest is copied', async (context) => {
  context.skip(!badDiskPossible(), 'needs FUSE, qemu-storage-daemon and loop mounts');
  const disk = await makeDisk(scratchFolder(), 64);
  onTestFinished(() => disk.close());
  const source = makeFile(join(disk.folder, 'source.img'), SIZE) as string;
  await disk.spoil(source, BAD);
  const pair = { source, ...targetIn(scratchFolder()) };

  const run = copy({ ...pair, chunkBytes: CHUNK, workers: 2 });
  const retries: (number | undefined)[] = [];
  for await (const event of run) if (event.type === 'retry') retries.push(event.chunk);
  const error = await failureOf(run.result);
  expectClear(error, { code: 'E_SOURCE_READ', exitCode: 3, names: source, says: /kept/ });
  expect(error.message).toContain(`byte ${BAD}`);
  expect(error.detail).toMatchObject({ chunk: 40, offset: BAD });
  expect(new Set(retries)).toEqual(new Set([40]));
  expectPartialOnly(pair);
  expect((await status(pair.target)).partial).toMatchObject({ stopped: { code: 'E_SOURCE_READ' } });

  const again = await failureOf(copyNow(pair));
  expect(again).toMatchObject({ code: 'E_SOURCE_READ', detail: { chunk: 40, offset: BAD } });

  const { partial } = await status(pair.target);
  await disk.heal();
  const done = await copyNow(pair);
  expect(done.bytesReused).toBe(partial?.bytesClaimed);
  expect(done.bytesReused).toBeGreaterThanOrEqual(39 * CHUNK);
  expectDone(pair);
});

test('a comparison that meets an unreadable sector is an error, and no answer', async (context) => {
  context.skip(!badDiskPossible(), 'needs FUSE, qemu-storage-daemon and loop mounts');
  const disk = await makeDisk(scratchFolder(), 64);
  onTestFinished(() => disk.close());
  const source = makeFile(join(disk.folder, 'source.img'), SIZE) as string;
  const target = makeFile(join(scratchFolder(), 'target.img'), SIZE) as string;
  await disk.spoil(source, BAD);
  const error = await failureOf(verify({ source, target }).result);
  expect(error).toBeInstanceOf(TransferError);
  expectClear(error, { code: 'E_SOURCE_READ', exitCode: 3, names: source });
  expect(error.message).toContain(`byte ${BAD}`);
  await disk.heal();
  expect(await verify({ source, target }).result).toMatchObject({ same: true });
});
