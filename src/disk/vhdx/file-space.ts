/** Which parts of a file are taken, in units of 1 MiB, which is what everything in a VHDX is aligned to (2.1). */
import { MiB } from '../../core/units.js';

/** A bit for each MiB of the file; a file of 512 TiB, which holds the largest disk eight times over, takes 64 MiB. */
export const SPACE_BYTES_MAX = 512 * 1024 ** 4;

export class FileSpace {
  readonly #taken: Uint8Array;

  constructor(fileBytes: number) {
    this.#taken = new Uint8Array(Math.ceil(Math.min(fileBytes, SPACE_BYTES_MAX) / MiB / 8));
  }

  /** False: some of it was taken before. What lies past the end of the file is nobody's. */
  take(at: number, length: number): boolean {
    let free = true;
    const end = Math.min(Math.ceil((at + length) / MiB), this.#taken.length * 8);
    for (let unit = Math.floor(at / MiB); unit < end; unit++) {
      const bit = 1 << (unit & 7);
      const byte = this.#taken[unit >>> 3] ?? 0;
      if (byte & bit) free = false;
      this.#taken[unit >>> 3] = byte | bit;
    }
    return free;
  }
}
