/** Writing into VHDs in place: what a merge leaves, whatever moment it is cut short at. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { ByteRange } from '../../../../src/core/chunk.js';
import type { ImageWriter } from '../../../../src/disk/image-writer.js';
import { vhd } from '../../../../src/disk/vhd/vhd.js';
import { cutAt, killedAt, type MemoryDisk, memoryDisk } from '../../../support/memory-disk.js';
import { Seeded } from '../../../support/seeded.js';
import { BLOCK, findings, read, SIZE, smallDisks } from './small-disks.js';

const qemuImg = spawnSync('qemu-img', ['--version']).status === 0;

interface Change extends ByteRange {
  /** Absent: zero. */
  readonly bytes?: Buffer;
}

/** What a merge does with a writer: some batches, each published. */
function carry(file: MemoryDisk, writer: ImageWriter, changes: readonly Change[], batch = 3): void {
  writer.begin(changes);
  for (const [index, { offset, length, bytes }] of changes.entries()) {
    let done = 0;
    for (const { length: piece, at } of writer.place({ offset, length }, bytes ? 'data' : 'zero')) {
      if (at !== undefined) file.write(at, bytes?.subarray(done, done + piece) ?? Buffer.alloc(piece));
      done += piece;
    }
    expect(done).toBe(length);
    if (index % batch === batch - 1) {
      file.flush();
      writer.publish();
    }
  }
  file.flush();
  writer.publish();
  writer.finish();
}

/** Several runs of whole sectors, in order, some zero. */
function someChanges(seeded: Seeded): Change[] {
  const changes: Change[] = [];
  let offset = 512 * seeded.int(0, 9);
  while (offset < SIZE) {
    const length = Math.min(SIZE - offset, 512 * seeded.int(1, 10));
    changes.push({ offset, length, ...(seeded.chance(0.7) && { bytes: seeded.bytes(length) }) });
    offset += length + 512 * seeded.int(0, 12);
  }
  return changes;
}

function changed(disk: Buffer, changes: readonly Change[]): Buffer {
  const next = Buffer.from(disk);
  for (const { offset, length, bytes } of changes) next.set(bytes ?? Buffer.alloc(length), offset);
  return next;
}

async function writerOf(file: MemoryDisk): Promise<ImageWriter> {
  const writer = await vhd.openWriter?.(file);
  if (!writer) throw new Error('no writer');
  return writer;
}

test.each(['fixed', 'dynamic', 'differencing'] as const)('what is written into a %s VHD is read back', async (kind) => {
  for (let seed = 0; seed < 40; seed++) {
    const seeded = new Seeded(seed);
    const start = smallDisks(seeded)[kind];
    const changes = someChanges(seeded);
    const file = memoryDisk(start);
    const writer = await writerOf(file);
    const before = (await vhd.open(file)).identity;
    carry(file, writer, changes);
    expect((await read(file.content())).equals(changed(await read(start), changes)), `seed ${seed}`).toBe(true);
    expect(await findings(file)).toEqual([]);
    // Who builds on the old content must not take this for it.
    const { identity } = await vhd.open(file);
    expect(identity).not.toBe(before);
    expect(identity).toBe((writer as { identityAfter?: string }).identityAfter);
  }
});

/** Every sector is as before or as after: the child hides which. */
function isBetween(disk: Buffer, before: Buffer, after: Buffer): boolean {
  for (let at = 0; at < disk.length; at += 512) {
    const sector = disk.subarray(at, at + 512);
    if (!sector.equals(before.subarray(at, at + 512)) && !sector.equals(after.subarray(at, at + 512))) return false;
  }
  return true;
}

test.each(['fixed', 'dynamic', 'differencing'] as const)(
  'a %s VHD is a disk at every moment at which a merge is cut short, and the next run finishes it',
  async (kind) => {
    for (let seed = 100; seed < 106; seed++) {
      const seeded = new Seeded(seed);
      const start = smallDisks(seeded)[kind];
      const changes = someChanges(seeded);
      const file = memoryDisk(start);
      carry(file, await writerOf(file), changes);
      const [before, after] = [await read(start), await read(file.content())];
      for (const left of [...killedAt(start, file.steps), ...cutAt(start, file.steps, seeded, 4)]) {
        expect(isBetween(await read(left), before, after)).toBe(true);
        expect((await findings(memoryDisk(left))).filter(({ severity }) => severity === 'wrong')).toEqual([]);
        const again = memoryDisk(left);
        carry(again, await writerOf(again), changes);
        expect((await read(again.content())).equals(after)).toBe(true);
        expect(await findings(again)).toEqual([]);
        // Room that a crash left is taken again.
        expect(again.size).toBeLessThanOrEqual(file.size + (kind === 'fixed' ? 0 : 8 * BLOCK));
      }
    }
  },
);

test('zeroes take no room in a dynamic VHD, and hide the parent in a differencing one', async () => {
  const changes: Change[] = [
    { offset: 0, length: BLOCK },
    { offset: 4 * BLOCK, length: BLOCK },
  ];
  const { dynamic, differencing } = smallDisks(new Seeded(5));
  const plain = memoryDisk(dynamic);
  carry(plain, await writerOf(plain), changes);
  expect(plain.size).toBe(dynamic.length);
  const child = memoryDisk(differencing);
  carry(child, await writerOf(child), changes);
  expect((await read(child.content())).subarray(0, BLOCK).equals(Buffer.alloc(BLOCK))).toBe(true);
  expect(child.size).toBeGreaterThan(differencing.length);
});

test('room that was announced and not needed is given back', async () => {
  const { dynamic } = smallDisks(new Seeded(5));
  const file = memoryDisk(dynamic);
  const writer = await writerOf(file);
  writer.begin([{ offset: 0, length: SIZE }]);
  expect(file.size).toBeGreaterThan(dynamic.length + 7 * BLOCK);
  expect((await read(file.content())).equals(await read(dynamic))).toBe(true);
  writer.finish();
  expect(file.size).toBe(dynamic.length);
});

test('a disk that was cut short is not written to', async () => {
  const { dynamic } = smallDisks(new Seeded(5));
  const cut = memoryDisk(dynamic.subarray(0, -1536));
  await expect(writerOf(cut)).rejects.toMatchObject({ code: 'E_DISK_FORMAT' });
  expect(cut.steps).toEqual([]);
});

test('bytes of the footer that no specification names stay as they are', async () => {
  const start = smallDisks(new Seeded(5)).dynamic;
  for (const at of [0, start.length - 512]) {
    start[at + 85] = 1;
    start.writeUInt32BE(start.readUInt32BE(at + 64) - 1, at + 64);
  }
  const file = memoryDisk(start);
  carry(file, await writerOf(file), [{ offset: 0, length: 512, bytes: Buffer.alloc(512, 1) }]);
  expect([file.content()[85], file.content().at(85 - 512)]).toEqual([1, 1]);
  expect(await findings(file)).toEqual([]);
});

test('QEMU reads what was written here', async (context) => {
  context.skip(!qemuImg, 'needs qemu-img (package qemu-utils)');
  const folder = mkdtempSync(join(tmpdir(), 'blockferry-vhd-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const path = (name: string): string => join(folder, name);
  const seeded = new Seeded(3);
  const size = 9 * 2 ** 20 + 512;
  const [ours, theirs] = [seeded.bytes(300 * 512), seeded.bytes(2 ** 21)];
  execFileSync('qemu-img', ['create', '-q', '-f', 'vpc', '-o', 'force_size=on', path('base.vhd'), String(size)]);
  writeFileSync(path('piece'), theirs);
  execFileSync('qemu-io', ['-f', 'vpc', '-c', `write -s ${path('piece')} 1M 2M`, path('base.vhd')]);
  const file = memoryDisk(readFileSync(path('base.vhd')));
  const changes = [
    { offset: 2 ** 20 + 512, length: ours.length, bytes: ours },
    { offset: 5 * 2 ** 20, length: ours.length, bytes: ours },
    { offset: 7 * 2 ** 20, length: 2 ** 20 },
    { offset: size - 512, length: 512, bytes: ours.subarray(0, 512) },
  ];
  carry(file, await writerOf(file), changes);
  writeFileSync(path('base.vhd'), file.content());
  execFileSync('qemu-img', ['convert', '-f', 'vpc', '-O', 'raw', path('base.vhd'), path('base.raw')]);
  const disk = changed(Buffer.concat([Buffer.alloc(2 ** 20), theirs, Buffer.alloc(size - 3 * 2 ** 20)]), changes);
  expect(readFileSync(path('base.raw')).equals(disk)).toBe(true);
});
