import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, type TestContext, test } from 'vitest';
import type { ByteRange } from '../../src/core/chunk.js';
import { KiB, MiB } from '../../src/core/units.js';
import { diskLocation } from '../../src/disk/disk-location.js';
import { STEP_BYTES } from '../../src/endpoint/local/write-behind.js';
import { parseLocation } from '../../src/endpoint/location.js';
import { type FileLayer, realFiles } from '../../src/platform/file-layer.js';
import { libc, nativeAvailable } from '../../src/platform/libc.js';
import { expectSame, makeFile, scratchFolder, switchNative } from '../support/copying.js';
import { inlineTransfer } from '../support/inline-copy.js';
import { attachLoop, mounted, mountsAvailable, PLACES, placeFor } from '../support/mounts.js';
import { commandAvailable } from '../support/servers.js';

const SIZE = 24 * MiB + 4097;
const BLOCK = 256 * KiB;
/** Of one thread: a step that is written out, and one that each of its two lanes fills, with its last block. */
const LEFT_MAX = 3 * STEP_BYTES + 2 * BLOCK;
const PAGE = 4096;

/** What is asked of the system while a copy is made, and what is left to be written out after each write. */
class Watched {
  readonly begun: ByteRange[] = [];
  readonly awaited: ByteRange[] = [];
  /** How often a descriptor was flushed that nothing is written on. */
  flushed = 0;
  readonly #own = new Set<number>();
  leftBytesMax = 0;
  readonly layer: FileLayer;

  constructor(can = true) {
    const files = realFiles;
    this.layer = {
      ...files,
      openSync: (path, flags, mode) => {
        const fd = files.openSync(path, flags, mode);
        if (String(path).startsWith('/proc/self/fd/')) this.#own.add(fd);
        return fd;
      },
      beginWriteback: (fd, range) => {
        this.begun.push(range);
        return can && files.beginWriteback(fd, range);
      },
      awaitWriteback: (fd, range) => {
        this.awaited.push(range);
        return files.awaitWriteback(fd, range);
      },
      fdatasyncSync: (fd) => {
        if (this.#own.has(fd)) this.flushed++;
        files.fdatasyncSync(fd);
      },
      writeSync: ((fd: number, bytes: Uint8Array, from: number, length: number, at: number): number => {
        const written = files.writeSync(fd, bytes, from, length, at);
        this.leftBytesMax = Math.max(this.leftBytesMax, unwrittenBytes(fd) ?? 0);
        return written;
      }) as FileLayer['writeSync'],
    };
  }
}

/** Dirty, or on its way to the storage, as the kernel counts it (cachestat(2)). */
function unwrittenBytes(fd: number): number | undefined {
  const counts = Buffer.alloc(40);
  if (libc()?.cachestat(fd, Buffer.alloc(16), counts) !== 0) return undefined;
  return Number(counts.readBigUInt64LE(8) + counts.readBigUInt64LE(16)) * PAGE;
}

async function copyWatched(source: string, target: string, background: boolean, can = true): Promise<Watched> {
  const watched = new Watched(can);
  const sizes = { chunkBytes: 8 * MiB, blockBytes: BLOCK };
  const options = { source, target, overwrite: true, reflink: 'never', files: watched.layer, background } as const;
  await inlineTransfer({ ...options, ...sizes }).run();
  expect(readFileSync(target).equals(readFileSync(source))).toBe(true);
  return watched;
}

for (const place of PLACES) {
  test.skipIf(!nativeAvailable())(
    `${place}: a background copy is written out step by step, whatever its size`,
    async (context) => {
      const { folder } = await placeFor(context, place);
      const source = makeFile(join(scratchFolder(), 'source.img'), SIZE) as string;
      const { begun, awaited, leftBytesMax } = await copyWatched(source, join(folder, 'target.img'), true);
      expect(sum(begun)).toBeGreaterThan(SIZE - STEP_BYTES);
      expect(sum(awaited)).toBeGreaterThanOrEqual(SIZE - 2 * STEP_BYTES);
      expect(leftBytesMax).toBeLessThanOrEqual(LEFT_MAX);
    },
  );
}

function sum(ranges: readonly ByteRange[]): number {
  return ranges.reduce((bytes, { length }) => bytes + length, 0);
}

test.skipIf(!nativeAvailable())('small chunks are written out many at a time', async () => {
  const folder = scratchFolder();
  const [source, target] = [join(folder, 'source.img'), join(folder, 'target.img')];
  makeFile(source, 8 * MiB);
  const watched = new Watched();
  const options = { files: watched.layer, background: true, chunkBytes: 16 * KiB, lanes: 1 } as const;
  await inlineTransfer({ source, target, ...options }).run();
  expectSame(source, target);
  expect(watched.begun.length).toBeLessThanOrEqual(8);
});

test.skipIf(!nativeAvailable())('a copy that yields waits for each block, so that each is one request', async () => {
  const folder = scratchFolder();
  const [source, target] = [makeFile(join(folder, 'source.img'), 8 * MiB) as string, join(folder, 'target.img')];
  const watched = new Watched();
  const yielding = { notes: [], reason: () => undefined };
  await inlineTransfer({ source, target, files: watched.layer, yielding, blockBytes: BLOCK }).run();
  expectSame(source, target);
  expect(watched.awaited.map(({ length }) => length)).toEqual(Array(32).fill(BLOCK));
});

test('a copy that somebody waits for asks for no early writing', async () => {
  const folder = scratchFolder();
  const source = makeFile(join(folder, 'source.img'), SIZE) as string;
  expect(await copyWatched(source, join(folder, 'target.img'), false)).toMatchObject({ begun: [], awaited: [] });
});

test('the background copy of a file with holes writes out what it has, and keeps the holes', async () => {
  const folder = scratchFolder();
  const source = makeFile(join(folder, 'source.img'), 3 * MiB) as string;
  truncateSync(source, 300 * MiB);
  const target = join(folder, 'target.img');
  const { begun } = await copyWatched(source, target, true);
  expect(sum(begun)).toBeLessThanOrEqual(8 * MiB);
  const allocated = (path: string): number => Number(realFiles.stat(path)?.blocks) * 512;
  expect(allocated(target)).toBeLessThanOrEqual(allocated(source) + 8 * MiB);
});

test('where early writing cannot be asked for, a descriptor of its own is flushed now and then', async () => {
  const folder = scratchFolder();
  const source = makeFile(join(folder, 'source.img'), 100 * MiB) as string;
  const { begun, awaited, flushed } = await copyWatched(source, join(folder, 'target.img'), true, false);
  expect([begun.length, awaited.length, flushed]).toEqual([1, 0, 3]);
});

test('without koffi a background copy is the same', async () => {
  switchNative('1');
  const folder = scratchFolder();
  const source = makeFile(join(folder, 'source.img'), 40 * MiB) as string;
  const { flushed } = await copyWatched(source, join(folder, 'target.img'), true);
  expect(flushed).toBe(1);
});

test('a background copy to a folder that a program serves (FUSE) is the same', async (context) => {
  context.skip(!commandAvailable('bindfs') || !mountsAvailable() || !existsSync('/dev/fuse'), 'needs bindfs and FUSE');
  const [under, folder] = [scratchFolder(), scratchFolder()];
  execFileSync('bindfs', [under, folder]);
  onTestFinished(() => void execFileSync('umount', [folder]));
  const source = makeFile(join(scratchFolder(), 'source.img'), SIZE) as string;
  const { leftBytesMax } = await copyWatched(source, join(folder, 'target.img'), true);
  expect(leftBytesMax).toBeLessThanOrEqual(LEFT_MAX);
});

test('a background copy to a device is written out step by step', async (context) => {
  context.skip(!mountsAvailable(), 'needs loop devices in a private mount namespace');
  const device = await attachLoop(32);
  onTestFinished(() => device.detach());
  const source = makeFile(join(scratchFolder(), 'source.img'), 32 * MiB) as string;
  const { begun } = await copyWatched(source, device.path, true);
  expect(sum(begun)).toBe(32 * MiB);
});

test('a new disk that is laid out in the background is written out step by step', async () => {
  const folder = scratchFolder();
  const [source, target] = [join(folder, 'source.raw'), join(folder, 'target.vhd')];
  makeFile(source, 32 * MiB);
  const watched = new Watched();
  const disk = { source: diskLocation({ container: parseLocation(source) }), files: watched.layer } as const;
  const to = (path: string, layout: 'vhd-fixed' | 'raw') => diskLocation({ container: parseLocation(path), layout });
  await inlineTransfer({ ...disk, target: to(target, 'vhd-fixed'), background: true, blockBytes: BLOCK }).run();
  expect(sum(watched.begun)).toBeGreaterThanOrEqual(32 * MiB);
  expect(watched.leftBytesMax).toBeLessThanOrEqual(LEFT_MAX);
  const back = join(folder, 'back.raw');
  const made = diskLocation({ container: parseLocation(target) });
  await inlineTransfer({ source: made, target: to(back, 'raw'), files: realFiles }).run();
  expectSame(source, back);
});

test.skipIf(!nativeAvailable())('a new disk is laid out block by block, too, by a copy that yields', async () => {
  const folder = scratchFolder();
  const source = makeFile(join(folder, 'source.raw'), 8 * MiB) as string;
  const target = diskLocation({ container: parseLocation(join(folder, 'target.vhd')), layout: 'vhd-fixed' });
  const watched = new Watched();
  const yielding = { notes: [], reason: () => undefined };
  const disk = diskLocation({ container: parseLocation(source) });
  await inlineTransfer({ source: disk, target, files: watched.layer, yielding, blockBytes: BLOCK }).run();
  expect(Math.max(...watched.awaited.map(({ length }) => length))).toBeLessThanOrEqual(BLOCK);
  expect(sum(watched.awaited)).toBeGreaterThanOrEqual(8 * MiB);
});

/** A disk that fails what the cache has promised long before, once `sizeMiB` are used and until it is healed. */
async function failingDisk(context: TestContext, sizeMiB: number): Promise<{ folder: string; heal: () => void }> {
  const under = await mounted(context, 'tmpfs', sizeMiB);
  const [image, folder] = [join(under.folder, 'image'), scratchFolder()];
  writeFileSync(image, '');
  truncateSync(image, 256 * MiB);
  execFileSync('mkfs.ext4', ['-q', '-F', '-O', '^has_journal', '-E', 'lazy_itable_init=1,nodiscard', image]);
  execFileSync('mount', ['-o', 'loop,errors=continue', image, folder]);
  onTestFinished(() => void execFileSync('umount', [folder]));
  return { folder, heal: () => void execFileSync('mount', ['-o', 'remount,size=256m', under.folder]) };
}

test('early writing that fails is told by the flush, so that nothing is taken for written', async (context) => {
  context.skip(!mountsAvailable('ext4'), 'needs ext4 in a private mount namespace');
  const { folder, heal } = await failingDisk(context, 16);
  const [source, target] = [join(scratchFolder(), 'source.img'), join(folder, 'target.img')];
  makeFile(source, 40 * MiB);
  let awaitedBytes = 0;
  const awaitWriteback = (fd: number, range: ByteRange): boolean => {
    awaitedBytes += range.length;
    if (awaitedBytes === 24 * MiB) heal();
    return realFiles.awaitWriteback(fd, range);
  };
  const files = { ...realFiles, awaitWriteback };
  const transfer = inlineTransfer({ source, target, files, background: true });
  await expect(transfer.run()).rejects.toMatchObject({ cause: expect.stringMatching(/, fdatasync$/) });
  expect(awaitedBytes).toBeGreaterThan(36 * MiB);
  expect(existsSync(target)).toBe(false);
  await inlineTransfer({ source, target, files, background: true }).run();
  expectSame(source, target);
});
