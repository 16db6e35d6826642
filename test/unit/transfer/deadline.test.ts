import { expect, test } from 'vitest';
import { parseFinishBy } from '../../../src/core/finish-by.js';
import { GiB, MiB } from '../../../src/core/units.js';
import { type Allowance, aimOf, type DeadlineQuestion, reckonDeadline } from '../../../src/transfer/deadline.js';
import { DeadlinePace } from '../../../src/transfer/deadline-pace.js';
import { Pace } from '../../../src/transfer/pace.js';
import { FakeClock } from '../../support/fake-clock.js';
import { Seeded } from '../../support/seeded.js';

const NOW = Date.UTC(2030, 0, 31, 20);
const HOUR = 3_600_000;
const EVER = Number.POSITIVE_INFINITY;
const unlimited = (): Allowance => ({ bytesPerSecond: EVER, until: EVER });

/** Stretches one after the other from `NOW` on: how long, and what they allow. */
function stretches(...list: readonly (readonly [hours: number, bytesPerSecond: number])[]): (at: number) => Allowance {
  return (at) => {
    let end = NOW;
    for (const [hours, bytesPerSecond] of list) {
      end += hours * HOUR;
      if (at < end) return { bytesPerSecond, until: end };
    }
    return unlimited();
  };
}

function question(more: Partial<DeadlineQuestion>): DeadlineQuestion {
  const finishBy = NOW + 10 * HOUR;
  return { now: NOW, finishBy, aim: finishBy, bytesLeft: 36 * GiB, afterMs: 0, allowedAt: unlimited, ...more };
}

test('the pace is what is left over the time that is left, and what comes after the last byte is kept free', () => {
  expect(reckonDeadline(question({})).bytesPerSecond).toBe((36 * GiB) / 36_000);
  expect(reckonDeadline(question({ afterMs: 5 * HOUR })).bytesPerSecond).toBe((36 * GiB) / 18_000);
});

test('a window that lets little or nothing run makes it faster before and after, never faster than allowed', () => {
  const closed = question({ allowedAt: stretches([2, EVER], [4, 0], [4, EVER]) });
  expect(reckonDeadline(closed).bytesPerSecond).toBe((36 * GiB) / (6 * 3600));
  const slow = question({ allowedAt: stretches([2, EVER], [4, MiB], [4, EVER]) });
  expect(reckonDeadline(slow).bytesPerSecond).toBe((36 * GiB - 4 * 3600 * MiB) / (6 * 3600));
});

test('an impossible deadline has the earliest time that is possible, and then it goes as fast as it may', () => {
  const limited = reckonDeadline(question({ allowedAt: () => ({ bytesPerSecond: MiB, until: EVER }) }));
  expect(limited).toEqual({ bytesPerSecond: 0, earliest: NOW + 36 * 1024 * 1000 });
  const shut = reckonDeadline(question({ allowedAt: stretches([11, 0], [100, 2 * MiB]) }));
  expect(shut).toEqual({ bytesPerSecond: 0, earliest: NOW + 11 * HOUR + 18 * 1024 * 1000 });
  const never = reckonDeadline(question({ allowedAt: () => ({ bytesPerSecond: 0, until: EVER }) }));
  expect(never).toEqual({ bytesPerSecond: 0, earliest: EVER });
});

test('what its ends give counts for when it can be done, and no window makes them faster', () => {
  const { earliest } = reckonDeadline(question({ measured: MiB, allowedAt: stretches([1, EVER], [1, 0]) }));
  expect(earliest).toBe(NOW + 36 * 1024 * 1000 + HOUR);
});

test('a tenth of the time is kept back, half an hour at most', () => {
  expect(aimOf(NOW, NOW + HOUR)).toBe(NOW + 0.9 * HOUR);
  expect(aimOf(NOW, NOW + 100 * HOUR)).toBe(NOW + 99.5 * HOUR);
});

interface Simulated {
  readonly hours: number;
  readonly bytes: number;
  /** What the ends give at that hour. */
  readonly gives?: (hour: number) => number;
  readonly allowed?: (at: number) => Allowance;
  /** Whether it may run at that hour. */
  readonly runs?: (hour: number) => boolean;
}

/** A job second by second, as its deadline paces it; answers when it was done, and what was told meanwhile. */
function simulate({ hours, bytes, gives = () => EVER, allowed = unlimited, runs = () => true }: Simulated) {
  const clock = new FakeClock();
  const start = clock.wallMs();
  const allowedAt = (at: number): Allowance => {
    const { bytesPerSecond, until } = allowed(at - start + NOW);
    return { bytesPerSecond, until: until - NOW + start };
  };
  const finishBy = start + hours * HOUR;
  const deadline = new DeadlinePace({ clock, finishBy, since: start, allowedAt });
  const pace = new Pace([new BigInt64Array(deadline.level)], clock);
  const told: { readonly hour: number; readonly sentence: string }[] = [];
  const rates: number[] = [];
  let left = bytes;
  let rate: number | undefined = 0;
  for (let second = 0; left > 0 && second < hours * 3 * 3600; second += 5) {
    const hour = second / 3600;
    const sentence = deadline.look({ bytesLeft: left, bytesPerSecond: rate, bytesAfter: 0 });
    if (sentence !== undefined) told.push({ hour, sentence });
    const now = allowedAt(clock.wallMs()).bytesPerSecond;
    const moves = runs(hour) && now > 0;
    rate = moves ? Math.min(now, pace.rate() || EVER, gives(hour), 10 * GiB) : undefined;
    left -= (rate ?? 0) * 5;
    rates.push(rate ?? 0);
    clock.advance(5000);
  }
  return { doneHours: (clock.wallMs() - start) / HOUR, told, rates, lateByMs: deadline.view.lateByMs };
}

test('a job with time enough goes evenly and slowly, and is done a little early', () => {
  const { doneHours, told, rates } = simulate({ hours: 10, bytes: 3600 * GiB });
  expect(doneHours).toBeGreaterThan(9.3);
  expect(doneHours).toBeLessThanOrEqual(9.6);
  expect(Math.max(...rates) / Math.min(...rates.slice(0, -1))).toBeLessThan(1.1);
  expect(told).toEqual([]);
});

test('hours in which it may not run are made good, and it is in time', () => {
  const allowed = stretches([2, EVER], [3, 0], [1, 20 * MiB], [4, EVER]);
  const { doneHours, told } = simulate({ hours: 10, bytes: 1000 * GiB, allowed, runs: (hour) => hour < 7 || hour > 8 });
  expect(doneHours).toBeLessThanOrEqual(10);
  expect(doneHours).toBeGreaterThan(8);
  expect(told).toEqual([]);
});

test('a source that becomes too slow is told early and once, and that it rests for a moment is not', () => {
  const slow = simulate({ hours: 10, bytes: 360 * GiB, gives: (hour) => (hour < 2 ? GiB : 8 * MiB) });
  expect(slow.told).toHaveLength(1);
  expect(slow.told[0]?.sentence).toMatch(/^it will be late by about .* at the 8.00 MiB\/s that its ends give/);
  // As soon as it shows, hours before the time is over.
  expect(slow.told[0]?.hour).toBeLessThan(2.1);
  const rest = (hour: number): number => (hour % 1 < 10 / 3600 ? 0 : GiB);
  expect(simulate({ hours: 10, bytes: 360 * GiB, gives: rest }).told).toEqual([]);
});

test('what limits and windows make impossible is told at once, with the earliest time', () => {
  const { told } = simulate({ hours: 1, bytes: 36 * GiB, allowed: () => ({ bytesPerSecond: MiB, until: EVER }) });
  expect(told).toHaveLength(1);
  expect(told[0]).toMatchObject({
    hour: 0,
    sentence: expect.stringMatching(/^it cannot be done by .*at the earliest$/),
  });
});

test('whatever windows and chance do, it is never faster than allowed, and in time where that was possible', () => {
  const { random } = new Seeded(11);
  for (let round = 0; round < 40; round++) {
    const list = Array.from(
      { length: 8 },
      () => [0.5 + random(), random() < 0.3 ? 0 : (1 + random() * 99) * MiB] as const,
    );
    const allowed = stretches(...list);
    let possible = 0;
    for (let at = NOW; at < NOW + 4 * HOUR; at += 60_000) possible += allowed(at).bytesPerSecond * 60;
    // Room for the margin that it aims for.
    const { doneHours, rates } = simulate({ hours: 4, bytes: possible * random() * 0.7 + 1, allowed });
    expect(doneHours).toBeLessThanOrEqual(4);
    for (const [step, rate] of rates.entries()) {
      expect(rate).toBeLessThanOrEqual(allowed(NOW + step * 5000).bytesPerSecond);
    }
  }
});

test('a clock that jumps ahead makes it faster, and one that is set back slower, from the next look on', () => {
  const clock = new FakeClock();
  let set = 0;
  const moved = { nowNs: () => clock.nowNs(), sleep: clock.sleep.bind(clock), wallMs: () => clock.wallMs() + set };
  const start = clock.wallMs();
  const deadline = new DeadlinePace({ clock: moved, finishBy: start + 10 * HOUR, since: start, allowedAt: unlimited });
  const pace = new Pace([new BigInt64Array(deadline.level)], clock);
  const rateNow = (): number => {
    deadline.look({ bytesLeft: 360 * GiB, bytesPerSecond: 10 * MiB, bytesAfter: 0 });
    return pace.rate();
  };
  const before = rateNow();
  set = 5 * HOUR;
  expect(rateNow() / before).toBeCloseTo(9.5 / 4.5, 3);
  set = -5 * HOUR;
  expect(rateNow() / before).toBeCloseTo(9.5 / 14.5, 3);
});

test('a time of day is the next such, over midnight and where daylight saving begins and ends', () => {
  const zone = process.env.TZ;
  try {
    process.env.TZ = 'Europe/Berlin';
    const at = (iso: string): number => Date.parse(iso);
    const by = (text: string, now: string): string => new Date(parseFinishBy(text, at(now))).toISOString();
    expect(by('06:00', '2030-01-31T20:00:00+01:00')).toBe('2030-02-01T05:00:00.000Z');
    expect(by('23:00', '2030-01-31T20:00:00+01:00')).toBe('2030-01-31T22:00:00.000Z');
    expect(by('20:00', '2030-01-31T20:00:00+01:00')).toBe('2030-02-01T19:00:00.000Z');
    // The night of the change has an hour less, or one more.
    expect(by('06:00', '2030-03-30T22:00:00+01:00')).toBe('2030-03-31T04:00:00.000Z');
    expect(by('06:00', '2030-10-26T22:00:00+02:00')).toBe('2030-10-27T05:00:00.000Z');
    // 02:30 is skipped that night: an hour later the clock shows 03:30.
    expect(by('02:30', '2030-03-30T22:00:00+01:00')).toBe('2030-03-31T01:30:00.000Z');
    expect(by('2030-02-01T06:00', '2030-01-31T20:00:00Z')).toBe('2030-02-01T05:00:00.000Z');
    expect(by('2030-02-01 06:00Z', '2030-01-31T20:00:00Z')).toBe('2030-02-01T06:00:00.000Z');
  } finally {
    if (zone === undefined) delete process.env.TZ;
    else process.env.TZ = zone;
  }
});

test.each(['', '6', '25:00', '06:60', 'tomorrow', '2030-02-01', '2030-13-01T06:00', '06:00\n', '2029-01-01T00:00Z'])(
  'a time that is none, or over, is refused: %j',
  (text) => {
    expect(() => parseFinishBy(text, NOW)).toThrow(expect.objectContaining({ code: 'E_USAGE' }));
  },
);
