import { expect, test } from 'vitest';
import { FakeService } from '../../support/scheduling.js';

const HOUR = 3_600_000;

const lowTime = (policy: object): number => {
  const service = new FakeService(policy);
  service.add('low', 1000 * HOUR, { priority: 'low' });
  for (let index = 0; index < 8; index++) service.add(`high-${index}`, 1000 * HOUR, { priority: 'high' });
  service.runUntil(4 * HOUR);
  return (service.ran.get('low') ?? 0) / (4 * HOUR * service.policy.jobsAtOnce);
};

test.each([
  [5, 1],
  [5, 4],
  [20, 1],
  [20, 2],
])('%i percent is what a low job gets of %i places that higher ones want', (lowSharePercent, jobsAtOnce) => {
  expect(lowTime({ lowSharePercent, jobsAtOnce })).toBeCloseTo(lowSharePercent / 100, 2);
});

test('at 0 percent a low job waits until all higher ones are done, as in BITS', () => {
  expect(lowTime({ lowSharePercent: 0 })).toBe(0);
});

test('normal and low jobs each have theirs under high ones, and the small jobs of a class divide it', () => {
  const service = new FakeService({ lowSharePercent: 10 });
  service.add('high', 1000 * HOUR, { priority: 'high' });
  service.add('normal', 1000 * HOUR, { priority: 'normal' });
  for (let index = 0; index < 100; index++) service.add(`low-${index}`, 1000, { priority: 'low' });
  service.runUntil(HOUR);
  expect(service.ran.get('normal')).toBeGreaterThan(0.09 * HOUR);
  expect([...service.ended.keys()].filter((id) => id.startsWith('low')).length).toBe(100);
  expect(service.ran.get('high')).toBeGreaterThan(0.8 * HOUR);
});

test('a stream of short high jobs that never ends does not keep a low job from its share', () => {
  const service = new FakeService({ lowSharePercent: 10 });
  service.add('low', 60_000, { priority: 'low' });
  for (let index = 0; index < 720; index++) {
    service.add(`high-${index}`, 5000, { priority: 'high' });
    service.runUntil(service.now + 1000);
  }
  expect(service.ended.get('low')).toBeGreaterThan(600_000);
  expect(service.ended.get('low')).toBeLessThan(680_000);
});

test('a low job that is kept from one path only gets its share of that path', () => {
  const service = new FakeService({ lowSharePercent: 10, jobsAtOnce: 10, perTargetPath: 1 });
  service.add('here', 1000 * HOUR, { priority: 'foreground', targetPaths: ['/busy'] });
  service.add('free', 1000 * HOUR, { priority: 'low', targetPaths: ['/free'] });
  service.add('low', 1000 * HOUR, { priority: 'low', targetPaths: ['/busy'] });
  service.runUntil(10 * HOUR);
  expect((service.ran.get('low') ?? 0) / (10 * HOUR)).toBeCloseTo(0.1, 2);
  expect(service.ran.get('free')).toBe(10 * HOUR);
});

test('two classes whose shares come due together do not keep a third job from both its storages', () => {
  const service = new FakeService({ lowSharePercent: 5, jobsAtOnce: 2, perSourcePath: 1, perTargetPath: 1 });
  const between = (from: string, to: string): object => ({ sourcePaths: [from], targetPaths: [to] });
  service.add('a', 10 * HOUR, between('/3', '/1'));
  service.add('b', 10 * HOUR, { priority: 'foreground', ...between('/1', '/1') });
  service.add('c', 10 * HOUR, between('/1', '/1'));
  service.add('d', 10 * HOUR, { priority: 'high', ...between('/1', '/3') });
  service.runUntil(HOUR);
  expect(service.ran.get('c')).toBeGreaterThan(0.02 * HOUR);
});

test('where the share of many places is more than one, a low job runs on without a break', () => {
  const service = new FakeService({ lowSharePercent: 25, jobsAtOnce: 12 });
  service.add('low', 10 * HOUR, { priority: 'low' });
  for (let index = 0; index < 14; index++) service.add(`high-${index}`, 10 * HOUR, { priority: 'high' });
  service.runUntil(HOUR);
  expect(service.ran.get('low')).toBeGreaterThan(0.99 * HOUR);
  expect(service.decisions.flatMap(({ preempt }) => preempt).filter(({ id }) => id === 'low')).toEqual([]);
});

test('a job that runs by its share keeps its place for a slice, whoever comes', () => {
  const service = new FakeService({ lowSharePercent: 10 });
  service.add('high', HOUR, { priority: 'high' });
  service.add('low', HOUR, { priority: 'low' });
  service.runUntil(100_000);
  expect(service.look().preempt).toMatchObject([{ id: 'high', by: 'low', rule: 'share' }]);
  service.add('other', HOUR, { priority: 'high' });
  service.runUntil(109_999);
  expect(service.runningIds).toEqual(['low']);
  service.runUntil(110_001);
  expect(service.runningIds).toEqual(['other']);
});
