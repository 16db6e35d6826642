import { describe, expect, test } from 'vitest';
import { PRIORITIES } from '../../../src/service/job.js';
import { schedule } from '../../../src/service/scheduler.js';
import { FakeService } from '../../support/scheduling.js';

const HOUR = 3_600_000;

describe('priorities', () => {
  test('the highest class runs first, whatever came first', () => {
    const service = new FakeService();
    for (const priority of [...PRIORITIES].reverse()) service.add(priority, 1000, { priority });
    service.runUntil(10_000);
    expect([...service.ended.keys()]).toEqual(['foreground', 'high', 'normal', 'low']);
    expect(service.ended.get('foreground')).toBe(service.ended.get('high'));
  });

  test('a higher job takes the place of a lower one at once, and the lower one goes on where it was', () => {
    const service = new FakeService();
    service.add('slow', HOUR, { priority: 'low' });
    service.add('slower', HOUR, { priority: 'low' });
    service.runUntil(4000);
    service.add('urgent', 1000, { priority: 'high' });
    const { start, preempt } = service.look();
    expect(start).toEqual(['urgent']);
    expect(preempt).toMatchObject([{ id: 'slow', by: 'urgent', rule: 'priority', again: { since: 0, usedMs: 4000 } }]);
    service.runUntil(6000);
    expect(service.runningIds).toEqual(['slow']);
    service.runUntil(11_500);
    expect(service.runningIds).toEqual(['slower']);
  });

  test('foreground jobs run beside the others, up to a limit of their own', () => {
    const service = new FakeService({ foregroundAtOnce: 2 });
    service.add('normal', HOUR);
    for (const id of ['a', 'b', 'c']) service.add(id, 1000, { priority: 'foreground' });
    service.look();
    expect(service.runningIds).toEqual(['a', 'b', 'normal']);
  });

  test('a foreground job takes a path from a lower job, and no more than it needs', () => {
    const service = new FakeService({ jobsAtOnce: 4, perTargetPath: 1 });
    service.add('there', HOUR, { targetPaths: ['/there'] });
    service.add('elsewhere', HOUR, { targetPaths: ['/elsewhere'] });
    service.look();
    service.add('now', 1000, { priority: 'foreground', targetPaths: ['/there'] });
    expect(service.look().preempt.map(({ id }) => id)).toEqual(['there']);
    expect(service.runningIds).toEqual(['elsewhere', 'now']);
  });

  test('who makes most room goes first, so that one job stops where one is enough', () => {
    const service = new FakeService({ jobsAtOnce: 3, perSourcePath: 1, perTargetPath: 1 });
    service.add('source', HOUR, { sourcePaths: ['/a'], targetPaths: ['/x'] });
    service.add('target', HOUR, { sourcePaths: ['/b'], targetPaths: ['/y'] });
    service.add('both', HOUR, { sourcePaths: ['/c'], targetPaths: ['/z'] });
    service.look();
    service.add('urgent', 1000, { priority: 'high', sourcePaths: ['/c'], targetPaths: ['/z'] });
    expect(service.look().preempt.map(({ id }) => id)).toEqual(['both']);
  });

  test('one that stands in two ways stops instead of two that stand in one each', () => {
    const service = new FakeService({ jobsAtOnce: 9, perSourcePath: 2, perTargetPath: 2 });
    service.add('a-both', HOUR, { sourcePaths: ['/a'], targetPaths: ['/b'] });
    service.add('b', HOUR, { sourcePaths: ['/a'], targetPaths: ['/other'] });
    service.add('c', HOUR, { sourcePaths: ['/other'], targetPaths: ['/b'] });
    service.look();
    service.add('urgent', 1000, { priority: 'high', sourcePaths: ['/a'], targetPaths: ['/b'] });
    expect(service.look().preempt.map(({ id }) => id)).toEqual(['a-both']);
  });

  test('a lower job goes on where a higher one has to stop anyway', () => {
    const service = new FakeService({ jobsAtOnce: 2, perTargetPath: 1 });
    service.add('low', HOUR, { priority: 'low', targetPaths: ['/x'] });
    service.add('normal', HOUR, { targetPaths: ['/y'] });
    service.look();
    service.add('urgent', 1000, { priority: 'high', targetPaths: ['/y'] });
    expect(service.look().preempt.map(({ id }) => id)).toEqual(['normal']);
  });
});

describe('equals', () => {
  test('a huge job does not block small ones: all of them are done within their turns', () => {
    const service = new FakeService();
    service.add('huge', 100 * HOUR);
    service.runUntil(60_000);
    for (let index = 0; index < 20; index++) service.add(`small-${index}`, 5000);
    service.runUntil(60_000 + 20 * 5000 + 10_000);
    expect(service.ended.size).toBe(20);
    expect(service.runningIds).toEqual(['huge']);
  });

  test('two huge jobs get the same time, a slice by turns', () => {
    const service = new FakeService();
    service.add('one', 100 * HOUR);
    service.add('other', 100 * HOUR);
    service.runUntil(HOUR);
    expect(service.ran.get('one')).toBe(HOUR / 2);
    expect(service.ran.get('other')).toBe(HOUR / 2);
    expect(service.decisions.every(({ preempt }) => preempt.every(({ rule }) => rule === 'slice'))).toBe(true);
  });

  test('a job alone runs on without any break, and yields at once when an equal comes after its slice', () => {
    const service = new FakeService();
    service.add('huge', HOUR);
    service.runUntil(35_000);
    expect(service.decisions.flatMap(({ preempt }) => preempt)).toEqual([]);
    expect(service.decisions.at(-1)?.nextAt).toBeUndefined();
    service.add('small', 1000);
    expect(service.look()).toMatchObject({ start: ['small'], preempt: [{ id: 'huge', by: 'small', rule: 'slice' }] });
  });

  test('who was displaced again and again has used up its slice all the same', () => {
    const service = new FakeService();
    service.add('first', HOUR);
    service.add('next', HOUR);
    for (let index = 0; index < 4; index++) {
      service.runUntil(service.now + 3000);
      service.add(`urgent-${index}`, 500, { priority: 'high' });
      service.runUntil(service.now + 500);
    }
    expect(service.ran.get('first')).toBe(10_000);
    expect(service.ran.get('next')).toBe(2000);
  });

  test('who was displaced by a higher job after its slice takes turns with the equal that was not', () => {
    const service = new FakeService({ jobsAtOnce: 2 });
    service.add('one', HOUR);
    service.add('other', HOUR);
    service.runUntil(15_000);
    service.add('high', HOUR, { priority: 'high' });
    service.runUntil(95_000);
    expect([service.ran.get('one'), service.ran.get('other')].sort()).toEqual([55_000, 55_000]);
  });

  test('who needs two storages is not passed for ever by those who need one of them', () => {
    const service = new FakeService({ jobsAtOnce: 10, perSourcePath: 1, perTargetPath: 1 });
    const forEver = 1000 * HOUR;
    service.add('a1', forEver, { sourcePaths: ['/a'], targetPaths: ['/1'] });
    service.add('a2', forEver, { sourcePaths: ['/a'], targetPaths: ['/2'] });
    service.runUntil(5000);
    service.add('b1', forEver, { sourcePaths: ['/b'], targetPaths: ['/3'] });
    service.add('b2', forEver, { sourcePaths: ['/b'], targetPaths: ['/4'] });
    service.add('both', forEver, { sourcePaths: ['/a', '/b'], targetPaths: ['/5'] });
    service.runUntil(2 * HOUR);
    const shares = ['a1', 'a2', 'b1', 'b2', 'both'].map((id) => (service.ran.get(id) ?? 0) / (2 * HOUR));
    expect(Math.min(...shares)).toBeGreaterThan(0.25);
  });
});

describe('limits', () => {
  test('at most so many migrations run, while copies go on', () => {
    const service = new FakeService({ jobsAtOnce: 20, migrationsAtOnce: 10 });
    for (let index = 0; index < 12; index++) service.add(`migration-${index}`, HOUR, { kind: 'migration' });
    service.add('copy', HOUR);
    service.look();
    expect(service.running.size).toBe(11);
    expect(service.running.has('copy')).toBe(true);
  });

  test('a limit that is lowered ends the last of the lowest class, which goes back with its place', () => {
    const service = new FakeService({ jobsAtOnce: 3 });
    service.add('high', HOUR, { priority: 'high' });
    service.add('first', HOUR, { since: 0 });
    service.add('last', HOUR, { since: 1 });
    service.runUntil(1000);
    service.policy = { ...service.policy, jobsAtOnce: 2 };
    expect(service.look().preempt).toMatchObject([{ id: 'last', rule: 'limit', again: { since: 1, usedMs: 1000 } }]);
    expect(service.decisions.at(-1)?.preempt[0]).not.toHaveProperty('by');
  });

  test('a path that is full keeps only those waiting who need it', () => {
    const service = new FakeService({ jobsAtOnce: 10, perSourcePath: 2 });
    for (const id of ['a', 'b', 'c']) service.add(id, HOUR);
    service.add('d', HOUR, { sourcePaths: ['/other'], since: 5 });
    service.look();
    expect(service.runningIds).toEqual(['a', 'b', 'd']);
  });

  test('a job that touches many paths holds a place on each', () => {
    const service = new FakeService({ jobsAtOnce: 10, perTargetPath: 1 });
    service.add('wide', HOUR, { targetPaths: ['/x', '/y'] });
    service.add('x', HOUR, { targetPaths: ['/x'], since: 1 });
    service.add('y', HOUR, { targetPaths: ['/y'], since: 1 });
    service.look();
    expect(service.runningIds).toEqual(['wide']);
  });
});

describe('windows', () => {
  test('in a maintenance window only the classes that it allows run; the others go back with their place', () => {
    const service = new FakeService({ jobsAtOnce: 4, lowSharePercent: 20 });
    for (const priority of PRIORITIES) service.add(priority, 9 * HOUR, { priority });
    service.runUntil(1000);
    service.allowed = { classes: ['foreground'], rule: 'backup' };
    const { preempt } = service.look();
    expect(preempt.map(({ id, rule }) => [id, rule])).toEqual([
      ['high', 'window'],
      ['normal', 'window'],
      ['low', 'window'],
    ]);
    service.runUntil(HOUR);
    expect(service.runningIds).toEqual(['foreground']);
    service.allowed = { classes: PRIORITIES, rule: 'default' };
    service.look();
    expect(service.runningIds).toEqual(['foreground', 'high', 'low', 'normal']);
  });

  test('a window may allow nothing', () => {
    const service = new FakeService();
    service.add('any', HOUR, { priority: 'foreground' });
    service.look();
    service.allowed = { classes: [], rule: 'down' };
    expect(service.look()).toMatchObject({ start: [], preempt: [{ id: 'any', rule: 'window' }] });
  });
});

describe('time', () => {
  test('the scheduler says when it wants to be asked again, and not while nothing waits', () => {
    const service = new FakeService({ lowSharePercent: 5 });
    service.add('one', HOUR);
    expect(service.look().nextAt).toBeUndefined();
    service.add('two', HOUR);
    expect(service.look().nextAt).toBe(10_000);
  });

  test('a clock that leaps a day ahead ends slices, and gives nobody a burst', () => {
    const service = new FakeService({ lowSharePercent: 5 });
    service.add('high', 1000 * HOUR, { priority: 'high' });
    service.add('low', 1000 * HOUR, { priority: 'low' });
    service.runUntil(1000);
    service.now += 24 * HOUR;
    const before = service.now;
    service.runUntil(before + HOUR);
    expect(service.ran.get('low')).toBeLessThan(0.06 * HOUR + 20_000);
  });

  test('a clock that goes back stops nobody', () => {
    const service = new FakeService({ lowSharePercent: 5 });
    service.add('one', 1000 * HOUR);
    service.add('other', 1000 * HOUR);
    service.now = 24 * HOUR;
    service.runUntil(25 * HOUR);
    service.now = 0;
    expect(schedule(service.backlog, [...service.running.values()], service.situation).nextAt).toBeLessThan(HOUR);
  });
});
