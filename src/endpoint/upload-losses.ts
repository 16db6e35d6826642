/**
 * Whether what was written may be lost. A web server vouches for nothing that it took: all that can be seen of its
 * restart is that a request broke. So writes are numbered, over all threads of a job; when one breaks, those that no
 * flush has been asked about are in doubt, and the next flush says so. An idle connection that the server closes in
 * good order is no sign: whoever loses its memory says no farewell.
 */
import { TransferError } from '../core/errors.js';

const [WRITTEN, DOUBTED, FLUSHED, BREAKS] = [0, 1, 2, 3];
const COUNTERS = 4;

export class Losses {
  readonly #counters: Int32Array;

  /** `shared` is of {@link newLosses}; all threads of a job have the same. */
  constructor(shared: SharedArrayBuffer) {
    this.#counters = new Int32Array(shared);
  }

  /** How often a connection broke, to be asked for before a write. */
  get breaks(): number {
    return Atomics.load(this.#counters, BREAKS);
  }

  /** A write is done. @throws TransferError E_NETWORK where a connection broke since it began: it is to be repeated */
  wrote(name: string, breaksBefore: number): void {
    Atomics.add(this.#counters, WRITTEN, 1);
    if (this.breaks === breaksBefore) return;
    throw new TransferError('E_NETWORK', `${name}: another connection to the server broke while this was written`, {
      hint: 'Finished work is kept. Check the server and the network, then run the same command again.',
    });
  }

  /** A connection broke, by whatever. */
  broke(): void {
    Atomics.add(this.#counters, BREAKS, 1);
    Atomics.store(this.#counters, DOUBTED, Atomics.load(this.#counters, WRITTEN));
  }

  /** @throws TransferError E_FLUSH, once, where a connection broke since the last flush and after a write */
  flush(name: string): void {
    const written = Atomics.load(this.#counters, WRITTEN);
    const before = Atomics.exchange(this.#counters, FLUSHED, written);
    if (Atomics.load(this.#counters, DOUBTED) - before <= 0) return;
    throw new TransferError('E_FLUSH', `${name}: a connection to the server broke, and it may have been restarted`, {
      hint: 'Finished work is kept. Check the server and the network, then run the same command again.',
    });
  }
}

export function newLosses(): SharedArrayBuffer {
  return new SharedArrayBuffer(COUNTERS * Int32Array.BYTES_PER_ELEMENT);
}
