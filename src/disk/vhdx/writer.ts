/**
 * Writing into a VHDX in place ([MS-VHDX] 2.2.2.1, 2.5). New blocks go to the end of the file; what a reader sees of
 * them changes by one entry of the BAT each, after their bytes are durable. The log stays empty all the time, so a
 * reader that finds the file after a crash has nothing to replay: every entry that it sees is right, old or new.
 *
 * A block that a differencing disk has only in part needs a sector bitmap. The order is then: bytes, bits, the bitmap's
 * own entry, the block's entry, each durable before the next; a bit that is set early speaks of bytes that are there,
 * and the bits of a block are not looked at before its entry says so.
 */
import type { ByteRange } from '../../core/chunk.js';
import type { DiskFile, ImageWriter, Place } from '../image-writer.js';
import { type BatGeometry, BITMAP_BYTES, entryOfBitmap, entryOfBlock, STATES } from './bat.js';
import { demand, type Spot } from './demand.js';
import { newGuid } from './guid.js';
import { assertWritable, type CurrentHeader, HEADER_SECTION_BYTES, updateHeaders } from './header.js';
import { openStructures } from './open.js';
import { SectorMarks } from './sector-marks.js';
import { type BatEntry, WritableBat } from './writable-bat.js';

export async function openVhdxWriter(file: DiskFile): Promise<ImageWriter> {
  const { current, regions, metadata, geometry } = await openStructures(file);
  assertWritable(file, current.header);
  const { logAt, logBytes } = current.header;
  const taken = [
    { offset: 0, length: HEADER_SECTION_BYTES },
    { offset: logAt, length: logBytes },
    ...regions.all.map(({ at, length }) => ({ offset: at, length })),
  ];
  for (const { offset, length } of taken) {
    const spot = { name: file.name, what: 'region', at: offset };
    demand(spot, offset <= file.size - length, `${length} bytes inside the file`, `a file of ${file.size} bytes`);
  }
  const bat = new WritableBat(file, regions.bat.at, geometry);
  return new VhdxWriter({ file, bat, current, taken, fixed: metadata.leaveAllocated });
}

interface Opened {
  readonly file: DiskFile;
  readonly bat: WritableBat;
  readonly current: CurrentHeader;
  /** What is neither block nor bitmap. */
  readonly taken: readonly ByteRange[];
  readonly fixed: boolean;
}

/** A piece of a disk that lies in one block. */
interface Piece extends ByteRange {
  readonly block: number;
  readonly whole: boolean;
}

class VhdxWriter implements ImageWriter {
  readonly size: number;
  readonly identityAfter = newGuid();
  readonly #opened: Opened;
  readonly #geometry: BatGeometry;
  readonly #marks: SectorMarks;
  #current: CurrentHeader;
  /** Where the next block goes; what lies behind is zero. Undefined before the beginning. */
  #end: number | undefined;
  /** A fixed disk never becomes shorter. */
  #fileBytesMin = 0;
  /** Entries of blocks that no reader sees yet. */
  readonly #fresh = new Map<number, BatEntry>();

  constructor(opened: Opened) {
    this.#opened = opened;
    this.#geometry = opened.bat.geometry;
    this.#current = opened.current;
    this.size = this.#geometry.size;
    this.#marks = new SectorMarks(this.#geometry);
  }

  begin(ranges: Iterable<ByteRange>): void {
    const { file, bat, taken, fixed } = this.#opened;
    this.#current = updateHeaders(file, this.#current);
    if (fixed) this.#fileBytesMin = file.size;
    const ends = taken.map(({ offset, length }) => offset + length);
    const end = Math.ceil(Math.max(bat.usedEnd(), ...ends) / BITMAP_BYTES) * BITMAP_BYTES;
    const room = this.#roomFor(ranges);
    // What an attempt before this one left behind the last block goes, so that what is added reads as zero.
    file.setSize(end);
    file.setSize(Math.max(this.#fileBytesMin, end + room));
    file.flush();
    this.#end = end;
  }

  *place(range: ByteRange, content: 'data' | 'zero'): Iterable<Place> {
    for (const piece of this.#pieces(range)) {
      const at = this.#placeOf(piece, content);
      yield { length: piece.length, ...(at !== undefined && { at }) };
    }
  }

  publish(): void {
    const { file, bat } = this.#opened;
    if (this.#marks.size > 0) {
      const added = this.#marks.write(file, this.#bitmapAt, () => this.#room(BITMAP_BYTES));
      file.flush();
      for (const [entry, at] of added) bat.set(entry, { state: STATES.fullyPresent, at });
      if (added.size > 0) file.flush();
    }
    if (this.#fresh.size === 0) return;
    for (const [block, entry] of this.#fresh) bat.set(entryOfBlock(this.#geometry, block), entry);
    file.flush();
    this.#fresh.clear();
  }

  finish(): void {
    const { file } = this.#opened;
    if (this.#end !== undefined) file.setSize(Math.max(this.#fileBytesMin, this.#end));
    file.flush();
    this.#current = updateHeaders(file, this.#current, this.identityAfter);
  }

  /** Bytes for every block of the ranges that has no place yet, and for the bitmaps that these may need. */
  #roomFor(ranges: Iterable<ByteRange>): number {
    const { blocks, blockBytes, chunkRatio, differencing } = this.#geometry;
    const counted = new Uint8Array(Math.ceil(blocks / 8));
    const chunks = new Set<number>();
    let count = 0;
    for (const range of ranges) {
      for (const { block } of this.#pieces(range)) {
        const bit = 1 << (block & 7);
        const byte = counted[block >>> 3] ?? 0;
        if (byte & bit) continue;
        counted[block >>> 3] = byte | bit;
        const { state } = this.#entryOf(block);
        if (state !== STATES.fullyPresent && state !== STATES.partiallyPresent) count++;
        if (differencing && state !== STATES.fullyPresent) chunks.add(Math.floor(block / chunkRatio));
      }
    }
    let bitmaps = 0;
    for (const chunk of chunks) {
      const entry = this.#opened.bat.get(entryOfBitmap(this.#geometry, chunk * chunkRatio));
      if (entry.state !== STATES.fullyPresent) bitmaps++;
    }
    return count * blockBytes + bitmaps * BITMAP_BYTES;
  }

  *#pieces({ offset, length }: ByteRange): Iterable<Piece> {
    const { blockBytes, sectorBytes } = this.#geometry;
    const end = offset + length;
    const spot = { name: this.#opened.file.name, what: 'disk', at: offset };
    const sound = offset >= 0 && end <= this.size && offset % sectorBytes === 0 && end % sectorBytes === 0;
    demand(spot, sound, `whole sectors of a disk of ${this.size} bytes`, `${length} bytes`);
    for (let at = offset; at < end; ) {
      const block = Math.floor(at / blockBytes);
      const upTo = Math.min(end, (block + 1) * blockBytes);
      const whole = at === block * blockBytes && (upTo === this.size || upTo === at + blockBytes);
      yield { block, whole, offset: at, length: upTo - at };
      at = upTo;
    }
  }

  /** Undefined: nothing is to be written, the piece reads as zero, or will. */
  #placeOf(piece: Piece, content: 'data' | 'zero'): number | undefined {
    const { block, whole } = piece;
    const entry = this.#entryOf(block);
    const { fullyPresent, partiallyPresent, notPresent, zero } = STATES;
    const absent = this.#geometry.differencing && entry.state === notPresent;
    let { at } = entry;
    if (entry.state !== fullyPresent && entry.state !== partiallyPresent) {
      if (content === 'zero' && !absent) return undefined;
      if (content === 'zero' && whole) {
        this.#fresh.set(block, { state: zero, at: 0 });
        return undefined;
      }
      at = this.#room(this.#geometry.blockBytes);
      const state = absent && !whole ? partiallyPresent : fullyPresent;
      if (state === partiallyPresent) this.#marks.begin(block);
      this.#fresh.set(block, { state, at });
    }
    if (this.#entryOf(block).state === partiallyPresent) this.#marks.add(block, piece);
    return at + piece.offset - block * this.#geometry.blockBytes;
  }

  /** What the block's entry says, or will say once it is published. @throws TransferError when that is not right */
  #entryOf(block: number): BatEntry {
    const fresh = this.#fresh.get(block);
    if (fresh) return fresh;
    const { file, bat } = this.#opened;
    const index = entryOfBlock(this.#geometry, block);
    const entry = bat.get(index);
    const spot: Spot = { name: file.name, what: `BAT entry of block ${block}`, at: bat.offsetOf(index) };
    const partial = entry.state === STATES.partiallyPresent;
    const known = entry.state <= STATES.unmapped || entry.state === STATES.fullyPresent;
    demand(spot, known || (partial && this.#geometry.differencing), 'a block state of such a disk', entry.state);
    if (entry.state <= STATES.unmapped) return entry;
    const { blockBytes } = this.#geometry;
    this.#assertApart(spot, entry.at, blockBytes, Math.min(blockBytes, this.size - block * blockBytes));
    return entry;
  }

  readonly #bitmapAt = (index: number): number | undefined => {
    const { file, bat } = this.#opened;
    const { state, at } = bat.get(index);
    const spot = { name: file.name, what: 'BAT entry of a sector bitmap', at: bat.offsetOf(index) };
    demand(spot, state === STATES.notPresent || state === STATES.fullyPresent, 'a state of a sector bitmap', state);
    if (state === STATES.notPresent) return undefined;
    this.#assertApart(spot, at, BITMAP_BYTES, BITMAP_BYTES);
    return at;
  };

  /** What is written to must be in the file as far as a guest sees it, and nothing but a block or a bitmap. */
  #assertApart(spot: Spot, at: number, length: number, seen: number): void {
    const { file, taken } = this.#opened;
    const apart = taken.every((other) => at >= other.offset + other.length || at + length <= other.offset);
    demand(spot, apart && at <= file.size - seen, `${seen} bytes of its own in the file`, `byte ${at}`);
  }

  #room(length: number): number {
    const { file } = this.#opened;
    const at = this.#end;
    if (at === undefined) throw new Error('room is asked for before the beginning');
    this.#end = at + length;
    if (this.#end > file.size) file.setSize(this.#end);
    return at;
  }
}
