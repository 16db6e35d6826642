/**
 * Whether what was written may be lost. A web server vouches for nothing that it took: all that can be seen of its
 * restart is that a request broke. From then on all that any thread of the job has written, or read back, is in doubt,
 * until a flush has said so. An idle connection that the server closes in good order is no sign: whoever loses its
 * memory says no farewell.
 */
import { TransferError } from '../../core/errors.js';

/**
 * What is done, how much of it was done when it was last doubted, whether it is in doubt now, how often it broke, and
 * how often we ended a request ourselves.
 */
const [DONE, DOUBTED, IN_DOUBT, BREAKS, ABANDONED] = [0, 1, 2, 3, 4];
const COUNTERS = 5;

export class Losses {
  readonly #counters: Int32Array;

  /** `shared` is of {@link newLosses}; all threads of a job have the same. */
  constructor(shared: SharedArrayBuffer) {
    this.#counters = new Int32Array(shared);
  }

  /** How often a request broke, to be asked for before a write. */
  get breaks(): number {
    return Atomics.load(this.#counters, BREAKS);
  }

  /** Whether its server may still be at a request of ours that has ended here. */
  get leftBehind(): boolean {
    return this.breaks + Atomics.load(this.#counters, ABANDONED) > 0;
  }

  /** We ended a request in its middle. That is no doubt: the server went on answering. */
  abandoned(): void {
    Atomics.add(this.#counters, ABANDONED, 1);
  }

  /** Something was read back. */
  read(): void {
    Atomics.add(this.#counters, DONE, 1);
  }

  /** A write is done. @throws TransferError E_NETWORK where a request broke since it began: it is to be repeated */
  wrote(name: string, breaksBefore: number): void {
    Atomics.add(this.#counters, DONE, 1);
    if (this.breaks === breaksBefore) return;
    throw new TransferError('E_NETWORK', `${name}: another request to the server broke while this was written`, {
      hint: 'Finished work is kept. Check the server and the network, then run the same command again.',
    });
  }

  /** A request broke, by whatever. While a server is away, and nothing is done, one doubt is enough. */
  broke(): void {
    Atomics.add(this.#counters, BREAKS, 1);
    const doubtful = Atomics.load(this.#counters, DONE) !== Atomics.load(this.#counters, DOUBTED);
    if (doubtful) Atomics.store(this.#counters, IN_DOUBT, 1);
  }

  /** @throws TransferError E_FLUSH, once, where what is done is in doubt */
  assertKept(name: string): void {
    if (Atomics.exchange(this.#counters, IN_DOUBT, 0) === 0) return;
    Atomics.store(this.#counters, DOUBTED, Atomics.load(this.#counters, DONE));
    throw new TransferError('E_FLUSH', `${name}: a request to the server broke, and it may have been restarted`, {
      hint: 'Finished work is kept. Check the server and the network, then run the same command again.',
    });
  }
}

export function newLosses(): SharedArrayBuffer {
  return new SharedArrayBuffer(COUNTERS * Int32Array.BYTES_PER_ELEMENT);
}
