/**
 * The partial copies that peers have open here. Each is held under a lease, which ends when somebody opens the same
 * part again, gives it up, or stays away for long; whoever holds an old one is told which of these it was. Before a
 * descriptor is closed every thread that has it has said that it uses it no more.
 */
import { randomBytes } from 'node:crypto';
import { closeSync } from 'node:fs';
import { type Clock, nowMs } from '../core/clock.js';
import type { EndpointRef } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import type { Found } from './roots.js';

/** What a thread needs of a lease. */
export interface LeaseView {
  readonly ref: EndpointRef;
  readonly shown: string;
  readonly root: string;
  readonly client: string;
  readonly size: number;
  /** The part is whole: it is not written to any more. */
  readonly sealed: boolean;
}

export interface Lease {
  readonly id: string;
  readonly found: Found;
  /** Located: what a commit that was cut short is finished by. */
  readonly site: EndpointRef;
  readonly ref: EndpointRef;
  readonly root: string;
  readonly client: string;
  readonly size: number;
  /** Those that have its descriptor. */
  readonly threads: Set<number>;
  failures: number;
  sealed: boolean;
  /** Answered again where the first answer was lost. */
  committed: readonly string[] | undefined;
  usedMs: number;
}

export interface LeaseParts {
  readonly instance: string;
  readonly clock: Clock;
  /** Tells the threads that have its descriptor, and resolves when all have let go. */
  readonly revoke: (lease: Lease) => Promise<void>;
  readonly close: (ref: EndpointRef) => Promise<void>;
}

const LEASES_MAX = 1000;
/** Of one client: the others are to find room. */
const CLIENT_SHARE = 0.5;
const REMEMBERED_MAX = 10_000;
const IDLE_MS_MAX = 30 * 60_000;

/** Lost in the sense of {@link leaseState}. */
export type LostState = 'restarted' | 'taken';

export class Leases {
  readonly #parts: LeaseParts;
  readonly #open = new Map<string, Lease>();
  /** Ended because somebody else has the part now, or nobody. */
  readonly #ended = new Set<string>();

  constructor(parts: LeaseParts) {
    this.#parts = parts;
  }

  add(lease: Omit<Lease, 'id' | 'threads' | 'failures' | 'sealed' | 'committed' | 'usedMs'>): Lease {
    const id = `${this.#parts.instance}.${randomBytes(16).toString('hex')}`;
    const usedMs = nowMs(this.#parts.clock);
    const fresh = { threads: new Set<number>(), failures: 0, sealed: false, committed: undefined };
    const added: Lease = { ...lease, ...fresh, id, usedMs };
    this.#open.set(id, added);
    return added;
  }

  /** @throws TransferError with the reason in its `cause`, see {@link lostState} */
  get(id: string, client: string): Lease {
    const lease = this.#open.get(id);
    if (lease?.client === client) {
      lease.usedMs = nowMs(this.#parts.clock);
      return lease;
    }
    if (!lease && !this.#ended.has(id)) throw lost('restarted');
    throw lost('taken');
  }

  /** Whoever has that part open has it no more. */
  async endAt(shown: string): Promise<void> {
    for (const lease of [...this.#open.values()]) if (lease.found.shown === shown) await this.end(lease);
  }

  async end(lease: Lease): Promise<void> {
    if (!this.#open.delete(lease.id)) return;
    if (this.#ended.size >= REMEMBERED_MAX) this.#ended.clear();
    this.#ended.add(lease.id);
    await this.#close(lease);
  }

  /** Ends those that nobody has used for long; they can be opened again. */
  async sweep(): Promise<void> {
    const before = nowMs(this.#parts.clock) - IDLE_MS_MAX;
    for (const lease of [...this.#open.values()]) {
      if (lease.usedMs >= before) continue;
      this.#open.delete(lease.id);
      await this.#close(lease);
    }
  }

  /** @throws TransferError E_UNAVAILABLE */
  assertRoom(client: string): void {
    const own = [...this.#open.values()].filter((lease) => lease.client === client).length;
    if (this.#open.size < LEASES_MAX && own < LEASES_MAX * CLIENT_SHARE) return;
    throw new TransferError(
      'E_UNAVAILABLE',
      `${this.#open.size} partial copies are open here already, ${own} of yours`,
      {
        hint: 'Try again when some of them are finished. One that nobody uses is let go after half an hour.',
        retryAfterMs: 10_000,
      },
    );
  }

  async endAll(): Promise<void> {
    for (const lease of [...this.#open.values()]) await this.end(lease);
  }

  async #close(lease: Lease): Promise<void> {
    await this.#parts.revoke(lease);
    try {
      await this.#parts.close(lease.ref);
    } finally {
      closeSync(lease.found.folder.fd);
    }
  }
}

const RESTARTED = 'this partial copy is not open here any more';
const TAKEN = 'another run has taken this partial copy over, or given it up';

function lost(state: LostState): TransferError {
  if (state === 'restarted') return new TransferError('E_PART_LOST', RESTARTED, { hint: 'Open it again.' });
  return new TransferError('E_LOCKED', TAKEN, { hint: 'Let that run end, then run the same command again.' });
}

/** Whether the error says that a lease is lost, and how; it may have crossed a thread. */
export function lostState({ code, message }: TransferError): LostState | undefined {
  if (code === 'E_PART_LOST' && message === RESTARTED) return 'restarted';
  return code === 'E_LOCKED' && message === TAKEN ? 'taken' : undefined;
}
