/**
 * "Block Allocation Table and Data Blocks" of a dynamic or differencing VHD: for each block of the disk the sector of
 * the file at which its bitmap begins, which its data follows; or that it has no place. A table of a disk of 2040 GiB
 * has a million entries: it lies in shared memory, and all threads use the one.
 */
import type { ByteRange } from '../../core/chunk.js';
import { MiB } from '../../core/units.js';
import { diskError } from '../disk-bytes.js';
import type { DiskBytes } from '../image.js';
import type { VhdHeader } from './dynamic-header.js';
import { VHD_SECTOR_BYTES } from './footer.js';

/** The entry of a block that has no place. */
export const VHD_UNUSED = 0xffff_ffff;
/** Every disk with blocks of 512 KiB or more; the format's usual ones have 2 MiB. */
const ENTRIES_MAX = 4 * 1024 * 1024;

/** Bytes of a sector bitmap: a bit for each sector of the block, "padded to a 512-byte sector boundary". */
export function bitmapBytesFor(blockBytes: number): number {
  return Math.ceil(blockBytes / VHD_SECTOR_BYTES / 8 / VHD_SECTOR_BYTES) * VHD_SECTOR_BYTES;
}

/** A part of one block. */
export interface BlockPart {
  readonly block: number;
  /** Bytes, counted from the first byte of the block's data. */
  readonly from: number;
  readonly length: number;
}

export class BlockTable {
  readonly shared: SharedArrayBuffer;
  readonly entries: Uint32Array;
  readonly blockBytes: number;
  readonly bitmapBytes: number;

  constructor(shared: SharedArrayBuffer, blockBytes: number) {
    this.shared = shared;
    this.entries = new Uint32Array(shared);
    this.blockBytes = blockBytes;
    this.bitmapBytes = bitmapBytesFor(blockBytes);
  }

  /** Where the block's bitmap begins; undefined: it has no place. Below 2^41, as entries have 32 bits. */
  bitmapAt(block: number): number | undefined {
    const sector = this.entries[block] ?? VHD_UNUSED;
    return sector === VHD_UNUSED ? undefined : sector * VHD_SECTOR_BYTES;
  }

  /** Bytes of a block with its bitmap. */
  get placeBytes(): number {
    return this.bitmapBytes + this.blockBytes;
  }

  *partsOf({ offset, length }: ByteRange): Iterable<BlockPart> {
    const end = offset + length;
    for (let at = offset; at < end; ) {
      const block = Math.floor(at / this.blockBytes);
      const from = at - block * this.blockBytes;
      const part = Math.min(this.blockBytes - from, end - at);
      yield { block, from, length: part };
      at += part;
    }
  }

  /** How many blocks from `block` up to `end` are like it in having a place, or in having none. */
  alike(block: number, end: number): number {
    const unused = this.entries[block] === VHD_UNUSED;
    let next = block + 1;
    while (next < end && (this.entries[next] === VHD_UNUSED) === unused) next++;
    return next - block;
  }

  /** The sectors at which blocks begin, in the order of the file. */
  placesInOrder(): Uint32Array {
    const places = new Uint32Array(this.entries.length);
    let [count, inOrder, before] = [0, true, 0];
    for (const sector of this.entries) {
      if (sector === VHD_UNUSED) continue;
      inOrder &&= sector >= before;
      before = sector;
      places[count++] = sector;
    }
    // Most are in order already, and sorting a million takes as long as all else.
    return inOrder ? places.subarray(0, count) : places.subarray(0, count).sort();
  }
}

/** @throws TransferError E_DISK_FORMAT when the table is too small, too large, or not whole in the file */
export async function readBlockTable(bytes: DiskBytes, header: VhdHeader, size: number): Promise<BlockTable> {
  const { tableAt, tableEntries, blockBytes } = header;
  const needed = Math.ceil(size / blockBytes);
  const what = "VHD's block allocation table";
  if (needed > ENTRIES_MAX) {
    throw diskError(bytes.name, what, tableAt, `at most ${ENTRIES_MAX} blocks`, `${needed} of ${blockBytes} bytes`);
  }
  if (tableEntries < needed) {
    throw diskError(bytes.name, what, tableAt, `${needed} entries for a disk of ${size} bytes`, `${tableEntries}`);
  }
  // Asked before the memory is taken: a small file cannot make us take much.
  if (tableAt > bytes.size - needed * 4) {
    throw diskError(bytes.name, what, tableAt, `${needed * 4} bytes inside the file`, `a file of ${bytes.size} bytes`);
  }
  const table = new BlockTable(new SharedArrayBuffer(needed * 4), blockBytes);
  for (let at = 0; at < needed * 4; at += MiB) {
    const piece = await bytes.read({ offset: tableAt + at, length: Math.min(MiB, needed * 4 - at) }, what);
    for (let entry = 0; entry < piece.length; entry += 4) table.entries[(at + entry) / 4] = piece.readUInt32BE(entry);
  }
  return table;
}

/** A range of the file that is not the guest's, and what it is. */
export interface Structure {
  readonly what: string;
  readonly from: number;
  readonly to: number;
}

export function structuresOf(headerAt: number, { tableAt, tableEntries }: VhdHeader): readonly Structure[] {
  return [
    { what: 'the copy of the footer', from: 0, to: 512 },
    { what: 'the dynamic disk header', from: headerAt, to: headerAt + 1024 },
    { what: 'the block allocation table', from: tableAt, to: tableAt + tableEntries * 4 },
  ];
}

export interface Overlaps {
  readonly count: number;
  /** The first one in the file, as a sentence's end: which block begins there, and what else is there. */
  readonly at: number;
  readonly first: string;
}

/** Blocks that share bytes with another block or with a structure: what is written to one changes the other. */
export function overlapsOf(table: BlockTable, structures: readonly Structure[]): Overlaps | undefined {
  const places = table.placesInOrder();
  const sectors = table.placeBytes / VHD_SECTOR_BYTES;
  const structuresEnd = Math.max(...structures.map(({ to }) => to));
  let [count, at, first] = [0, 0, ''];
  for (let index = 0; index < places.length; index++) {
    const sector = places[index] as number;
    const before = places[index - 1];
    const other = before !== undefined && sector - before < sectors ? before : undefined;
    const from = sector * VHD_SECTOR_BYTES;
    const structure = from < structuresEnd ? structureIn(structures, from, from + table.placeBytes) : undefined;
    if (other === undefined && !structure) continue;
    if (count++ > 0) continue;
    at = from;
    const block = table.entries.lastIndexOf(sector);
    first = `block ${block} begins inside ${structure?.what ?? `block ${table.entries.indexOf(other as number)}`}`;
  }
  return count === 0 ? undefined : { count, at, first };
}

function structureIn(structures: readonly Structure[], from: number, to: number): Structure | undefined {
  return structures.find((structure) => from < structure.to && to > structure.from);
}
