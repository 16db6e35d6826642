/**
 * Which parts of a disk an image holds itself, as a map of bits: small whatever the disk, and good for planning only,
 * since a bit stands for a whole piece.
 */
import type { ByteRange } from '../core/chunk.js';
import { KiB } from '../core/units.js';
import type { Allocation } from './image.js';

const PIECE_BYTES_MIN = 64 * KiB;
/** 16 MiB of bits. */
const PIECES_MAX = 2 ** 27;

export class HeldMap {
  readonly pieceBytes: number;
  readonly #size: number;
  readonly #bits: Uint8Array;

  /** `blockBytes`: of the image that is written to; 0: it has none. */
  constructor(size: number, blockBytes: number) {
    let pieceBytes = Math.max(blockBytes, PIECE_BYTES_MIN);
    while (size / pieceBytes > PIECES_MAX) pieceBytes *= 2;
    this.pieceBytes = pieceBytes;
    this.#size = size;
    this.#bits = new Uint8Array(Math.ceil(Math.ceil(size / pieceBytes) / 8));
  }

  add({ offset, length }: ByteRange): void {
    if (length <= 0) return;
    const last = Math.floor((offset + length - 1) / this.pieceBytes);
    for (let piece = Math.floor(offset / this.pieceBytes); piece <= last; piece++) {
      const byte = piece >>> 3;
      // Whole bytes at once: a disk of many TiB may be one run.
      if (piece % 8 === 0 && piece + 7 <= last) {
        this.#bits[byte] = 0xff;
        piece += 7;
      } else this.#bits[byte] = (this.#bits[byte] ?? 0) | (1 << (piece % 8));
    }
  }

  /** What was added, rounded to whole pieces, in order; ranges do not touch. */
  *ranges(): Generator<ByteRange> {
    const pieces = Math.ceil(this.#size / this.pieceBytes);
    let from: number | undefined;
    for (let piece = 0; piece <= pieces; piece++) {
      if (from === undefined && piece % 8 === 0 && this.#bits[piece >>> 3] === 0) {
        piece += 7;
        continue;
      }
      const held = piece < pieces && ((this.#bits[piece >>> 3] ?? 0) & (1 << (piece % 8))) !== 0;
      if (held) from ??= piece;
      else if (from !== undefined) {
        const offset = from * this.pieceBytes;
        yield { offset, length: Math.min(piece * this.pieceBytes, this.#size) - offset };
        from = undefined;
      }
    }
  }
}

/** A run of an allocation, with its place in the disk. */
export interface Held extends ByteRange {
  readonly kind: 'data' | 'zero';
}

/** What the image holds itself, in order; neighbours of one kind are joined. */
export async function* heldIn(
  image: { allocation(range: ByteRange): Iterable<Allocation> | AsyncIterable<Allocation> },
  size: number,
): AsyncGenerator<Held> {
  let last: { kind: 'data' | 'zero' | 'absent'; offset: number; length: number } | undefined;
  let offset = 0;
  for await (const { kind, length } of image.allocation({ offset: 0, length: size })) {
    if (last?.kind === kind) last.length += length;
    else {
      if (last && last.kind !== 'absent') yield { ...last, kind: last.kind };
      last = { kind, offset, length };
    }
    offset += length;
  }
  if (last && last.kind !== 'absent') yield { ...last, kind: last.kind };
}
