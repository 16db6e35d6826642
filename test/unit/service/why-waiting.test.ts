import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PRIORITIES } from '../../../src/service/job.js';
import { type WhyWaiting, whyWaiting } from '../../../src/service/why-waiting.js';
import { FakeService } from '../../support/scheduling.js';

const HOUR = 3_600_000;

function why(service: FakeService, id: string): WhyWaiting | undefined {
  return whyWaiting(id, service.backlog, [...service.running.values()], service.situation, (job) => `"${job}"`);
}

test('a job that does not wait has no explanation', () => {
  const service = new FakeService();
  service.add('one', HOUR);
  service.look();
  expect(why(service, 'one')).toBeUndefined();
  expect(why(service, 'unknown')).toBeUndefined();
});

test('a job behind equals learns who they are, how many wait before it, and when the next turn is', () => {
  const service = new FakeService();
  for (const id of ['a', 'b', 'c']) service.add(id, HOUR);
  service.runUntil(4000);
  expect(why(service, 'c')).toEqual({
    rule: 'jobs-at-once',
    sentence:
      'The one place for background jobs (jobs_at_once = 1) is taken: "a". Equals take turns, 10 s each. ' +
      'In the queue 1 job is before it.',
    behind: ['a'],
    until: 10_000,
    hint: 'Give it a higher priority, or raise jobs_at_once in the policy.',
  });
});

test('a job below higher ones learns that, and when its class has saved up a slice', () => {
  const service = new FakeService({ lowSharePercent: 5 });
  service.add('high', HOUR, { priority: 'high' });
  service.add('low', HOUR, { priority: 'low' });
  service.runUntil(1000);
  expect(why(service, 'low')).toEqual({
    rule: 'priority',
    sentence:
      'Jobs of higher priority hold the one place for background jobs (jobs_at_once = 1): "high". ' +
      'Its class still gets 5 percent of that time.',
    behind: ['high'],
    until: 200_000,
    hint: 'Give it a higher priority, or suspend one of those.',
  });
});

test('with a share of 0 it learns that it waits for all of them', () => {
  const service = new FakeService();
  service.add('high', HOUR, { priority: 'high' });
  service.add('low', HOUR, { priority: 'low' });
  service.look();
  expect(why(service, 'low')?.sentence).toContain('It waits until they are done, since low_share_percent is 0.');
  expect(why(service, 'low')).not.toHaveProperty('until');
});

test('a higher job learns which one runs by the share of its class, and until when', () => {
  const service = new FakeService({ lowSharePercent: 10 });
  service.add('high', HOUR, { priority: 'high' });
  service.add('low', HOUR, { priority: 'low' });
  service.runUntil(101_000);
  expect(service.runningIds).toEqual(['low']);
  expect(why(service, 'high')).toMatchObject({ rule: 'share', behind: ['low'], until: 110_000 });
});

test.each([
  ['sourcePaths', 'read from /shelf', 'per_source_path'],
  ['targetPaths', 'write to /shelf', 'per_target_path'],
])('a full storage is named: %s', (side, place, setting) => {
  const service = new FakeService({ jobsAtOnce: 9, perSourcePath: 2, perTargetPath: 2 });
  const elsewhere = (index: number): object => ({
    sourcePaths: [`/a${index}`],
    targetPaths: [`/b${index}`],
    [side]: ['/shelf'],
  });
  for (const index of [1, 2, 3]) service.add(`job-${index}`, HOUR, elsewhere(index));
  service.look();
  expect(why(service, 'job-3')).toMatchObject({
    rule: 'path-limit',
    sentence: `All 2 places for jobs that ${place} (${setting} = 2) are taken: "job-1" and "job-2". \
Equals take turns, 10 s each.`,
    behind: ['job-1', 'job-2'],
  });
});

test('migrations and foreground jobs have limits of their own', () => {
  const service = new FakeService({ jobsAtOnce: 9, migrationsAtOnce: 1, foregroundAtOnce: 1 });
  for (const id of ['m1', 'm2']) service.add(id, HOUR, { kind: 'migration' });
  for (const id of ['f1', 'f2']) service.add(id, HOUR, { priority: 'foreground' });
  service.look();
  expect(why(service, 'm2')).toMatchObject({ rule: 'migrations-at-once', behind: ['m1'] });
  expect(why(service, 'f2')).toMatchObject({ rule: 'foreground-at-once', behind: ['f1'] });
});

test('a maintenance window is named, with its end and what it allows', () => {
  const service = new FakeService();
  service.add('low', HOUR, { priority: 'low' });
  service.allowed = { classes: ['foreground', 'high'], rule: 'backup', until: 77 };
  service.look();
  expect(why(service, 'low')).toEqual({
    rule: 'window',
    sentence: 'In the maintenance window "backup" only foreground and high jobs run, and this one is low.',
    behind: [],
    until: 77,
    hint: 'Give it the priority high, or change the window in the policy.',
  });
  service.allowed = { classes: [], rule: 'down' };
  expect(why(service, 'low')?.sentence).toBe('In the maintenance window "down" no jobs run, and this one is low.');
});

test('a sentence names a few of many, and the list has all', () => {
  const service = new FakeService({ jobsAtOnce: 8 });
  for (let index = 0; index < 9; index++) service.add(`job-${index}`, HOUR);
  service.look();
  const { sentence, behind } = why(service, 'job-8') ?? {};
  expect(sentence).toContain('"job-0", "job-1", "job-2", "job-3", "job-4" and 3 more.');
  expect(behind).toHaveLength(8);
});

test('a job whose turn it is learns that it starts now', () => {
  const service = new FakeService();
  service.add('one', HOUR);
  expect(why(service, 'one')).toEqual({
    rule: 'next',
    sentence: 'There is a place for it. It starts now.',
    behind: [],
  });
  service.look();
  service.add('high', HOUR, { priority: 'high' });
  expect(why(service, 'high')?.sentence).toBe('It takes the place of "one". It starts now.');
});

test('whoever waits after a decision is told a rule and who is in its way, and never that it starts now', () => {
  const path = fc.constantFrom('/1', '/2');
  const job = fc.record({
    priority: fc.constantFrom(...PRIORITIES),
    kind: fc.constantFrom('copy' as const, 'migration' as const),
    sourcePaths: path.map((one) => [one]),
    targetPaths: path.map((one) => [one]),
  });
  fc.assert(
    fc.property(fc.array(job, { maxLength: 15 }), fc.nat(300_000), (jobs, ms) => {
      const service = new FakeService({ jobsAtOnce: 2, foregroundAtOnce: 2, perTargetPath: 2, lowSharePercent: 5 });
      for (const [index, about] of jobs.entries()) service.add(`job-${index}`, 2 * HOUR, about);
      service.runUntil(ms);
      service.look();
      for (const index of jobs.keys()) {
        const { rule, behind, until } = why(service, `job-${index}`) ?? {};
        if (rule === undefined) continue;
        expect(rule).not.toBe('next');
        expect(behind?.every((id) => service.running.has(id)) && behind.length > 0).toBe(true);
        if (until !== undefined) expect(until).toBeGreaterThan(service.now);
      }
    }),
    { numRuns: 60 },
  );
});
