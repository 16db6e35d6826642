/**
 * Files that are whole and wait for their names with all that they have open. However many jobs wait to be completed,
 * only so many do: the one that waits longest lets go, and is proven again when its job is completed.
 */

/** Each has six descriptors or so, and a lock. */
export const HELD_MAX = 256;

export class Holds {
  readonly #max: number;
  /** In the order in which they came. */
  readonly #held = new Set<() => void>();

  constructor(max = HELD_MAX) {
    this.#max = max;
  }

  add(letGo: () => void): void {
    this.#held.add(letGo);
    const [longest] = this.#held;
    if (this.#held.size <= this.#max || !longest) return;
    this.#held.delete(longest);
    longest();
  }

  remove(letGo: () => void): void {
    this.#held.delete(letGo);
  }
}
