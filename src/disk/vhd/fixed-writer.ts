/** Writes into a fixed VHD in place: the disk's bytes are the file's, up to the footer. */
import type { ByteRange } from '../../core/chunk.js';
import type { DiskFile, ImageWriter, Place } from '../image-writer.js';
import { changedVhdFooter } from './footer.js';
import type { WholeFooter } from './footers.js';

export class FixedVhdWriter implements ImageWriter {
  readonly size: number;
  readonly identityAfter: string;
  readonly #file: DiskFile;
  readonly #finished: Uint8Array;
  readonly #footerAt: number;

  constructor(file: DiskFile, { footer, bytes }: WholeFooter, footerAt: number, nextId: Uint8Array) {
    this.#file = file;
    this.#footerAt = footerAt;
    this.size = footer.currentBytes;
    this.identityAfter = Buffer.from(nextId).toString('hex');
    this.#finished = changedVhdFooter(bytes, { uniqueId: nextId });
  }

  /** There is room for everything. */
  begin(): void {
    this.publish();
  }

  place({ offset, length }: ByteRange): Place[] {
    return [{ length, at: offset }];
  }

  /** What was written is seen at once. */
  publish(): void {
    this.#file.flush();
  }

  /** One sector is written, whole: the disk is known by another id from then on, as a dynamic one is. */
  finish(): void {
    this.#file.write(this.#footerAt, this.#finished);
    this.#file.flush();
  }
}
