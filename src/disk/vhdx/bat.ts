/**
 * The block allocation table of a VHDX ([MS-VHDX] 2.5): 64 bits for each payload block, and behind the entries of each
 * chunk of the disk one for its sector bitmap. The table is kept in shared memory, or, where it is too large for that,
 * read window by window.
 */
import { MiB } from '../../core/units.js';
import type { DiskBytes } from '../image.js';
import { demand } from './demand.js';
import type { VhdxMetadata } from './metadata.js';
import type { Region } from './region.js';

export const BAT_ENTRY_BYTES = 8;
/** "A sector bitmap block is always 1 MB in size" (2.4). */
export const BITMAP_BYTES = MiB;
/** A table up to this size is kept in memory: 2 TiB in blocks of 1 MiB, 64 TiB in blocks of 32 MiB. */
const KEPT_BYTES_MAX = 32 * MiB;
const WINDOW_BYTES = MiB;

/** Entry states of payload blocks (2.5.1.1). A sector bitmap is `notPresent` or `fullyPresent` (2.5.1.2). */
export const STATES = {
  notPresent: 0,
  undefined: 1,
  zero: 2,
  unmapped: 3,
  fullyPresent: 6,
  partiallyPresent: 7,
} as const;

export interface BatGeometry {
  readonly size: number;
  readonly blockBytes: number;
  readonly sectorBytes: number;
  readonly differencing: boolean;
  /** Payload blocks. */
  readonly blocks: number;
  /** Payload blocks of a chunk: as many as one sector bitmap speaks of. */
  readonly chunkRatio: number;
  readonly entries: number;
}

export function batGeometry(
  metadata: Pick<VhdxMetadata, 'size' | 'blockBytes' | 'sectorBytes' | 'parent'>,
): BatGeometry {
  const { size, blockBytes, sectorBytes } = metadata;
  const differencing = metadata.parent !== undefined;
  const chunkRatio = (BITMAP_BYTES * 8 * sectorBytes) / blockBytes;
  const blocks = Math.ceil(size / blockBytes);
  // 2.5: only a differencing disk has an entry for the bitmap of the last chunk.
  const entries = differencing
    ? Math.ceil(blocks / chunkRatio) * (chunkRatio + 1)
    : blocks + Math.max(0, Math.floor((blocks - 1) / chunkRatio));
  return { size, blockBytes, sectorBytes, differencing, blocks, chunkRatio, entries };
}

export const entryOfBlock = ({ chunkRatio }: BatGeometry, block: number): number =>
  block + Math.floor(block / chunkRatio);

/** The entry of the bitmap that speaks of the block. */
export const entryOfBitmap = ({ chunkRatio }: BatGeometry, block: number): number =>
  (Math.floor(block / chunkRatio) + 1) * (chunkRatio + 1) - 1;

/** Entries that stand together in memory. */
export class BatWindow {
  readonly first: number;
  readonly end: number;
  readonly #view: DataView;

  constructor(first: number, bytes: { readonly buffer: ArrayBufferLike; byteOffset: number; byteLength: number }) {
    this.first = first;
    this.end = first + bytes.byteLength / BAT_ENTRY_BYTES;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  state(entry: number): number {
    return this.#low(entry) & 7;
  }

  /** Bytes from the file's beginning. Above 2^53 not exact, but still above every file's end. */
  place(entry: number): number {
    return this.#high(entry) * 2 ** 32 + ((this.#low(entry) & 0xfff0_0000) >>> 0);
  }

  /** Bits 3 to 19, "MUST be set to 0". */
  reserved(entry: number): number {
    return (this.#low(entry) >>> 3) & 0x1_ffff;
  }

  #low(entry: number): number {
    return this.#view.getUint32((entry - this.first) * BAT_ENTRY_BYTES, true);
  }

  #high(entry: number): number {
    return this.#view.getUint32((entry - this.first) * BAT_ENTRY_BYTES + 4, true);
  }
}

export function encodeEntry(state: number, at: number): Buffer {
  const bytes = Buffer.alloc(BAT_ENTRY_BYTES);
  bytes.writeBigUInt64LE(BigInt(at) | BigInt(state));
  return bytes;
}

/** Where the table stands, and all of it where it is kept. Plain and cloneable. */
export interface BatPlace {
  readonly at: number;
  readonly kept?: SharedArrayBuffer;
}

/** @throws TransferError E_DISK_FORMAT when the region is too small for the disk */
export async function readBat(bytes: DiskBytes, region: Region, geometry: BatGeometry): Promise<BatPlace> {
  const length = geometry.entries * BAT_ENTRY_BYTES;
  const spot = { name: bytes.name, what: 'BAT', at: region.at };
  demand(spot, length <= region.length, `at least ${length} bytes for ${geometry.blocks} blocks`, region.length);
  if (length > KEPT_BYTES_MAX) return { at: region.at };
  const kept = new SharedArrayBuffer(length);
  const into = new Uint8Array(kept);
  for (let at = 0; at < length; at += WINDOW_BYTES) {
    const part = { offset: region.at + at, length: Math.min(WINDOW_BYTES, length - at) };
    into.set(await bytes.read(part, 'BAT'), at);
  }
  return { at: region.at, kept };
}

/** Reads entries, in windows that may be as large as the table. */
export class Bat {
  readonly geometry: BatGeometry;
  readonly #place: BatPlace;
  readonly #bytes: DiskBytes;
  #last: BatWindow | undefined;

  constructor(geometry: BatGeometry, place: BatPlace, bytes: DiskBytes) {
    this.geometry = geometry;
    this.#place = place;
    this.#bytes = bytes;
    const { kept } = place;
    if (kept) this.#last = new BatWindow(0, { buffer: kept, byteOffset: 0, byteLength: kept.byteLength });
  }

  /** The window that holds the entry. */
  async window(entry: number): Promise<BatWindow> {
    const last = this.#last;
    if (last && entry >= last.first && entry < last.end) return last;
    const first = entry - (entry % (WINDOW_BYTES / BAT_ENTRY_BYTES));
    const count = Math.min(WINDOW_BYTES / BAT_ENTRY_BYTES, this.geometry.entries - first);
    const range = { offset: this.#place.at + first * BAT_ENTRY_BYTES, length: count * BAT_ENTRY_BYTES };
    const window = new BatWindow(first, await this.#bytes.read(range, 'BAT'));
    this.#last = window;
    return window;
  }
}
