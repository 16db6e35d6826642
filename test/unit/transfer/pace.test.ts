import { describe, expect, test } from 'vitest';
import { PACE_LEVEL_CELLS } from '../../../src/core/pace-level.js';
import { newStop } from '../../../src/core/stop.js';
import { GiB, KiB, MiB } from '../../../src/core/units.js';
import { Pace } from '../../../src/transfer/pace.js';
import { FakeClock } from '../../support/fake-clock.js';
import { Seeded } from '../../support/seeded.js';

const never = new AbortController().signal;
const WINDOW_SECONDS = 10;

interface Taken {
  readonly atSeconds: number;
  readonly bytes: number;
}

/** Takers that always want more, on a clock whose timers are late as real ones are. */
class Demand {
  readonly taken: Taken[] = [];
  readonly clock: FakeClock;
  readonly pace: Pace;
  readonly #start: number;

  constructor(rates: readonly number[], lateMsMax: number) {
    const seeded = new Seeded(99);
    this.clock = new FakeClock({ lateMs: () => seeded.random() * lateMsMax });
    this.pace = new Pace(
      [0, 1, 2, 3].map(() => new BigInt64Array(PACE_LEVEL_CELLS)),
      this.clock,
    );
    for (const [level, rate] of rates.entries()) this.pace.setRate(rate, level);
    this.#start = this.clock.seconds;
  }

  get seconds(): number {
    return this.clock.seconds - this.#start;
  }

  async run(seconds: number, takers: number, blockBytesMax = 256 * KiB): Promise<void> {
    const end = this.seconds + seconds;
    const taker = async (): Promise<void> => {
      while (this.seconds < end) {
        const bytes = this.pace.blockBytes(blockBytesMax);
        await this.pace.take(bytes, never);
        this.taken.push({ atSeconds: this.seconds, bytes });
      }
    };
    await this.clock.runUntil(Promise.all(Array.from({ length: takers }, taker)));
  }

  /** The least and the most that was taken in any window, as a share of what the rate allows. */
  extremes(rate: number, from = 0): { least: number; most: number } {
    const taken = this.taken.filter(({ atSeconds }) => atSeconds >= from);
    const last = taken.at(-1)?.atSeconds ?? 0;
    let [least, most, sum, next] = [Number.POSITIVE_INFINITY, 0, 0, 0];
    for (const { atSeconds, bytes } of taken) {
      if (atSeconds + WINDOW_SECONDS > last) break;
      for (; (taken[next] as Taken).atSeconds < atSeconds + WINDOW_SECONDS; next++) sum += (taken[next] as Taken).bytes;
      least = Math.min(least, sum);
      most = Math.max(most, sum);
      sum -= bytes;
    }
    expect(most).toBeGreaterThan(0);
    const allowed = rate * WINDOW_SECONDS;
    return { least: least / allowed, most: most / allowed };
  }
}

describe.each([64 * KiB, 300_000, MiB, 37 * MiB, 128 * MiB, GiB])('at %i bytes per second', (rate) => {
  test.each([1, 2, 8])(
    'with %i takers no ten seconds see 2 percent more than the limit, or 3 percent less',
    async (takers) => {
      const demand = new Demand([rate], 15);
      await demand.run(2.2 * WINDOW_SECONDS, takers);
      const { least, most } = demand.extremes(rate);
      expect(most).toBeLessThanOrEqual(1.02);
      expect(least).toBeGreaterThanOrEqual(0.97);
    },
  );
});

test('no tenth of a second is taken at once, not even after a long rest', async () => {
  const demand = new Demand([10 * MiB], 0);
  await demand.run(1, 1);
  demand.clock.advance(60_000);
  const before = demand.taken.length;
  const restedAt = demand.seconds;
  await demand.run(0.5, 4);
  const burst = demand.taken.slice(before).filter(({ atSeconds }) => atSeconds < restedAt + 0.01);
  expect(burst.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThanOrEqual(MiB);
  expect(burst.length).toBeGreaterThan(0);
});

test('the innermost of several limits that is the lowest rules', async () => {
  for (const rates of [
    [3 * MiB, 10 * MiB, 5 * MiB, 0],
    [10 * MiB, 0, 5 * MiB, 3 * MiB],
  ]) {
    const demand = new Demand(rates, 5);
    await demand.run(2 * WINDOW_SECONDS, 4);
    const { least, most } = demand.extremes(3 * MiB);
    expect(most).toBeLessThanOrEqual(1.02);
    expect(least).toBeGreaterThanOrEqual(0.97);
  }
});

test.each([
  [64 * KiB, 64 * MiB],
  [64 * MiB, 64 * KiB],
])('a change of the limit from %i to %i holds from the next blocks on', async (before, after) => {
  const demand = new Demand([before], 5);
  await demand.run(3, 4);
  demand.pace.setRate(after);
  const changedAt = demand.seconds;
  await demand.run(2.2 * WINDOW_SECONDS, 4);
  const { least, most } = demand.extremes(after, changedAt + 0.5);
  expect(most).toBeLessThanOrEqual(1.02);
  expect(least).toBeGreaterThanOrEqual(0.97);
});

test('without a limit nothing waits, and with one blocks shrink so that none takes long', async () => {
  const clock = new FakeClock();
  const pace = new Pace(
    [0, 1, 2, 3].map(() => new BigInt64Array(PACE_LEVEL_CELLS)),
    clock,
  );
  expect(pace.limited).toBe(false);
  await pace.take(GiB, never);
  expect(clock.sleeping).toBe(0);
  expect(pace.blockBytes(256 * KiB)).toBe(256 * KiB);
  pace.setRate(64 * KiB);
  expect(pace.limited).toBe(true);
  expect(pace.blockBytes(256 * KiB)).toBeLessThanOrEqual(64 * KiB * 0.05);
  pace.setRate(1);
  expect(pace.blockBytes(256 * KiB)).toBe(KiB);
  pace.setRate(0);
  expect(pace.limited).toBe(false);
});

test('a stop ends the wait for the pace at once', async () => {
  const clock = new FakeClock();
  const pace = new Pace(
    [0, 1, 2, 3].map(() => new BigInt64Array(PACE_LEVEL_CELLS)),
    clock,
  );
  pace.setRate(KiB);
  const stop = new AbortController();
  await pace.take(64 * KiB, stop.signal);
  const waiting = pace.take(KiB, stop.signal);
  expect(clock.sleeping).toBe(1);
  stop.abort();
  await waiting;
  expect(clock.sleeping).toBe(0);
});

test('whoever leaves before its turn takes nothing from the others', async () => {
  const clock = new FakeClock();
  const pace = new Pace(
    [0, 1, 2, 3].map(() => new BigInt64Array(PACE_LEVEL_CELLS)),
    clock,
  );
  pace.setRate(KiB);
  const gone = newStop();
  await pace.take(KiB, never);
  const waiting = Array.from({ length: 100 }, () => pace.take(64 * KiB, gone.signal));
  gone.abort();
  await Promise.all(waiting);
  const before = clock.seconds;
  await clock.runUntil(pace.take(KiB, never));
  expect(clock.seconds - before).toBeLessThanOrEqual(1);
});
