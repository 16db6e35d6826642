import { expect, test } from 'vitest';
import { MiB } from '../../../src/core/units.js';
import { Allowances } from '../../../src/service/allowances.js';
import type { Job } from '../../../src/service/job.js';
import { DEFAULT_POLICY } from '../../../src/service/policy/default-policy.js';
import type { Policy } from '../../../src/service/policy/policy.js';
import { reckonDeadline } from '../../../src/transfer/deadline.js';

const HOUR = 3_600_000;
const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];
const job = { priority: 'normal', limitBytesPerSecond: 0 } as Job;

function allowances(change: Partial<Policy>): Allowances {
  const policy = { ...DEFAULT_POLICY, ...change };
  return new Allowances(() => policy);
}

test('the least of all limits counts, and what a window says until it ends', () => {
  const window = { name: 'night', days: DAYS, from: '22:00', to: '06:00', zone: 'UTC', rates: { normal: 8 * MiB } };
  const rates = { all: 6 * MiB, foreground: 0, high: 0, normal: 2 * MiB, low: 0 };
  const all = allowances({ rates, windows: [window] });
  const evening = Date.UTC(2030, 0, 31, 20);
  expect(all.of(job, evening, evening)).toEqual({ bytesPerSecond: 2 * MiB, until: evening + 2 * HOUR });
  const night = evening + 3 * HOUR;
  expect(all.of(job, night, evening)).toEqual({ bytesPerSecond: 6 * MiB, until: evening + 10 * HOUR });
  expect(all.of({ ...job, limitBytesPerSecond: MiB }, night, evening).bytesPerSecond).toBe(MiB);
  expect(allowances({}).of(job, night, night)).toEqual({
    bytesPerSecond: Number.POSITIVE_INFINITY,
    until: Number.POSITIVE_INFINITY,
  });
});

test.each([
  ['begins', '2030-03-30T20:00:00Z', 3],
  ['is not changed', '2030-02-02T20:00:00Z', 4],
  ['ends', '2030-10-26T20:00:00Z', 5],
])(
  'in the night in which daylight saving %s, a window from one to five is as long as it really is',
  (_, night, hours) => {
    const zone = 'Europe/Berlin';
    const shut = { name: 'backup', days: DAYS, from: '01:00', to: '05:00', zone, classes: ['foreground'] as const };
    const all = allowances({ maintenance: [shut] });
    const now = Date.parse(night);
    const finishBy = now + 12 * HOUR;
    const allowedAt = (at: number) => all.of(job, at, now);
    const bytesLeft = 3600 * 1000 * MiB;
    const { bytesPerSecond } = reckonDeadline({ now, finishBy, aim: finishBy, bytesLeft, afterMs: 0, allowedAt });
    expect(bytesPerSecond).toBeCloseTo(bytesLeft / ((12 - hours) * 3600), 0);
  },
);
