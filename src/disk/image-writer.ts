/**
 * Writing into an image that exists, in place, so that a process that dies at any moment leaves an image that reads as
 * before, as after, or, where its child says the same bytes, as something between (that is what a merge relies on):
 *
 *     begin ▸ ( place ▸ bytes are written there ▸ flush ▸ publish ) again and again ▸ finish
 *
 * Everything is synchronous but the opening: it runs on a worker.
 */
import type { ByteRange } from '../core/chunk.js';
import type { DiskBytes } from './image.js';

/** A container that is open for reading and writing. */
export interface DiskFile extends DiskBytes {
  /** Bytes, now. */
  readonly size: number;
  /** As {@link DiskBytes.read}, at once. */
  readNow(range: ByteRange, what: string): Buffer;
  /** All of the bytes. A write past the end makes the file longer. */
  write(at: number, bytes: Uint8Array): void;
  /** What was written before the call is durable after it. */
  flush(): void;
  setSize(bytes: number): void;
}

/** Where a range of guest bytes is to be written. `at` absent: nowhere, it reads as it should already. */
export interface Place {
  readonly length: number;
  readonly at?: number;
}

export interface ImageWriter {
  /** Bytes that a guest sees. */
  readonly size: number;
  /**
   * The identity that {@link finish} gives the image, chosen by now, so that it can be on record before. Absent: the
   * image keeps the one that it has.
   */
  readonly identityAfter?: string;
  /**
   * Ranges given to `begin` and `place` begin and end at multiples of it, or end with the disk: the image cannot part
   * such a unit between itself and its parent, so that what the child leaves open of one is to be taken from the parent
   * and those below it. Absent: any range is fine.
   */
  readonly unitBytes?: number;
  /**
   * Makes room at the end of the file for all that will be placed, durable when it returns, and marks the image as the
   * format wants it marked before it is written to. To be called once; readers see no other content after it. After a
   * crash the next begin takes the room again that nothing came to use.
   */
  begin(ranges: Iterable<ByteRange>): void;
  /**
   * Where the bytes of the range go: places in order, without gaps. With `zero` the bytes are all zero, and a place is
   * given only where that must be written.
   */
  place(range: ByteRange, content: 'data' | 'zero'): Iterable<Place>;
  /**
   * Makes readers see what was placed since the last call; to be called once the bytes are durable. Tables and bitmaps
   * are durable when it returns.
   */
  publish(): void;
  /** After the last publish: identities that tell children of the old content, checksums, clean marks; durable. */
  finish(): void;
}
