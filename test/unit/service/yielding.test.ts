import { expect, test } from 'vitest';
import { DEFAULT_POLICY } from '../../../src/service/policy/default-policy.js';
import { parsePolicy } from '../../../src/service/policy/parse.js';
import { goalOfJob, stillYields } from '../../../src/service/yielding.js';

const job = { kind: 'copy', options: {} } as const;

test('a job yields as the policy lets its class do, and by default not at all', () => {
  const policy = parsePolicy('[yields]\nlow = "gentle"\nnormal = "fair"\nhigh = "greedy"\n');
  const goals = (rules: typeof policy) =>
    (['foreground', 'high', 'normal', 'low'] as const).map((priority) => goalOfJob({ ...job, priority }, rules));
  expect(goals(policy)).toEqual([undefined, 'greedy', 'fair', 'gentle']);
  expect(goals(DEFAULT_POLICY)).toEqual([undefined, undefined, undefined, undefined]);
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
  const policy = parsePolicy('[yields]\nlow = "gentle"\nhigh = "none"\n');
  expect(policy.yields).toEqual({ high: 'none', normal: 'none', low: 'gentle' });
  expect(goalOfJob({ ...job, priority: 'high' }, policy)).toBeUndefined();
  expect(() => parsePolicy('[yields]\nlow = "polite"\n')).toThrow(/yields.low is "polite"/);
  expect(() => parsePolicy('[yields]\nforeground = "gentle"\n')).toThrow(/foreground/);
});
