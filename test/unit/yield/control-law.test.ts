import { describe, expect, test } from 'vitest';
import { KiB, MiB } from '../../../src/core/units.js';
import { FIRST, type Goal, rule, type Sample } from '../../../src/yield/control-law.js';
import { DiskModel } from '../../support/model-disk.js';
import { Seeded } from '../../support/seeded.js';

const CEILING = 60e6;
const TICK_MS = 100;
const SEEDS = [1, 2, 3, 4, 5];
const GOALS: readonly Goal[] = ['gentle', 'fair', 'greedy', { latencyMs: 10 }];
const nameOf = (goal: Goal): string => (typeof goal === 'string' ? goal : `latency under ${goal.latencyMs} ms`);

interface Tick {
  readonly second: number;
  readonly bytesPerSecond: number;
  readonly rate: number;
  readonly why: string;
}

interface Plot {
  readonly ticks: readonly Tick[];
  readonly waits: readonly number[];
}

/** `neighbours`: how many there are in a second; `seen`: what becomes of a sample before the law gets it. */
function play(
  goal: Goal,
  seed: number,
  seconds: number,
  neighbours: (second: number) => number,
  seen: (sample: Sample, second: number) => Sample = (sample) => sample,
): Plot {
  const disk = new DiskModel({ ceiling: CEILING, seeded: new Seeded(seed) });
  const ticks: Tick[] = [];
  let [state, rate, blockBytes] = [FIRST, 0, 256 * KiB];
  for (let tick = 0; tick < seconds * 10; tick++) {
    const second = tick / 10;
    const sample = disk.run(TICK_MS, rate, blockBytes, neighbours(second));
    const ruling = rule(state, seen(sample, second), goal);
    state = ruling.state;
    rate = ruling.rateBytesPerSecond;
    blockBytes = ruling.blockBytesMax || 256 * KiB;
    ticks.push({ second, bytesPerSecond: sample.bytes * 10, rate, why: ruling.why });
  }
  return { ticks, waits: disk.waits };
}

function mean(ticks: readonly Tick[], from: number, to: number): number {
  const within = ticks.filter(({ second }) => second >= from && second < to);
  return within.reduce((sum, { bytesPerSecond }) => sum + bytesPerSecond, 0) / within.length;
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.floor(sorted.length * share)] ?? Number.NaN;
}

/** It comes in second 5 and goes in second 20. */
const comesAndGoes = (second: number): number => (second >= 5 && second < 20 ? 1 : 0);
const nobody = (): number => 0;

describe.each(GOALS.map((goal) => [nameOf(goal), goal] as const))('%s', (_, goal) => {
  test('gives way within a second of a neighbour, and is back within five of its end', () => {
    for (const seed of SEEDS) {
      const { ticks } = play(goal, seed, 30, comesAndGoes);
      const gaveWay = ticks.find(({ second, why }) => second >= 5 && why !== 'alone');
      expect(gaveWay?.second).toBeLessThan(6);
      expect(mean(ticks, 6, 7)).toBeLessThan(0.985 * CEILING);
      const back = ticks.find(({ second, bytesPerSecond }) => second >= 20 && bytesPerSecond > 0.95 * CEILING);
      expect(back?.second).toBeLessThan(25);
      expect(mean(ticks, 25, 30)).toBeGreaterThan(0.95 * CEILING);
    }
  });

  test('alone it goes as fast as the disk, and no limit holds it', () => {
    const { ticks } = play(goal, 7, 10, nobody);
    expect(mean(ticks, 1, 10)).toBeGreaterThan(0.98 * CEILING);
    expect(ticks.every(({ rate, why }) => rate === 0 && why === 'alone')).toBe(true);
  });

  test('beside a neighbour it does not swing', () => {
    for (const seed of SEEDS) {
      const { ticks } = play(goal, seed, 20, comesAndGoes);
      const settled = ticks.filter(({ second }) => second >= 8).map(({ rate }) => rate);
      expect(Math.max(...settled) / Math.min(...settled)).toBeLessThan(1.25);
    }
  });

  test('a trickle flows where others take all there is, however long', () => {
    const stalled = (sample: Sample): Sample => ({
      ...sample,
      ...{ bytes: 64 * KiB, blocks: 1, blockBytes: 64 * KiB, latencyMs: 400, latencyMs2: 160_000, fastestMs: 400 },
      others: { requests: 5000, bytes: CEILING / 10 },
    });
    const healthy = (sample: Sample, second: number): Sample => (second < 5 ? sample : stalled(sample));
    const { ticks } = play(goal, 3, 120, () => 1, healthy);
    expect(Math.min(...ticks.filter(({ rate }) => rate > 0).map(({ rate }) => rate))).toBeGreaterThanOrEqual(MiB);
  });

  test('numbers that cannot be leave a rate that can', () => {
    const lies = [0, -5, 1e300, Number.MAX_SAFE_INTEGER];
    for (const lie of lies) {
      const lying = (sample: Sample): Sample => ({
        ...{ ...sample, latencyMs: lie, latencyMs2: lie, pressure: lie, fastestMs: lie },
        others: { requests: lie, bytes: lie },
      });
      for (const { rate } of play(goal, 4, 10, comesAndGoes, lying).ticks) {
        expect(rate === 0 || (rate >= MiB && rate < 1e12)).toBe(true);
      }
    }
  });

  test('a disk whose statistics are missing is taken up to where requests wait, and no further', () => {
    for (const seed of SEEDS) {
      const { ticks } = play(goal, seed, 60, nobody, ({ others: _others, ...sample }) => sample);
      expect(mean(ticks, 20, 60)).toBeGreaterThan(0.8 * CEILING);
    }
  });
});

test('over four fifths of what a neighbour leaves are used by those who are to be fair', () => {
  for (const seed of SEEDS) {
    const { ticks } = play('fair', seed, 20, comesAndGoes);
    expect(mean(ticks, 7, 20)).toBeGreaterThan(0.8 * CEILING);
  }
});

test('the gentler, the less a neighbour waits, and none waits as it does for one who knows no manners', () => {
  const p99 = (goal: Goal): number => percentile(play(goal, 11, 20, comesAndGoes).waits, 0.99);
  const rude = new DiskModel({ ceiling: CEILING, seeded: new Seeded(11) });
  for (let tick = 0; tick < 150; tick++) rude.run(TICK_MS, 0, MiB, 1);
  const alone = percentile(rude.waits, 0.99);
  expect(p99('gentle')).toBeLessThan(alone / 10);
  expect(p99('fair')).toBeLessThan(alone / 4);
  expect(p99('gentle')).toBeLessThanOrEqual(p99('fair'));
  expect(p99('fair')).toBeLessThanOrEqual(p99('greedy'));
  expect(p99({ latencyMs: 10 })).toBeLessThan(10);
});

test('a neighbour that comes and goes every half second is one that stays', () => {
  const { ticks } = play('gentle', 5, 30, (second) => (second >= 5 && second % 1 < 0.5 ? 1 : 0));
  const settled = ticks.filter(({ second }) => second >= 7);
  expect(settled.every(({ why }) => why !== 'alone')).toBe(true);
});

test('a disk that becomes slower is found out by those who wait for it', () => {
  const disk = new DiskModel({ ceiling: CEILING / 2, seeded: new Seeded(6) });
  let { state } = rule({ ...FIRST, mode: 'beside', rate: 0.8 * CEILING, ceiling: CEILING }, silent(), 'gentle');
  let rate = 0.8 * CEILING;
  for (let tick = 0; tick < 50; tick++) {
    const ruling = rule(state, disk.run(TICK_MS, rate, 64 * KiB, 1), 'gentle');
    state = ruling.state;
    rate = ruling.rateBytesPerSecond;
  }
  expect(rate).toBeLessThan(CEILING / 2);
});

function silent(): Sample {
  return {
    ...{ ms: TICK_MS, bytes: 0, blocks: 0, blockBytes: 0, latencyMs: 0, latencyMs2: 0, fastestMs: 0 },
    others: { requests: 19, bytes: 80_000 },
  };
}

test('the same samples give the same rates', () => {
  expect(play('fair', 9, 30, comesAndGoes)).toEqual(play('fair', 9, 30, comesAndGoes));
});

test('a link is taken up to where its requests come late, whatever latency of a disk is to be kept', () => {
  const block = { ms: TICK_MS, bytes: 5e6, blocks: 20, blockBytes: 256 * KiB, fastestMs: 0.1, link: true } as const;
  let state = FIRST;
  // Each block comes 5 ms after it was asked for: no queue to speak of.
  for (let tick = 0; tick < 100; tick++) {
    const ruling = rule(state, { ...block, latencyMs: 100, latencyMs2: 500 }, { latencyMs: 10 });
    state = ruling.state;
    expect(ruling.rateBytesPerSecond).toBe(0);
  }
  for (let tick = 0; tick < 20; tick++) {
    state = rule(state, { ...block, latencyMs: 2000, latencyMs2: 200_000 }, { latencyMs: 10 }).state;
  }
  expect(state.rate).toBeGreaterThanOrEqual(MiB);
  expect(state.rate).toBeLessThan(50e6 / 2);
});
