/**
 * How fast a job may go now: the generic cell rate algorithm (ITU-T I.371, virtual scheduling) over shared memory. Each
 * level has one "next free time"; taking bytes moves it by bytes / rate. A limit is an upper bound: a late wake-up is
 * made good for at most {@link BURST_MS}, so no second ever sees much more than the rate allows.
 */
import { PACE_CAUSES, type PaceCause } from '../core/causes.js';
import type { Clock } from '../core/clock.js';
import { BLOCK_MAX, BURST, CAUSE, FREE, isMetered, type Metered, meter, RATE } from '../core/pace-level.js';
import { KiB } from '../core/units.js';

const BURST_MS = 50;
const BURST_NS = BigInt(BURST_MS * 1_000_000);
/** Shorter waits are left to add up: a timer is not exact enough for them. */
const SLEEP_MS_MIN = 2;
/** No block takes longer than this at the rate: stops, changes of the rate and the bar are never late by more. */
const BLOCK_SECONDS_MAX = 0.05;
const BLOCK_BYTES_MIN = KiB;

export class Pace {
  readonly #levels: readonly BigInt64Array[];
  readonly #clock: Clock;

  /** `levels`: innermost first, as core/pace-level.ts has them; all zero means no limit. */
  constructor(levels: readonly BigInt64Array[], clock: Clock) {
    this.#levels = levels;
    this.#clock = clock;
  }

  /** Sets a level's rate in bytes per second, 0 for none; takes effect at the next block. */
  setRate(bytesPerSecond: number, level = 0): void {
    Atomics.store(this.#cells(level), RATE, BigInt(Math.floor(bytesPerSecond)));
  }

  rate(level = 0): number {
    return Number(Atomics.load(this.#cells(level), RATE));
  }

  #cells(level: number): BigInt64Array {
    const cells = this.#levels[level];
    if (!cells) throw new RangeError(`the pace has no level ${level}`);
    return cells;
  }

  /** The largest block that fits the rate, never above `blockBytes`. */
  blockBytes(blockBytes: number): number {
    let bytes = blockBytes;
    for (let level = 0; level < this.#levels.length; level++) {
      const rate = this.rate(level);
      if (rate > 0) bytes = Math.min(bytes, Math.floor(rate * BLOCK_SECONDS_MAX));
      const most = Number(Atomics.load(this.#cells(level), BLOCK_MAX));
      if (most > 0) bytes = Math.min(bytes, most);
    }
    if (bytes >= blockBytes) return blockBytes;
    return Math.max(BLOCK_BYTES_MIN, bytes - (bytes % BLOCK_BYTES_MIN));
  }

  /** Takes `bytes` from one level and answers how long to wait until they are due, in milliseconds. */
  reserve(bytes: number, level = 0): number {
    const cells = this.#cells(level);
    const rate = Number(Atomics.load(cells, RATE));
    if (rate <= 0) return 0;
    const cost = costNs(bytes, rate);
    const burst = Atomics.load(cells, BURST) || BURST_NS;
    for (;;) {
      const now = this.#clock.nowNs();
      const free = Atomics.load(cells, FREE);
      const start = free - now > -burst ? free : now - burst;
      if (Atomics.compareExchange(cells, FREE, free, start + cost) !== free) continue;
      return start > now ? Number(start - now) / 1e6 : 0;
    }
  }

  /** Whether taking `bytes` would ever have to wait: spares unlimited jobs the await. */
  get limited(): boolean {
    for (let level = 0; level < this.#levels.length; level++) if (this.rate(level) > 0) return true;
    return false;
  }

  /**
   * Takes `bytes` from every level, the next only when the one before is due. Ends early when the signal aborts: what
   * was not used is given back, so that nobody waits for those who have left. `onWaited` hears what it waited for.
   */
  async take(bytes: number, signal: AbortSignal, onWaited?: (cause: PaceCause, ns: bigint) => void): Promise<void> {
    for (let level = 0; level < this.#levels.length; level++) {
      const waitMs = this.reserve(bytes, level);
      if (waitMs >= SLEEP_MS_MIN) {
        const before = this.#clock.nowNs();
        await this.#clock.sleep(waitMs, signal);
        onWaited?.(this.#cause(level), this.#clock.nowNs() - before);
      }
      if (!signal.aborted) continue;
      for (let taken = 0; taken <= level; taken++) this.#giveBack(bytes, taken);
      return;
    }
  }

  /** A block was read or written: whoever finds out how fast that may go wants to know how long it took. */
  measured(kind: Metered, bytes: number, tookNs: bigint): void {
    for (const cells of this.#levels) if (isMetered(cells, kind)) meter(cells, bytes, tookNs);
  }

  #cause(level: number): PaceCause {
    return PACE_CAUSES[Number(Atomics.load(this.#cells(level), CAUSE))] ?? 'limit';
  }

  #giveBack(bytes: number, level: number): void {
    const rate = this.rate(level);
    if (rate > 0) Atomics.sub(this.#cells(level), FREE, costNs(bytes, rate));
  }
}

function costNs(bytes: number, rate: number): bigint {
  return (BigInt(bytes) * 1_000_000_000n) / BigInt(rate);
}
