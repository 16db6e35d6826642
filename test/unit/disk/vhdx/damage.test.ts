/** No damage of a VHDX is given as right content, and none does more than it should. */
import { readFileSync, truncateSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { TransferError } from '../../../../src/core/errors.js';
import { KiB, MiB } from '../../../../src/core/units.js';
import type { DiskBytes } from '../../../../src/disk/image.js';
import { vhdx } from '../../../../src/disk/vhdx/vhdx.js';
import { contentOf, imageFile } from '../../../support/image-file.js';
import { Seeded } from '../../../support/seeded.js';
import {
  BAT_AT,
  codes,
  findingsOf,
  METADATA_AT,
  resum,
  SIZE,
  SIZE_AT,
  SmallDisk,
} from '../../../support/vhdx-damage.js';
import { writeTestVhdx } from '../../../support/vhdx-images.js';

let disk: SmallDisk;
beforeEach(() => {
  disk = new SmallDisk();
});
afterEach(() => disk.remove());

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
  disk.write(true);
  const whole = readFileSync(disk.path);
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
      const found = await findingsOf(bytes);
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

test('two headers of one number that say different things are refused, whatever stands in them', async () => {
  disk.write();
  disk.patch((image) => {
    for (const at of [64 * KiB, 128 * KiB]) {
      image.writeBigUInt64LE(2n ** 64n - 1n, at + 8);
      image.writeBigUInt64LE(2n ** 64n - 1n, at + 72);
      image.writeUInt32LE(at * 16, at + 68);
      resum(image, at, 4 * KiB);
    }
  });
  const file = imageFile(disk.path);
  await expect(vhdx.open(file)).rejects.toMatchObject({ code: 'E_DISK_FORMAT', message: /two sequence numbers/ });
  file.close();
  expect(codes(await disk.check())).toEqual(['vhdx-header wrong']);
});

test("a log behind every file's end is told, and kept from being written", async () => {
  disk.write();
  disk.patch((image) => {
    for (const at of [64 * KiB, 128 * KiB]) {
      image.writeBigUInt64LE(2n ** 64n - 1n, at + 72);
      resum(image, at, 4 * KiB);
    }
  });
  expect(codes(await disk.check())).toEqual(['vhdx-log-place doubtful', 'vhdx-truncated doubtful']);
  const file = imageFile(disk.path);
  await expect(vhdx.openWriter?.(file)).rejects.toMatchObject({ code: 'E_DISK_FORMAT', message: /log at byte/ });
  expect((await vhdx.open(file)).size).toBe(SIZE);
  file.close();
});

test('a BAT that is wrong throughout gives a thousand findings', async () => {
  writeTestVhdx(disk.path, { size: 4096 * MiB, blockBytes: MiB, blocks: new Map() });
  disk.patch((image) => image.fill(5, BAT_AT, BAT_AT + 4096 * 8));
  expect((await disk.check()).length).toBe(1000);
});

test('a file that ends anywhere in its structures is refused, and the check says so', async () => {
  disk.write();
  const seeded = new Seeded(9);
  for (const end of [0, 7, 8, 65536, 70000, 131072, 200000, 262144, 300000, MiB, BAT_AT, 4 * MiB]) {
    for (const size of [end, Math.max(0, end - seeded.int(1, 500))]) {
      disk.write();
      truncateSync(disk.path, size);
      const file = imageFile(disk.path);
      const reading = vhdx.open(file).then((image) => contentOf([{ image, bytes: file }]));
      await expect(reading).rejects.toMatchObject({ code: 'E_DISK_FORMAT' });
      file.close();
      expect((await disk.check()).some(({ severity }) => severity === 'wrong')).toBe(true);
    }
  }
});
