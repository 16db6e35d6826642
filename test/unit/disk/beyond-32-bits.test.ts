/** Numbers that no file has: whatever a structure says, up to 2^64, it is compared and never rounded. */
import { beforeAll, describe, expect, test } from 'vitest';
import { judge } from '../../fuzz/judge.js';
import { BaseFile, Overlay } from '../../fuzz/overlay.js';
import { sealVhd, sealVhdx } from '../../support/checksums.js';
import { type CorpusImage, diskCorpus, hasQemuImg } from '../../support/disk-corpus.js';

const VALUES = [53n, 54n, 63n].flatMap((bits) => [(1n << bits) - 1n, 1n << bits, (1n << bits) + 1n]);

/** Puts the number where it is kept, and makes checksums right. */
type Forge = (file: Overlay, value: bigint) => void;

const bigEndian =
  (at: number): Forge =>
  (file, value) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(BigInt.asUintN(64, value));
    file.write(at, bytes);
  };

function sealed(file: Overlay, structure: { offset: number; length: number }, seal: (bytes: Buffer) => void): void {
  const bytes = file.read(structure);
  seal(bytes);
  file.write(structure.offset, bytes);
}

const vhdFooter =
  (at: number): Forge =>
  (file, value) => {
    for (const offset of [0, file.size - 512]) {
      bigEndian(offset + at)(file, value);
      sealed(file, { offset, length: 512 }, (bytes) => sealVhd(bytes, 64));
    }
  };

const vhdHeader =
  (at: number): Forge =>
  (file, value) => {
    bigEndian(512 + at)(file, value);
    sealed(file, { offset: 512, length: 1024 }, (bytes) => sealVhd(bytes, 36));
  };

const littleEndian =
  (at: number): Forge =>
  (file, value) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(BigInt.asUintN(64, value));
    file.write(at, bytes);
  };

/** "FileOffset" of an entry of both region tables. */
const vhdxRegion =
  (entry: number): Forge =>
  (file, value) => {
    for (const offset of [192 * 1024, 256 * 1024]) {
      littleEndian(offset + 16 + entry * 32 + 16)(file, value);
      sealed(file, { offset, length: 65_536 }, sealVhdx);
    }
  };

/** "LogOffset" of both headers. */
const vhdxLog: Forge = (file, value) => {
  for (const offset of [64 * 1024, 128 * 1024]) {
    littleEndian(offset + 72)(file, value);
    sealed(file, { offset, length: 4096 }, sealVhdx);
  }
};

const VIRTUAL_DISK_SIZE = Buffer.from('2442a52f1bcd7648b2115dbed83bf4b8', 'hex');
const vhdxSize: Forge = (file, value) => {
  const tableAt = 3 * 1024 * 1024;
  const table = file.read({ offset: tableAt, length: 65_536 });
  littleEndian(tableAt + table.readUInt32LE(table.indexOf(VIRTUAL_DISK_SIZE) + 16))(file, value);
};

/** "FileOffsetMB" of an entry: 44 bits; the state says that the block is there. */
const vhdxBlock: Forge = (file, value) => littleEndian(2 * 1024 * 1024)(file, (value & ~0xf_ffffn) | (1n << 63n) | 6n);

/** Bits 9 to 55 of an entry, and that the cluster is used once. */
const placeOf = (value: bigint): bigint => (value & 0x00ff_ffff_ffff_fe00n) | (1n << 63n) | (1n << 55n);

const qcow2L1 = (file: Overlay): number => Number(file.read({ offset: 40, length: 8 }).readBigUInt64BE());
const qcow2L2 = (file: Overlay): number =>
  Number(file.read({ offset: qcow2L1(file), length: 8 }).readBigUInt64BE() & 0x00ff_ffff_ffff_fe00n);

const fields: readonly (readonly [image: string, field: string, Forge])[] = [
  ['dynamic VHD of exact size, 5244416 bytes', 'current size', vhdFooter(48)],
  ['dynamic VHD of exact size, 5244416 bytes', 'data offset', vhdFooter(16)],
  ['dynamic VHD of exact size, 5244416 bytes', 'table offset', vhdHeader(16)],
  ['fixed VHD of exact size, 5244416 bytes', 'current size', vhdFooter(48)],
  ['dynamic, blocks of 1 MiB, VHDX', 'size', vhdxSize],
  ['dynamic, blocks of 1 MiB, VHDX', 'place of the first region', vhdxRegion(0)],
  ['dynamic, blocks of 1 MiB, VHDX', 'place of the second region', vhdxRegion(1)],
  ['dynamic, with a log to replay, VHDX', 'place of the log', vhdxLog],
  ['dynamic, blocks of 1 MiB, VHDX', 'place of a block', vhdxBlock],
  ['qcow2 of version 3', 'size', bigEndian(24)],
  ['qcow2 of version 3', 'place of the first table', bigEndian(40)],
  ['qcow2 of version 3', 'place of the reference counts', bigEndian(48)],
  ['qcow2 of version 3', 'place of a second table', (file, value) => bigEndian(qcow2L1(file))(file, placeOf(value))],
  ['qcow2 of version 3', 'place of a cluster', (file, value) => bigEndian(qcow2L2(file))(file, placeOf(value))],
];

describe.skipIf(!hasQemuImg)(`numbers near 2^53, 2^63 and 2^64${hasQemuImg ? '' : ' (skipped: no qemu-img)'}`, () => {
  let corpus: readonly CorpusImage[] = [];
  beforeAll(() => {
    corpus = diskCorpus();
  });

  test.each(fields)('%s: a forged %s is refused, or found to be wrong', async (name, _, forge) => {
    const { links, content } = corpus.find((image) => image.name === name) as CorpusImage;
    const [link] = links;
    const base = new BaseFile(link?.path ?? '');
    for (const value of VALUES) {
      const file = new Overlay(base);
      forge(file, value);
      const about = { format: link?.format ?? 'raw', under: [], parentName: '', content, changed: content, theirs: [] };
      const { kind, why } = await judge({ bytes: file.bytes(), ...about });
      // What a reader of the content never looks at leaves it as it was.
      expect(kind, `${value}: ${why}`).toMatch(/^(refused|found|same)$/);
      expect(why, String(value)).not.toBe('nothing found');
    }
    base.close();
  });
});
