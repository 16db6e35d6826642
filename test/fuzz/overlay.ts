/** A file with changes that are kept in memory, so that thousands of damaged images cost no copying. */
import { closeSync, copyFileSync, fstatSync, openSync, readSync, truncateSync, writeSync } from 'node:fs';
import type { ByteRange } from '../../src/core/chunk.js';
import { diskBytes } from '../../src/disk/disk-bytes.js';
import type { DiskBytes } from '../../src/disk/image.js';

export const SECTOR = 512;

/** A file that is read, and what its first bytes were when it was opened: all of them. */
export class BaseFile {
  readonly path: string;
  readonly size: number;
  readonly #fd: number;

  constructor(path: string) {
    this.path = path;
    this.#fd = openSync(path, 'r');
    this.size = fstatSync(this.#fd).size;
  }

  read({ offset, length }: ByteRange): Buffer {
    const bytes = Buffer.alloc(length);
    this.fill(bytes, offset);
    return bytes;
  }

  /** What is past the end stays as it is. */
  fill(into: Uint8Array, offset: number): void {
    if (offset < this.size) readSync(this.#fd, into, 0, Math.min(into.length, this.size - offset), offset);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

export class Overlay {
  readonly base: BaseFile;
  #size: number;
  /** Bytes of the base from here on are gone, also when the file grew again. */
  #baseEnd: number;
  readonly #sectors = new Map<number, Buffer>();

  constructor(base: BaseFile) {
    this.base = base;
    this.#size = base.size;
    this.#baseEnd = base.size;
  }

  get size(): number {
    return this.#size;
  }

  /** Where bytes were written, by sectors, in order. */
  get written(): readonly number[] {
    return [...this.#sectors.keys()].map((sector) => sector * SECTOR).sort((a, b) => a - b);
  }

  /** Zero past the end. */
  read({ offset, length }: ByteRange): Buffer {
    const bytes = Buffer.alloc(length);
    this.#fill(bytes, offset);
    return bytes;
  }

  #fill(into: Uint8Array, offset: number): void {
    this.base.fill(into, offset);
    if (offset + into.length > this.#baseEnd) into.fill(0, Math.max(0, this.#baseEnd - offset));
    for (const [sector, changed] of this.#sectors) {
      const at = sector * SECTOR - offset;
      if (at > -SECTOR && at < into.length) changed.copy(into, Math.max(0, at), Math.max(0, -at));
    }
  }

  /** What does not fit into the file is left out. */
  write(offset: number, bytes: Uint8Array): void {
    const end = Math.min(offset + bytes.length, this.#size);
    for (let at = offset; at < end; ) {
      const sector = Math.floor(at / SECTOR);
      const length = Math.min(end, (sector + 1) * SECTOR) - at;
      const changed = this.read({ offset: sector * SECTOR, length: SECTOR });
      changed.set(bytes.subarray(at - offset, at - offset + length), at - sector * SECTOR);
      this.#sectors.set(sector, changed);
      at += length;
    }
  }

  resize(size: number): void {
    this.#size = size;
    this.#baseEnd = Math.min(this.#baseEnd, size);
    for (const sector of this.#sectors.keys()) if (sector * SECTOR >= size) this.#sectors.delete(sector);
  }

  bytes(): DiskBytes {
    const openChunk = (range: ByteRange) => {
      let at = range.offset;
      const next = (into: Uint8Array): number => {
        this.#fill(into, at);
        at += into.length;
        return into.length;
      };
      return { next, close: () => undefined };
    };
    return diskBytes({ name: 'image', size: this.#size, openChunk });
  }

  /** Makes the changed file a real one. */
  save(path: string): void {
    copyFileSync(this.base.path, path);
    truncateSync(path, this.#baseEnd);
    truncateSync(path, this.#size);
    const fd = openSync(path, 'r+');
    try {
      for (const [sector, changed] of this.#sectors) {
        writeSync(fd, changed, 0, Math.min(SECTOR, this.#size - sector * SECTOR), sector * SECTOR);
      }
    } finally {
      closeSync(fd);
    }
  }
}
