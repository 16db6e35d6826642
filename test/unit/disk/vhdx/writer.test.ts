/** Writing into a VHDX in place: right after the last step, and right wherever it is cut off. */
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MiB } from '../../../../src/core/units.js';
import type { Finding } from '../../../../src/disk/image.js';
import type { DiskFile } from '../../../../src/disk/image-writer.js';
import { vhdx } from '../../../../src/disk/vhdx/vhdx.js';
import { openVhdxWriter } from '../../../../src/disk/vhdx/writer.js';
import { convertWithQemu, extractWith7zz, need7zz, needQemuImg, runTool } from '../../../support/disk-tools.js';
import { contentOf, type ImageFile, imageFile } from '../../../support/image-file.js';
import { Seeded } from '../../../support/seeded.js';
import { GUIDS, type TestBlock, writeTestVhdx } from '../../../support/vhdx-images.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vhdx-writer-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const at = (name: string): string => join(folder, name);
const SIZE = 12 * MiB + 4096;
const BASE = '99999999-2222-3333-4444-555555555555';

interface Write {
  readonly offset: number;
  readonly bytes: Buffer;
  readonly zero: boolean;
}

/** Ranges of whole sectors; some are zero, some are whole blocks, some go across blocks. */
function someWrites(seeded: Seeded, count: number): readonly Write[] {
  return Array.from({ length: count }, () => {
    const block = seeded.chance(0.2);
    const offset = block ? seeded.int(0, 5) * 2 * MiB : seeded.int(0, SIZE / 512 - 1) * 512;
    const length = block ? 2 * MiB : Math.min(SIZE - offset, seeded.int(1, seeded.pick([8, 6000])) * 512);
    const zero = seeded.chance(0.3);
    return { offset, bytes: zero ? Buffer.alloc(length) : seeded.bytes(length), zero };
  });
}

/** The writes as a merge makes them; `stopped` says after each step whether the process dies there. */
async function perform(file: DiskFile, writes: readonly Write[], each = 3): Promise<void> {
  const writer = await openVhdxWriter(file);
  writer.begin(writes.map(({ offset, bytes }) => ({ offset, length: bytes.length })));
  for (let from = 0; from < writes.length; from += each) {
    for (const { offset, bytes, zero } of writes.slice(from, from + each)) {
      let done = 0;
      for (const place of writer.place({ offset, length: bytes.length }, zero ? 'zero' : 'data')) {
        if (place.at !== undefined) file.write(place.at, bytes.subarray(done, done + place.length));
        done += place.length;
      }
      expect(done).toBe(bytes.length);
    }
    file.flush();
    writer.publish();
  }
  writer.finish();
}

async function read(...names: readonly string[]): Promise<Buffer> {
  const files = names.map((name) => imageFile(at(name)));
  try {
    return await contentOf(await Promise.all(files.map(async (bytes) => ({ image: await vhdx.open(bytes), bytes }))));
  } finally {
    for (const file of files) file.close();
  }
}

async function findings(name: string): Promise<readonly Finding[]> {
  const found: Finding[] = [];
  const file = imageFile(at(name));
  await vhdx.check(file, { add: (finding) => found.push(finding) });
  file.close();
  return found;
}

function apply(content: Buffer, writes: readonly Write[]): Buffer {
  const after = Buffer.from(content);
  for (const { offset, bytes } of writes) after.set(bytes, offset);
  return after;
}

const kinds = ['dynamic', 'fixed', 'differencing'] as const;

/** A disk with blocks of several states; a differencing one lies over a base that is full of data. */
function writeDisk(kind: (typeof kinds)[number], seeded: Seeded): readonly string[] {
  const bytes = (): Buffer => seeded.bytes(2 * MiB);
  const partial: [number, TestBlock][] = [[2, { state: 7, bytes: bytes(), sectors: (sector) => sector % 5 === 0 }]];
  const blocks = new Map<number, TestBlock>([
    [0, { state: 6, bytes: bytes() }],
    [3, { state: 2 }],
    [4, { state: 3, bytes: bytes() }],
    ...(kind === 'differencing' && seeded.chance(0.5) ? partial : []),
  ]);
  const parent = kind === 'differencing' && { parent: { identity: BASE, relative: 'base.vhdx' } };
  writeTestVhdx(at('disk.vhdx'), { size: SIZE, fixed: kind === 'fixed', blocks, ...parent });
  if (!parent) return ['disk.vhdx'];
  const all = Array.from({ length: 7 }, (_, block): [number, TestBlock] => [block, { state: 6, bytes: bytes() }]);
  writeTestVhdx(at('base.vhdx'), { size: SIZE, dataGuid: BASE, blocks: new Map(all) });
  return ['disk.vhdx', 'base.vhdx'];
}

describe.each(kinds)('a %s disk', (kind) => {
  test.each([1, 2, 3, 4])('reads as what was written, and nothing is wrong with it (%d)', async (seed) => {
    const seeded = new Seeded(seed);
    const names = writeDisk(kind, seeded);
    const writes = someWrites(seeded, 20);
    const expected = apply(await read(...names), writes);
    const file = imageFile(at('disk.vhdx'));
    await perform(file, writes);
    file.close();
    expect((await read(...names)).equals(expected)).toBe(true);
    expect((await findings('disk.vhdx')).filter(({ code }) => code !== 'vhdx-fixed-unallocated')).toEqual([]);
  });

  test('is the same to another program', async (context) => {
    const seeded = new Seeded(30);
    const names = writeDisk(kind, seeded);
    const file = imageFile(at('disk.vhdx'));
    await perform(file, someWrites(seeded, 15));
    file.close();
    const content = await read(...names);
    if (kind === 'differencing') {
      need7zz(context);
      expect(extractWith7zz(at('disk.vhdx'), at('out')).equals(content)).toBe(true);
    } else {
      needQemuImg(context);
      expect(runTool('qemu-img', ['check', '-f', 'vhdx', at('disk.vhdx')])).toContain('No errors');
      expect(convertWithQemu(at('disk.vhdx'), at('out.raw')).equals(content)).toBe(true);
    }
  });

  test('reads as before or as after in every sector, wherever the writing stops', async () => {
    const seeded = new Seeded(40);
    const names = writeDisk(kind, seeded);
    // Each sector is written at most once, so that it has one value before and one after.
    const writes = Array.from({ length: 12 }, (_, index): Write => {
      const bytes = index % 4 === 3 ? Buffer.alloc(MiB) : seeded.bytes(MiB);
      return { offset: index * MiB, bytes, zero: index % 4 === 3 };
    });
    const before = await read(...names);
    const after = apply(before, writes);
    copyFileSync(at('disk.vhdx'), at('start.vhdx'));
    const steps = await countSteps(writes);
    expect(steps).toBeGreaterThan(20);
    for (let stop = 0; stop < steps; stop++) {
      copyFileSync(at('start.vhdx'), at('disk.vhdx'));
      await stopAfter(stop, writes);
      const stopped = await read(...names);
      for (let sector = 0; sector < SIZE; sector += 64 * 1024) {
        const part = stopped.subarray(sector, sector + 64 * 1024);
        const old = part.equals(before.subarray(sector, sector + part.length));
        expect(old || part.equals(after.subarray(sector, sector + part.length)), `step ${stop} at ${sector}`).toBe(
          true,
        );
      }
      expect((await findings('disk.vhdx')).filter(({ severity }) => severity === 'wrong')).toEqual([]);
      // The same work once more ends it.
      const file = imageFile(at('disk.vhdx'));
      await perform(file, writes);
      file.close();
      expect((await read(...names)).equals(after)).toBe(true);
    }
  });
});

class Stopped extends Error {}

/** A file whose process dies before its n-th change. */
function mortal(file: ImageFile, changes: number): { readonly file: ImageFile; count: number } {
  const life = { count: 0, file };
  const change = (act: () => void): void => {
    if (life.count++ === changes) throw new Stopped();
    act();
  };
  life.file = {
    name: file.name,
    get size() {
      return file.size;
    },
    read: file.read,
    readNow: file.readNow,
    write: (place, bytes) => change(() => file.write(place, bytes)),
    flush: () => undefined,
    setSize: (bytes) => change(() => file.setSize(bytes)),
    close: () => file.close(),
  };
  return life;
}

async function countSteps(writes: readonly Write[]): Promise<number> {
  const life = mortal(imageFile(at('disk.vhdx')), Number.POSITIVE_INFINITY);
  await perform(life.file, writes);
  life.file.close();
  return life.count;
}

async function stopAfter(changes: number, writes: readonly Write[]): Promise<void> {
  const { file } = mortal(imageFile(at('disk.vhdx')), changes);
  await expect(perform(file, writes)).rejects.toThrow(Stopped);
  file.close();
}

test('the file becomes another at the beginning, and the content at the end', async () => {
  writeDisk('dynamic', new Seeded(50));
  const identity = async (): Promise<string | undefined> => {
    const file = imageFile(at('disk.vhdx'));
    const image = await vhdx.open(file);
    file.close();
    return image.identity;
  };
  const fileGuid = (): string => readFileSync(at('disk.vhdx')).toString('hex', 65536 + 16, 65536 + 32);
  const first = fileGuid();
  const file = imageFile(at('disk.vhdx'));
  const writer = await openVhdxWriter(file);
  expect(fileGuid()).toBe(first);
  writer.begin([]);
  expect(fileGuid()).not.toBe(first);
  expect(await identity()).toBe(GUIDS.data);
  writer.finish();
  expect(await identity()).not.toBe(GUIDS.data);
  file.close();
  const image = readFileSync(at('disk.vhdx'));
  // Both headers say the same, but for sequence number and checksum.
  expect(image.subarray(65536 + 16, 65536 + 4096).equals(image.subarray(131072 + 16, 131072 + 4096))).toBe(true);
});

test('zeroes take no room where zero is read already', async () => {
  writeTestVhdx(at('disk.vhdx'), { size: SIZE, blocks: new Map() });
  const file = imageFile(at('disk.vhdx'));
  const { size } = file;
  await perform(file, [{ offset: 0, bytes: Buffer.alloc(10 * MiB), zero: true }]);
  expect(file.size).toBe(size);
  file.close();
});

test('a block whose place is taken by a table is not written to', async () => {
  writeDisk('dynamic', new Seeded(60));
  const image = readFileSync(at('disk.vhdx'));
  image.writeBigUInt64LE(BigInt(2 * MiB) + 6n, 3 * MiB);
  writeFileSync(at('disk.vhdx'), image);
  const file = imageFile(at('disk.vhdx'));
  const work = perform(file, [{ offset: 0, bytes: Buffer.alloc(512, 1), zero: false }]);
  await expect(work).rejects.toMatchObject({ code: 'E_DISK_FORMAT', message: /BAT entry of block 0/ });
  file.close();
});

test('a disk gets another parent, and has the old one or the new one wherever that stops', async (context) => {
  const names = writeDisk('differencing', new Seeded(70));
  const content = await read(...names);
  copyFileSync(at('base.vhdx'), at('moved.vhdx'));
  copyFileSync(at('disk.vhdx'), at('start.vhdx'));
  const link = {
    format: 'vhdx' as const,
    identity: BASE,
    paths: [
      { kind: 'relative' as const, path: './moved.vhdx' },
      { kind: 'absolute' as const, path: '/mnt/vm/moved.vhdx' },
    ],
  };
  const old = { format: 'vhdx', identity: BASE, paths: [{ kind: 'relative', path: 'base.vhdx' }] };
  const parent = async () => {
    const file = imageFile(at('disk.vhdx'));
    const image = await vhdx.open(file);
    file.close();
    return image.parent;
  };
  for (let stop = 0; stop < 4; stop++) {
    copyFileSync(at('start.vhdx'), at('disk.vhdx'));
    const { file } = mortal(imageFile(at('disk.vhdx')), stop);
    await expect(vhdx.repoint?.(file, link)).rejects.toThrow(Stopped);
    file.close();
    expect(await parent()).toEqual(old);
  }
  const file = imageFile(at('disk.vhdx'));
  await vhdx.repoint?.(file, link);
  expect(await parent()).toEqual(link);
  // Again and again: what the old ones took is used again.
  for (let round = 0; round < 20; round++) await vhdx.repoint?.(file, link);
  file.close();
  expect(await parent()).toEqual(link);
  expect(await findings('disk.vhdx')).toEqual([]);
  rmSync(at('base.vhdx'));
  expect((await read('disk.vhdx', 'moved.vhdx')).equals(content)).toBe(true);
  need7zz(context);
  expect(extractWith7zz(at('disk.vhdx'), at('out')).equals(content)).toBe(true);
});
