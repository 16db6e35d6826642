import { execFileSync } from 'node:child_process';
import { closeSync, fsyncSync, openSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { systemClock } from '../../src/core/clock.js';
import { KiB, MiB } from '../../src/core/units.js';
import { localScheme } from '../../src/endpoint/local.js';
import { parseLocation } from '../../src/endpoint/location.js';
import { FileJournals } from '../../src/journal/file-journal.js';
import { dropCache } from '../../src/platform/direct-io.js';
import { type FileLayer, realFiles } from '../../src/platform/file-layer.js';
import { libc, nativeAvailable } from '../../src/platform/libc.js';
import { isCached, readUncached } from '../../src/platform/uncached.js';
import { InlineRunner } from '../../src/transfer/inline-runner.js';
import { Performer } from '../../src/transfer/perform.js';
import { Verification } from '../../src/transfer/verify.js';
import { bytesOf, expectSame, makeFile } from '../support/copying.js';
import { inlineTransfer } from '../support/inline-copy.js';
import { openPlace, placeAvailable } from '../support/mounts.js';

const SIZE = 9 * MiB + 4097;
/** No reading ahead. */
const POSIX_FADV_RANDOM = 1;
const PLACES = ['the default file system', 'ext4', 'xfs', 'btrfs'] as const;
const SMALL = (): number => MiB;
const LARGE = (): number => 1024 * MiB;
/** A kernel or a file system that knows no uncached reads and writes. */
const WITHOUT: FileLayer = { ...realFiles, readUncached: () => undefined, writeUncached: () => undefined };

/** Bytes of the file that are in the page cache. */
function cachedBytes(path: string): number {
  return Number(execFileSync('fincore', ['-b', '-n', '-o', 'RES', path], { encoding: 'utf8' }));
}

/** Makes exactly the first `length` bytes of the file cached. */
function cacheOnly(path: string, length: number): void {
  const fd = openSync(path, 'r');
  fsyncSync(fd);
  dropCache(fd, { offset: 0, length: 2 * SIZE });
  libc()?.posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
  readSync(fd, Buffer.alloc(length), 0, length, 0);
  closeSync(fd);
}

interface Case {
  readonly memoryBytes?: () => number;
  readonly files?: FileLayer;
  readonly readBack?: boolean;
  readonly background?: boolean;
  readonly checksum?: { readonly algorithm: 'sha256' };
}

/** Copies a source of which the first bytes are cached, and answers what is cached of both files afterwards. */
async function cachedAfter(folder: string, length: number, options: Case): Promise<[source: number, target: number]> {
  const [source, target] = [join(folder, 'source.img'), join(folder, 'target.img')];
  makeFile(source, SIZE);
  cacheOnly(source, length);
  await inlineTransfer({
    ...{ source, target, overwrite: true, reflink: 'never', memoryBytes: SMALL },
    ...{ chunkBytes: 512 * KiB, blockBytes: 128 * KiB },
    ...options,
  }).run();
  const cached: [number, number] = [cachedBytes(source), cachedBytes(target)];
  expectSame(source, target);
  return cached;
}

/** Whole pages. */
function pages(length: number): number {
  return Math.ceil(length / 4096) * 4096;
}

for (const place of PLACES) {
  test.skipIf(!nativeAvailable() || !placeAvailable(place))(
    `${place}: a large copy leaves the page cache as it found it`,
    async (context) => {
      const { folder, unmount } = await openPlace(place);
      onTestFinished(unmount);
      makeFile(join(folder, 'probe'), 4096);
      const fd = openSync(join(folder, 'probe'), 'r');
      const uncached = readUncached(fd, Buffer.alloc(1), 0) !== undefined;
      const told = isCached(fd);
      cacheOnly(join(folder, 'probe'), 0);
      const can = uncached || (told && !isCached(fd));
      closeSync(fd);
      context.skip(!can, 'neither uncached reads nor cachestat here');
      for (const files of [realFiles, WITHOUT]) {
        expect(await cachedAfter(folder, 0, { files })).toEqual([0, 0]);
        expect(await cachedAfter(folder, SIZE, { files })).toEqual([pages(SIZE), 0]);
      }
      const checksum = { algorithm: 'sha256' } as const;
      for (const readBack of [false, true]) {
        expect(await cachedAfter(folder, 0, { checksum, readBack })).toEqual([0, 0]);
        expect(await cachedAfter(folder, 0, { checksum, readBack, files: WITHOUT })).toEqual([0, 0]);
      }
      if (!uncached) return;
      const [source, target] = await cachedAfter(folder, 4 * MiB, {});
      expect([source >= 4 * MiB, source < 6 * MiB, target]).toEqual([true, true, 0]);
    },
  );
}

test.skipIf(!nativeAvailable())('a copy that fits into a quarter of the memory leaves the cache alone', async () => {
  const { folder, unmount } = await openPlace('the default file system');
  onTestFinished(unmount);
  expect(await cachedAfter(folder, 0, { memoryBytes: LARGE })).toEqual([pages(SIZE), pages(SIZE)]);
});

test.skipIf(!nativeAvailable())('a background copy of any size leaves the page cache as it found it', async () => {
  const { folder, unmount } = await openPlace('the default file system');
  onTestFinished(unmount);
  const small = { memoryBytes: LARGE, background: true };
  for (const files of [realFiles, WITHOUT]) {
    expect(await cachedAfter(folder, 0, { ...small, files })).toEqual([0, 0]);
    expect(await cachedAfter(folder, SIZE, { ...small, files })).toEqual([pages(SIZE), 0]);
  }
});

test.skipIf(!nativeAvailable())(
  'reading past the cache gives the bytes that writing past the cache wrote',
  async () => {
    const { folder, unmount } = await openPlace('the default file system');
    onTestFinished(unmount);
    await cachedAfter(folder, 0, {});
    await cachedAfter(folder, 0, { memoryBytes: SMALL, readBack: true });
    expect(readFileSync(join(folder, 'target.img')).equals(bytesOf(SIZE, 'source'))).toBe(true);
  },
);

test.skipIf(!nativeAvailable())('a large comparison leaves the page cache as it found it', async () => {
  const { folder, unmount } = await openPlace('the default file system');
  onTestFinished(unmount);
  const [one, other] = [join(folder, 'one.img'), join(folder, 'other.img')];
  for (const [path, length] of [
    [one, 0],
    [other, SIZE],
  ] as const) {
    makeFile(path, SIZE);
    cacheOnly(path, length);
  }
  const registry = { file: () => localScheme(realFiles) };
  const performer = new Performer({ registry, journals: new FileJournals(realFiles), clock: systemClock });
  const request = { one: parseLocation(one), other: parseLocation(other), algorithm: 'xxh64' } as const;
  const parts = { runner: new InlineRunner(performer), clock: systemClock, random: Math.random, memoryBytes: SMALL };
  expect(await new Verification(request, parts).run()).toMatchObject({ same: true });
  expect([cachedBytes(one), cachedBytes(other)]).toEqual([0, pages(SIZE)]);
});
