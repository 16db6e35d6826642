/**
 * Which files of a tree an earlier run finished, in shared memory, so that every thread looks for itself: 17 bytes a
 * place, a million files in some 36 MiB. It knows hashes only; what they agree on is taken for the same, as git does.
 */
import { placeOf } from './hash-set.js';

const MAGIC_CELLS = 2;
const POSITION = 0;
const COUNT = 1;
const SEEN = 1;
const UNSURE = 2;
const UNFLUSHED = 4;
/** Of a value: when the source was last changed in any way; 0 where that is not known. */
export const CHANGE_BITS = 0xfffffn;

export class DoneTable {
  readonly shared: SharedArrayBuffer;
  readonly #cells: BigInt64Array;
  readonly #keys: BigUint64Array;
  readonly #values: BigUint64Array;
  readonly #flags: Uint8Array;

  private constructor(shared: SharedArrayBuffer) {
    this.shared = shared;
    const places = (shared.byteLength - MAGIC_CELLS * 8) / 17;
    this.#cells = new BigInt64Array(shared, 0, MAGIC_CELLS);
    this.#keys = new BigUint64Array(shared, MAGIC_CELLS * 8, places);
    this.#values = new BigUint64Array(shared, MAGIC_CELLS * 8 + places * 8, places);
    this.#flags = new Uint8Array(shared, MAGIC_CELLS * 8 + places * 16, places);
  }

  /** Room for so many files, half of it empty at least; a power of two, so that a mask finds the place. */
  static create(files: number): DoneTable {
    const places = 2 ** Math.ceil(Math.log2(Math.max(8, files * 2)));
    return new DoneTable(new SharedArrayBuffer(MAGIC_CELLS * 8 + places * 17));
  }

  static attach(shared: SharedArrayBuffer): DoneTable {
    return new DoneTable(shared);
  }

  /** The length of the journal in bytes: whoever appends sets its place aside here first. */
  reserve(bytes: number): number {
    return Number(Atomics.add(this.#cells, POSITION, BigInt(bytes)));
  }

  get isEmpty(): boolean {
    return this.#cells[COUNT] === 0n;
  }

  /** By the one thread that reads the journal, before any other looks. A later value takes the place of an earlier. */
  set(path: bigint, value: bigint, unsure: boolean, unflushed = false): void {
    const place = this.#placeOf(path);
    if (this.#keys[place] === 0n) this.#cells[COUNT] = (this.#cells[COUNT] as bigint) + 1n;
    this.#keys[place] = path || 1n;
    this.#values[place] = value;
    this.#flags[place] = (unsure ? UNSURE : 0) | (unflushed ? UNFLUSHED : 0);
  }

  /** A flush failed: whatever was recorded without one is unsure. */
  doubt(): void {
    this.#flags.forEach((flags, place) => {
      if (flags & UNFLUSHED) this.#flags[place] = flags | UNSURE;
    });
  }

  /** All is durable. */
  flushed(): void {
    this.#flags.forEach((flags, place) => {
      this.#flags[place] = flags & ~UNFLUSHED;
    });
  }

  /** What is set for the path; undefined: nothing is. */
  get(path: bigint): { readonly value: bigint; readonly unsure: boolean } | undefined {
    const place = this.#placeOf(path);
    const unsure = ((this.#flags[place] as number) & UNSURE) !== 0;
    return this.#keys[place] === 0n ? undefined : { value: this.#values[place] as bigint, unsure };
  }

  has(path: bigint): boolean {
    return this.#keys[this.#placeOf(path)] !== 0n;
  }

  /**
   * unsure: recorded by a run without flushes, and the machine was started anew since; or the source was changed in
   * what its version does not tell, such as its mode, or its time of modification was put back.
   */
  look(path: bigint, value: bigint): 'finished' | 'unsure' | 'other' {
    const place = this.#placeOf(path);
    const known = this.#values[place] as bigint;
    if (this.#keys[place] === 0n || (known ^ value) & ~CHANGE_BITS) return 'other';
    const changed = known & CHANGE_BITS && known !== value;
    return changed || (this.#flags[place] as number) & UNSURE ? 'unsure' : 'finished';
  }

  /** The file is part of what this run copies. */
  markSeen(path: bigint): void {
    const place = this.#placeOf(path);
    this.#flags[place] = (this.#flags[place] as number) | SEEN;
  }

  /** Whether the file was seen with this value; true once. */
  takeSeen(path: bigint, value: bigint): boolean {
    const place = this.#placeOf(path);
    const flags = this.#flags[place] as number;
    if (((this.#values[place] as bigint) ^ value) & ~CHANGE_BITS || !(flags & SEEN)) return false;
    this.#flags[place] = flags & ~SEEN;
    return true;
  }

  #placeOf(path: bigint): number {
    return placeOf(this.#keys, path || 1n);
  }
}
