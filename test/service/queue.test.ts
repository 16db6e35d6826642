/** Who goes first, what others get meanwhile, and what a restart finds. */
import { existsSync, linkSync, rmSync } from 'node:fs';
import { expect, test } from 'vitest';
import { systemClock } from '../../src/core/clock.js';
import { MiB } from '../../src/core/units.js';
import type { Job } from '../../src/service/job.js';
import type { JobSpec } from '../../src/service/job-service.js';
import type { Told } from '../../src/service/told.js';
import { CHUNK, expectDone, type Pair, pairIn, scratchFolder } from '../support/copying.js';
import { Shelf } from '../support/memory-store.js';
import { moves, OWNER, reaches, testService } from '../support/services.js';

const SIZE = 4 * MiB + 4097;

function slowly(pair: Pair, more: Partial<JobSpec> = {}): JobSpec {
  const { source, target } = pair;
  return {
    files: [{ source, target }],
    options: { chunkBytes: CHUNK, reflink: 'never' },
    autoComplete: true,
    limitBytesPerSecond: 2 * MiB,
    ...more,
  };
}

test('a higher job takes the place of a lower one, which goes on afterwards without losing anything', async () => {
  const { service } = await testService(new Shelf(), { jobsAtOnce: 1 });
  const [low, high] = [pairIn(scratchFolder(), SIZE, 'low'), pairIn(scratchFolder(), SIZE, 'high')];
  const lower = await service.create(slowly(low, { priority: 'low', name: 'the low one' }), OWNER);
  await moves(service, lower.id, MiB);
  const higher = await service.create(slowly(high, { priority: 'high', name: 'the high one' }), OWNER);
  const waiting = await reaches(service, lower.id, 'queued');
  expect(waiting.reason).toMatch(/^Jobs of higher priority hold the one place .*: the high one\./);
  expect(service.list(OWNER, { states: ['queued'] })).toMatchObject([{ id: lower.id, reason: waiting.reason }]);
  expect(service.why(lower.id, OWNER)).toMatchObject({ behind: [higher.id], sentence: waiting.reason });
  await moves(service, higher.id, MiB);
  expect(service.get(lower.id, OWNER).state).toBe('queued');
  await service.change(higher.id, { limitBytesPerSecond: 0 }, OWNER);
  await reaches(service, higher.id, 'acknowledged');
  await service.change(lower.id, { limitBytesPerSecond: 0 }, OWNER);
  const { progress } = await reaches(service, lower.id, 'acknowledged');
  // It kept what it had open, and knew what it had done: nothing had to be proven again.
  expect(progress.bytesReused).toBe(0);
  expectDone(low);
  expectDone(high);
});

test('that a job of another owner goes first is told, and neither its name nor its id', async () => {
  const shelf = new Shelf();
  const { service } = await testService(shelf, { jobsAtOnce: 1 });
  const bob = { name: 'bob', admin: false };
  const [low, high] = [pairIn(scratchFolder(), SIZE, 'low'), pairIn(scratchFolder(), SIZE, 'high')];
  const { id } = await service.create(slowly(low, { priority: 'low', name: 'mine' }), bob);
  await moves(service, id, 1);
  const higher = await service.create(slowly(high, { priority: 'high', name: 'the secret one' }), OWNER);
  await reaches(service, id, 'queued');
  expect(shelf.jobs.get(id)?.reason).toBe('makes way: a job of a higher priority goes first');
  expect(service.get(id, bob).reason).toContain("another owner's job");
  const why = service.why(id, bob);
  expect(why.sentence).toContain("another owner's job");
  expect(JSON.stringify([why, service.get(id, bob)])).not.toMatch(new RegExp(`secret|${higher.id}`));
  expect(service.why(id, OWNER)).toMatchObject({
    behind: [higher.id],
    sentence: expect.stringContaining('the secret one'),
  });
});

test('a job whose priority is raised while it waits goes first', async () => {
  const { service } = await testService(new Shelf(), { jobsAtOnce: 1 });
  const pairs = ['one', 'two', 'three'].map((seed) => pairIn(scratchFolder(), SIZE, seed));
  const [first, second, third] = await Promise.all(pairs.map((pair) => service.create(slowly(pair), OWNER)));
  if (!first || !second || !third) throw new Error('three jobs were made');
  await moves(service, first.id, 1);
  await service.change(third.id, { priority: 'high' }, OWNER);
  await reaches(service, third.id, 'connecting', 'transferring');
  expect([service.get(first.id, OWNER).state, service.get(second.id, OWNER).state]).toEqual(['queued', 'queued']);
});

test('all jobs together keep to the limit of the policy, and a new limit counts at once', async () => {
  const { service, policies } = await testService(new Shelf());
  policies.change({ rates: { all: 2 * MiB, foreground: 0, high: 0, normal: 0, low: 0 } });
  const pairs = ['one', 'two'].map((seed) => pairIn(scratchFolder(), SIZE, seed));
  const jobs = await Promise.all(pairs.map((pair) => service.create(slowly(pair, { limitBytesPerSecond: 0 }), OWNER)));
  for (const { id } of jobs) await moves(service, id, CHUNK);
  const bytes = (): number => jobs.reduce((sum, { id }) => sum + service.get(id, OWNER).progress.bytesDone, 0);
  const [before, from] = [bytes(), systemClock.nowNs()];
  await systemClock.sleep(1500);
  const seconds = Number(systemClock.nowNs() - from) / 1e9;
  expect((bytes() - before) / seconds).toBeLessThan(2 * MiB * 1.5);
  expect(service.why(jobs[0]?.id ?? '', OWNER)).toMatchObject({ sentence: expect.stringContaining('all jobs') });
  policies.change({ rates: { all: 0, foreground: 0, high: 0, normal: 0, low: 0 } });
  for (const { id } of jobs) await reaches(service, id, 'acknowledged');
  for (const pair of pairs) expectDone(pair);
});

test('which rule says the rate of a job is told: a window does only where it says one itself', async () => {
  const rates = { all: 0, foreground: 0, high: 0, normal: 2 * MiB, low: 0 };
  const days = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];
  const window = { name: 'all day', days, from: '00:00', to: '00:00', rates: { all: 4 * MiB } };
  const { service } = await testService(new Shelf(), { rates, windows: [window] });
  const { id } = await service.create(slowly(pairIn(scratchFolder(), SIZE), { limitBytesPerSecond: 0 }), OWNER);
  await moves(service, id, 1);
  expect(service.why(id, OWNER)).toMatchObject({
    rule: 'default',
    sentence: expect.stringContaining('the limit of normal jobs (policy: default)'),
  });
  await service.change(id, { priority: 'high' }, OWNER);
  expect(service.why(id, OWNER)).toMatchObject({
    rule: 'all day',
    sentence: expect.stringContaining('the limit of all jobs (policy: all day)'),
  });
  await service.cancel(id, { keepPartial: false }, OWNER);
});

test('after a restart every job is where it was, and those that ran go on from what is on record', async () => {
  const shelf = new Shelf();
  const before = await testService(shelf);
  const [run, held, asleep] = ['run', 'held', 'asleep'].map((seed) => pairIn(scratchFolder(), SIZE, seed));
  if (!run || !held || !asleep) throw new Error('three pairs were made');
  const running = await before.service.create(slowly(run), OWNER);
  const whole = await before.service.create(slowly(held, { autoComplete: false, limitBytesPerSecond: 0 }), OWNER);
  const suspended = await before.service.create(slowly(asleep, { suspended: true }), OWNER);
  await reaches(before.service, whole.id, 'transferred');
  await moves(before.service, running.id, 2 * MiB);
  await before.service.close();
  const { service } = await testService(shelf);
  expect(service.get(suspended.id, OWNER).state).toBe('suspended');
  expect(service.get(whole.id, OWNER).state).toBe('transferred');
  await service.change(running.id, { limitBytesPerSecond: 0 }, OWNER);
  const { progress } = await reaches(service, running.id, 'acknowledged');
  expect(progress.bytesReused).toBeGreaterThan(0);
  expectDone(run);
  expect(existsSync(held.target)).toBe(false);
  await service.complete(whole.id, OWNER);
  expectDone(held);
});

/** The job on the shelf, as a crash would leave it. */
function crashed(shelf: Shelf, id: string, change: (job: Job) => Job): void {
  shelf.jobs.set(id, change(shelf.jobs.get(id) as Job));
}

test.for([true, false])(
  'a crash at the very moment of the name is found out: the target is known again (it had its name: %s)',
  async (named) => {
    const shelf = new Shelf();
    const before = await testService(shelf);
    const pair = pairIn(scratchFolder(), SIZE);
    const { id } = await before.service.create(slowly(pair, { limitBytesPerSecond: 0, autoComplete: false }), OWNER);
    await reaches(before.service, id, 'transferred');
    const aside = `${pair.target}.aside`;
    linkSync(pair.part, aside);
    const puts: Job[] = [];
    const put = shelf.jobs.set.bind(shelf.jobs);
    shelf.jobs.set = (key, job) => {
      puts.push(job);
      return put(key, job);
    };
    await before.service.complete(id, OWNER);
    await before.service.close();
    const committing = puts.find((job) => job.files[0]?.state === 'committing');
    expect(committing?.files[0]?.mark).toBeDefined();
    crashed(shelf, id, () => committing as Job);
    if (!named) rmSync(pair.target);
    rmSync(aside);
    const { service } = await testService(shelf);
    if (!named) {
      expect(service.get(id, OWNER)).toMatchObject({ state: 'transferred', files: [{ state: 'transferred' }] });
      await service.complete(id, OWNER);
    }
    await reaches(service, id, 'acknowledged');
    expectDone(pair);
  },
);

test('whoever listens hears all states in order, and after a while away what was missed', async () => {
  const shelf = new Shelf();
  const { service } = await testService(shelf);
  const pair = pairIn(scratchFolder(), SIZE);
  const { id } = await service.create(slowly(pair, { limitBytesPerSecond: 0 }), OWNER);
  await reaches(service, id, 'acknowledged');
  const stop = new AbortController();
  const heard: Told[] = [];
  for await (const told of service.events(OWNER, { job: id, after: 0 }, stop.signal)) {
    heard.push(told);
    if (told.event.type === 'state' && told.event.state === 'acknowledged') break;
  }
  const states = heard.flatMap(({ event }) => (event.type === 'state' ? [event.state] : []));
  expect(states).toEqual(['queued', 'connecting', 'transferring', 'acknowledged']);
  const ids = heard.filter(({ event }) => event.type !== 'progress').map((told) => told.id);
  expect(ids).toEqual([...ids].sort((one, other) => one - other));
  const [, second] = ids;
  for await (const told of service.events(OWNER, { after: second as number }, stop.signal)) {
    expect(told.id).toBeGreaterThan(second as number);
    break;
  }
});

test('a maintenance window that begins or ends is minded within a second, though nothing else happens', async () => {
  const { service, policies } = await testService(new Shelf());
  const pair = pairIn(scratchFolder(), SIZE);
  const { id } = await service.create(slowly(pair), OWNER);
  await moves(service, id, CHUNK);
  // The rules as a clock would change them: what they allow is looked at anew each second.
  const always = {
    name: 'always',
    days: ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'],
    from: '00:00',
    to: '00:00',
  };
  policies.policy = { ...policies.policy, maintenance: [{ ...always, classes: ['foreground'] }] };
  expect(await reaches(service, id, 'queued')).toMatchObject({ reason: expect.stringContaining('maintenance') });
  expect(service.why(id, OWNER)).toMatchObject({ rule: 'window' });
  policies.policy = { ...policies.policy, maintenance: [] };
  await reaches(service, id, 'transferring');
  await service.change(id, { limitBytesPerSecond: 0 }, OWNER);
  await reaches(service, id, 'acknowledged');
  expectDone(pair);
});
