/** Calls at awkward moments: while threads start, between files, in a job that failed, with a store that is full. */
import { existsSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { systemClock } from '../../src/core/clock.js';
import { MiB } from '../../src/core/units.js';
import type { JobSpec } from '../../src/service/job-service.js';
import { PoolRunner } from '../../src/transfer/pool-runner.js';
import { CHUNK, expectDone, failureOf, type Pair, pairIn, scratchFolder } from '../support/copying.js';
import { FullStore, Shelf } from '../support/memory-store.js';
import { moves, OWNER, reaches, testService } from '../support/services.js';

const SIZE = 3 * MiB + 4097;

function specOf(pairs: readonly Pair[], more: Partial<JobSpec> = {}): JobSpec {
  return {
    files: pairs.map(({ source, target }) => ({ source, target })),
    options: { chunkBytes: CHUNK, reflink: 'never' },
    ...more,
  };
}

/** Threads that start when the test lets them. */
function gatedRunner(): { readonly newRunner: () => Promise<PoolRunner>; readonly open: () => void } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  const newRunner = async (): Promise<PoolRunner> => {
    await opened;
    return new PoolRunner(2);
  };
  return { newRunner, open };
}

test.each(['suspend', 'cancel'] as const)(
  'a job that completes itself stops for %s though its threads are only starting',
  async (call) => {
    const { newRunner, open } = gatedRunner();
    const { service } = await testService(new Shelf(), {}, { newRunner });
    const pair = pairIn(scratchFolder(), SIZE);
    const { id } = await service.create(specOf([pair], { autoComplete: true }), OWNER);
    await reaches(service, id, 'connecting');
    const called = call === 'suspend' ? service.suspend(id, OWNER) : service.cancel(id, { keepPartial: false }, OWNER);
    open();
    await called;
    expect([pair.target, pair.part].map(existsSync)).toEqual([false, false]);
    expect(service.get(id, OWNER).files[0]?.state).toBe('waiting');
  },
);

test('a job that completes itself makes way for a higher one though its threads are only starting', async () => {
  const { newRunner, open } = gatedRunner();
  const { service } = await testService(new Shelf(), { jobsAtOnce: 1 }, { newRunner });
  const [low, high] = [pairIn(scratchFolder(), SIZE, 'low'), pairIn(scratchFolder(), SIZE, 'high')];
  const lower = await service.create(specOf([low], { priority: 'low', autoComplete: true }), OWNER);
  await reaches(service, lower.id, 'connecting');
  const slow = { priority: 'high', autoComplete: true, limitBytesPerSecond: MiB } as const;
  const higher = await service.create(specOf([high], slow), OWNER);
  await reaches(service, lower.id, 'queued');
  open();
  await moves(service, higher.id, MiB);
  expect([existsSync(low.target), service.get(lower.id, OWNER).state]).toEqual([false, 'queued']);
  await service.change(higher.id, { limitBytesPerSecond: 0 }, OWNER);
  await reaches(service, lower.id, 'acknowledged');
  expectDone(low);
});

test('a job that is not to complete itself any more gives no further file its name', async () => {
  const { service } = await testService(new Shelf());
  const pair = pairIn(scratchFolder(), SIZE);
  const { id } = await service.create(specOf([pair], { autoComplete: true, limitBytesPerSecond: 2 * MiB }), OWNER);
  await moves(service, id, MiB);
  await service.change(id, { autoComplete: false, limitBytesPerSecond: 0 }, OWNER);
  await reaches(service, id, 'transferred');
  expect(existsSync(pair.target)).toBe(false);
  await service.complete(id, OWNER);
  expectDone(pair);
});

test('a job that is to complete itself from now on completes, also where files were whole before', async () => {
  const { service } = await testService(new Shelf(), { filesAtOnce: 1 });
  const pairs = [pairIn(scratchFolder(), CHUNK, 'one'), pairIn(scratchFolder(), SIZE, 'two')];
  const running = await service.create(specOf(pairs, { limitBytesPerSecond: MiB }), OWNER);
  await moves(service, running.id, 3 * CHUNK);
  await service.change(running.id, { autoComplete: true, limitBytesPerSecond: 0 }, OWNER);
  await reaches(service, running.id, 'acknowledged');
  for (const pair of pairs) expectDone(pair);
  const pair = pairIn(scratchFolder(), SIZE);
  const whole = await service.create(specOf([pair]), OWNER);
  await reaches(service, whole.id, 'transferred');
  await service.change(whole.id, { autoComplete: true }, OWNER);
  await reaches(service, whole.id, 'acknowledged');
  expectDone(pair);
});

test('files that are added to a job without a slot are not copied until it has one', async () => {
  const { service, policies } = await testService(new Shelf(), { jobsAtOnce: 1 });
  const [bad, added, other, late] = ['bad', 'added', 'other', 'late'].map((seed) =>
    pairIn(scratchFolder(), SIZE, seed),
  );
  if (!bad || !added || !other || !late) throw new Error('four pairs were made');
  renameSync(bad.source, `${bad.source}.away`);
  const failing = await service.create(specOf([bad], { autoComplete: true }), OWNER);
  await reaches(service, failing.id, 'error');
  await service.addFiles(failing.id, [{ source: added.source, target: added.target }], OWNER);
  const whole = await service.create(specOf([other]), OWNER);
  await reaches(service, whole.id, 'transferred');
  expect(existsSync(added.target)).toBe(false);
  const busy = pairIn(scratchFolder(), SIZE, 'busy');
  const first = await service.create(specOf([busy], { priority: 'high', limitBytesPerSecond: MiB }), OWNER);
  await moves(service, first.id, CHUNK);
  await service.addFiles(whole.id, [{ source: late.source, target: late.target }], OWNER);
  policies.change({ filesAtOnce: 3 });
  await moves(service, first.id, MiB);
  expect([existsSync(late.part), service.get(whole.id, OWNER).state]).toEqual([false, 'queued']);
  await service.change(first.id, { limitBytesPerSecond: 0 }, OWNER);
  await reaches(service, whole.id, 'transferred');
  await service.complete(whole.id, OWNER);
  expectDone(late);
});

test('what was copied from a place that the job left is not taken for what lies at the new one', async () => {
  const { service } = await testService(new Shelf(), { jobsAtOnce: 1 });
  const [low, high] = [pairIn(scratchFolder(), SIZE, 'low'), pairIn(scratchFolder(), SIZE, 'high')];
  const elsewhere = pairIn(scratchFolder(), SIZE, 'another image');
  const lower = await service.create(
    specOf([low], { priority: 'low', autoComplete: true, limitBytesPerSecond: 2 * MiB }),
    OWNER,
  );
  await moves(service, lower.id, MiB);
  const higher = await service.create(specOf([high], { priority: 'high', limitBytesPerSecond: MiB }), OWNER);
  await reaches(service, lower.id, 'queued');
  await service.replacePrefix(lower.id, low.source, elsewhere.source, OWNER);
  await service.change(lower.id, { limitBytesPerSecond: 0 }, OWNER);
  await service.cancel(higher.id, { keepPartial: false }, OWNER);
  const refused = await reaches(service, lower.id, 'error');
  expect(refused.error?.code).toBe('E_PART_OTHER_SOURCE');
  expect(existsSync(low.target)).toBe(false);
});

test('a cancelled job leaves nothing, however early it is cancelled', async () => {
  const { service } = await testService(new Shelf());
  for (let at = 0; at < 8; at++) {
    const pair = pairIn(scratchFolder(), SIZE);
    const { id } = await service.create(specOf([pair], { limitBytesPerSecond: 64 * 1024 }), OWNER);
    while (!existsSync(pair.part)) await systemClock.sleep(1);
    if (at % 2) await service.suspend(id, OWNER);
    await service.cancel(id, { keepPartial: false }, OWNER);
    expect([pair.target, pair.part, pair.journal].map(existsSync)).toEqual([false, false, false]);
  }
});

test('a call that cannot be put on record says so, and the service lives', async () => {
  const store = new FullStore();
  const { service } = await testService(new Shelf(), {}, { store });
  for (const call of ['suspend', 'cancel'] as const) {
    store.full = false;
    const pair = pairIn(scratchFolder(), SIZE);
    const { id } = await service.create(specOf([pair], { limitBytesPerSecond: MiB }), OWNER);
    await moves(service, id, CHUNK);
    store.full = true;
    const failure = await failureOf(
      call === 'suspend' ? service.suspend(id, OWNER) : service.cancel(id, { keepPartial: false }, OWNER),
    );
    expect(failure.code).toBe('E_STORE');
  }
});

test('files that could not be put on record are not added: whoever adds them again has them once', async () => {
  const shelf = new Shelf();
  const store = new FullStore(shelf);
  const { service } = await testService(shelf, {}, { store });
  const pair = pairIn(scratchFolder(), CHUNK);
  const { id } = await service.create(specOf([pair], { suspended: true }), OWNER);
  store.full = true;
  const file = { source: pair.source, target: join(pair.folder, 'another') };
  expect((await failureOf(service.addFiles(id, [file], OWNER))).code).toBe('E_STORE');
  expect(service.get(id, OWNER).files).toHaveLength(1);
  store.full = false;
  await service.addFiles(id, [file], OWNER);
  expect(service.get(id, OWNER).files).toHaveLength(2);
  expect(shelf.jobs.get(id)?.files).toHaveLength(2);
});

test('a service whose store is full ends all the same', async () => {
  const shelf = new Shelf();
  const store = new FullStore(shelf);
  const { service } = await testService(shelf, {}, { store });
  const pair = pairIn(scratchFolder(), SIZE);
  const { id } = await service.create(specOf([pair], { limitBytesPerSecond: MiB }), OWNER);
  await moves(service, id, CHUNK);
  store.full = true;
  await service.close();
  store.full = false;
  const again = await testService(shelf, {}, { store });
  await again.service.change(id, { limitBytesPerSecond: 0 }, OWNER);
  expect(await reaches(again.service, id, 'transferred')).toMatchObject({ progress: { bytesDone: SIZE } });
});
