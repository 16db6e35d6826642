/**
 * A VHD as a disk image: fixed, dynamic or differencing.
 *
 * Its size is the footer's "Current Size", to the byte. Virtual PC, and QEMU for disks of the creators `vpc ` and
 * `qemu`, go by the geometry instead, which may say less; but never is a sector lost by taking the larger one, and
 * those that QEMU makes have the same size by both.
 */
import type { ByteRange } from '../../core/chunk.js';
import { showPath } from '../../platform/path-bytes.js';
import { diskError } from '../disk-bytes.js';
import type { Allocation, DiskBytes, DiskImage, ImageRef, ParentLink, Run } from '../image.js';
import { BitmapCache, bitRuns } from './bitmaps.js';
import { type BlockPart, BlockTable, overlapsOf, readBlockTable, structuresOf } from './block-table.js';
import { decodeVhdHeader, VHD_HEADER_BYTES } from './dynamic-header.js';
import { VHD_SECTOR_BYTES, type VhdDiskType, type VhdFooter, vhdTimeMs } from './footer.js';
import { dataEnd, footerOf, readFooters } from './footers.js';
import { readParentLink } from './parent-locators.js';

export interface VhdRef extends ImageRef {
  readonly format: 'vhd';
  readonly kind: VhdDiskType;
  readonly size: number;
  readonly identity: string;
  /** Where data must have ended, in the file. */
  readonly dataEnd: number;
  /** Absent for fixed disks. */
  readonly blocks?: { readonly table: SharedArrayBuffer; readonly blockBytes: number };
  readonly parent?: ParentLink;
  readonly facts: NonNullable<DiskImage['facts']>;
}

/** @throws TransferError E_DISK_FORMAT naming structure and offset */
export async function openVhd(bytes: DiskBytes): Promise<VhdRef> {
  const footers = await readFooters(bytes);
  const { footer } = footerOf(footers);
  const { diskType, currentBytes } = footer;
  const identity = Buffer.from(footer.uniqueId).toString('hex');
  const ref = {
    format: 'vhd',
    kind: diskType,
    size: currentBytes,
    identity,
    dataEnd: dataEnd(bytes, footers),
    facts: factsOf(footer),
  } as const;
  if (diskType === 'fixed') {
    if (currentBytes <= ref.dataEnd) return ref;
    const found = `a footer at byte ${ref.dataEnd}`;
    throw diskError(bytes.name, 'data of the fixed VHD', 0, `${currentBytes} bytes before the footer`, found);
  }
  const header = decodeVhdHeader(await readHeader(bytes, footer), bytes.name, Number(footer.dataOffset));
  const table = await readBlockTable(bytes, header, currentBytes);
  const overlaps = overlapsOf(table, structuresOf(Number(footer.dataOffset), header));
  if (overlaps) throw diskError(bytes.name, 'VHD block', overlaps.at, 'a place of its own', overlaps.first);
  const blocks = { table: table.shared, blockBytes: table.blockBytes };
  return { ...ref, blocks, ...(diskType === 'differencing' && { parent: await readParentLink(bytes, header) }) };
}

function factsOf({ creatorApplication, creatorVersion, timestamp }: VhdFooter): VhdRef['facts'] {
  const version = `${creatorVersion >>> 16}.${creatorVersion & 0xffff}`;
  const created = timestamp === 0 ? {} : { created: new Date(vhdTimeMs(timestamp)).toISOString() };
  return { creator: `${showPath(creatorApplication.trim())} ${version}`, ...created };
}

/** The header that the footer names, not looked at. @throws TransferError E_DISK_FORMAT when it is not in the file */
export function readHeader(bytes: DiskBytes, { dataOffset }: VhdFooter): Promise<Buffer> {
  return bytes.read({ offset: Number(dataOffset), length: VHD_HEADER_BYTES }, "VHD's dynamic disk header");
}

export function attachVhd(ref: VhdRef, bytes: DiskBytes): DiskImage {
  const { kind, size, identity, parent, blocks, facts } = ref;
  const shown = { ref, format: 'vhd', kind, size, identity, facts, ...(parent && { parent }) } as const;
  if (blocks) return { ...shown, ...new Blocks(ref, bytes, new BlockTable(blocks.table, blocks.blockBytes)).image() };
  return {
    ...shown,
    blockBytes: 0,
    *runs({ offset, length }: ByteRange) {
      yield { kind: 'data', length, at: offset };
    },
    allocation: (range) => bytes.extents?.(range) ?? [{ kind: 'data', length: range.length }],
  };
}

/** The blocks of a dynamic or differencing disk. */
class Blocks {
  readonly #bytes: DiskBytes;
  readonly #table: BlockTable;
  readonly #bitmaps: BitmapCache;
  readonly #dataEnd: number;
  /** What a block or a sector is that is not there. */
  readonly #left: 'zero' | 'absent';

  constructor(ref: VhdRef, bytes: DiskBytes, table: BlockTable) {
    this.#bytes = bytes;
    this.#table = table;
    this.#bitmaps = new BitmapCache(bytes, table);
    this.#dataEnd = ref.dataEnd;
    this.#left = ref.kind === 'differencing' ? 'absent' : 'zero';
  }

  image(): Pick<DiskImage, 'blockBytes' | 'runs' | 'allocation'> {
    return {
      blockBytes: this.#table.blockBytes,
      runs: (range) => this.#runs(range),
      allocation: (range) => this.#allocation(range),
    };
  }

  *#allocation({ offset, length }: ByteRange): Iterable<Allocation> {
    const { blockBytes } = this.#table;
    const end = offset + length;
    const blocks = Math.ceil(end / blockBytes);
    for (let at = offset; at < end; ) {
      const block = Math.floor(at / blockBytes);
      const next = Math.min(end, (block + this.#table.alike(block, blocks)) * blockBytes);
      yield { kind: this.#table.bitmapAt(block) === undefined ? this.#left : 'data', length: next - at };
      at = next;
    }
  }

  async *#runs(range: ByteRange): AsyncIterable<Run> {
    let { offset } = range;
    for (const { kind, length } of this.#allocation(range)) {
      if (kind === 'data') {
        for (const part of this.#table.partsOf({ offset, length })) yield* await this.#runsOf(part);
      } else yield { kind, length };
      offset += length;
    }
  }

  async #runsOf({ block, from, length }: BlockPart): Promise<readonly Run[]> {
    const bitmapAt = this.#table.bitmapAt(block) as number;
    const dataAt = bitmapAt + this.#table.bitmapBytes;
    this.#assertInside(block, dataAt);
    const bitmap = await this.#bitmaps.of(block, bitmapAt);
    const runs: Run[] = [];
    const end = from + length;
    let at = from;
    const sectors = [Math.floor(from / VHD_SECTOR_BYTES), Math.ceil(end / VHD_SECTOR_BYTES)] as const;
    for (const { set, length: alike } of bitRuns(bitmap, ...sectors)) {
      const next = Math.min(end, (Math.floor(at / VHD_SECTOR_BYTES) + alike) * VHD_SECTOR_BYTES);
      if (set) this.#assertInside(block, dataAt + next);
      runs.push(set ? { kind: 'data', length: next - at, at: dataAt + at } : { kind: this.#left, length: next - at });
      at = next;
    }
    return runs;
  }

  #assertInside(block: number, end: number): void {
    if (end <= this.#dataEnd) return;
    const at = this.#table.bitmapAt(block) as number;
    const expected = `it to end before byte ${this.#dataEnd}, where the file's data ends`;
    throw diskError(this.#bytes.name, `VHD block ${block}`, at, expected, `an end at byte ${end}`);
  }
}
