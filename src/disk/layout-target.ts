/**
 * A new disk as the target of a copy: ranges are the guest's, the layout says where in the container they go, and the
 * container is a target like any other. What makes the file a disk is written last, so that an unfinished one is none.
 */
import type { ByteRange } from '../core/chunk.js';
import type { Digest } from '../core/digest.js';
import { sameBytes } from '../core/digest.js';
import type { ChunkReader, EndpointRef, Extent, FileTimes } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import { NEVER } from '../core/stop.js';
import {
  type ChunkWriter,
  type CommitRequest,
  type CompleteRequest,
  openBack,
  type PartMark,
  type ReadBack,
  type Target,
  type Token,
} from '../core/target.js';
import { DISK_SCHEME } from './disk-location.js';
import type { DiskFormat } from './image.js';
import type { Place } from './image-writer.js';
import type { Layout, LayoutFormat, LayoutPlan, Piece } from './layout.js';
import { LAYOUTS } from './layouts.js';
import { StretchReader, ZEROES } from './stretch-reader.js';

export interface LayoutTargetRef extends EndpointRef {
  readonly container: EndpointRef;
  readonly plan: LayoutPlan;
}

/** The container that a new disk is written to, and what it will be; undefined: the target is no new disk. */
export function madeBy(target: Target): Made | undefined {
  return target instanceof LayoutTarget ? target.made : undefined;
}

export interface Made {
  readonly container: Target;
  readonly fileBytes: number;
  readonly format?: DiskFormat;
}

export class LayoutTarget implements Target {
  readonly ref: LayoutTargetRef;
  readonly extents?: (range: ByteRange, signal: AbortSignal) => AsyncIterable<Extent>;
  readonly openReadBack?: (range: ByteRange, signal: AbortSignal) => ReadBack;
  readonly #container: Target;
  readonly #format: LayoutFormat;
  #layout: Layout | undefined;

  constructor(container: Target, format: LayoutFormat, plan: LayoutPlan) {
    this.#container = container;
    this.#format = format;
    this.ref = { scheme: DISK_SCHEME, container: container.ref, plan };
    if (container.extents) this.extents = (range, signal) => this.#extents(range, signal);
    if (container.openReadBack) this.openReadBack = (range, signal) => this.#readBack(range, signal);
  }

  /** Tables may be large, and not every task needs them. */
  get #laidOut(): Layout {
    this.#layout ??= this.#format.layOut(this.ref.plan);
    return this.#layout;
  }

  get made(): Made {
    const { format } = LAYOUTS[this.ref.plan.kind];
    return { container: this.#container, fileBytes: this.#laidOut.fileBytes, format };
  }

  openChunk(range: ByteRange, signal: AbortSignal): ChunkWriter {
    return new PlacesWriter(this.#places(range), (place) => this.#container.openChunk(place, signal));
  }

  /** What is not allocated reads as zero already. */
  async zero(range: ByteRange): Promise<void> {
    for (const { at, length } of this.#places(range)) {
      if (at !== undefined) await this.#container.zero?.({ offset: at, length });
    }
  }

  openChunkBack(range: ByteRange, signal: AbortSignal): ChunkReader {
    return this.#reader(range, (place) => openBack(this.#container, place, signal));
  }

  async complete({ sync, readBack }: CompleteRequest): Promise<void> {
    for (const step of this.#laidOut.finish()) {
      for (const { at, bytes } of step) await this.#write(at, bytes);
      if (sync || readBack) await this.#container.flush();
    }
    if (readBack) for (const step of this.#laidOut.finish()) for (const piece of step) await this.#proveBack(piece);
  }

  flush(): Promise<void> {
    return this.#container.flush();
  }

  mark(times?: FileTimes): PartMark | Promise<PartMark> {
    return this.#container.mark(times);
  }

  commit(request: CommitRequest): Promise<readonly string[]> {
    return this.#container.commit(request);
  }

  detach(): void | Promise<void> {
    return this.#container.detach?.();
  }

  close(): Promise<void> {
    return this.#container.close();
  }

  /** As far as the disk goes. Neighbours that touch in the container, too, are one. */
  *#places({ offset, length }: ByteRange): Generator<Place> {
    const inside = Math.min(length, this.ref.plan.size - offset);
    let last: Place | undefined;
    for (const place of this.#laidOut.places({ offset, length: Math.max(0, inside) })) {
      if (place.length === 0) continue;
      const touches = last?.at === undefined ? place.at === undefined : place.at === last.at + last.length;
      if (last && !touches) yield last;
      last = last && touches ? { ...last, length: last.length + place.length } : place;
    }
    if (last) yield last;
  }

  async *#extents(range: ByteRange, signal: AbortSignal): AsyncGenerator<Extent> {
    let { offset } = range;
    for (const { at, length } of this.#places(range)) {
      if (at === undefined) yield { kind: 'zero', offset, length };
      else {
        for await (const extent of this.#container.extents?.({ offset: at, length }, signal) ?? []) {
          yield { ...extent, offset: extent.offset - at + offset };
        }
      }
      offset += length;
    }
  }

  #reader(range: ByteRange, open: (place: ByteRange) => ChunkReader): ChunkReader {
    const places = this.#places(range);
    return new StretchReader(() => {
      const { value: place } = places.next();
      if (!place) return undefined;
      const { at, length } = place;
      return { length, reader: at === undefined ? ZEROES : open({ offset: at, length }) };
    });
  }

  #readBack(range: ByteRange, signal: AbortSignal): ReadBack {
    let pastCache = true;
    const opened = [...this.#places(range)].map(({ at, length }) => {
      if (at === undefined) return { length, reader: ZEROES };
      const back = this.#container.openReadBack?.({ offset: at, length }, signal) as ReadBack;
      pastCache &&= back.pastCache;
      return { length, reader: back.reader };
    });
    return { reader: new StretchReader(() => opened.shift()), pastCache };
  }

  async #write(offset: number, bytes: Uint8Array): Promise<void> {
    const writer = this.#container.openChunk({ offset, length: bytes.length }, NEVER);
    await writer.write(bytes);
    // No chunk of the copy's has these bytes, and no digest on record.
    await writer.finish(new Uint8Array(0));
  }

  async #proveBack({ at, bytes }: Piece): Promise<void> {
    const range = { offset: at, length: bytes.length };
    const reader = this.#container.openReadBack?.(range, NEVER).reader ?? openBack(this.#container, range, NEVER);
    const found = new Uint8Array(bytes.length);
    try {
      const got = await reader.next(found);
      if (got === bytes.length && sameBytes(found, bytes)) return;
    } finally {
      reader.close();
    }
    throw new TransferError('E_INTEGRITY', `the tables of the new disk at byte ${at} read back wrong`, {
      hint: 'Do not trust this storage or the way to it. The copy got no name; what reads back right is kept.',
      offset: at,
    });
  }
}

/** Writes a range of guest bytes to its places, by one writer of the container for each. */
class PlacesWriter implements ChunkWriter {
  readonly #places: Iterator<Place>;
  readonly #open: (place: ByteRange) => ChunkWriter;
  readonly #writers: ChunkWriter[] = [];
  #left = 0;
  /** Absent: the place is not allocated. */
  #writer: ChunkWriter | undefined;

  constructor(places: Iterator<Place>, open: (place: ByteRange) => ChunkWriter) {
    this.#places = places;
    this.#open = open;
  }

  write(block: Uint8Array): void | Promise<void> {
    return this.#writeFrom(block, 0);
  }

  skip(length: number): void {
    for (let rest = length; rest > 0; ) {
      const piece = this.#advance(rest);
      this.#writer?.skip(piece);
      rest -= piece;
    }
  }

  async finish(digest: Digest): Promise<Token | undefined> {
    for (const writer of this.#writers) await writer.finish(digest);
    return undefined;
  }

  abort(): void {
    for (const writer of this.#writers) writer.abort();
  }

  #writeFrom(block: Uint8Array, from: number): void | Promise<void> {
    for (let at = from; at < block.length; ) {
      const length = this.#advance(block.length - at);
      const piece = block.subarray(at, at + length);
      at += length;
      const written = this.#writer ? this.#writer.write(piece) : assertZero(piece);
      if (written) return written.then(() => this.#writeFrom(block, at));
    }
    return undefined;
  }

  /** Passes over at most so many bytes of one place, and answers how many. */
  #advance(most: number): number {
    while (this.#left === 0) {
      const { value: place } = this.#places.next();
      if (!place) throw new TransferError('E_BUG', 'a range of a new disk has no place');
      this.#left = place.length;
      this.#writer = place.at === undefined ? undefined : this.#open({ offset: place.at, length: place.length });
      if (this.#writer) this.#writers.push(this.#writer);
    }
    const length = Math.min(most, this.#left);
    this.#left -= length;
    return length;
  }
}

function assertZero(piece: Uint8Array): void {
  if (!piece.some((byte) => byte !== 0)) return;
  throw new TransferError('E_SOURCE_CHANGED', 'the source has data where it had none when the new disk was laid out', {
    hint: 'Nothing was put under the name of the target. Stop what writes to the source, then copy with --discard.',
  });
}
