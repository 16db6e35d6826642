/** Who is carried out and who waits: so many at once, in the order of their coming; what cannot wait goes first. */

interface Waiting {
  readonly id: string;
  readonly work: () => Promise<void>;
  readonly settle: () => void;
}

export class MigrationLine {
  readonly #atOnce: () => number;
  readonly #running = new Set<string>();
  readonly #settled = new Map<string, Promise<void>>();
  #waiting: Waiting[] = [];
  #closed = false;

  constructor(atOnce: () => number) {
    this.#atOnce = atOnce;
  }

  get running(): number {
    return this.#running.size;
  }

  /** 0: it is carried out; from 1: its place in line; undefined: neither. */
  place(id: string): number | undefined {
    if (this.#running.has(id)) return 0;
    const at = this.#waiting.findIndex((one) => one.id === id);
    return at < 0 ? undefined : at + 1;
  }

  /** @param first before all that wait */
  run(id: string, first: boolean, work: () => Promise<void>): void {
    if (this.place(id) !== undefined) return;
    let settle = (): void => undefined;
    this.#settled.set(
      id,
      new Promise((resolve) => {
        settle = resolve;
      }),
    );
    this.#waiting = first ? [{ id, work, settle }, ...this.#waiting] : [...this.#waiting, { id, work, settle }];
    this.#fill();
  }

  /** Resolves when it is neither carried out nor waits. */
  async settled(id: string): Promise<void> {
    await this.#settled.get(id);
  }

  /** Out of the line; what is carried out ends by itself, and is waited for. */
  async leave(id: string): Promise<void> {
    const at = this.#waiting.findIndex((one) => one.id === id);
    if (at >= 0) this.#waiting.splice(at, 1)[0]?.settle();
    await this.settled(id);
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const { settle } of this.#waiting.splice(0)) settle();
    await Promise.all(this.#settled.values());
  }

  #fill(): void {
    while (!this.#closed && this.#running.size < this.#atOnce()) {
      const next = this.#waiting.shift();
      if (!next) return;
      void this.#carryOut(next);
    }
  }

  /** How it ended is on record, and nobody here acts on it. */
  async #carryOut({ id, work, settle }: Waiting): Promise<void> {
    this.#running.add(id);
    await Promise.allSettled([work()]);
    this.#running.delete(id);
    this.#settled.delete(id);
    settle();
    this.#fill();
  }
}
