/**
 * The BAT of a VHDX that is written to in place. An entry of 8 bytes never lies across a sector, so that storage takes
 * it as a whole or not at all; both its old and its new value are right at any time, and so is any mixture of entries.
 * That is what lets them be written without the log, whose use is to change several sectors at once.
 */
import type { DiskFile } from '../image-writer.js';
import { BAT_ENTRY_BYTES, type BatGeometry, BatWindow, BITMAP_BYTES, encodeEntry } from './bat.js';

const WINDOW_BYTES = 64 * 1024;
const WINDOW_ENTRIES = WINDOW_BYTES / BAT_ENTRY_BYTES;

export interface BatEntry {
  readonly state: number;
  readonly at: number;
}

export class WritableBat {
  readonly geometry: BatGeometry;
  readonly #file: DiskFile;
  readonly #at: number;
  #window: BatWindow | undefined;

  constructor(file: DiskFile, at: number, geometry: BatGeometry) {
    this.#file = file;
    this.#at = at;
    this.geometry = geometry;
  }

  get(entry: number): BatEntry {
    const window = this.#windowOf(entry);
    return { state: window.state(entry), at: window.place(entry) };
  }

  set(entry: number, { state, at }: BatEntry): void {
    this.#file.write(this.offsetOf(entry), encodeEntry(state, at));
    this.#window = undefined;
  }

  /** Where the entry stands in the file. */
  offsetOf(entry: number): number {
    return this.#at + entry * BAT_ENTRY_BYTES;
  }

  /**
   * Where the last thing ends that an entry speaks of. Blocks that were given back may keep their places, so these
   * count, too, as far as they are in the file.
   */
  usedEnd(): number {
    const { entries, blockBytes, chunkRatio } = this.geometry;
    const { size } = this.#file;
    let end = 0;
    for (let entry = 0; entry < entries; ) {
      const window = this.#windowOf(entry);
      for (; entry < window.end; entry++) {
        const at = window.place(entry);
        const length = entry % (chunkRatio + 1) === chunkRatio ? BITMAP_BYTES : blockBytes;
        if (at !== 0 && at < size) end = Math.max(end, at + length);
      }
    }
    return end;
  }

  #windowOf(entry: number): BatWindow {
    const last = this.#window;
    if (last && entry >= last.first && entry < last.end) return last;
    const first = entry - (entry % WINDOW_ENTRIES);
    const count = Math.min(WINDOW_ENTRIES, this.geometry.entries - first);
    const range = { offset: this.offsetOf(first), length: count * BAT_ENTRY_BYTES };
    this.#window = new BatWindow(first, this.#file.readNow(range, 'BAT'));
    return this.#window;
  }
}
