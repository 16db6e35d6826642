/** A few at once of each kind, in the order in which they came; kinds do not wait for each other. */
import { TransferError } from '../../core/errors.js';

interface Kind {
  busy: number;
  readonly waiting: (() => void)[];
}

export class AtOnce {
  readonly #most: number;
  readonly #kinds = new Map<string, Kind>();

  constructor(most: number) {
    this.#most = most;
  }

  /** @throws TransferError E_STOPPED when the signal aborts before its turn */
  async take<T>(name: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const kind = this.#kinds.get(name) ?? { busy: 0, waiting: [] };
    this.#kinds.set(name, kind);
    if (kind.busy >= this.#most) await new Promise<void>((resolve) => kind.waiting.push(resolve));
    else kind.busy++;
    try {
      if (signal.aborted) throw new TransferError('E_STOPPED', 'stopped before its turn');
      return await work();
    } finally {
      // A turn that ends is handed on.
      const next = kind.waiting.shift();
      if (next) next();
      else if (--kind.busy === 0) this.#kinds.delete(name);
    }
  }
}
