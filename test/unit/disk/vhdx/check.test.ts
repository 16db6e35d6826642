/** What a check says of damaged VHDX files. */
import { truncateSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { KiB, MiB, TiB } from '../../../../src/core/units.js';
import { vhdx } from '../../../../src/disk/vhdx/vhdx.js';
import { needQemuImg, runTool } from '../../../support/disk-tools.js';
import { imageFile } from '../../../support/image-file.js';
import {
  BAT_AT,
  bothTables,
  codes,
  findingsOf,
  METADATA_AT,
  SIZE,
  SIZE_AT,
  SmallDisk,
} from '../../../support/vhdx-damage.js';
import { type TestBlock, writeTestVhdx } from '../../../support/vhdx-images.js';
import { writeLog } from '../../../support/vhdx-log.js';

let disk: SmallDisk;
beforeEach(() => {
  disk = new SmallDisk();
});
afterEach(() => disk.remove());

const entry = (image: Buffer, index: number, value: bigint): unknown =>
  image.writeBigUInt64LE(value, BAT_AT + index * 8);
const flip = (image: Buffer, at: number): number => image.writeUInt8((image[at] ?? 0) ^ 0x10, at);

test.each([false, true])('nothing is wrong with a whole disk (differencing: %s)', async (differencing) => {
  disk.write(differencing);
  expect(await disk.check()).toEqual([]);
});

test('nothing is wrong with what qemu-img makes', async (context) => {
  needQemuImg(context);
  for (const options of ['subformat=dynamic', 'subformat=dynamic,block_size=64M,log_size=4M', 'subformat=fixed']) {
    runTool('qemu-img', ['create', '-q', '-f', 'vhdx', '-o', options, disk.path, '100M']);
    runTool('qemu-io', ['-f', 'vhdx', '-c', 'write -P 5 3M 9M', disk.path]);
    expect(await disk.check()).toEqual([]);
  }
});

type Damage = readonly [what: string, change: (image: Buffer) => unknown, expected: readonly string[]];
const damages: readonly Damage[] = [
  ['its mark', (image) => flip(image, 3), ['vhdx-identifier wrong']],
  ['one header', (image) => flip(image, 64 * KiB + 20), ['vhdx-header-checksum doubtful']],
  [
    'both headers',
    (image) => [64, 128].map((at) => flip(image, at * KiB + 4000)),
    ['vhdx-header-checksum wrong', 'vhdx-header-checksum wrong'],
  ],
  ['one region table', (image) => flip(image, 192 * KiB + 30), ['vhdx-region-checksum doubtful']],
  [
    'both region tables',
    (image) => [192, 256].map((at) => flip(image, at * KiB + 60000)),
    ['vhdx-region-checksum wrong', 'vhdx-region-checksum wrong'],
  ],
  [
    'a required region that nobody knows',
    (image) =>
      bothTables(image, (table) => {
        table.writeUInt32LE(3, 8);
        table.fill(1, 80, 96);
        table.writeUInt32LE(1, 108);
      }),
    ['vhdx-regions wrong'],
  ],
  [
    'a region over another',
    (image) => bothTables(image, (table) => table.writeBigUInt64LE(BigInt(BAT_AT), 64)),
    ['vhdx-regions-overlap wrong', 'vhdx-metadata wrong'],
  ],
  ['the metadata table', (image) => flip(image, METADATA_AT), ['vhdx-metadata wrong']],
  ['a block size', (image) => image.writeUInt32LE(3 * MiB, METADATA_AT + 64 * KiB), ['vhdx-metadata wrong']],
  ['a required item', (image) => flip(image, METADATA_AT + 32), ['vhdx-metadata wrong']],
  ['a disk that its BAT cannot hold', (image) => image.writeBigUInt64LE(BigInt(TiB), SIZE_AT), ['vhdx-bat-size wrong']],
  ['a place behind the file', (image) => entry(image, 0, 0x7fff_ffff_fff0_0006n), ['vhdx-bat-past-end wrong']],
  ['a place in a table', (image) => entry(image, 0, BigInt(BAT_AT) + 6n), ['vhdx-blocks-overlap wrong']],
  ['two blocks in one place', (image) => entry(image, 1, BigInt(4 * MiB) + 6n), ['vhdx-blocks-overlap wrong']],
  ['a state that there is not', (image) => entry(image, 1, 5n), ['vhdx-bat-state wrong']],
  [
    'a state of other disks',
    (image) => entry(image, 1, 7n + BigInt(20 * MiB)),
    ['vhdx-bat-state wrong', 'vhdx-bat-past-end wrong'],
  ],
  [
    'a disk that is too small for its blocks',
    (image) => image.writeBigUInt64LE(BigInt(MiB), SIZE_AT),
    ['vhdx-bat-behind-disk doubtful'],
  ],
  ['reserved bits', (image) => entry(image, 1, 0x40n), ['vhdx-bat-reserved doubtful']],
];

describe('damage is found and named', () => {
  test.each(damages)('%s', async (_, change, expected) => {
    disk.write();
    disk.patch(change);
    const found = await disk.check();
    expect(codes(found)).toEqual(expected);
    for (const { message } of found) expect(message).toMatch(/expected .+, found |say different|not allocated/);
  });

  test('a sector bitmap that is missing', async () => {
    disk.write(true);
    disk.patch((image) => entry(image, 2048, 0n));
    expect(codes(await disk.check())).toEqual(['vhdx-bitmap-missing wrong']);
  });

  test('a file that was cut short, in its blocks and in its tables', async () => {
    disk.write();
    truncateSync(disk.path, 7 * MiB);
    expect(codes(await disk.check())).toEqual(['vhdx-bat-past-end wrong']);
    truncateSync(disk.path, BAT_AT + 10);
    expect(codes(await disk.check())).toEqual(['vhdx-truncated wrong']);
  });

  test('a log that is not empty, and one that cannot be replayed', async () => {
    disk.write();
    const change = { at: 4 * MiB, data: Buffer.alloc(4 * KiB, 1) };
    writeLog(disk.path, [{ at: 0, tail: 0, sequenceNumber: 1n, changes: [change], fileBytes: 8 * MiB }]);
    expect(codes(await disk.check())).toEqual(['vhdx-log-dirty doubtful']);
    disk.patch((image) => flip(image, MiB + 70));
    expect(codes(await disk.check())).toEqual(['vhdx-log wrong', 'vhdx-log-dirty doubtful']);
  });
});

test('a disk whose BAT is too large to be kept is opened, mapped and checked with the BAT passing by', async () => {
  const blocks = new Map<number, TestBlock>([[0, { state: 6, bytes: Buffer.alloc(512, 1) }]]);
  writeTestVhdx(disk.path, { size: SIZE, blockBytes: MiB, blocks });
  const sizeBytes = 8 * TiB;
  // The disk becomes larger by a number, the BAT by moving it behind everything, where nothing is written yet.
  const ratio = 4096;
  const batBytes = Math.ceil((8 + 8 / ratio) * 8) * MiB;
  const moved = 16 * MiB;
  disk.patch((image) => {
    image.writeBigUInt64LE(BigInt(sizeBytes), SIZE_AT);
    bothTables(image, (table) => {
      table.writeBigUInt64LE(BigInt(moved), 16 + 16);
      table.writeUInt32LE(batBytes, 16 + 24);
    });
  });
  truncateSync(disk.path, moved + batBytes + MiB);
  const file = imageFile(disk.path);
  const last = 8 * MiB - 1;
  const write = (block: number, at: number): void => {
    const value = Buffer.alloc(8);
    value.writeBigUInt64LE(BigInt(at) + 6n);
    file.write(moved + (block + Math.floor(block / ratio)) * 8, value);
  };
  write(0, 4 * MiB);
  write(last, moved + batBytes);
  const image = await vhdx.open(file);
  const found: unknown[] = [];
  for await (const run of image.allocation({ offset: 0, length: image.size })) found.push(run);
  expect(found).toEqual([
    { kind: 'data', length: MiB },
    { kind: 'zero', length: sizeBytes - 2 * MiB },
    { kind: 'data', length: MiB },
  ]);
  expect(structuredClone(image.ref)).not.toHaveProperty('bat.kept');
  expect(await findingsOf(file)).toEqual([]);
  file.close();
});
