import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, constants, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { KiB, MiB } from '../../../src/core/units.js';
import { DirectReader, dropCache } from '../../../src/platform/direct-io.js';
import { nativeAvailable } from '../../../src/platform/libc.js';
import { attachLoop, type Mount, mountsAvailable, openPlace, PLACES, placeAvailable } from '../../support/mounts.js';

const native = nativeAvailable();
const SIZE = 3 * MiB + 1234;

/** Pages of the file that are in the page cache (util-linux). */
const cachedPages = (path: string): number =>
  Number(execFileSync('fincore', ['--noheadings', '--output', 'PAGES', path], { encoding: 'utf8' }));
const fincoreWorks = ((): boolean => {
  try {
    return Number.isFinite(cachedPages(process.execPath));
  } catch {
    return false; // Without fincore nobody can say what is cached; the test that asks is skipped.
  }
})();

describe.each(PLACES)('%s', (place) => {
  const mounted = placeAvailable(place);
  let mount: Mount;
  let path = '';
  let content = Buffer.alloc(0);
  beforeAll(async () => {
    if (!mounted) return;
    mount = await openPlace(place);
    path = join(mount.folder, 'image');
    content = randomBytes(SIZE);
    const fd = openSync(path, 'w');
    writeSync(fd, content);
    fsyncSync(fd);
    closeSync(fd);
  });
  afterAll(() => mount?.unmount());

  /** Undefined where this file system refuses O_DIRECT, which tmpfs did before Linux 6.6. */
  function openReader(bufferBytes?: number): DirectReader | undefined {
    const reader = DirectReader.open(path, bufferBytes);
    if (reader === undefined) expect(['tmpfs', 'the default file system']).toContain(place);
    else onTestFinished(() => reader.close());
    return reader;
  }

  test.skipIf(!mounted)(
    'any length at any position reads as a plain read does, the odd end of the file included',
    () => {
      const reader = openReader(256 * KiB);
      const ask = fc.tuple(fc.nat(SIZE + 10_000), fc.nat(256 * KiB));
      const hard: [number, number][] = [
        [0, 256 * KiB],
        [4095, 256 * KiB],
        [SIZE - 1, 4096],
        [SIZE, 1],
        [SIZE + 4096, 100],
        [5, 0],
      ];
      fc.assert(
        fc.property(ask, ([position, length]) => {
          const read = reader?.read(position, length) ?? content.subarray(position, position + length);
          return content.subarray(position, position + length).equals(read);
        }),
        { numRuns: 100, examples: hard.map((pair) => [pair] as [[number, number]]) },
      );
    },
  );

  test.skipIf(!mounted)('more than the buffer holds is refused', () => {
    const reader = openReader(64 * KiB);
    if (reader !== undefined) expect(() => reader.read(0, 64 * KiB + 1)).toThrow(RangeError);
  });

  test.skipIf(!mounted || !native || !fincoreWorks || place === 'tmpfs')(
    'a dropped cache is empty, stays empty under direct reads and fills under plain ones',
    () => {
      readFileSync(path);
      expect(cachedPages(path)).toBeGreaterThan(700);
      const fd = openSync(path, 'r');
      onTestFinished(() => closeSync(fd));
      expect(dropCache(fd, { offset: 0, length: SIZE })).toBe(true);
      expect(cachedPages(path)).toBe(0);
      const reader = openReader();
      for (let at = 0; reader !== undefined && at < SIZE; at += MiB) reader.read(at, MiB);
      expect(cachedPages(path)).toBe(0);
      readFileSync(path);
      expect(cachedPages(path)).toBeGreaterThan(700);
    },
  );
});

test('without koffi dropping the cache is said to be impossible', () => {
  vi.stubEnv('BLOCKFERRY_NO_NATIVE', '1');
  onTestFinished(() => void vi.unstubAllEnvs());
  const fd = openSync(process.execPath, 'r');
  onTestFinished(() => closeSync(fd));
  expect(dropCache(fd, { offset: 0, length: 4096 })).toBe(false);
});

test('a file that is not there is an error, not a refusal of O_DIRECT', () => {
  expect(() => DirectReader.open('/nowhere/at/all')).toThrow(expect.objectContaining({ code: 'ENOENT' }));
});

test('where O_DIRECT is refused there is no reader', () => {
  // The kernel's own text files take no O_DIRECT, at the open or at the first read.
  expect(DirectReader.open('/proc/self/status')).toBeUndefined();
});

test('closing a reader twice closes only its own descriptor', () => {
  const reader = DirectReader.open(process.execPath);
  reader?.close();
  const other = openSync(process.execPath, constants.O_RDONLY);
  reader?.close();
  closeSync(other);
});

test.skipIf(!mountsAvailable())('a block device is read to its very end', async () => {
  const device = await attachLoop(8);
  onTestFinished(() => device.detach());
  const fd = openSync(device.path, 'r+');
  const content = randomBytes(MiB);
  writeSync(fd, content, 0, MiB, 7 * MiB);
  fsyncSync(fd);
  closeSync(fd);
  const reader = DirectReader.open(device.path);
  onTestFinished(() => reader?.close());
  expect(content.equals(reader?.read(7 * MiB, MiB) ?? Buffer.alloc(0))).toBe(true);
  expect(reader?.read(8 * MiB - 10, 100).length).toBe(10);
});
