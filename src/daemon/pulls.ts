/**
 * Copies that this host makes from another one because a client asked for them. The engine makes them as it makes any
 * other, with its journal beside the target; the client hears what it says, and when it hears no more for a minute,
 * the copy ends with what is finished on record.
 */
import { randomBytes } from 'node:crypto';
import { closeSync } from 'node:fs';
import { type Clock, nowMs } from '../core/clock.js';
import type { Location } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import type { TransferEvent } from '../core/events.js';
import type { CallAnswer, CallRequest, PeerAddress, Place, PullOptions } from '../core/peer-wire.js';
import type { TransferResult } from '../transfer/transfer-result.js';
import { asTold, type Found, findTarget, locationOf, type Root } from './roots.js';

export interface PullRequest {
  readonly source: { readonly address: PeerAddress; readonly place: Place };
  readonly target: Location;
  readonly options: PullOptions;
}

export interface Pulled {
  readonly events: AsyncIterable<TransferEvent>;
  run(): Promise<TransferResult>;
  suspend(): void;
  setRate(bytesPerSecond: number): void;
}

export type PullEngine = (request: PullRequest) => Promise<Pulled>;

export interface PullsParts {
  readonly roots: readonly Root[];
  readonly clock: Clock;
  readonly engine: PullEngine;
}

interface Pull {
  readonly client: string;
  readonly found: Found;
  readonly stop: AbortController;
  work: Pulled | undefined;
  /** From the first one on that nobody has confirmed. */
  lines: string[];
  /** Lines before those. */
  passed: number;
  ended: boolean;
  heardMs: number;
  wake: () => void;
}

const PULLS_MAX = 16;
const NEWS_MS_MAX = 10_000;
const NEWS_LINES_MAX = 500;
const LINES_MAX = 4096;
const UNHEARD_MS_MAX = 60_000;
const WATCH_MS = 5_000;

export class Pulls {
  readonly #parts: PullsParts;
  readonly #pulls = new Map<string, Pull>();
  readonly #running = new Set<Promise<void>>();

  constructor(parts: PullsParts) {
    this.#parts = parts;
  }

  start(request: CallRequest<'pull'>, client: string): string {
    if (this.#running.size >= PULLS_MAX) {
      throw new TransferError('E_UNAVAILABLE', `${PULLS_MAX} copies are under way here already`, {
        hint: 'Try again later.',
        retryAfterMs: 10_000,
      });
    }
    const { place, source, sourceName, options } = request;
    const found = findTarget(this.#parts.roots, place, sourceName);
    const id = randomBytes(16).toString('hex');
    const heardMs = nowMs(this.#parts.clock);
    const fresh = { work: undefined, lines: [], passed: 0, ended: false, wake: () => undefined };
    const pull: Pull = { client, found, heardMs, stop: new AbortController(), ...fresh };
    this.#pulls.set(id, pull);
    const running = this.#carryOut(pull, { source, target: locationOf(found), options }).finally(() => {
      this.#running.delete(running);
      closeSync(found.folder.fd);
    });
    this.#running.add(running);
    void this.#watch(id, pull);
    return id;
  }

  async news(id: string, after: number, client: string): Promise<CallAnswer<'pull-news'>> {
    const pull = this.#get(id, client);
    const confirmed = Math.max(0, Math.min(after - pull.passed, pull.lines.length));
    pull.lines.splice(0, confirmed);
    pull.passed += confirmed;
    if (pull.lines.length === 0 && !pull.ended) {
      const waited = new AbortController();
      pull.wake = () => waited.abort();
      await this.#parts.clock.sleep(NEWS_MS_MAX, waited.signal);
    }
    pull.heardMs = nowMs(this.#parts.clock);
    const lines = pull.lines.slice(0, NEWS_LINES_MAX);
    return { lines, ended: pull.ended && lines.length === pull.lines.length };
  }

  setRate(id: string, client: string, bytesPerSecond: number): Record<never, never> {
    this.#get(id, client).work?.setRate(bytesPerSecond);
    return {};
  }

  stop(id: string, client: string): Record<never, never> {
    this.#suspend(this.#get(id, client));
    return {};
  }

  async close(): Promise<void> {
    for (const pull of this.#pulls.values()) this.#suspend(pull);
    await Promise.allSettled([...this.#running]);
  }

  #suspend(pull: Pull): void {
    pull.stop.abort();
    pull.work?.suspend();
  }

  #get(id: string, client: string): Pull {
    const pull = this.#pulls.get(id);
    if (pull?.client === client) return pull;
    throw new TransferError('E_STOPPED', 'the copy is not known on that host any more; what it had on record is kept', {
      hint: 'Run the same command again.',
    });
  }

  /** Never rejects: how it went is its last line. */
  async #carryOut(pull: Pull, request: PullRequest): Promise<void> {
    try {
      const work = await this.#parts.engine(request);
      pull.work = work;
      const [result] = await Promise.all([this.#run(pull, work), this.#tell(pull, work)]);
      this.#say(pull, { result: { ...result, target: pull.found.shown } });
    } catch (thrown) {
      this.#say(pull, { error: asTold(thrown, pull.found).toJSON() });
    }
    pull.ended = true;
    pull.wake();
  }

  #run(pull: Pull, work: Pulled): Promise<TransferResult> {
    const running = work.run();
    if (pull.stop.signal.aborted) work.suspend();
    return running;
  }

  async #tell(pull: Pull, work: Pulled): Promise<void> {
    for await (const event of work.events) this.#say(pull, { event });
  }

  #say(pull: Pull, what: object): void {
    // Whoever is away for long misses some of the progress, and never the end.
    if (pull.lines.length >= LINES_MAX) pull.lines.pop();
    pull.lines.push(JSON.stringify(what));
    pull.wake();
  }

  /** Ends what nobody asks about any more. */
  async #watch(id: string, pull: Pull): Promise<void> {
    for (;;) {
      await this.#parts.clock.sleep(WATCH_MS);
      if (nowMs(this.#parts.clock) - pull.heardMs < UNHEARD_MS_MAX) continue;
      this.#suspend(pull);
      this.#pulls.delete(id);
      return;
    }
  }
}
