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
  /** When somebody asked for its news. */
  heardMs: number;
  /** Resolves when it has ended. */
  done: Promise<void>;
  wake: () => void;
}

const PULLS_MAX = 16;
const NEWS_MS_MAX = 10_000;
const NEWS_LINES_MAX = 500;
const LINES_MAX = 4096;
const UNHEARD_MS_MAX = 60_000;
/** A driver that is there asks more often. */
const GONE_MS = NEWS_MS_MAX + 5_000;
const LOOK_MS = 1_000;
/** A storage that hangs may keep a copy from ending. */
const ENDING_MS_MAX = 60_000;
const WATCH_MS = 5_000;

export class Pulls {
  readonly #parts: PullsParts;
  readonly #pulls = new Map<string, Pull>();
  readonly #running = new Set<Promise<void>>();
  readonly #closing = new AbortController();

  constructor(parts: PullsParts) {
    this.#parts = parts;
  }

  /** @throws TransferError E_LOCKED while another driver of the same target is there */
  async start(request: CallRequest<'pull'>, client: string): Promise<string> {
    const { place, source, sourceName, options } = request;
    const found = findTarget(this.#parts.roots, place, sourceName);
    try {
      await this.#takeOver(found, client);
      this.#assertRoom();
    } catch (thrown) {
      closeSync(found.folder.fd);
      throw thrown;
    }
    const id = randomBytes(16).toString('hex');
    const heardMs = nowMs(this.#parts.clock);
    const fresh = {
      work: undefined,
      lines: [],
      passed: 0,
      ended: false,
      wake: () => undefined,
      done: Promise.resolve(),
    };
    const pull: Pull = { client, found, heardMs, stop: new AbortController(), ...fresh };
    this.#pulls.set(id, pull);
    pull.done = this.#carryOut(pull, { source, target: locationOf(found), options }).finally(() => {
      this.#running.delete(pull.done);
      closeSync(found.folder.fd);
    });
    this.#running.add(pull.done);
    void this.#watch(id, pull);
    return id;
  }

  #assertRoom(): void {
    if (this.#running.size < PULLS_MAX) return;
    throw new TransferError('E_UNAVAILABLE', `${PULLS_MAX} copies are under way here already`, {
      hint: 'Try again later.',
      retryAfterMs: 10_000,
    });
  }

  /** Ends the copy to that place that a driver of the same client has left behind: it was killed, most of the time. */
  async #takeOver({ shown }: Found, client: string): Promise<void> {
    const { clock } = this.#parts;
    const there = [...this.#pulls.values()].find((pull) => !pull.ended && pull.found.shown === shown);
    const begunMs = nowMs(clock);
    while (there && !there.ended) {
      const now = nowMs(clock);
      const gone = there.client === client && now - there.heardMs >= GONE_MS;
      if (there.client !== client || now - begunMs >= (gone ? ENDING_MS_MAX : GONE_MS)) throw underWay(shown);
      if (gone && !there.stop.signal.aborted) this.#suspend(there);
      await Promise.race([there.done, clock.sleep(LOOK_MS)]);
    }
  }

  async news(id: string, after: number, client: string): Promise<CallAnswer<'pull-news'>> {
    const pull = this.#get(id, client);
    pull.heardMs = nowMs(this.#parts.clock);
    const confirmed = Math.max(0, Math.min(after - pull.passed, pull.lines.length));
    pull.lines.splice(0, confirmed);
    pull.passed += confirmed;
    if (pull.lines.length === 0 && !pull.ended) {
      const waited = new AbortController();
      pull.wake = () => waited.abort();
      await this.#parts.clock.sleep(NEWS_MS_MAX, waited.signal);
    }
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
    this.#closing.abort();
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
    const { signal } = this.#closing;
    for (;;) {
      await this.#parts.clock.sleep(WATCH_MS, signal);
      if (signal.aborted) return;
      if (nowMs(this.#parts.clock) - pull.heardMs < UNHEARD_MS_MAX) continue;
      this.#suspend(pull);
      this.#pulls.delete(id);
      return;
    }
  }
}

function underWay(shown: string): TransferError {
  return new TransferError('E_LOCKED', `${shown}: another driver has a copy to it made already`, {
    hint: 'Let that one end, or stop it; what it has finished is kept, and the same command then goes on from there.',
  });
}
