/** New VHDs laid out here, opened by QEMU, 7-Zip and our own reader. */
import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { GiB, KiB, MiB, TiB } from '../../../../src/core/units.js';
import type { DiskImage } from '../../../../src/disk/image.js';
import type { Layout, LayoutFormat, LayoutPlan } from '../../../../src/disk/layout.js';
import { dynamicVhdLayout } from '../../../../src/disk/vhd/dynamic-layout.js';
import { fixedVhdLayout } from '../../../../src/disk/vhd/fixed-layout.js';
import { vhd } from '../../../../src/disk/vhd/vhd.js';
import { contentOf, type ImageFile, imageFile } from '../../../support/image-file.js';
import { Seeded } from '../../../support/seeded.js';
import { findings } from './small-disks.js';

const qemuImg = spawnSync('qemu-img', ['--version']).status === 0;
const sevenZip = spawnSync('7zz', ['i']).status === 0;

const formats = { 'vhd-fixed': fixedVhdLayout, 'vhd-dynamic': dynamicVhdLayout } as const;
type Kind = keyof typeof formats;
const kinds = Object.keys(formats) as Kind[];

function planFor(kind: Kind, size: number, allocated: Iterable<number> = []): LayoutPlan {
  const blockBytes = formats[kind].blockBytesFor(size);
  const bits = new Uint8Array(blockBytes === 0 ? 0 : Math.ceil(size / blockBytes / 8));
  for (const block of allocated) bits[block >> 3] = (bits[block >> 3] ?? 0) | (0x80 >> (block & 7));
  const uniqueId = new Seeded(1).bytes(16);
  return { kind, size, uniqueId, createdAtMs: Date.UTC(2024, 5, 6), blockBytes, allocated: bits };
}

function scratch(): (name: string) => string {
  const folder = mkdtempSync(join(tmpdir(), 'blockferry-vhd-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return (name) => join(folder, name);
}

/** Makes the file, data in pieces in any order, then the steps that make it a disk. */
function write(path: string, layout: Layout, disk: ReadonlyMap<number, Buffer>): void {
  const fd = openSync(path, 'w');
  ftruncateSync(fd, layout.fileBytes);
  for (const [offset, bytes] of disk) {
    let done = 0;
    for (const { at, length } of layout.places({ offset, length: bytes.length })) {
      if (at !== undefined) writeSync(fd, bytes, done, length, at);
      else expect(bytes.subarray(done, done + length).some((byte) => byte !== 0)).toBe(false);
      done += length;
    }
    expect(done).toBe(bytes.length);
  }
  for (const step of layout.finish()) for (const { at, bytes } of step) writeSync(fd, bytes, 0, bytes.length, at);
  closeSync(fd);
  expect(statSync(path).size).toBe(layout.fileBytes);
}

async function opened(path: string): Promise<{ image: DiskImage; bytes: ImageFile }> {
  const bytes = imageFile(path);
  onTestFinished(() => bytes.close());
  expect(await findings(bytes)).toEqual([]);
  return { image: await vhd.open(bytes), bytes };
}

function readBack(path: (name: string) => string): Buffer[] {
  execFileSync('qemu-img', ['convert', '-f', 'vpc', '-O', 'raw', path('d.vhd'), path('d.raw')]);
  execFileSync('7zz', ['x', '-bd', '-y', '-tVHD', `-o${path('out')}`, path('d.vhd')], { stdio: 'pipe' });
  return [readFileSync(path('d.raw')), readFileSync(path('out/d.img'))];
}

test.for(kinds.flatMap((kind) => [512, 2 * MiB, 7 * MiB + 1536].map((size) => ({ kind, size }))))(
  'a $kind of $size bytes reads the same here, in QEMU and in 7-Zip',
  async ({ kind, size }, context) => {
    context.skip(!qemuImg || !sevenZip, 'needs qemu-img (package qemu-utils) and 7zz (package 7zip)');
    const path = scratch();
    const seeded = new Seeded(size);
    const disk = new Map([[0, seeded.bytes(512)]]);
    if (size > 2 * MiB) {
      disk.set(2 * MiB - 1024, Buffer.alloc(1024));
      disk.set(size - 700 * KiB, seeded.bytes(700 * KiB));
      disk.set(4 * MiB - 512, seeded.bytes(64 * KiB));
    }
    write(path('d.vhd'), formats[kind].layOut(planFor(kind, size, [0, 1, 2, 3])), disk);
    const expected = Buffer.alloc(size);
    for (const [offset, bytes] of disk) expected.set(bytes, offset);
    expect((await contentOf([await opened(path('d.vhd'))])).equals(expected)).toBe(true);
    for (const content of readBack(path)) expect(content.equals(expected)).toBe(true);
  },
);

test('a dynamic VHD takes room for allocated blocks only, in the order of the disk', async () => {
  const path = scratch();
  const size = 64 * MiB;
  const layout = dynamicVhdLayout.layOut(planFor('vhd-dynamic', size, [3, 30]));
  expect(layout.fileBytes).toBe(512 + 1024 + 512 + 2 * (512 + 2 * MiB) + 512);
  const bytes = new Seeded(2).bytes(2 * MiB);
  write(
    path('d.vhd'),
    layout,
    new Map([
      [60 * MiB, bytes],
      [6 * MiB, bytes],
    ]),
  );
  const { image } = await opened(path('d.vhd'));
  const allocation = [...(image.allocation({ offset: 0, length: size }) as Iterable<unknown>)];
  expect(allocation).toEqual([
    { kind: 'zero', length: 6 * MiB },
    { kind: 'data', length: 2 * MiB },
    { kind: 'zero', length: 52 * MiB },
    { kind: 'data', length: 2 * MiB },
    { kind: 'zero', length: 2 * MiB },
  ]);
  const [first, last] = [6 * MiB, 60 * MiB].map((offset) => [...layout.places({ offset, length: 1 })][0]?.at ?? 0);
  expect(first).toBeLessThan(last as number);
  // Nothing is between them but a bitmap.
  expect(last).toBe((first as number) + 2 * MiB + 512);
});

test.each(kinds)(
  'a source that ends within a sector makes a %s with that sector filled up with zeroes',
  async (kind) => {
    const path = scratch();
    const bytes = new Seeded(4).bytes(1000);
    const layout = formats[kind].layOut(planFor(kind, 1000, [0]));
    expect(layout.size).toBe(1024);
    write(path('d.vhd'), layout, new Map([[0, bytes]]));
    const content = await contentOf([await opened(path('d.vhd'))]);
    expect(content.equals(Buffer.concat([bytes, Buffer.alloc(24)]))).toBe(true);
  },
);

test.each(kinds)('until the last step of a %s the file does not look like a disk', async (kind) => {
  const path = scratch();
  const layout = formats[kind].layOut(planFor(kind, 3 * MiB, [1]));
  const steps = [...layout.finish()].map((step) => [...step]);
  const fd = openSync(path('d.vhd'), 'w');
  ftruncateSync(fd, layout.fileBytes);
  for (const step of steps.slice(0, -1)) for (const { at, bytes } of step) writeSync(fd, bytes, 0, bytes.length, at);
  closeSync(fd);
  const file = imageFile(path('d.vhd'));
  await expect(vhd.open(file)).rejects.toMatchObject({ code: 'E_DISK_FORMAT' });
  file.close();
});

test('disks of up to 2040 GiB are laid out, and larger ones are refused by name', () => {
  const size = 2040 * GiB;
  const blocks = Math.ceil(size / (2 * MiB));
  const plan = { ...planFor('vhd-dynamic', size), allocated: new Uint8Array(Math.ceil(blocks / 8)).fill(0xff) };
  const layout = dynamicVhdLayout.layOut(plan);
  const [last] = layout.places({ offset: size - 1, length: 1 });
  // The table's 32 bits of sectors reach as far as 2 TiB.
  expect(last?.at).toBeGreaterThan(size);
  expect(last?.at).toBeLessThan(2 * TiB);
  expect(layout.fileBytes).toBe((last?.at as number) + 1 + 512);
  for (const kind of kinds) {
    const { blockBytesFor }: LayoutFormat = formats[kind];
    expect(() => blockBytesFor(size + 1)).toThrow(/a disk of 1 byte to 2040 GiB .*has 2190433320961 bytes/);
    expect(() => blockBytesFor(0)).toThrow(/2040 GiB/);
  }
});

test('QEMU opens a dynamic VHD of 2040 GiB with a block at each end', async (context) => {
  context.skip(!qemuImg, 'needs qemu-img and qemu-io (package qemu-utils)');
  const path = scratch();
  const size = 2040 * GiB;
  const bytes = new Seeded(8).bytes(512);
  const plan = planFor('vhd-dynamic', size, [0, size / (2 * MiB) - 1]);
  write(
    path('d.vhd'),
    dynamicVhdLayout.layOut(plan),
    new Map([
      [0, bytes],
      [size - 512, bytes],
    ]),
  );
  const info = execFileSync('qemu-img', ['info', '--output=json', '-f', 'vpc', path('d.vhd')], { encoding: 'utf8' });
  expect(JSON.parse(info)['virtual-size']).toBe(size);
  const chain = [await opened(path('d.vhd'))];
  const end = await contentOf(chain, { offset: size - 1024, length: 1024 });
  expect(end.equals(Buffer.concat([Buffer.alloc(512), bytes]))).toBe(true);
  const dump = execFileSync('qemu-io', ['-r', '-f', 'vpc', '-c', `read -v ${size - 512} 16`, path('d.vhd')], {
    encoding: 'utf8',
  });
  expect(dump).toContain(bytes.subarray(0, 16).toString('hex').replace(/../g, '$& ').trim());
});
