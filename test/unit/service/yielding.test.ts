import { expect, test } from 'vitest';
import { DEFAULT_POLICY } from '../../../src/service/policy/default-policy.js';
import { parsePolicy } from '../../../src/service/policy/parse.js';
import { goalOfJob, stillYields } from '../../../src/service/yielding.js';

const job = { kind: 'copy', options: {} } as const;

test('a job yields as its class does: low gently, normal fairly, high last, and foreground not at all', () => {
  const goal = (priority: 'foreground' | 'high' | 'normal' | 'low') => goalOfJob({ ...job, priority }, DEFAULT_POLICY);
  expect([goal('foreground'), goal('high'), goal('normal'), goal('low')]).toEqual([
    undefined,
    'greedy',
    'fair',
    'gentle',
  ]);
});

test('what a job says of itself goes before its class, of a foreground job too', () => {
  const asked = { ...job, priority: 'foreground', options: { yield: 'gentle' } } as const;
  expect(goalOfJob(asked, DEFAULT_POLICY)).toBe('gentle');
  expect(stillYields(asked)).toBe(true);
  expect(goalOfJob({ ...job, priority: 'low', options: { protectLatencyMs: 5 } }, DEFAULT_POLICY)).toEqual({
    latencyMs: 5,
  });
  expect(stillYields({ ...job, priority: 'foreground' })).toBe(false);
});

test('what is copied while a machine stands still makes way for nobody', () => {
  expect(goalOfJob({ ...job, kind: 'migration', priority: 'low' }, DEFAULT_POLICY)).toBeUndefined();
});

test('the policy says how a class yields, or that it does not', () => {
  const policy = parsePolicy('[yields]\nlow = "none"\nhigh = "fair"\n');
  expect(policy.yields).toEqual({ high: 'fair', normal: 'fair', low: 'none' });
  expect(goalOfJob({ ...job, priority: 'low' }, policy)).toBeUndefined();
  expect(() => parsePolicy('[yields]\nlow = "polite"\n')).toThrow(/yields.low is "polite"/);
  expect(() => parsePolicy('[yields]\nforeground = "gentle"\n')).toThrow(/foreground/);
});
