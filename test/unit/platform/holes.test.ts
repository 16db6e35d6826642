import { closeSync, fstatSync, fsyncSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import type { ByteRange } from '../../../src/core/chunk.js';
import type { Extent } from '../../../src/core/endpoint.js';
import { KiB, MiB } from '../../../src/core/units.js';
import { extentsOf, punchHole, supportsHoles } from '../../../src/platform/holes.js';
import { nativeAvailable } from '../../../src/platform/libc.js';
import { attachLoop, type Mount, mountsAvailable, openPlace, PLACES, placeAvailable } from '../../support/mounts.js';

const native = nativeAvailable();

function sparseFile(folder: string, size: number, data: readonly ByteRange[]): number {
  const fd = openSync(join(folder, 'sparse'), 'w+');
  onTestFinished(() => closeSync(fd));
  ftruncateSync(fd, size);
  for (const { offset, length } of data) writeSync(fd, Buffer.alloc(length, 0xab), 0, length, offset);
  return fd;
}

function bytesAt(fd: number, { offset, length }: ByteRange): Buffer {
  const bytes = Buffer.alloc(length);
  return bytes.subarray(0, readSync(fd, bytes, 0, length, offset));
}

/** The extents, after a look that they are in order, without gaps, none empty, and cover exactly the range. */
function covered(fd: number, range: ByteRange): Extent[] {
  const extents = [...extentsOf(fd, range)];
  let at = range.offset;
  for (const extent of extents) {
    expect(extent.offset).toBe(at);
    expect(extent.length).toBeGreaterThan(0);
    at += extent.length;
  }
  expect(at).toBe(range.offset + range.length);
  return extents;
}

const zeroBytes = (extents: readonly Extent[]): number =>
  extents.filter(({ kind }) => kind === 'zero').reduce((sum, { length }) => sum + length, 0);

const expectZeroesWhereSaid = (fd: number, extents: readonly Extent[]): void => {
  for (const extent of extents.filter(({ kind }) => kind === 'zero')) {
    expect(bytesAt(fd, extent).equals(Buffer.alloc(extent.length))).toBe(true);
  }
};

describe.each(PLACES)('%s', (place) => {
  const mounted = placeAvailable(place);
  const testNative = test.skipIf(!native || !mounted);
  let mount: Mount;
  beforeAll(async () => {
    if (mounted) mount = await openPlace(place);
  });
  afterAll(() => mount?.unmount());

  testNative('tells data from holes, in order and without gaps', () => {
    const data = [
      { offset: MiB, length: 64 * KiB },
      { offset: 8 * MiB, length: 4 * KiB },
    ];
    const fd = sparseFile(mount.folder, 16 * MiB, data);
    expect(supportsHoles(fd, 16 * MiB)).toBe(true);
    const extents = covered(fd, { offset: 0, length: 16 * MiB });
    expectZeroesWhereSaid(fd, extents);
    // The file system may round data up to blocks of its own, but most of the file must be known as a hole.
    expect(zeroBytes(extents)).toBeGreaterThan(15 * MiB);
    expect(zeroBytes(extents)).toBeLessThanOrEqual(16 * MiB - 68 * KiB);
  });

  testNative('data that was just written is never called a hole, wherever it is', () => {
    const piece = fc.record({ offset: fc.nat(4 * MiB - 1), length: fc.integer({ min: 1, max: 20_000 }) });
    const layout = fc.array(piece, { maxLength: 8 });
    const bounds = fc.record({ offset: fc.nat(2 * MiB), length: fc.integer({ min: 1, max: 2 * MiB }) });
    const fd = sparseFile(mount.folder, 0, []);
    fc.assert(
      fc.property(layout, bounds, (pieces, range) => {
        ftruncateSync(fd, 0);
        ftruncateSync(fd, 5 * MiB);
        for (const { offset, length } of pieces) writeSync(fd, Buffer.alloc(length, 1), 0, length, offset);
        expectZeroesWhereSaid(fd, covered(fd, range));
      }),
      { numRuns: 40 },
    );
  });

  testNative('a file that is one hole is zero to its end, and what lies past the end is called data', () => {
    const fd = sparseFile(mount.folder, 2 * MiB, []);
    expect(covered(fd, { offset: MiB + 5, length: 1000 })).toEqual([{ kind: 'zero', offset: MiB + 5, length: 1000 }]);
    expect(covered(fd, { offset: MiB, length: 3 * MiB })).toEqual([
      { kind: 'zero', offset: MiB, length: MiB },
      { kind: 'data', offset: 2 * MiB, length: 2 * MiB },
    ]);
  });

  testNative('a punched hole reads as zero, gives its space back and leaves its neighbours and the size alone', () => {
    const fd = sparseFile(mount.folder, 0, [{ offset: 0, length: 8 * MiB }]);
    fsyncSync(fd);
    const before = fstatSync(fd);
    expect(punchHole(fd, { offset: 2 * MiB + 1, length: 4 * MiB })).toBe(true);
    fsyncSync(fd);
    expect(fstatSync(fd).size).toBe(8 * MiB);
    expect(fstatSync(fd).blocks).toBeLessThan(before.blocks);
    const wanted = Buffer.alloc(8 * MiB, 0xab).fill(0, 2 * MiB + 1, 6 * MiB + 1);
    expect(bytesAt(fd, { offset: 0, length: 8 * MiB }).equals(wanted)).toBe(true);
  });

  test.skipIf(!mounted)('without koffi everything is data and nothing is punched', () => {
    vi.stubEnv('BLOCKFERRY_NO_NATIVE', '1');
    onTestFinished(() => void vi.unstubAllEnvs());
    const fd = sparseFile(mount.folder, 2 * MiB, [{ offset: MiB, length: 10 }]);
    expect(supportsHoles(fd, 2 * MiB)).toBe(false);
    expect(covered(fd, { offset: 7, length: MiB })).toEqual([{ kind: 'data', offset: 7, length: MiB }]);
    expect(punchHole(fd, { offset: MiB, length: 4096 })).toBe(false);
    expect(bytesAt(fd, { offset: MiB, length: 10 }).equals(Buffer.alloc(10, 0xab))).toBe(true);
  });

  test.skipIf(!mounted)('an empty file or range has no extents', () => {
    const fd = sparseFile(mount.folder, 0, []);
    expect(supportsHoles(fd, 0)).toBe(false);
    expect([...extentsOf(fd, { offset: 0, length: 0 })]).toEqual([]);
    expect(punchHole(fd, { offset: 0, length: 0 })).toBe(true);
  });

  testNative('a hole that may not be punched is an error that names the reason', () => {
    sparseFile(mount.folder, MiB, []);
    const fd = openSync(join(mount.folder, 'sparse'), 'r');
    onTestFinished(() => closeSync(fd));
    expect(() => punchHole(fd, { offset: 0, length: 4096 })).toThrow(expect.objectContaining({ code: 'EBADF' }));
  });
});

test.skipIf(!native || !mountsAvailable())(
  'a block device has no holes to tell of, and a part of it is zeroed in place',
  async () => {
    const device = await attachLoop(8);
    onTestFinished(() => device.detach());
    const fd = openSync(device.path, 'r+');
    onTestFinished(() => closeSync(fd));
    writeSync(fd, Buffer.alloc(4 * MiB, 0xab), 0, 4 * MiB, 0);
    expect(supportsHoles(fd, 8 * MiB)).toBe(false);
    expect(covered(fd, { offset: 0, length: 8 * MiB })).toEqual([{ kind: 'data', offset: 0, length: 8 * MiB }]);
    // Off the sectors nothing may happen; on them the range reads as zero.
    expect(punchHole(fd, { offset: 100, length: MiB })).toBe(false);
    expect(punchHole(fd, { offset: MiB, length: MiB })).toBe(true);
    const wanted = Buffer.alloc(4 * MiB, 0xab).fill(0, MiB, 2 * MiB);
    expect(bytesAt(fd, { offset: 0, length: 4 * MiB }).equals(wanted)).toBe(true);
  },
);
