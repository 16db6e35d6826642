/**
 * Writes small dynamic and differencing VHDs byte by byte after the specification, without any code of the product: no
 * tool of Linux makes differencing ones. What it writes is read by 7-Zip, see test/unit/disk/vhd/read.test.ts.
 */
import { writeFileSync } from 'node:fs';

const SECTOR = 512;

export interface VhdBlock {
  readonly data: Uint8Array;
  /** Sectors that are in the block; absent: all. */
  readonly sectors?: readonly number[];
}

export interface VhdWish {
  readonly size: number;
  readonly blockBytes?: number;
  /** 16 bytes. */
  readonly id: Uint8Array;
  /** Blocks by number; they are put into the file in the order given here. */
  readonly blocks: ReadonlyMap<number, VhdBlock>;
  readonly parent?: {
    readonly id: Uint8Array;
    readonly name: string;
    /** Platform code and data. */
    readonly locators?: readonly (readonly [code: string, data: Uint8Array])[];
  };
  /** Sectors between structures and blocks that nobody uses. */
  readonly gapSectors?: number;
}

const sealed = (bytes: Buffer, at: number): Buffer => {
  bytes.writeUInt32BE(0, at);
  bytes.writeUInt32BE(~bytes.reduce((sum, byte) => sum + byte, 0) >>> 0, at);
  return bytes;
};

const padded = (bytes: Uint8Array): Buffer => Buffer.concat([bytes, Buffer.alloc(-bytes.length & (SECTOR - 1))]);

function footerOf({ size, id, parent }: VhdWish): Buffer {
  const footer = Buffer.alloc(512);
  footer.write('conectix');
  footer.writeUInt32BE(2, 8);
  footer.writeUInt32BE(0x10000, 12);
  footer.writeBigUInt64BE(512n, 16);
  footer.writeUInt32BE(0x2a000000, 24);
  footer.write('win ', 28);
  footer.writeUInt32BE(0x60001, 32);
  footer.write('Wi2k', 36);
  footer.writeBigUInt64BE(BigInt(size), 40);
  footer.writeBigUInt64BE(BigInt(size), 48);
  // A geometry that no reader needs, as the creator says that it does not count.
  footer.set([0, 1, 4, 17], 56);
  footer.writeUInt32BE(parent ? 4 : 3, 60);
  footer.set(id, 68);
  return sealed(footer, 64);
}

function headerOf({ parent, blockBytes = 2 ** 21 }: VhdWish, tableAt: number, entries: number, dataAt: number): Buffer {
  const header = Buffer.alloc(1024);
  header.write('cxsparse');
  header.fill(0xff, 8, 16);
  header.writeBigUInt64BE(BigInt(tableAt), 16);
  header.writeUInt32BE(0x10000, 24);
  header.writeUInt32BE(entries, 28);
  header.writeUInt32BE(blockBytes, 32);
  if (parent) {
    header.set(parent.id, 40);
    header.writeUInt32BE(0x2a000001, 56);
    header.set(Buffer.from(parent.name, 'utf16le').swap16(), 64);
    let at = dataAt;
    for (const [index, [code, data]] of (parent.locators ?? []).entries()) {
      header.write(code, 576 + index * 24);
      header.writeUInt32BE(padded(data).length / SECTOR, 580 + index * 24);
      header.writeUInt32BE(data.length, 584 + index * 24);
      header.writeBigUInt64BE(BigInt(at), 592 + index * 24);
      at += padded(data).length;
    }
  }
  return sealed(header, 36);
}

/** The bytes of the file. */
export function vhdImage(wish: VhdWish): Buffer {
  const { blockBytes = 2 ** 21, blocks, parent, gapSectors = 0 } = wish;
  const entries = Math.ceil(wish.size / blockBytes);
  const table = Buffer.alloc(Math.ceil((entries * 4) / SECTOR) * SECTOR, 0xff);
  const locators = Buffer.concat((parent?.locators ?? []).map(([, data]) => padded(data)));
  const gap = Buffer.alloc(gapSectors * SECTOR, 0xee);
  const pieces: Buffer[] = [gap];
  let at = 1536 + table.length + locators.length + gap.length;
  for (const [block, { data, sectors }] of blocks) {
    const bitmap = Buffer.alloc(Math.max(SECTOR, blockBytes / SECTOR / 8));
    const all = Array.from({ length: blockBytes / SECTOR }, (_, sector) => sector);
    for (const sector of sectors ?? all) bitmap[sector >> 3] = (bitmap[sector >> 3] ?? 0) | (0x80 >> (sector & 7));
    table.writeUInt32BE(at / SECTOR, block * 4);
    pieces.push(bitmap, Buffer.concat([data, Buffer.alloc(blockBytes - data.length)]), gap);
    at += bitmap.length + blockBytes + gap.length;
  }
  const header = headerOf(wish, 1536, entries, 1536 + table.length);
  const footer = footerOf(wish);
  return Buffer.concat([footer, header, table, locators, ...pieces, footer]);
}

export function writeVhd(path: string, wish: VhdWish): void {
  writeFileSync(path, vhdImage(wish));
}

/** The data of a W2ru or W2ku locator. */
export const windowsPath = (path: string): Buffer => Buffer.from(path, 'utf16le');
