/**
 * A VHDX as it is read ([MS-VHDX] 2.4, 2.5). What a block that was never written, or was given back, reads as is left
 * open by the format; here it is zero, always, unless the disk is a differencing one: what that has never written is
 * its parent's.
 */
import type { ByteRange } from '../../core/chunk.js';
import { MiB } from '../../core/units.js';
import type { Allocation, DiskBytes, DiskImage, ImageRef, ParentLink, Run } from '../image.js';
import {
  Bat,
  type BatGeometry,
  type BatPlace,
  type BatWindow,
  BITMAP_BYTES,
  entryOfBitmap,
  entryOfBlock,
  STATES,
} from './bat.js';
import { demand, type Spot } from './demand.js';
import type { LogReplay } from './log.js';
import { overlaid, replayedBytes, segmentBytes } from './segments.js';

/** Plain and cloneable; the BAT and the replayed log lie in shared memory. */
export interface VhdxRef extends ImageRef {
  readonly format: 'vhdx';
  readonly kind: 'fixed' | 'dynamic' | 'differencing';
  readonly geometry: BatGeometry;
  readonly bat: BatPlace;
  /** DataWriteGuid. */
  readonly identity: string;
  readonly parent?: ParentLink;
  readonly log?: LogReplay;
  readonly facts: NonNullable<DiskImage['facts']>;
}

/** What a block is in this file; `partial`: each sector for itself. */
type BlockKind = Allocation['kind'] | 'partial';

/** By state. Values 4 and 5 are reserved, and only a differencing disk has blocks that are partially present. */
const KINDS: readonly (BlockKind | undefined)[] = ['zero', 'zero', 'zero', 'zero', undefined, undefined, 'data'];
const DIFFERENCING_KINDS = ['absent', 'zero', 'zero', 'zero', undefined, undefined, 'data', 'partial'] as const;

const LAID_OVER_BYTES_MAX = 2 * MiB;

export class VhdxImage implements DiskImage {
  readonly format = 'vhdx';
  readonly ref: VhdxRef;
  readonly kind: string;
  readonly size: number;
  readonly blockBytes: number;
  readonly sectorBytes: number;
  readonly identity: string;
  readonly parent?: ParentLink;
  readonly facts: NonNullable<DiskImage['facts']>;
  readonly #file: DiskBytes;
  /** The file with its log replayed. */
  readonly #bytes: DiskBytes;
  readonly #bat: Bat;
  readonly #kinds: readonly (BlockKind | undefined)[];

  constructor(ref: VhdxRef, file: DiskBytes) {
    this.ref = ref;
    this.kind = ref.kind;
    this.size = ref.geometry.size;
    this.blockBytes = ref.geometry.blockBytes;
    this.sectorBytes = ref.geometry.sectorBytes;
    this.identity = ref.identity;
    this.facts = ref.facts;
    if (ref.parent) this.parent = ref.parent;
    this.#file = file;
    this.#bytes = ref.log ? replayedBytes(file, ref.log) : file;
    this.#bat = new Bat(ref.geometry, ref.bat, this.#bytes);
    this.#kinds = ref.geometry.differencing ? DIFFERENCING_KINDS : KINDS;
  }

  async *runs(range: ByteRange): AsyncIterable<Run> {
    const { blockBytes } = this;
    const end = range.offset + range.length;
    let length: number;
    for (let at = range.offset; at < end; at += length) {
      const block = Math.floor(at / blockBytes);
      length = Math.min(end, (block + 1) * blockBytes) - at;
      const entry = entryOfBlock(this.ref.geometry, block);
      const window = await this.#bat.window(entry);
      const kind = this.#kindOf(window, entry, block);
      const place = window.place(entry) + at - block * blockBytes;
      if (kind === 'partial') yield* this.#sectors(block, { offset: at, length }, place);
      else if (kind === 'data') yield* this.#data({ offset: place, length });
      else yield { kind, length };
    }
  }

  async *allocation({ offset, length }: ByteRange): AsyncIterable<Allocation> {
    const { geometry } = this.ref;
    const end = offset + length;
    let open: Allocation['kind'] | undefined;
    let from = offset;
    for (let block = Math.floor(offset / this.blockBytes), at = offset; at < end; ) {
      const window = await this.#bat.window(entryOfBlock(geometry, block));
      for (; at < end; block++, at = block * this.blockBytes) {
        const entry = entryOfBlock(geometry, block);
        if (entry >= window.end) break;
        const kind = this.#kindOf(window, entry, block);
        const plain = kind === 'partial' ? 'data' : kind;
        if (plain === open) continue;
        if (open !== undefined) yield { kind: open, length: at - from };
        open = plain;
        from = at;
      }
    }
    if (open !== undefined) yield { kind: open, length: end - from };
  }

  /** @throws TransferError E_DISK_FORMAT when the block's state is none, or its place is not in the file */
  #kindOf(window: BatWindow, entry: number, block: number): BlockKind {
    const state = window.state(entry);
    const kind = this.#kinds[state];
    if (kind === 'zero' || kind === 'absent') return kind;
    const spot = this.#spot(`BAT entry of block ${block}`, entry);
    demand(spot, kind !== undefined, `a block state of a ${this.kind} disk`, state);
    this.#assertPlace(spot, window.place(entry), Math.min(this.blockBytes, this.size - block * this.blockBytes));
    return kind;
  }

  #assertPlace(spot: Spot, place: number, length: number): void {
    const inside = place >= MiB && place <= this.#bytes.size - length;
    demand(spot, inside, `a place inside the file of ${this.#bytes.size} bytes`, `${length} bytes at ${place}`);
  }

  #spot(what: string, entry: number): Spot {
    return { name: this.#file.name, what, at: this.ref.bat.at + entry * 8 };
  }

  /** A piece of a block that is partially present, by its sector bitmap (2.4). */
  async *#sectors(block: number, range: ByteRange, place: number): AsyncIterable<Run> {
    const { geometry } = this.ref;
    const { sectorBytes } = geometry;
    const entry = entryOfBitmap(geometry, block);
    const window = await this.#bat.window(entry);
    const spot = this.#spot(`BAT entry of the sector bitmap of block ${block}`, entry);
    const state = window.state(entry);
    demand(spot, state === STATES.fullyPresent, 'a sector bitmap, since the block is partially present', state);
    const bitmapAt = window.place(entry);
    this.#assertPlace(spot, bitmapAt, BITMAP_BYTES);
    const chunkBytes = geometry.chunkRatio * this.blockBytes;
    const first = Math.floor((range.offset % chunkBytes) / sectorBytes);
    const last = Math.ceil(((range.offset % chunkBytes) + range.length) / sectorBytes);
    const firstByte = first >>> 3;
    const bits = await this.#bytes.read(
      { offset: bitmapAt + firstByte, length: Math.ceil(last / 8) - firstByte },
      'sector bitmap',
    );
    const present = (sector: number): boolean => (((bits[(sector >>> 3) - firstByte] ?? 0) >>> (sector & 7)) & 1) !== 0;
    let { offset } = range;
    const end = range.offset + range.length;
    for (let sector = first; sector < last; ) {
      const here = present(sector);
      while (sector < last && present(sector) === here) sector++;
      const upTo = Math.min(end, range.offset - (range.offset % chunkBytes) + sector * sectorBytes);
      const run = { offset: place + offset - range.offset, length: upTo - offset };
      if (here) yield* this.#data(run);
      else yield { kind: 'absent', length: run.length };
      offset = upTo;
    }
  }

  /** Bytes that stand in the file, or were laid over them by the log. */
  *#data(range: ByteRange): Iterable<Run> {
    const { log } = this.ref;
    if (!log) {
      yield { kind: 'data', length: range.length, at: range.offset };
      return;
    }
    for (const piece of overlaid(log, range)) {
      if (piece.segment?.at !== undefined) yield* this.#laidOver(log, piece, piece.segment);
      else if (piece.segment) yield { kind: 'zero', length: piece.length };
      else yield* this.#upToEnd(piece);
    }
  }

  *#laidOver(log: LogReplay, piece: ByteRange, segment: ByteRange & { readonly at?: number }): Iterable<Run> {
    for (let done = 0; done < piece.length; done += LAID_OVER_BYTES_MAX) {
      const part = { offset: piece.offset + done, length: Math.min(LAID_OVER_BYTES_MAX, piece.length - done) };
      yield { kind: 'made', length: part.length, make: () => segmentBytes(log, part, segment) };
    }
  }

  /** A replay may make the file longer; what it adds is zero. */
  *#upToEnd({ offset, length }: ByteRange): Iterable<Run> {
    const own = Math.max(0, Math.min(length, this.#file.size - offset));
    if (own > 0) yield { kind: 'data', length: own, at: offset };
    if (own < length) yield { kind: 'zero', length: length - own };
  }
}
