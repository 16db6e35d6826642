/**
 * A disk whose flushes fail as Linux lets them fail: the pages are marked clean, so the next flush "succeeds" and reads
 * still show what was written, until the cache lets go of it and the old bytes are back.
 */
import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { type FileLayer, realFiles } from '../../src/platform/file-layer.js';

const PAGE_BYTES = 4096;

export class FailingDisk {
  /** The errno of the flushes that fail next; `undefined` for one that works. Later ones work. */
  readonly plan: (string | undefined)[] = [];
  flushes = 0;
  readonly layer: FileLayer;
  readonly #part: RegExp;
  readonly #parts = new Set<number>();
  /** What was on the disk before pages that no flush has covered yet; and before those that a flush has failed for. */
  readonly #dirty = new Map<number, Buffer>();
  readonly #lost = new Map<number, Buffer>();

  /** Only files whose path matches are on the failing disk. */
  constructor(part = /-part$/) {
    this.#part = part;
    this.layer = { ...realFiles, ...this.#calls() };
  }

  /** The cache lets go: what was never durable is gone from the file. */
  evict(path: string): void {
    const fd = openSync(path, 'r+');
    const { size } = fstatSync(fd);
    for (const [at, bytes] of this.#lost) writeSync(fd, bytes, 0, Math.min(bytes.length, Math.max(0, size - at)), at);
    this.#lost.clear();
    closeSync(fd);
  }

  get lostPages(): number {
    return this.#lost.size;
  }

  #calls(): Partial<FileLayer> {
    const write = (fd: number, bytes: Uint8Array, from: number, length: number, at: number): number => {
      if (this.#parts.has(fd)) this.#remember(fd, at, length);
      return realFiles.writeSync(fd, bytes, from, length, at);
    };
    const flush = (fd: number): void => {
      if (this.#parts.has(fd)) this.#flush();
    };
    return {
      openSync: (path, flags, mode) => {
        const fd = realFiles.openSync(path, flags, mode);
        if (this.#part.test(String(path))) this.#parts.add(fd);
        return fd;
      },
      closeSync: (fd) => {
        this.#parts.delete(fd);
        realFiles.closeSync(fd);
      },
      writeSync: write as FileLayer['writeSync'],
      punchHole: (fd, range) => {
        if (this.#parts.has(fd)) this.#remember(fd, range.offset, range.length);
        return realFiles.punchHole(fd, range);
      },
      fdatasyncSync: flush,
      fsyncSync: flush,
    };
  }

  #remember(fd: number, from: number, length: number): void {
    for (let at = from - (from % PAGE_BYTES); at < from + length; at += PAGE_BYTES) {
      const before = Buffer.alloc(PAGE_BYTES);
      readSync(fd, before, 0, PAGE_BYTES, at);
      // A page that is written again is dirty again: the next flush covers it.
      const onDisk = this.#dirty.get(at) ?? this.#lost.get(at) ?? before;
      this.#lost.delete(at);
      this.#dirty.set(at, onDisk);
    }
  }

  #flush(): void {
    this.flushes++;
    const code = this.plan.shift();
    const uncovered = [...this.#dirty];
    this.#dirty.clear();
    if (code === undefined) return;
    for (const [at, bytes] of uncovered) this.#lost.set(at, bytes);
    throw Object.assign(new Error(`${code}: the disk said so, fdatasync`), { code });
  }
}
