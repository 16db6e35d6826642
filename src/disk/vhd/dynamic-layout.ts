/**
 * Lays a new dynamic VHD out: the copy of the footer, the header, the table, then the allocated blocks in the order of
 * the disk, each behind its bitmap, and the footer; with no room between them, so that an entry of the table that is
 * damaged cannot name a place that nothing else has. All sectors of such a block count as written, as most tools that
 * write VHDs have it; some that read them show such a block whole, whatever its bitmap says.
 */
import type { ByteRange } from '../../core/chunk.js';
import { MiB } from '../../core/units.js';
import type { Place } from '../image-writer.js';
import type { Layout, LayoutFormat, LayoutPlan, Piece } from '../layout.js';
import { isSet } from './bitmaps.js';
import { BlockTable, VHD_UNUSED } from './block-table.js';
import { encodeVhdHeader, VHD_HEADER_BYTES } from './dynamic-header.js';
import { vhdSizeFor } from './fixed-layout.js';
import { encodeVhdFooter, fixedVhdFooter, VHD_FOOTER_BYTES, VHD_SECTOR_BYTES } from './footer.js';

const BLOCK_BYTES = 2 * MiB;
const TABLE_AT = VHD_FOOTER_BYTES + VHD_HEADER_BYTES;

export const dynamicVhdLayout: LayoutFormat = {
  blockBytesFor: (size) => {
    vhdSizeFor(size);
    return BLOCK_BYTES;
  },
  layOut: (plan) => new DynamicVhdLayout(plan),
};

class DynamicVhdLayout implements Layout {
  readonly size: number;
  readonly fileBytes: number;
  readonly #plan: LayoutPlan;
  readonly #table: BlockTable;
  /** The table is padded with unused entries to whole sectors. */
  readonly #tableBytes: number;

  constructor(plan: LayoutPlan) {
    this.#plan = plan;
    this.size = vhdSizeFor(plan.size);
    const blocks = Math.ceil(this.size / plan.blockBytes);
    this.#table = new BlockTable(new SharedArrayBuffer(blocks * 4), plan.blockBytes);
    this.#tableBytes = Math.ceil((blocks * 4) / VHD_SECTOR_BYTES) * VHD_SECTOR_BYTES;
    let end = TABLE_AT + this.#tableBytes;
    for (let block = 0; block < blocks; block++) {
      const allocated = isSet(plan.allocated, block);
      this.#table.entries[block] = allocated ? end / VHD_SECTOR_BYTES : VHD_UNUSED;
      if (allocated) end += this.#table.placeBytes;
    }
    this.fileBytes = end + VHD_FOOTER_BYTES;
  }

  *places(range: ByteRange): Iterable<Place> {
    for (const { block, from, length } of this.#table.partsOf(range)) {
      const at = this.#table.bitmapAt(block);
      yield at === undefined ? { length } : { length, at: at + this.#table.bitmapBytes + from };
    }
  }

  *finish(): Iterable<Iterable<Piece>> {
    yield this.#structures();
    const fixed = fixedVhdFooter({ ...this.#plan, sizeBytes: this.size });
    const bytes = encodeVhdFooter({ ...fixed, diskType: 'dynamic', dataOffset: BigInt(VHD_FOOTER_BYTES) });
    yield [0, this.fileBytes - VHD_FOOTER_BYTES].map((at) => ({ at, bytes }));
  }

  *#structures(): Iterable<Piece> {
    const { entries, blockBytes, bitmapBytes } = this.#table;
    const bitmap = Buffer.alloc(bitmapBytes).fill(0xff, 0, Math.ceil(blockBytes / VHD_SECTOR_BYTES / 8));
    for (let block = 0; block < entries.length; block++) {
      const at = this.#table.bitmapAt(block);
      if (at !== undefined) yield { at, bytes: bitmap };
    }
    for (let at = 0; at < this.#tableBytes; at += MiB) {
      const bytes = Buffer.alloc(Math.min(MiB, this.#tableBytes - at), 0xff);
      const first = at / 4;
      const count = Math.min(bytes.length / 4, entries.length - first);
      for (let entry = 0; entry < count; entry++) bytes.writeUInt32BE(entries[first + entry] as number, entry * 4);
      yield { at: TABLE_AT + at, bytes };
    }
    const noParent = { parentId: new Uint8Array(16), parentTime: 0, parentName: '', locators: [] };
    const header = { tableAt: TABLE_AT, tableEntries: entries.length, blockBytes, ...noParent };
    yield { at: VHD_FOOTER_BYTES, bytes: encodeVhdHeader(header) };
  }
}
