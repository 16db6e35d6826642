/**
 * Has what was just written go to the storage at once, and waits until it is there: many small writes instead of a
 * flood at the next flush. It makes nothing durable; a flush is still needed, and finds little to do.
 *
 * Waiting also takes note of a failed write, once for each open file (sync_file_range(2), errseq). The flush must be
 * told of that, and so this has an open file of its own, and says nothing of what failed.
 */
import { closeSync, constants, openSync } from 'node:fs';
import type { ByteRange } from '../core/chunk.js';
import { libc, type PathBytes } from './libc.js';

const WAIT_BEFORE = 1;
const WRITE = 2;
const WAIT_AFTER = 4;

export class WriteThrough {
  #fd: number;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** Undefined where that cannot be had: what is written goes to the storage with the next flush. */
  static open(path: PathBytes): WriteThrough | undefined {
    if (!libc()) return undefined;
    try {
      return new WriteThrough(openSync(path, constants.O_RDONLY));
    } catch {
      // Whatever is wrong with the file, those who write to it and flush it find out.
      return undefined;
    }
  }

  wait({ offset, length }: ByteRange): void {
    libc()?.sync_file_range(this.#fd, offset, length, WAIT_BEFORE | WRITE | WAIT_AFTER);
  }

  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }
}
