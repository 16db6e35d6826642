/**
 * What all threads of a job share of a partial copy at a peer: under which lease it is open there, how many flushes are
 * known to have failed, and whether anything may have been lost. A daemon that was started again knows no lease, and
 * what it had not flushed may be gone with its machine: then the part is opened anew, once, and the next flush fails,
 * so that the engine writes again what was not on record.
 */
import { TransferError } from '../../core/errors.js';

const STATE = 0;
const LOST = 1;
const FAILURES = 2;
const LENGTH = 3;
const LEASE_AT = 16;
const LEASE_BYTES_MAX = 112;

const STEADY = 0;
const RENEWING = 1;

export class PeerLease {
  readonly #ints: Int32Array;
  readonly #bytes: Uint8Array;

  constructor(shared: SharedArrayBuffer) {
    this.#ints = new Int32Array(shared, 0, LEASE_AT / 4);
    this.#bytes = new Uint8Array(shared, LEASE_AT, LEASE_BYTES_MAX);
  }

  static create(lease: string): SharedArrayBuffer {
    const shared = new SharedArrayBuffer(LEASE_AT + LEASE_BYTES_MAX);
    new PeerLease(shared).#write(lease);
    return shared;
  }

  get value(): string {
    return Buffer.from(this.#bytes.slice(0, Atomics.load(this.#ints, LENGTH))).toString('latin1');
  }

  /** Flushes that are known to have failed. */
  get failures(): number {
    return Atomics.load(this.#ints, FAILURES);
  }

  set failures(count: number) {
    Atomics.store(this.#ints, FAILURES, count);
  }

  /** Whether something may have been lost since this was asked last. */
  takeLost(): boolean {
    return Atomics.exchange(this.#ints, LOST, 0) === 1;
  }

  /** Has one thread renew the lease that was lost; the others wait for it. Resolves when there is another lease. */
  async renew(lost: string, open: () => Promise<string>): Promise<void> {
    for (;;) {
      if (this.value !== lost && Atomics.load(this.#ints, STATE) === STEADY) return;
      if (Atomics.compareExchange(this.#ints, STATE, STEADY, RENEWING) === STEADY) break;
      await Atomics.waitAsync(this.#ints, STATE, RENEWING).value;
    }
    try {
      if (this.value !== lost) return;
      const lease = await open();
      Atomics.store(this.#ints, LOST, 1);
      Atomics.store(this.#ints, FAILURES, 0);
      this.#write(lease);
    } finally {
      Atomics.store(this.#ints, STATE, STEADY);
      Atomics.notify(this.#ints, STATE);
    }
  }

  #write(lease: string): void {
    const bytes = Buffer.from(lease, 'latin1');
    if (bytes.length > LEASE_BYTES_MAX)
      throw new TransferError('E_PROTOCOL', 'the peer names a lease that is too long');
    this.#bytes.set(bytes);
    Atomics.store(this.#ints, LENGTH, bytes.length);
  }
}
