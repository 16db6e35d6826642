/** The arithmetic of chunks: a file of `size` bytes is `count` chunks of `chunkBytes`, the last one shorter. */
import { KiB, MiB } from './units.js';

export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

export const CHUNK_BYTES_DEFAULT = 8 * MiB;
export const CHUNK_BYTES_MIN = 4 * KiB;
export const CHUNK_BYTES_MAX = 1024 * MiB;
/** Bounds the memory of plan and digests (some 16 bytes a chunk) whatever the file's size. */
export const CHUNK_COUNT_MAX = 4 * 1024 * 1024;

export class ChunkGrid {
  readonly size: number;
  readonly chunkBytes: number;
  readonly count: number;

  constructor(size: number, chunkBytes: number) {
    this.size = size;
    this.chunkBytes = chunkBytes;
    this.count = Math.ceil(size / chunkBytes);
  }

  range(chunk: number): ByteRange {
    const offset = chunk * this.chunkBytes;
    return { offset, length: Math.min(this.chunkBytes, this.size - offset) };
  }

  /** The chunk that holds the byte at `offset`. */
  at(offset: number): number {
    return Math.floor(offset / this.chunkBytes);
  }
}
