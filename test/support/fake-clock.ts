/** A clock that tests own: time passes only when somebody looks at it, or when the test lets it pass. */
import type { Clock } from '../../src/core/clock.js';

interface Sleeper {
  readonly dueNs: bigint;
  readonly wake: () => void;
}

export interface FakeClockRules {
  /** What every look at the clock costs. */
  readonly lookMs?: number;
  /** How much later than it wanted a sleeper wakes, as timers do. */
  readonly lateMs?: () => number;
}

const toNs = (ms: number): bigint => BigInt(Math.round(ms * 1e6));

export class FakeClock implements Clock {
  readonly #rules: FakeClockRules;
  readonly #sleepers = new Set<Sleeper>();
  #nowNs = 1_000_000_000_000n;

  constructor(rules: FakeClockRules = {}) {
    this.#rules = rules;
  }

  nowNs(): bigint {
    this.#nowNs += toNs(this.#rules.lookMs ?? 0);
    return this.#nowNs;
  }

  /** Later than any real time, since some records carry that. */
  wallMs(): number {
    return 4_000_000_000_000 + Number(this.#nowNs / 1_000_000n);
  }

  get seconds(): number {
    return Number(this.#nowNs) / 1e9;
  }

  get sleeping(): number {
    return this.#sleepers.size;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const wake = (): void => {
        this.#sleepers.delete(sleeper);
        signal?.removeEventListener('abort', wake);
        resolve();
      };
      const sleeper = { dueNs: this.#nowNs + toNs(ms + (this.#rules.lateMs?.() ?? 0)), wake };
      this.#sleepers.add(sleeper);
      signal?.addEventListener('abort', wake, { once: true });
    });
  }

  advance(ms: number): void {
    this.#nowNs += toNs(ms);
    for (const sleeper of this.#sleepers) if (sleeper.dueNs <= this.#nowNs) sleeper.wake();
  }

  /** Lets time pass from sleeper to sleeper until the work has settled; fails when nobody will ever wake it. */
  async runUntil<T>(work: Promise<T>): Promise<T> {
    let settled = false;
    const note = (): void => {
      settled = true;
    };
    work.then(note, note);
    for (let idle = 0; ; ) {
      // A turn of the event loop, so that all that can go on without time goes on.
      await new Promise(setImmediate);
      if (settled) return work;
      const next = [...this.#sleepers].reduce<Sleeper | undefined>(
        (first, other) => (first && first.dueNs <= other.dueNs ? first : other),
        undefined,
      );
      if (next) this.advance(Math.max(0, Number(next.dueNs - this.#nowNs) / 1e6));
      idle = next ? 0 : idle + 1;
      if (idle > 100_000) throw new Error('the work waits for something that is not time');
    }
  }
}
