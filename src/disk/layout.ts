/**
 * How a new disk lays the guest's bytes out in its file. All places are known before the first byte is written, from
 * what the source has allocated, so that a chunk's place never depends on the order in which chunks come. A plan is
 * small and plain: the journal keeps it, and after a crash the same plan gives the same places.
 */
import type { ByteRange } from '../core/chunk.js';
import type { Place } from './image-writer.js';

export type LayoutKind = 'raw' | 'vhd-fixed' | 'vhd-dynamic' | 'vhdx';

export interface LayoutPlan {
  readonly kind: LayoutKind;
  /** Guest bytes of the source; a format that counts in sectors rounds them up, and the rest is zero. */
  readonly size: number;
  /** 16 random bytes: what the new disk is known by. Further identities are made of it. */
  readonly uniqueId: Uint8Array;
  /** Milliseconds since 1970. */
  readonly createdAtMs: number;
  /** Bytes of a block; 0: the layout has none. */
  readonly blockBytes: number;
  /** Bytes of a sector, where the layout can say that; absent: 512. */
  readonly sectorBytes?: number;
  /** A bit for each block, the first in the highest bit of the first byte; empty where there are no blocks. */
  readonly allocated: Uint8Array;
}

/** Pieces of the container that are not the guest's. */
export interface Piece {
  readonly at: number;
  readonly bytes: Uint8Array;
}

export interface Layout {
  /** Bytes that a guest will see. */
  readonly size: number;
  /** Bytes of the finished container. */
  readonly fileBytes: number;
  /** In order, without gaps; without `at`: not allocated, can only be zero. */
  places(range: ByteRange): Iterable<Place>;
  /**
   * All that makes the file a disk, in the order in which it is to be written: each step is made durable before the
   * next, and only after the last one the file looks like a disk. A step may be large, so its pieces come one by one.
   */
  finish(): Iterable<Iterable<Piece>>;
}

/** Block sizes are chosen here: the format's usual one, or larger where the tables would grow out of bounds. */
export interface LayoutFormat {
  /** @throws TransferError E_DISK_FORMAT when the format holds no disk of that size */
  blockBytesFor(size: number): number;
  layOut(plan: LayoutPlan): Layout;
}
