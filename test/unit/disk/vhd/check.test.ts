/** What is wrong with a VHD, each kind of damage by its code; and whatever is damaged, no wrong content. */
import { expect, test } from 'vitest';
import type { TransferError } from '../../../../src/core/errors.js';
import { MiB } from '../../../../src/core/units.js';
import type { Finding } from '../../../../src/disk/image.js';
import { raw } from '../../../../src/disk/raw.js';
import { encodeVhdFooter, fixedVhdFooter } from '../../../../src/disk/vhd/footer.js';
import { vhd } from '../../../../src/disk/vhd/vhd.js';
import { memoryDisk } from '../../../support/memory-disk.js';
import { Seeded } from '../../../support/seeded.js';
import { vhdImage, windowsPath } from '../../../support/vhd-images.js';
import { BLOCK, findings, id, read, SIZE, smallDisks } from './small-disks.js';

const disks = smallDisks(new Seeded(1));
const END = disks.dynamic.length - 512;

/** The disk with some of its bytes changed. */
function patched(disk: Buffer, ...changes: readonly (readonly [at: number, bytes: readonly number[]])[]): Buffer {
  const copy = Buffer.from(disk);
  for (const [at, bytes] of changes) copy.set(bytes, at);
  return copy;
}

/** The checksum made right again, so that only the field itself can be found. */
function sealed(disk: Buffer, from: number, length: number, at: number): Buffer {
  const copy = Buffer.from(disk);
  copy.writeUInt32BE(0, from + at);
  copy.writeUInt32BE(~copy.subarray(from, from + length).reduce((sum, byte) => sum + byte, 0) >>> 0, from + at);
  return copy;
}

const header = (disk: Buffer, ...changes: Parameters<typeof patched>[1][]): Buffer =>
  sealed(patched(disk, ...changes.map(([at, bytes]) => [512 + at, bytes] as const)), 512, 1024, 36);
const footers = (disk: Buffer, at: number, bytes: readonly number[]): Buffer => {
  const end = disk.length - 512;
  return sealed(sealed(patched(disk, [at, bytes], [end + at, bytes]), 0, 512, 64), end, 512, 64);
};
const fixed = (sizeBytes: number, creatorApplication = 'win '): Buffer => {
  const footer = fixedVhdFooter({ sizeBytes, uniqueId: id(1), createdAtMs: Date.UTC(2020, 1) });
  return encodeVhdFooter({ ...footer, creatorApplication });
};
const entryAt = (block: number): number => 1536 + block * 4;
const sectorOf = (block: number): number => disks.dynamic.readUInt32BE(entryAt(block));
const u32 = (value: number): number[] => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];

test('a whole VHD of each kind has nothing wrong with it', async () => {
  for (const disk of Object.values(disks)) expect(await findings(memoryDisk(disk))).toEqual([]);
});

const cases: readonly (readonly [what: string, disk: Buffer, found: string])[] = [
  ['a damaged footer', patched(disks.dynamic, [END + 30, [1]]), 'doubtful vhd-footer-checksum'],
  ['a damaged copy', patched(disks.dynamic, [30, [1]]), 'doubtful vhd-footer-checksum'],
  ['both damaged', patched(disks.dynamic, [30, [1]], [END + 30, [1]]), 'wrong vhd-footer-checksum'],
  ['no footer at the end', disks.dynamic.subarray(0, END), 'doubtful vhd-footer-missing'],
  ['no copy at the front', patched(disks.dynamic, [0, Array(512).fill(0)]), 'doubtful vhd-footer-missing'],
  ['no VHD at all', Buffer.alloc(2048), 'wrong vhd-footer-missing'],
  ['a file of three bytes', Buffer.alloc(3), 'wrong vhd-footer-missing'],
  ['a footer that says nonsense', footers(disks.dynamic, 60, [0, 0, 0, 6]), 'wrong vhd-footer-field'],
  [
    'another id in the copy',
    sealed(patched(disks.dynamic, [70, [99]]), 0, 512, 64),
    'doubtful vhd-footer-copies-differ',
  ],
  ['a saved state', footers(disks.dynamic, 84, [1]), 'doubtful vhd-saved-state'],
  ['a damaged header', patched(disks.dynamic, [512 + 300, [1]]), 'wrong vhd-header-checksum'],
  ['a block size of no power of two', header(disks.dynamic, [32, u32(4097)]), 'wrong vhd-header-field'],
  ['a header out of the file', footers(disks.dynamic, 16, [0, 0, 1, 0, 0, 0, 0, 0]), 'wrong vhd-truncated'],
  ['a table out of the file', header(disks.dynamic, [16, [0, 0, 1, 0, 0, 0, 0, 0]]), 'wrong vhd-truncated'],
  ['a table beyond 2^53', header(disks.dynamic, [16, [0, 0x20, 0, 0, 0, 0, 0, 1]]), 'wrong vhd-header-field'],
  ['a header beyond 2^53', footers(disks.dynamic, 16, [0, 0x20, 0, 0, 0, 0, 0, 1]), 'wrong vhd-footer-field'],
  ['a table in the header', header(disks.dynamic, [16, [0, 0, 0, 0, 0, 0, 4, 0]]), 'wrong vhd-header-field'],
  ['a table that is too small', header(disks.dynamic, [28, u32(9)]), 'wrong vhd-bat-size'],
  ['a disk of a million small blocks', footers(disks.dynamic, 48, [0, 0, 1, 0, 0, 0, 0, 0]), 'wrong vhd-bat-size'],
  ['a block past the end', patched(disks.dynamic, [entryAt(2), u32(0xfffffffe)]), 'wrong vhd-bat-past-end'],
  ['a block in the footer', patched(disks.dynamic, [entryAt(2), u32(END / 512)]), 'wrong vhd-bat-past-end'],
  ['a block that another has', patched(disks.dynamic, [entryAt(2), u32(sectorOf(1))]), 'wrong vhd-blocks-overlap'],
  ['a block in another', patched(disks.dynamic, [entryAt(2), u32(sectorOf(4) + 1)]), 'wrong vhd-blocks-overlap'],
  ['a block in the header', patched(disks.dynamic, [entryAt(2), u32(1)]), 'wrong vhd-blocks-overlap'],
  ['a cut fixed disk', Buffer.concat([Buffer.alloc(1024), fixed(2048)]), 'wrong vhd-truncated'],
  ['a fixed disk with more before its footer', Buffer.concat([Buffer.alloc(4096), fixed(2048)]), 'doubtful vhd-size'],
  ['a size that is not the geometry’s', Buffer.concat([Buffer.alloc(MiB), fixed(MiB, 'vpc ')]), 'doubtful vhd-size'],
  [
    'a parent without a name',
    vhdImage({ size: SIZE, blockBytes: BLOCK, id: id(1), parent: { id: id(2), name: '' }, blocks: new Map() }),
    'wrong vhd-parent-unnamed',
  ],
  [
    'a locator out of the file',
    header(disks.differencing, [576 + 16, [0, 0, 1, 0, 0, 0, 0, 0]]),
    'doubtful vhd-parent-locator',
  ],
  ['a locator of 4 GiB', header(disks.differencing, [576 + 8, u32(0xffffffff)]), 'doubtful vhd-parent-locator'],
];

test.each(cases)('%s is found', async (_, disk, expected) => {
  const found = await findings(memoryDisk(disk));
  expect(found.map(({ severity, code }) => `${severity} ${code}`)).toEqual([expected]);
  for (const { message } of found) expect(message).toMatch(/^\S.*\S$/);
  // What can be trusted is opened; what cannot is refused by name, at the latest when its bytes are asked for.
  const content = read(disk);
  if (found.some(({ severity }) => severity === 'wrong') && !/unnamed|past-end/.test(expected)) {
    await expect(content).rejects.toMatchObject({ code: 'E_DISK_FORMAT' });
  } else await content.catch((error: TransferError) => expect(error.code).toBe('E_DISK_FORMAT'));
});

test('a disk whose last block ends where the disk ends is whole', async () => {
  const data = new Seeded(3).bytes(BLOCK);
  const disk = vhdImage({ size: SIZE, blockBytes: BLOCK, id: id(1), blocks: new Map([[9, { data }]]) });
  const short = Buffer.concat([disk.subarray(0, -1024), disk.subarray(-512)]);
  expect(await findings(memoryDisk(short))).toEqual([]);
  expect((await read(short)).equals(await read(disk))).toBe(true);
  const shorter = Buffer.concat([disk.subarray(0, -1536), disk.subarray(-512)]);
  expect((await findings(memoryDisk(shorter))).map(({ code }) => code)).toEqual(['vhd-bat-past-end']);
  await expect(read(shorter)).rejects.toThrow(/VHD block 9 at byte \d+: expected it to end before byte/);
});

test('a fixed VHD that is called raw is found, and other files are not', async () => {
  const check = async (content: Buffer): Promise<string[]> => {
    const found: Finding[] = [];
    await raw.check(memoryDisk(content), { add: (finding) => found.push(finding) });
    return found.map(({ code, offset }) => `${code} ${offset}`);
  };
  expect(await check(disks.fixed)).toEqual([`vhd-fixed-as-raw ${SIZE}`]);
  for (const other of [disks.dynamic, Buffer.alloc(4096), Buffer.alloc(10), fixed(512)]) {
    expect((await check(other)).filter((one) => !one.startsWith('raw-size'))).toEqual([]);
  }
});

test('a table that names one place a million times is looked at in one pass', async () => {
  const entries = 1024 * 1024;
  const disk = vhdImage({ size: entries * 512, blockBytes: 512, id: id(1), blocks: new Map([[0, { data: id(5) }]]) });
  const at = disk.readUInt32BE(1536);
  for (let block = 0; block < entries; block++) disk.writeUInt32BE(at, 1536 + block * 4);
  const [found, ...others] = await findings(memoryDisk(disk));
  expect(others).toEqual([]);
  expect(found?.code).toBe('vhd-blocks-overlap');
  expect(found?.message).toContain('1048575');
});

/** Reads all; undefined: it was refused in the words of the format. */
async function readOrRefused(disk: Buffer): Promise<Buffer | undefined> {
  try {
    return await read(disk);
  } catch (thrown) {
    expect(thrown).toMatchObject({ name: 'TransferError', code: 'E_DISK_FORMAT' });
    return undefined;
  }
}

test.each(Object.keys(disks) as (keyof typeof disks)[])(
  'a %s VHD with a flipped bit in a structure, or cut anywhere, is refused, found out, or reads right',
  async (kind) => {
    const whole = disks[kind];
    const right = await read(whole);
    const seeded = new Seeded(77);
    const structures = kind === 'fixed' ? [SIZE, whole.length - 1] : [0, 1536 + 40 - 1];
    for (let trial = 0; trial < 600; trial++) {
      const copy = Buffer.from(whole);
      const at = seeded.int(...(structures as [number, number]));
      copy[at] = (copy[at] ?? 0) ^ (1 << seeded.int(0, 7));
      const disk = trial % 4 === 0 ? whole.subarray(0, seeded.int(0, whole.length - 1)) : copy;
      const content = await readOrRefused(disk);
      const found = await findings(memoryDisk(disk));
      const good = content === undefined || content.equals(right) || found.some(({ severity }) => severity === 'wrong');
      expect(good, `trial ${trial}: byte ${at}, ${disk.length} bytes`).toBe(true);
    }
  },
);

test('any bytes with checksums that are right are answered in the words of the format', async () => {
  const seeded = new Seeded(78);
  const start = vhdImage({
    size: SIZE,
    blockBytes: BLOCK,
    id: id(1),
    parent: {
      id: id(9),
      name: 'b.vhd',
      locators: [
        ['W2ru', windowsPath('b.vhd')],
        ['MacX', Buffer.from('file://%')],
      ],
    },
    blocks: new Map([[0, { data: id(3) }]]),
  });
  for (let trial = 0; trial < 1500; trial++) {
    let disk: Buffer = Buffer.from(start);
    for (let change = seeded.int(1, 3); change > 0; change--) {
      const bytes = seeded.pick([
        seeded.bytes(seeded.int(1, 8)),
        Buffer.alloc(4, 0xff),
        Buffer.alloc(8),
        Buffer.alloc(4, 0x80),
      ]);
      disk.set(
        bytes,
        seeded.pick([seeded.int(512, 1536), seeded.int(1536, 1580), 512 + seeded.int(8, 40), seeded.int(8, 90)]),
      );
    }
    disk = sealed(sealed(disk, 512, 1024, 36), 0, 512, 64);
    disk.copyWithin(disk.length - 512, 0, 512);
    await readOrRefused(disk);
    await findings(memoryDisk(disk));
    await vhd.openWriter?.(memoryDisk(disk)).catch((error) => expect(error.code).toBe('E_DISK_FORMAT'));
  }
});
