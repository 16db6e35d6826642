/** Block buffers that tasks take and give back: a fresh buffer for each task would keep the garbage collector busy. */
export class BlockBuffers {
  readonly #free: Uint8Array[] = [];

  take(bytes: number): Uint8Array {
    const at = this.#free.findIndex((buffer) => buffer.length === bytes);
    if (at === -1) return new Uint8Array(bytes);
    return this.#free.splice(at, 1)[0] as Uint8Array;
  }

  give(buffer: Uint8Array): void {
    if (this.#free.length < 8) this.#free.push(buffer);
  }
}
