/**
 * Tokens that clients lend to other hosts, so that those can read one file here: kept in memory alone, and gone with
 * their time, with the daemon, and with the token of whoever has lent them.
 */
import { randomBytes } from 'node:crypto';
import { type Clock, nowMs } from '../core/clock.js';
import { sha256Hex } from '../core/digest.js';
import { TransferError } from '../core/errors.js';
import type { Place } from '../core/peer-wire.js';

export interface Lent {
  readonly place: Place;
  /** Hash of the token that has lent it: another one of the same client is another matter. */
  readonly lender: string;
}

export const DELEGATED = 'bfd_';
/** A huge file takes long; the driver asks for a new one when the copy goes on later. */
const LENT_MS = 7 * 24 * 60 * 60 * 1000;
const LENT_MAX = 10_000;

export class Delegations {
  readonly #clock: Clock;
  readonly #lent = new Map<string, Lent & { readonly untilMs: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  lend(place: Place, lender: string): string {
    this.sweep();
    if (this.#lent.size >= LENT_MAX) throw new TransferError('E_UNAVAILABLE', 'too many tokens are lent already');
    const token = DELEGATED + randomBytes(32).toString('base64url');
    this.#lent.set(sha256Hex(Buffer.from(token)), { place, lender, untilMs: nowMs(this.#clock) + LENT_MS });
    return token;
  }

  find(hash: string): Lent | undefined {
    const lent = this.#lent.get(hash);
    return lent && nowMs(this.#clock) < lent.untilMs ? { place: lent.place, lender: lent.lender } : undefined;
  }

  sweep(): void {
    const now = nowMs(this.#clock);
    for (const [hash, { untilMs }] of this.#lent) if (now >= untilMs) this.#lent.delete(hash);
  }
}
