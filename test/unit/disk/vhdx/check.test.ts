/** What a check says of damaged VHDX files, and that no damage is given as right content. */
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { TransferError } from '../../../../src/core/errors.js';
import { KiB, MiB, TiB } from '../../../../src/core/units.js';
import { crc32cWithout } from '../../../../src/disk/crc32c.js';
import type { DiskBytes, Finding } from '../../../../src/disk/image.js';
import { vhdx } from '../../../../src/disk/vhdx/vhdx.js';
import { needQemuImg, runTool } from '../../../support/disk-tools.js';
import { contentOf, imageFile } from '../../../support/image-file.js';
import { Seeded } from '../../../support/seeded.js';
import { GUIDS, type TestBlock, writeTestVhdx } from '../../../support/vhdx-images.js';
import { writeLog } from '../../../support/vhdx-log.js';

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vhdx-check-'));
  path = join(folder, 'disk.vhdx');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const SIZE = 8 * MiB;
const BAT_AT = 3 * MiB;
const METADATA_AT = 2 * MiB;
const SIZE_AT = METADATA_AT + 64 * KiB + 8;

function writeDisk(differencing = false): void {
  const seeded = new Seeded(1);
  const blocks = new Map<number, TestBlock>([
    [0, { state: 6, bytes: seeded.bytes(2 * MiB) }],
    [2, differencing ? { state: 7, bytes: seeded.bytes(2 * MiB), sectors: (at) => at < 9 } : { state: 2 }],
    [3, { state: 6, bytes: seeded.bytes(2 * MiB) }],
  ]);
  const parent = { identity: GUIDS.id, relative: 'base.vhdx' };
  writeTestVhdx(path, { size: SIZE, blocks, ...(differencing && { parent }) });
}

async function check(bytes: DiskBytes): Promise<readonly Finding[]> {
  const found: Finding[] = [];
  await vhdx.check(bytes, { add: (finding) => found.push(finding) });
  return found;
}

async function checkFile(): Promise<readonly Finding[]> {
  const file = imageFile(path);
  try {
    return await check(file);
  } finally {
    file.close();
  }
}

const codes = (found: readonly Finding[]): readonly string[] =>
  found.map(({ code, severity }) => `${code} ${severity}`);

function patch(change: (image: Buffer) => void): void {
  const image = readFileSync(path);
  change(image);
  writeFileSync(path, image);
}

/** Makes a checksum right again, so that only what was changed under it can be found. */
const resum = (image: Buffer, at: number, length: number): void => {
  image.writeUInt32LE(crc32cWithout(image.subarray(at, at + length), 4), at + 4);
};
const bothTables = (image: Buffer, change: (table: Buffer) => void): void => {
  for (const at of [192 * KiB, 256 * KiB]) {
    change(image.subarray(at, at + 64 * KiB));
    resum(image, at, 64 * KiB);
  }
};
const entry = (image: Buffer, index: number, value: bigint): unknown =>
  image.writeBigUInt64LE(value, BAT_AT + index * 8);
const flip = (image: Buffer, at: number): number => image.writeUInt8((image[at] ?? 0) ^ 0x10, at);

test.each([false, true])('nothing is wrong with a whole disk (differencing: %s)', async (differencing) => {
  writeDisk(differencing);
  expect(await checkFile()).toEqual([]);
});

test('nothing is wrong with what qemu-img makes', async (context) => {
  needQemuImg(context);
  for (const options of ['subformat=dynamic', 'subformat=dynamic,block_size=64M,log_size=4M', 'subformat=fixed']) {
    runTool('qemu-img', ['create', '-q', '-f', 'vhdx', '-o', options, path, '100M']);
    runTool('qemu-io', ['-f', 'vhdx', '-c', 'write -P 5 3M 9M', path]);
    expect(await checkFile()).toEqual([]);
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
    writeDisk();
    patch(change);
    const found = await checkFile();
    expect(codes(found)).toEqual(expected);
    for (const { message } of found) expect(message).toMatch(/expected .+, found |say different|not allocated/);
  });

  test('a sector bitmap that is missing', async () => {
    writeDisk(true);
    patch((image) => entry(image, 2048, 0n));
    expect(codes(await checkFile())).toEqual(['vhdx-bitmap-missing wrong']);
  });

  test('a file that was cut short, in its blocks and in its tables', async () => {
    writeDisk();
    truncateSync(path, 7 * MiB);
    expect(codes(await checkFile())).toEqual(['vhdx-bat-past-end wrong']);
    truncateSync(path, BAT_AT + 10);
    expect(codes(await checkFile())).toEqual(['vhdx-truncated wrong']);
  });

  test('a log that is not empty, and one that cannot be replayed', async () => {
    writeDisk();
    const change = { at: 4 * MiB, data: Buffer.alloc(4 * KiB, 1) };
    writeLog(path, [{ at: 0, tail: 0, sequenceNumber: 1n, changes: [change], fileBytes: 8 * MiB }]);
    expect(codes(await checkFile())).toEqual(['vhdx-log-dirty doubtful']);
    patch((image) => flip(image, MiB + 70));
    expect(codes(await checkFile())).toEqual(['vhdx-log wrong', 'vhdx-log-dirty doubtful']);
  });
});

/** Where a VHDX says something about itself, of the test disk above. */
const STRUCTURES = [
  [0, 8],
  [64 * KiB, 80],
  [128 * KiB, 80],
  [192 * KiB, 80],
  [256 * KiB, 80],
  [METADATA_AT, 32 * 7],
  [METADATA_AT + 64 * KiB, 240],
] as const;

test('a flipped bit in any structure gives a typed error, a finding, or the right content', async () => {
  writeDisk(true);
  const whole = readFileSync(path);
  const bytes: DiskBytes = {
    name: 'mutant',
    size: whole.length,
    read: async ({ offset, length }, what) => {
      if (offset > whole.length - length) throw new TransferError('E_DISK_FORMAT', `${what}: past the end`);
      return Buffer.from(whole.subarray(offset, offset + length));
    },
  };
  // Another parent than the right one is refused by whoever opens the chain: its identity is another.
  const runs = async (): Promise<string> => {
    const image = await vhdx.open(bytes);
    const list: unknown[] = [image.size];
    for await (const run of image.runs({ offset: 0, length: Math.min(image.size, 64 * MiB) })) list.push(run);
    return JSON.stringify(list);
  };
  const right = await runs();
  const seeded = new Seeded(77);
  for (const [at, length] of STRUCTURES) {
    for (let flips = 0; flips < length * 2; flips++) {
      const bit = seeded.int(0, length * 8 - 1);
      flipBit(whole, at, bit);
      const found = await check(bytes);
      const read = await runs().catch((thrown: unknown) => {
        expect(thrown).toMatchObject({ name: 'TransferError', code: 'E_DISK_FORMAT' });
        return 'refused';
      });
      const place = at + (bit >>> 3);
      if (read === 'refused') expect(found.map(({ severity }) => severity)).toContain('wrong');
      // A larger disk is the one lie that a VHDX may tell without a second word against it: it only adds zeroes.
      else if (place < SIZE_AT || place >= SIZE_AT + 8)
        expect(read === right || found.length > 0, `${place}`).toBe(true);
      flipBit(whole, at, bit);
    }
  }
});

const flipBit = (bytes: Buffer, at: number, bit: number): void => {
  const place = at + (bit >>> 3);
  bytes[place] = (bytes[place] ?? 0) ^ (1 << (bit & 7));
};

test('a file that ends anywhere in its structures is refused, and the check says so', async () => {
  writeDisk();
  const seeded = new Seeded(9);
  for (const end of [0, 7, 8, 65536, 70000, 131072, 200000, 262144, 300000, MiB, BAT_AT, 4 * MiB]) {
    for (const size of [end, Math.max(0, end - seeded.int(1, 500))]) {
      writeDisk();
      truncateSync(path, size);
      const file = imageFile(path);
      const reading = vhdx.open(file).then((image) => contentOf([{ image, bytes: file }]));
      await expect(reading).rejects.toMatchObject({ code: 'E_DISK_FORMAT' });
      file.close();
      expect((await checkFile()).some(({ severity }) => severity === 'wrong')).toBe(true);
    }
  }
});

test('a disk of 64 TiB in blocks of 1 MiB is opened, mapped and checked with its BAT passing by', async () => {
  const blocks = new Map<number, TestBlock>([[0, { state: 6, bytes: Buffer.alloc(512, 1) }]]);
  writeTestVhdx(path, { size: SIZE, blockBytes: MiB, blocks });
  // The disk becomes larger by a number, the BAT by moving it behind everything, where nothing is written yet.
  const ratio = 4096;
  const batBytes = Math.ceil((64 + 64 / ratio) * 8) * MiB;
  const moved = 16 * MiB;
  patch((image) => {
    image.writeBigUInt64LE(BigInt(64 * TiB), SIZE_AT);
    bothTables(image, (table) => {
      table.writeBigUInt64LE(BigInt(moved), 16 + 16);
      table.writeUInt32LE(batBytes, 16 + 24);
    });
  });
  truncateSync(path, moved + batBytes + MiB);
  const file = imageFile(path);
  const last = 64 * MiB - 1;
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
    { kind: 'zero', length: 64 * TiB - 2 * MiB },
    { kind: 'data', length: MiB },
  ]);
  expect(structuredClone(image.ref)).not.toHaveProperty('bat.kept');
  expect(await check(file)).toEqual([]);
  file.close();
});
