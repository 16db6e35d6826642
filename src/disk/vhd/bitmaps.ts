/**
 * Sector bitmaps of a VHD's blocks: a bit for each sector, the first in the highest bit of the first byte. A set bit
 * says that the sector is in the block; a clear one that it was never written: it is zero, or the parent's.
 */
import { MiB } from '../../core/units.js';
import type { DiskBytes } from '../image.js';
import type { BlockTable } from './block-table.js';

const CACHE_BYTES = MiB;

export interface BitRun {
  readonly set: boolean;
  /** Sectors. */
  readonly length: number;
}

export const isSet = (bitmap: Uint8Array, sector: number): boolean =>
  ((bitmap[sector >> 3] ?? 0) & (0x80 >> (sector & 7))) !== 0;

/** The runs of sectors from `from` up to `to`; whole bytes are looked at as one. */
export function* bitRuns(bitmap: Uint8Array, from: number, to: number): Iterable<BitRun> {
  for (let at = from; at < to; ) {
    const set = isSet(bitmap, at);
    const whole = set ? 0xff : 0;
    let next = at + 1;
    while (next < to) {
      if ((next & 7) === 0 && bitmap[next >> 3] === whole) next += 8;
      else if (isSet(bitmap, next) === set) next++;
      else break;
    }
    next = Math.min(next, to);
    yield { set, length: next - at };
    at = next;
  }
}

export function setBits(bitmap: Uint8Array, from: number, to: number): void {
  for (let at = from; at < to; at++) {
    const byte = at >> 3;
    if ((at & 7) === 0 && at + 8 <= to) {
      bitmap[byte] = 0xff;
      at += 7;
    } else bitmap[byte] = (bitmap[byte] ?? 0) | (0x80 >> (at & 7));
  }
}

/** Reads bitmaps when they are asked for, and keeps the latest. */
export class BitmapCache {
  readonly #bytes: DiskBytes;
  readonly #table: BlockTable;
  readonly #kept = new Map<number, Uint8Array>();
  readonly #keep: number;

  constructor(bytes: DiskBytes, table: BlockTable) {
    this.#bytes = bytes;
    this.#table = table;
    this.#keep = Math.max(1, Math.floor(CACHE_BYTES / table.bitmapBytes));
  }

  /** @throws TransferError E_DISK_FORMAT when the bitmap is not in the file */
  async of(block: number, at: number): Promise<Uint8Array> {
    const kept = this.#kept.get(block);
    if (kept) return kept;
    const range = { offset: at, length: this.#table.bitmapBytes };
    const bitmap = await this.#bytes.read(range, `sector bitmap of block ${block}`);
    if (this.#kept.size >= this.#keep) this.#kept.delete(this.#kept.keys().next().value as number);
    this.#kept.set(block, bitmap);
    return bitmap;
  }
}
