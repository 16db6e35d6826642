/**
 * Reference counts (docs/interop/qcow2, "Host cluster management"): a table of blocks, each of them one cluster of
 * entries that are 1 to 64 bits wide.
 */
import type { DiskBytes } from '../image.js';
import type { Qcow2Header } from './header.js';

/** QEMU's bound of the table. */
export const REFCOUNT_TABLE_BYTES_MAX = 8 * 2 ** 20;
const UNIT = 2 ** 32;

type RefcountFormat = Pick<Qcow2Header, 'clusterBytes' | 'refcountBits'>;

/** Clusters that one block counts. */
export function blockCovers({ clusterBytes, refcountBits }: RefcountFormat): number {
  return (clusterBytes * 8) / refcountBits;
}

/** Places of the blocks, 0 for none, exactly as the table says. */
export async function readRefcountTable(bytes: DiskBytes, header: Qcow2Header): Promise<Float64Array> {
  const length = header.refcountClusters * header.clusterBytes;
  const table = await bytes.read({ offset: header.refcountsAt, length }, 'refcount table');
  return Float64Array.from({ length: length / 8 }, (_, index) => {
    return table.readUInt32BE(index * 8) * UNIT + ((table.readUInt32BE(index * 8 + 4) & 0xffff_fe00) >>> 0);
  });
}

export function refcountOf(block: Buffer, index: number, bits: number): number {
  if (bits < 8) {
    const byte = block[Math.floor((index * bits) / 8)] ?? 0;
    return (byte >> ((index * bits) % 8)) & (2 ** bits - 1);
  }
  if (bits === 8) return block[index] ?? 0;
  if (bits === 16) return block.readUInt16BE(index * 2);
  if (bits === 32) return block.readUInt32BE(index * 4);
  return block.readUInt32BE(index * 8) * UNIT + block.readUInt32BE(index * 8 + 4);
}

/** @param value fits into the bits */
export function setRefcount(block: Buffer, index: number, bits: number, value: number): void {
  if (bits < 8) {
    const at = Math.floor((index * bits) / 8);
    const shift = (index * bits) % 8;
    block[at] = ((block[at] ?? 0) & ~((2 ** bits - 1) << shift)) | (value << shift);
  } else if (bits === 8) block[index] = value;
  else if (bits === 16) block.writeUInt16BE(value, index * 2);
  else if (bits === 32) block.writeUInt32BE(value, index * 4);
  else {
    block.writeUInt32BE(Math.floor(value / UNIT), index * 8);
    block.writeUInt32BE(value % UNIT, index * 8 + 4);
  }
}
