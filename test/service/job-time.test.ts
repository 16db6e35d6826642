/** Where the time of a job went: what is kept of it, and that it adds up to the time since it was made. */
import { expect, onTestFinished, test } from 'vitest';
import { CAUSES, type Cause, type TimeByCause, totalTime } from '../../src/core/causes.js';
import { systemClock } from '../../src/core/clock.js';
import { MiB } from '../../src/core/units.js';
import type { JobSpec, TimeView } from '../../src/service/job-service.js';
import { CHUNK, type Pair, pairIn, scratchFolder } from '../support/copying.js';
import { Shelf } from '../support/memory-store.js';
import { startServiceHost } from '../support/service-host.js';
import { moves, OWNER, reaches, testService } from '../support/services.js';

const SIZE = 4 * MiB + 4097;
const NO_RATES = { all: 0, foreground: 0, high: 0, normal: 0, low: 0 };

function specOf(pairs: readonly Pair[], more: Partial<JobSpec> = {}): JobSpec {
  return {
    files: pairs.map(({ source, target }) => ({ source, target })),
    options: { chunkBytes: CHUNK, reflink: 'never' },
    autoComplete: true,
    ...more,
  };
}

/** What a machine that has other things to do makes long. */
const AROUND: readonly Cause[] = ['opening', 'committing', 'worker', 'flush', 'queue', 'idle', 'between'];

/** Of the time in which bytes might have moved. */
const mostly = (total: TimeByCause): Cause =>
  CAUSES.filter((cause) => !AROUND.includes(cause)).reduce((most, cause) =>
    (total[cause] ?? 0) > (total[most] ?? 0) ? cause : most,
  );

/** All of it is told, within 2 %, in total and stretch by stretch. */
function expectAllTold(time: TimeView | undefined, wallMs: number): void {
  const told = totalTime(time?.total ?? {});
  expect(Math.abs(told - wallMs)).toBeLessThanOrEqual(0.02 * wallMs + 50);
  const spans = (time?.spans ?? []).reduce((sum, span) => sum + totalTime(span), 0);
  expect(Math.abs(spans - told)).toBeLessThan(1);
}

test('all of the time of a job is told by cause, and that of a limited one is mostly the limit', async () => {
  for (const [rates, own, cause] of [
    [NO_RATES, 4 * MiB, 'limit'],
    [{ ...NO_RATES, normal: 4 * MiB }, 0, 'classLimit'],
    [{ ...NO_RATES, all: 4 * MiB }, 0, 'allLimit'],
  ] as const) {
    const { service } = await testService(new Shelf(), { rates });
    const pairs = ['one', 'two'].map((seed) => pairIn(scratchFolder(), SIZE, seed));
    const { id } = await service.create(specOf(pairs, { limitBytesPerSecond: own }), OWNER);
    await reaches(service, id, 'acknowledged');
    const { time, createdAt, changedAt } = service.get(id, OWNER);
    expectAllTold(time, changedAt - createdAt);
    expect(mostly(time?.total ?? {})).toBe(cause);
    expect(time?.total[cause]).toBeGreaterThan(3 * (time?.total.targetWrite ?? 0));
    await service.close();
  }
});

test('a limit that a window of the policy sets is told as that of a window', async () => {
  const days = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];
  const always = { name: 'all week', days, from: '00:00', to: '00:00', rates: { all: 4 * MiB } };
  const { service } = await testService(new Shelf(), { windows: [always] });
  const { id } = await service.create(specOf([pairIn(scratchFolder(), SIZE, 'one')]), OWNER);
  await reaches(service, id, 'acknowledged');
  expect(mostly(service.get(id, OWNER).time?.total ?? {})).toBe('windowLimit');
});

test('the time in the queue is told, with the jobs that it stood behind, and which it had to stop for', async () => {
  const { service } = await testService(new Shelf(), { jobsAtOnce: 1 });
  const [low, high] = [pairIn(scratchFolder(), SIZE, 'low'), pairIn(scratchFolder(), SIZE, 'high')];
  const slow = { limitBytesPerSecond: 2 * MiB };
  const { id } = await service.create(specOf([low], { ...slow, priority: 'low' }), OWNER);
  await moves(service, id, MiB);
  const higher = await service.create(specOf([high], { ...slow, priority: 'high', name: 'the high one' }), OWNER);
  await reaches(service, id, 'queued');
  await reaches(service, higher.id, 'acknowledged');
  await service.change(id, { limitBytesPerSecond: 0 }, OWNER);
  await reaches(service, id, 'acknowledged');
  const { time, createdAt, changedAt } = service.get(id, OWNER);
  expectAllTold(time, changedAt - createdAt);
  const queued = time?.total.queue ?? 0;
  expect(queued).toBeGreaterThan(1000);
  expect(time?.behind).toMatchObject([{ job: higher.id, name: 'the high one', preempted: 1 }]);
  expect(time?.behind[0]?.ms).toBeGreaterThan(0.9 * queued);
  // What it is shown to others is how long, and nothing else.
  const bob = { name: 'bob', admin: false };
  const theirs = await service.create(specOf([], { suspended: true }), bob);
  expect(service.get(theirs.id, bob).time?.behind).toEqual([]);
});

test('what a job waits for its user is no time of its copying', async () => {
  const { service } = await testService(new Shelf());
  const { id } = await service.create(specOf([pairIn(scratchFolder(), SIZE, 'one')], { suspended: true }), OWNER);
  await systemClock.sleep(300);
  await service.resume(id, OWNER);
  await service.change(id, { autoComplete: false }, OWNER);
  await reaches(service, id, 'transferred');
  await systemClock.sleep(300);
  await service.complete(id, OWNER);
  const { total = {} } = service.get(id, OWNER).time ?? {};
  expect(total.suspended).toBeGreaterThan(250);
  expect(total.held).toBeGreaterThan(250);
});

test('after kill -9 and a start the time before is still there, and the time between is told as that', async () => {
  const host = await startServiceHost();
  onTestFinished(() => host.stop());
  const { client } = host;
  const pair = pairIn(scratchFolder(), SIZE, 'one');
  const { id } = await client.create(specOf([pair], { limitBytesPerSecond: MiB }));
  const limited = async (): Promise<number> => (await client.get(id)).time?.total.limit ?? 0;
  while ((await limited()) < 1500) await systemClock.sleep(50);
  await systemClock.sleep(600);
  await host.kill();
  await systemClock.sleep(500);
  await host.start();
  // What was last told may not have been stored yet.
  expect(await limited()).toBeGreaterThan(500);
  await client.change(id, { limitBytesPerSecond: 0 });
  while ((await client.get(id)).state !== 'acknowledged') await systemClock.sleep(50);
  const { time, createdAt, changedAt } = await client.get(id);
  expectAllTold(time, changedAt - createdAt);
  expect(time?.total.away).toBeGreaterThan(450);
  expect((await client.why(id)).time?.total).toEqual(time?.total);
});
