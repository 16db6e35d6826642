/** Chance that can be played again: a generator with a seed, and the bytes and files that tests make from it. */
import { createCipheriv } from 'node:crypto';
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { KiB } from '../../src/core/units.js';

export class Seeded {
  #state: number;
  #streams = 0;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** From 0 up to 1 (mulberry32). */
  readonly random = (): number => {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };

  /** A whole number from `from` to `to`, both included. */
  int(from: number, to: number): number {
    return from + Math.floor(this.random() * (to - from + 1));
  }

  chance(probability: number): boolean {
    return this.random() < probability;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.int(0, from.length - 1)] as T;
  }

  /** Bytes that do not repeat, at the speed of AES. */
  bytes(length: number): Buffer {
    const key = Buffer.alloc(16);
    key.writeUInt32LE(this.#state, 0);
    key.writeUInt32LE(++this.#streams, 4);
    return createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(length));
  }
}

/** Writes a file of data, of zeroes that take space, and of holes, in runs of some hundred KiB that end anywhere. */
export function writeMixedFile(path: string, size: number, seeded: Seeded, runBytesMax = 900 * KiB): void {
  const fd = openSync(path, 'w');
  try {
    ftruncateSync(fd, size);
    for (let at = 0; at < size; ) {
      const length = Math.min(size - at, seeded.int(1, runBytesMax));
      const kind = seeded.random();
      if (kind < 0.7) writeSync(fd, seeded.bytes(length), 0, length, at);
      else if (kind < 0.8) writeSync(fd, Buffer.alloc(length), 0, length, at);
      at += length;
    }
  } finally {
    closeSync(fd);
  }
}
