/**
 * Carries what a child holds into its parent, from the first byte to the last, in batches: the bytes are written to
 * their places, made durable, and then published, so that at any moment the parent reads as before, as after, or as
 * something between that its child hides.
 */
import type { ByteRange } from '../core/chunk.js';
import { TransferError } from '../core/errors.js';
import { MiB } from '../core/units.js';
import type { DiskChain } from './chain.js';
import type { OpenDiskFile } from './disk-file.js';
import { heldIn } from './held-map.js';
import type { DiskImage } from './image.js';
import type { ImageWriter, Place } from './image-writer.js';
import { inUnits, MADE_BYTES_MAX, PIECE_BYTES, type Piece, pieces } from './merge-pieces.js';

/** What may have to be done again after a crash. A flush costs as much for little as for much. */
const BATCH_BYTES = 256 * MiB;

export interface Carrying {
  /** The child with all that it builds on. */
  readonly chain: DiskChain;
  readonly child: { readonly image: DiskImage; readonly file: OpenDiskFile };
  readonly parent: { readonly writer: ImageWriter; readonly file: OpenDiskFile };
  /** An earlier run carried all before this guest byte: there is compared, and only what differs is written. */
  readonly doneTo: number;
}

export interface CarryHost {
  stopped(): boolean;
  /** Guest bytes that are done. */
  counted(bytes: number): void;
  /** Until so many bytes may be sent. */
  pace(bytes: number): Promise<void> | undefined;
  /** All before this guest byte is in the parent, durable. */
  reached(offset: number): void;
}

export interface Carried {
  /** Bytes that were written into the parent. */
  readonly bytesWritten: number;
  /** Bytes that stood there already. */
  readonly bytesFound: number;
  /** Bytes of the disk that were made to read as zero. */
  readonly bytesZero: number;
}

/** @throws TransferError E_STOPPED, once what was carried so far is published */
export async function carryOver(carrying: Carrying, host: CarryHost): Promise<Carried> {
  const batch = new Batch(carrying, host);
  const { image } = carrying.child;
  const { unitBytes } = carrying.parent.writer;
  const cut = piecesOf(image);
  for await (const piece of unitBytes === undefined ? cut : inUnits(cut, unitBytes, carrying.chain)) {
    if (host.stopped()) throw batch.stop(piece.offset);
    await batch.carry(piece);
    batch.passed(piece.offset + piece.length);
  }
  batch.publish(image.size);
  return batch.carried;
}

/** Of all that the image holds itself. */
async function* piecesOf(image: DiskImage): AsyncGenerator<Piece> {
  for await (const held of heldIn(image, image.size)) yield* pieces(image.runs(held), held.offset);
}

class Batch {
  readonly #carrying: Carrying;
  readonly #host: CarryHost;
  readonly #buffer = Buffer.allocUnsafe(PIECE_BYTES);
  readonly #found = Buffer.allocUnsafe(MADE_BYTES_MAX);
  readonly carried = { bytesWritten: 0, bytesFound: 0, bytesZero: 0 };
  #pending = 0;

  constructor(carrying: Carrying, host: CarryHost) {
    this.#carrying = carrying;
    this.#host = host;
  }

  async carry(piece: Piece): Promise<void> {
    if (piece.kind === 'zero') this.#zero(piece);
    else if (piece.kind !== 'absent') {
      await this.#host.pace(piece.length);
      this.#write(piece, await this.#bytesOf(piece));
    }
    this.#host.counted(piece.length);
  }

  async #bytesOf(piece: Extract<Piece, { kind: 'data' | 'made' }>): Promise<Uint8Array> {
    if (piece.kind === 'made') {
      const bytes = await piece.make();
      if (bytes.length === piece.length) return bytes;
      throw new TransferError('E_BUG', `a run of ${piece.length} bytes was made of ${bytes.length}`);
    }
    const into = this.#buffer.subarray(0, piece.length);
    this.#carrying.child.file.readInto(into, piece.at, 'data');
    return into;
  }

  #write({ offset, length }: ByteRange, bytes: Uint8Array): void {
    const { writer, file } = this.#carrying.parent;
    const proves = offset < this.#carrying.doneTo;
    let from = 0;
    for (const { at, length } of joined(writer.place({ offset, length: bytes.length }, 'data'))) {
      if (at !== undefined) this.#writeTo(file, at, bytes.subarray(from, from + length), proves);
      from += length;
    }
    this.#pending += length;
  }

  #writeTo(file: OpenDiskFile, at: number, bytes: Uint8Array, proves: boolean): void {
    if (proves && at + bytes.length <= file.size) {
      const found = this.#found.subarray(0, bytes.length);
      file.readInto(found, at, 'data');
      if (found.equals(bytes)) {
        this.carried.bytesFound += bytes.length;
        return;
      }
    }
    file.write(at, bytes);
    this.carried.bytesWritten += bytes.length;
  }

  #zero({ offset, length }: ByteRange): void {
    const { writer, file } = this.#carrying.parent;
    for (const place of joined(writer.place({ offset, length }, 'zero'))) {
      if (place.at === undefined) continue;
      file.zero({ offset: place.at, length: place.length });
      this.#pending += place.length;
    }
    this.carried.bytesZero += length;
  }

  /** All before this guest byte was carried. */
  passed(offset: number): void {
    if (this.#pending >= BATCH_BYTES) this.publish(offset);
  }

  publish(offset: number): void {
    const { writer, file } = this.#carrying.parent;
    file.flush();
    writer.publish();
    this.#pending = 0;
    if (offset > this.#carrying.doneTo) this.#host.reached(offset);
  }

  stop(offset: number): TransferError {
    this.publish(offset);
    return new TransferError('E_STOPPED', 'stopped; what was merged so far is kept, and the disk reads as before');
  }
}

/** Places that follow one another in the file are one. */
function* joined(places: Iterable<Place>): Generator<Place> {
  let last: { length: number; at?: number } | undefined;
  for (const place of places) {
    const follows = last && (last.at === undefined ? place.at === undefined : last.at + last.length === place.at);
    if (last && follows) last.length += place.length;
    else {
      if (last) yield last;
      last = { ...place };
    }
  }
  if (last) yield last;
}
