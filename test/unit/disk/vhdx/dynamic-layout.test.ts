/** New dynamic VHDX files, opened by qemu-img, 7zz and vhdiinfo, and by the reader. */
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { GiB, MiB, TiB } from '../../../../src/core/units.js';
import type { Allocation } from '../../../../src/disk/image.js';
import type { LayoutPlan, Piece } from '../../../../src/disk/layout.js';
import { vhdxDynamic } from '../../../../src/disk/vhdx/dynamic-layout.js';
import { vhdx } from '../../../../src/disk/vhdx/vhdx.js';
import {
  convertWithQemu,
  extractWith7zz,
  need7zz,
  needQemuImg,
  needVhdiinfo,
  runTool,
} from '../../../support/disk-tools.js';
import { contentOf, imageFile } from '../../../support/image-file.js';
import { Seeded } from '../../../support/seeded.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vhdx-layout-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const uniqueId = new Seeded(9).bytes(16);

function planOf(size: number, blocks: readonly number[], blockBytes = vhdxDynamic.blockBytesFor(size)): LayoutPlan {
  const allocated = new Uint8Array(Math.ceil(size / blockBytes / 8));
  for (const block of blocks) allocated[block >>> 3] = (allocated[block >>> 3] ?? 0) | (0x80 >>> (block & 7));
  return { kind: 'vhdx', size, uniqueId, createdAtMs: Date.UTC(2024, 1, 29), blockBytes, allocated };
}

/** Lays a disk out as a copy does: its data first, the pieces of the format last. Returns what a guest must read. */
function write(path: string, plan: LayoutPlan, seeded: Seeded): void {
  const layout = vhdxDynamic.layOut(plan);
  const fd = openSync(path, 'w');
  ftruncateSync(fd, layout.fileBytes);
  for (let offset = 0; offset < plan.size; offset += plan.blockBytes) {
    const length = Math.min(plan.blockBytes, plan.size - offset);
    for (const place of layout.places({ offset, length })) {
      if (place.at !== undefined) writeSync(fd, seeded.bytes(place.length), 0, place.length, place.at);
    }
  }
  for (const step of layout.finish()) {
    for (const { at, bytes } of step) writeSync(fd, bytes, 0, bytes.length, at);
  }
  closeSync(fd);
}

async function read(path: string): Promise<Buffer> {
  const bytes = imageFile(path);
  try {
    return await contentOf([{ image: await vhdx.open(bytes), bytes }]);
  } finally {
    bytes.close();
  }
}

const disks = [
  ['of 20 MiB with three blocks', 20 * MiB, [0, 3, 7], 2 * MiB],
  ['whose last block is cut off by the end of the disk', 5 * MiB + 512, [2], 2 * MiB],
  ['whose size is no whole number of sectors', 3 * MiB + 700, [0, 1], 2 * MiB],
  ['with nothing allocated', 10 * MiB, [], 2 * MiB],
  ['of one byte', 1, [0], 2 * MiB],
  ['in blocks of 32 MiB', 100 * MiB, [1, 3], 32 * MiB],
  ['in blocks of 1 MiB', 6 * MiB, [5, 0], MiB],
] as const;

describe.each(disks)('a disk %s', (_, size, blocks, blockBytes) => {
  let path: string;
  let content: Buffer;
  beforeEach(async () => {
    path = join(folder, 'disk.vhdx');
    write(path, planOf(size, blocks, blockBytes), new Seeded(size));
    content = await read(path);
  });

  test('has its data at its places and zeroes elsewhere', () => {
    expect(content.length).toBe(Math.ceil(size / 512) * 512);
    const seeded = new Seeded(size);
    for (let block = 0; block * blockBytes < size; block++) {
      const from = block * blockBytes;
      const length = Math.min(blockBytes, size - from);
      const here = (blocks as readonly number[]).includes(block) ? seeded.bytes(length) : Buffer.alloc(length);
      expect(content.subarray(from, from + length).equals(here)).toBe(true);
    }
  });

  test('is the same to qemu-img, which finds nothing wrong with it', (context) => {
    needQemuImg(context);
    expect(runTool('qemu-img', ['check', '-f', 'vhdx', path])).toContain('No errors were found');
    expect(convertWithQemu(path, join(folder, 'qemu.raw')).equals(content)).toBe(true);
  });

  test('is the same to 7zz', (context) => {
    need7zz(context);
    if (content.length % 1024 !== 0) context.skip('7zz opens no VHDX of an odd number of sectors, whoever wrote it');
    expect(extractWith7zz(path, join(folder, '7zz')).equals(content)).toBe(true);
  });

  test('is a dynamic disk of that size to vhdiinfo', (context) => {
    needVhdiinfo(context);
    const said = runTool('vhdiinfo', [path]);
    expect(said).toContain('Dynamic');
    expect(said).toMatch(new RegExp(`\\b${content.length} bytes`));
  });
});

test('the file looks like a disk only after the last step', async () => {
  const plan = planOf(4 * MiB, [0]);
  const layout = vhdxDynamic.layOut(plan);
  const path = join(folder, 'disk.vhdx');
  writeFileSync(path, Buffer.alloc(layout.fileBytes));
  const file = imageFile(path);
  const steps = [...layout.finish()].map((step) => [...step]);
  for (const step of steps) {
    await expect(vhdx.open(file)).rejects.toMatchObject({ code: 'E_DISK_FORMAT' });
    for (const { at, bytes } of step) file.write(at, bytes);
  }
  expect((await vhdx.open(file)).kind).toBe('dynamic');
  file.close();
});

test('the same plan gives the same file, and another id other identities', async () => {
  const pieces = (plan: LayoutPlan): Piece[] => [...vhdxDynamic.layOut(plan).finish()].flatMap((step) => [...step]);
  const plan = planOf(4 * MiB, [0, 1]);
  expect(pieces(plan)).toEqual(pieces(plan));
  expect(pieces({ ...plan, uniqueId: new Uint8Array(16) })).not.toEqual(pieces(plan));
});

test('a place never depends on the order in which places are asked for', () => {
  const seeded = new Seeded(4);
  const blocks = Array.from({ length: 5000 }, (_, block) => block).filter(() => seeded.chance(0.4));
  const layout = vhdxDynamic.layOut(planOf(5000 * MiB, blocks, MiB));
  const first = blocks.map((block) => [...layout.places({ offset: block * MiB, length: MiB })][0]?.at);
  const places = new Set(first);
  expect(places.size).toBe(blocks.length);
  expect([...places].every((at, rank) => at === 4 * MiB + rank * MiB)).toBe(true);
  expect(layout.fileBytes).toBe((4 + blocks.length) * MiB);
});

test.each([
  [0, 2 * MiB],
  [1 * GiB, 2 * MiB],
  [2 * TiB, 2 * MiB],
  [2 * TiB + 1, 4 * MiB],
  [64 * TiB, 64 * MiB],
])('a disk of %d bytes gets blocks of %d bytes', (size, blockBytes) => {
  expect(vhdxDynamic.blockBytesFor(size)).toBe(blockBytes);
});

test('a disk above 64 TiB is refused', () => {
  expect(() => vhdxDynamic.blockBytesFor(64 * TiB + 1)).toThrow(/64 TiB/);
});

test('the last block of 64 TiB has its place, and no piece of the format is larger than 1 MiB', async (context) => {
  const blocks = 1024 * 1024;
  const layout = vhdxDynamic.layOut(planOf(64 * TiB, [0, blocks - 1]));
  expect([...layout.places({ offset: 64 * TiB - 512, length: 512 })]).toEqual([
    { length: 512, at: layout.fileBytes - 512 },
  ]);
  const path = join(folder, 'large.vhdx');
  const fd = openSync(path, 'w');
  ftruncateSync(fd, layout.fileBytes);
  for (const step of layout.finish()) {
    for (const { at, bytes } of step) {
      expect(bytes.length).toBeLessThanOrEqual(MiB);
      writeSync(fd, bytes, 0, bytes.length, at);
    }
  }
  closeSync(fd);
  const file = imageFile(path);
  const runs: Allocation[] = [];
  for await (const run of (await vhdx.open(file)).allocation({ offset: 0, length: 64 * TiB })) runs.push(run);
  file.close();
  expect(runs).toEqual([
    { kind: 'data', length: 64 * MiB },
    { kind: 'zero', length: 64 * TiB - 128 * MiB },
    { kind: 'data', length: 64 * MiB },
  ]);
  needQemuImg(context);
  expect(runTool('qemu-img', ['info', path])).toContain('64 TiB');
});
