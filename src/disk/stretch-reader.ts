/**
 * Reads what lies in several stretches as one range, one after the other. It answers at once where they do, since the
 * speed of a copy hangs on that.
 */
import type { ChunkReader } from '../core/endpoint.js';

export interface Stretch {
  /** Bytes; more than none. */
  readonly length: number;
  readonly reader: ChunkReader;
}

/** The next one; undefined behind the last. */
export type NextStretch = () => Stretch | undefined | Promise<Stretch | undefined>;

export class StretchReader implements ChunkReader {
  readonly #nextStretch: NextStretch;
  #current: Stretch | undefined;
  /** What is left of it. */
  #left = 0;

  constructor(nextStretch: NextStretch) {
    this.#nextStretch = nextStretch;
  }

  /** Short where a stretch ends early, too. */
  next(into: Uint8Array): number | Promise<number> {
    return this.#fillFrom(into, 0);
  }

  close(): void {
    this.#current?.reader.close();
    this.#current = undefined;
    this.#left = 0;
  }

  #fillFrom(into: Uint8Array, filled: number): number | Promise<number> {
    for (let done = filled; ; ) {
      if (done === into.length) return done;
      if (!this.#current || this.#left === 0) {
        this.close();
        const stretch = this.#nextStretch();
        if (stretch instanceof Promise) {
          return stretch.then((late) => (this.#begin(late) ? this.#fillFrom(into, done) : done));
        }
        if (!this.#begin(stretch)) return done;
        continue;
      }
      const room = into.subarray(done, done + Math.min(this.#left, into.length - done));
      const got = this.#current.reader.next(room);
      if (typeof got !== 'number') {
        return got.then((bytes) => (this.#took(bytes) ? this.#fillFrom(into, done + bytes) : done));
      }
      if (!this.#took(got)) return done;
      done += got;
    }
  }

  #begin(stretch: Stretch | undefined): boolean {
    this.#current = stretch;
    this.#left = stretch?.length ?? 0;
    return stretch !== undefined;
  }

  #took(bytes: number): boolean {
    this.#left -= bytes;
    return bytes > 0;
  }
}

const nothing = (): undefined => undefined;

export const ZEROES: ChunkReader = { next: (into) => into.fill(0).length, close: nothing };

/** The bytes that a call makes, made when they are first read. */
export function madeReader(make: () => Uint8Array | Promise<Uint8Array>): ChunkReader {
  let made: Uint8Array | undefined;
  let at = 0;
  const next = async (into: Uint8Array): Promise<number> => {
    made ??= await make();
    const bytes = made.subarray(at, at + into.length);
    into.set(bytes);
    at += bytes.length;
    return bytes.length;
  };
  return { next, close: nothing };
}
