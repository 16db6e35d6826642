/** Disk images for the bench, made by QEMU's tools, and what is needed to make them hold much in little time. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { open } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { promisify } from 'node:util';
import { TransferError } from '../src/core/errors.js';
import { MiB, TiB } from '../src/core/units.js';

const run = promisify(execFile);

export const HUGE_BYTES = 2 * TiB;
export const HUGE_BLOCKS = 100_000;
export const HUGE_BLOCK_BYTES = MiB;
/** [MS-VHDX] 2.2.3.2: the BAT's place is the first or the second entry of the region table. */
const BAT_GUID = Buffer.from('6677c22d23f600429d64115e9bfd4a08', 'hex');
const REGION_TABLE_AT = 192 * 1024;
const FULLY_PRESENT = 6n;
const PIECE_BYTES = 64 * MiB;

/** Each block that is allocated, in order: all over the disk, with neighbours now and then. */
export function* hugeBlocks(): Iterable<number> {
  const blocks = HUGE_BYTES / HUGE_BLOCK_BYTES;
  const step = Math.floor(blocks / HUGE_BLOCKS);
  for (let index = 0; index < HUGE_BLOCKS; index++) yield index * step + (index % 3 ? 0 : step - 1);
}

/** A dynamic VHDX of 2 TiB as QEMU makes it, empty, whose table then says that {@link HUGE_BLOCKS} blocks are there. */
export async function makeHugeVhdx(path: string): Promise<void> {
  const options = `subformat=dynamic,block_size=${HUGE_BLOCK_BYTES}`;
  await run('qemu-img', ['create', '-q', '-f', 'vhdx', '-o', options, path, String(HUGE_BYTES)]);
  const file = await open(path, 'r+');
  try {
    const regions = Buffer.alloc(64 * 1024);
    await file.read(regions, 0, regions.length, REGION_TABLE_AT);
    const entryAt = regions.indexOf(BAT_GUID);
    const batAt = Number(regions.readBigUInt64LE(entryAt + 16));
    const bat = Buffer.alloc(regions.readUInt32LE(entryAt + 24));
    const blocksPerBitmap = (2 ** 23 * 512) / HUGE_BLOCK_BYTES;
    let place = BigInt(Math.ceil((await file.stat()).size / MiB));
    for (const block of hugeBlocks()) {
      const entry = block + Math.floor(block / blocksPerBitmap);
      bat.writeBigUInt64LE((place << 20n) | FULLY_PRESENT, entry * 8);
      place += BigInt(HUGE_BLOCK_BYTES / MiB);
    }
    await file.write(bat, 0, bat.length, batAt);
    await file.truncate(Number(place) * MiB);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Where a disk has data: in pieces that fill blocks of any usual size, evenly spread. */
function piecesOf(diskBytes: number, bytes: number): readonly { offset: number; length: number }[] {
  const length = Math.min(PIECE_BYTES, bytes);
  const count = Math.ceil(bytes / length);
  const step = Math.floor(diskBytes / count / length) * length;
  return Array.from({ length: count }, (_, index) => ({ offset: index * step, length }));
}

/** A raw disk, sparse, with so many random bytes. */
export async function makeRawDisk(path: string, diskBytes: number, bytes: number): Promise<void> {
  const file = await open(path, 'wx');
  try {
    await file.truncate(diskBytes);
    for (const { offset, length } of piecesOf(diskBytes, bytes))
      await file.write(randomBytes(length), 0, length, offset);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** The same disk in another format, durable. */
export async function convertDisk(raw: string, format: string, path: string): Promise<void> {
  await run('qemu-img', ['convert', '-f', 'raw', '-O', format, '-t', 'writeback', raw, path]);
}

/** An overlay with the data of the raw disk; where that has none, its base is seen, which lies in the same folder. */
export async function overlayDisk(raw: string, base: string, path: string): Promise<void> {
  const cwd = dirname(path);
  const create = ['create', '-q', '-f', 'qcow2', '-b', basename(base), '-F', 'qcow2', basename(path)];
  await run('qemu-img', create, { cwd });
  const convert = ['convert', '-n', '--target-is-zero', '-f', 'raw', '-O', 'qcow2', '-t', 'writeback'];
  await run('qemu-img', [...convert, raw, basename(path)], { cwd });
}

/** What a guest sees of an image and of those that it builds on, as a raw disk. */
export async function rawOf(image: string, raw: string): Promise<void> {
  await run('qemu-img', ['convert', '-O', 'raw', image, raw]);
}

/** Copies files into a folder that is made for them, durable and in the page cache. */
export async function copyAside(paths: readonly string[], folder: string): Promise<void> {
  const script = 'mkdir -p "$0" && cp --reflink=never "$@" "$0" && sync -f "$0"';
  await run('sh', ['-c', script, folder, ...paths]);
}

/** Compared by QEMU. @throws TransferError E_INTEGRITY unless both disks have the same content */
export async function assertSameDisk(raw: string, path: string, format: string): Promise<void> {
  try {
    await run('qemu-img', ['compare', '-f', 'raw', '-F', format, raw, path]);
  } catch (cause) {
    throw new TransferError('E_INTEGRITY', `${path} is another disk than ${raw}`, { cause });
  }
}
