/**
 * Block buffers that tasks take and give back: a fresh buffer for each task would keep the garbage collector busy. They
 * lie where they are hashed, as long as there is room.
 */
import { hashRoom } from '../core/xxh64.js';

export class BlockBuffers {
  readonly #free: Uint8Array[] = [];

  take(bytes: number): Uint8Array {
    const at = this.#free.findIndex((buffer) => buffer.length === bytes);
    if (at === -1) return hashRoom(bytes) ?? new Uint8Array(bytes);
    return this.#free.splice(at, 1)[0] as Uint8Array;
  }

  give(buffer: Uint8Array): void {
    if (this.#free.length < 8) this.#free.push(buffer);
  }
}
