/**
 * Writes into a dynamic or differencing VHD in place. The footer at the end has to make way for new blocks, so the copy
 * at the front is made whole first: from then on the file is a disk with or without a footer at its end. A block's
 * data is durable before its bitmap says so, and its bitmap before the table names it.
 *
 * The room for new blocks is at the end of the file, is cut off and added anew, and so reads as zero, which is what
 * readers see that pass over bitmaps. Blocks get their places in the order in which they are first written to.
 */
import type { ByteRange } from '../../core/chunk.js';
import { TransferError } from '../../core/errors.js';
import { diskError } from '../disk-bytes.js';
import type { DiskFile, ImageWriter, Place } from '../image-writer.js';
import { bitRuns, setBits } from './bitmaps.js';
import { type BlockPart, type BlockTable, VHD_UNUSED } from './block-table.js';
import type { VhdHeader } from './dynamic-header.js';
import { changedVhdFooter, VHD_SECTOR_BYTES } from './footer.js';
import type { WholeFooter } from './footers.js';

/** What the sectors of the table reach. */
const FILE_BYTES_MAX = VHD_UNUSED * VHD_SECTOR_BYTES;
/** Entries of the table that lie this close together are written in one go. */
const TABLE_GAP_ENTRIES = 1024;

/** What of an image its writer goes by. */
export interface WritableBlocks {
  readonly footer: WholeFooter;
  readonly header: Pick<VhdHeader, 'tableAt'>;
  readonly table: BlockTable;
  /** Everything before this byte is in use. */
  readonly usedEnd: number;
  /** What the image is to be known by afterwards: 16 bytes. */
  readonly nextId: Uint8Array;
}

export class DynamicVhdWriter implements ImageWriter {
  readonly size: number;
  readonly identityAfter: string;
  readonly #file: DiskFile;
  readonly #image: WritableBlocks;
  readonly #table: BlockTable;
  readonly #showsParent: boolean;
  /** Bitmaps that say more than those in the file, and blocks that the table in the file does not name. */
  readonly #changed = new Map<number, Buffer>();
  readonly #fresh = new Set<number>();
  /** The bitmap that was looked at last, which is looked at again. */
  #latest: { readonly block: number; readonly bitmap: Buffer } | undefined;
  #usedEnd: number;
  #roomEnd: number;

  constructor(file: DiskFile, image: WritableBlocks) {
    this.#file = file;
    this.#image = image;
    this.#table = image.table;
    this.size = image.footer.footer.currentBytes;
    this.identityAfter = Buffer.from(image.nextId).toString('hex');
    this.#showsParent = image.footer.footer.diskType === 'differencing';
    this.#usedEnd = image.usedEnd;
    this.#roomEnd = image.usedEnd;
  }

  begin(ranges: Iterable<ByteRange>): void {
    const wanted = new Uint8Array(this.#table.entries.length);
    for (const range of ranges) {
      for (const { block } of this.#table.partsOf(this.#inside(range))) wanted[block] = 1;
    }
    let end = this.#usedEnd;
    for (let block = 0; block < wanted.length; block++) {
      if (wanted[block] && this.#table.bitmapAt(block) === undefined) end += this.#table.placeBytes;
    }
    if (end > FILE_BYTES_MAX) {
      throw diskError(this.#file.name, 'room for VHD blocks', this.#usedEnd, 'an end within 2 TiB', `byte ${end}`);
    }
    this.#writeFooters(this.#image.footer.bytes, end);
    this.#roomEnd = end;
  }

  place(range: ByteRange, content: 'data' | 'zero'): Place[] {
    const parts = [...this.#table.partsOf(this.#inside(range))];
    return parts.flatMap((part) => (content === 'data' ? this.#placeData(part) : this.#placeZero(part)));
  }

  publish(): void {
    for (const [block, bitmap] of this.#changed) this.#file.write(this.#table.bitmapAt(block) as number, bitmap);
    if (this.#changed.size > 0) this.#file.flush();
    this.#changed.clear();
    this.#latest = undefined;
    if (this.#fresh.size === 0) return;
    this.#publishTable([...this.#fresh].sort((a, b) => a - b));
    this.#file.flush();
    this.#fresh.clear();
  }

  /**
   * Room that was not needed is given back, and the disk gets another unique id: what else builds on the old content
   * knows it by the old one. (The specification has children compare the time of the parent's last change besides,
   * which any copy of the file loses.)
   */
  finish(): void {
    const { footer, nextId } = this.#image;
    this.#writeFooters(changedVhdFooter(footer.bytes, { uniqueId: nextId }), this.#usedEnd);
  }

  /** Once the copy at the front is durable, all behind what is used is cut off, and the footer gets its new place. */
  #writeFooters(footer: Uint8Array, end: number): void {
    this.#file.write(0, footer);
    this.#file.flush();
    this.#file.setSize(this.#usedEnd);
    this.#file.write(end, footer);
    this.#file.flush();
  }

  #placeData({ block, from, length }: BlockPart): Place[] {
    const bitmap = this.#bitmapOf(block) ?? this.#newBlock(block);
    this.#mark(block, bitmap, from, length);
    return [{ length, at: this.#dataAt(block) + from }];
  }

  #placeZero({ block, from, length }: BlockPart): Place[] {
    const there = this.#bitmapOf(block);
    if (!there && !this.#showsParent) return [{ length }];
    const bitmap = there ?? this.#newBlock(block);
    const sectors = [from / VHD_SECTOR_BYTES, (from + length) / VHD_SECTOR_BYTES] as const;
    const places: Place[] = [];
    let at = this.#dataAt(block) + from;
    for (const { set, length: alike } of [...bitRuns(bitmap, ...sectors)]) {
      const bytes = alike * VHD_SECTOR_BYTES;
      // A sector that was never written shows the parent, unless there is none; in a new block it is zero by itself.
      const written = set || (this.#showsParent && there && !this.#fresh.has(block));
      places.push({ length: bytes, ...(written && { at }) });
      at += bytes;
    }
    if (this.#showsParent) this.#mark(block, bitmap, from, length);
    return places;
  }

  #dataAt(block: number): number {
    return (this.#table.bitmapAt(block) as number) + this.#table.bitmapBytes;
  }

  #newBlock(block: number): Buffer {
    const end = this.#usedEnd + this.#table.placeBytes;
    if (end > this.#roomEnd) throw new TransferError('E_BUG', `VHD block ${block} is written to without notice`);
    this.#table.entries[block] = this.#usedEnd / VHD_SECTOR_BYTES;
    this.#usedEnd = end;
    this.#fresh.add(block);
    const bitmap = Buffer.alloc(this.#table.bitmapBytes);
    this.#latest = { block, bitmap };
    return bitmap;
  }

  /** As it will be once all that was placed is published; undefined: the block has no place. */
  #bitmapOf(block: number): Buffer | undefined {
    const changed = this.#changed.get(block);
    if (changed) return changed;
    const at = this.#table.bitmapAt(block);
    if (at === undefined) return undefined;
    if (this.#latest?.block !== block) {
      const range = { offset: at, length: this.#table.bitmapBytes };
      this.#latest = { block, bitmap: this.#file.readNow(range, `sector bitmap of block ${block}`) };
    }
    return this.#latest.bitmap;
  }

  #mark(block: number, bitmap: Buffer, from: number, length: number): void {
    const sectors = [from / VHD_SECTOR_BYTES, (from + length) / VHD_SECTOR_BYTES] as const;
    if ([...bitRuns(bitmap, ...sectors)].every(({ set }) => set)) return;
    setBits(bitmap, ...sectors);
    this.#changed.set(block, bitmap);
  }

  /** Neighbours that did not change are as they are in the file. */
  #publishTable(blocks: readonly number[]): void {
    for (let index = 0; index < blocks.length; ) {
      const first = blocks[index] as number;
      let last = first;
      for (; index < blocks.length; index++) {
        const next = blocks[index] as number;
        if (next - last > TABLE_GAP_ENTRIES) break;
        last = next;
      }
      const bytes = Buffer.alloc((last - first + 1) * 4);
      for (let block = first; block <= last; block++) {
        bytes.writeUInt32BE(this.#table.entries[block] as number, (block - first) * 4);
      }
      this.#file.write(this.#image.header.tableAt + first * 4, bytes);
    }
  }

  #inside(range: ByteRange): ByteRange {
    const { offset, length } = range;
    const whole = offset % VHD_SECTOR_BYTES === 0 && length % VHD_SECTOR_BYTES === 0;
    if (whole && offset >= 0 && length >= 0 && offset + length <= this.size) return range;
    throw new TransferError(
      'E_BUG',
      `bytes ${offset} to ${offset + length} are no sectors of a disk of ${this.size} bytes`,
    );
  }
}
