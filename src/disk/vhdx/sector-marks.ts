/** Sectors that were placed in blocks that are partially present, until their bits are written ([MS-VHDX] 2.4). */
import type { ByteRange } from '../../core/chunk.js';
import type { DiskFile } from '../image-writer.js';
import { type BatGeometry, entryOfBitmap } from './bat.js';
import { demand } from './demand.js';

/** What is to be known of a block: whether its bits say anything yet, and which sectors were placed. */
interface Marked {
  readonly isNew: boolean;
  readonly sectors: { readonly first: number; readonly end: number }[];
}

export class SectorMarks {
  readonly #geometry: BatGeometry;
  readonly #marked = new Map<number, Marked>();

  constructor(geometry: BatGeometry) {
    this.#geometry = geometry;
  }

  get size(): number {
    return this.#marked.size;
  }

  /** The block has none of its sectors yet, whatever its bits say. */
  begin(block: number): void {
    this.#marked.set(block, { isNew: true, sectors: [] });
  }

  add(block: number, { offset, length }: ByteRange): void {
    const { blockBytes, sectorBytes } = this.#geometry;
    const marked = this.#marked.get(block) ?? { isNew: false, sectors: [] };
    this.#marked.set(block, marked);
    const first = (offset - block * blockBytes) / sectorBytes;
    marked.sectors.push({ first, end: first + length / sectorBytes });
  }

  /**
   * Writes the bits. Bitmaps that were not there get room, and are returned by their entries, which are still to be
   * written, once the bits are durable. `bitmapAt`: where an entry says that its bitmap is; undefined: it has none.
   */
  write(
    file: DiskFile,
    bitmapAt: (entry: number) => number | undefined,
    room: () => number,
  ): ReadonlyMap<number, number> {
    const { blockBytes, sectorBytes, chunkRatio } = this.#geometry;
    const sliceBytes = blockBytes / sectorBytes / 8;
    const added = new Map<number, number>();
    for (const [block, { isNew, sectors }] of this.#marked) {
      const entry = entryOfBitmap(this.#geometry, block);
      const there = bitmapAt(entry);
      const spot = { name: file.name, what: `sector bitmap of block ${block}`, at: there ?? 0 };
      demand(spot, isNew || there !== undefined, 'a bitmap, since the block is partially present', 'none');
      const begins = there ?? added.get(entry) ?? room();
      if (there === undefined) added.set(entry, begins);
      const at = begins + (block % chunkRatio) * sliceBytes;
      const bits = isNew ? Buffer.alloc(sliceBytes) : file.readNow({ offset: at, length: sliceBytes }, 'sector bitmap');
      for (const { first, end } of sectors) setBits(bits, first, end);
      file.write(at, bits);
    }
    this.#marked.clear();
    return added;
  }
}

function setBits(bits: Buffer, first: number, end: number): void {
  for (let bit = first; bit < end; bit++) {
    if (bit % 8 === 0 && end - bit >= 8) {
      bits[bit >>> 3] = 0xff;
      bit += 7;
    } else bits[bit >>> 3] = (bits[bit >>> 3] ?? 0) | (1 << (bit & 7));
  }
}
