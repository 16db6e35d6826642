/** Jobs as their owners know them: what each call does, and what becomes of the files. */
import { closeSync, existsSync, openSync, readFileSync, renameSync, writeFileSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import type { JobState } from '../../src/core/events.js';
import { MiB } from '../../src/core/units.js';
import { copy } from '../../src/index.js';
import { type JobCall, MOVES } from '../../src/service/job.js';
import type { Caller, JobSpec } from '../../src/service/job-service.js';
import type { Service } from '../../src/service/service.js';
import {
  CHUNK,
  expectClear,
  expectDone,
  failureOf,
  makeFile,
  type Pair,
  pairIn,
  scratchFolder,
} from '../support/copying.js';
import { Shelf } from '../support/memory-store.js';
import { moves, OWNER, reaches, testService } from '../support/services.js';

const SIZE = 3 * MiB + 4097;

function specOf(pairs: readonly Pair[], more: Partial<JobSpec> = {}): JobSpec {
  return {
    files: pairs.map(({ source, target }) => ({ source, target })),
    options: { chunkBytes: CHUNK, reflink: 'never' },
    ...more,
  };
}

test('a job is transferred, and its files get their names when it is completed, and not before', async () => {
  const { service } = await testService(new Shelf());
  const pairs = [pairIn(scratchFolder(), SIZE, 'one'), pairIn(scratchFolder(), SIZE + 5, 'two')];
  const { id } = await service.create(specOf(pairs), OWNER);
  const whole = await reaches(service, id, 'transferred');
  expect(whole.progress).toMatchObject({ bytesDone: 2 * SIZE + 5, bytesTotal: 2 * SIZE + 5, filesDone: 2 });
  for (const { target, part } of pairs) expect([existsSync(target), existsSync(part)]).toEqual([false, true]);
  const done = await service.complete(id, OWNER);
  expect(done).toMatchObject({ state: 'acknowledged', committed: 2, left: 0 });
  for (const pair of pairs) expectDone(pair);
  expect(service.get(id, OWNER).files.map(({ state }) => state)).toEqual(['committed', 'committed']);
});

test('a job that completes itself has its files under their names at the end', async () => {
  const { service } = await testService(new Shelf());
  const pairs = ['one', 'two', 'three', 'four'].map((seed) => pairIn(scratchFolder(), SIZE, seed));
  const { id } = await service.create(specOf(pairs, { autoComplete: true }), OWNER);
  await reaches(service, id, 'acknowledged');
  for (const pair of pairs) expectDone(pair);
});

test('a job that is suspended keeps what it has, and goes on from it', async () => {
  const { service } = await testService(new Shelf());
  const pair = pairIn(scratchFolder(), SIZE);
  const { id } = await service.create(specOf([pair], { autoComplete: true, limitBytesPerSecond: 2 * MiB }), OWNER);
  await moves(service, id, MiB);
  expect(await service.suspend(id, OWNER)).toMatchObject({ state: 'suspended' });
  expect(existsSync(pair.part)).toBe(true);
  await service.change(id, { limitBytesPerSecond: 0 }, OWNER);
  await service.resume(id, OWNER);
  const { progress } = await reaches(service, id, 'acknowledged');
  expect(progress.bytesReused).toBeGreaterThanOrEqual(MiB - 4 * CHUNK);
  expectDone(pair);
});

test('a job that is made suspended does nothing until it is resumed, and may be given files first', async () => {
  const { service } = await testService(new Shelf());
  const pair = pairIn(scratchFolder(), SIZE);
  const { id } = await service.create({ files: [], suspended: true, name: 'empty' }, OWNER);
  expectClear(await failureOf(service.resume(id, OWNER)), { code: 'E_USAGE', exitCode: 2, names: 'empty' });
  await service.addFiles(id, [{ source: pair.source, target: pair.target }], OWNER);
  expect(existsSync(pair.part)).toBe(false);
  await service.resume(id, OWNER);
  await reaches(service, id, 'transferred');
  await service.complete(id, OWNER);
  expectDone(pair);
});

test('a cancelled job leaves nothing, unless what was copied is to be kept: any copy goes on from it', async () => {
  const { service } = await testService(new Shelf());
  for (const keepPartial of [false, true]) {
    const pair = pairIn(scratchFolder(), SIZE);
    const { id } = await service.create(specOf([pair], { limitBytesPerSecond: 4 * MiB }), OWNER);
    await moves(service, id, MiB);
    expect(await service.cancel(id, { keepPartial }, OWNER)).toMatchObject({ state: 'cancelled' });
    expect([pair.target, pair.part, pair.journal].map(existsSync)).toEqual([false, keepPartial, keepPartial]);
    const { bytesReused } = await copy({ ...pair, chunkBytes: CHUNK }).result;
    expect(bytesReused > 0).toBe(keepPartial);
    expectDone(pair);
  }
});

test('a job that is completed early keeps the files that are whole, and lets go of the others', async () => {
  const { service } = await testService(new Shelf(), { filesAtOnce: 1 });
  const [whole, half] = [pairIn(scratchFolder(), CHUNK, 'one'), pairIn(scratchFolder(), SIZE, 'two')];
  const { id } = await service.create(specOf([whole, half], { limitBytesPerSecond: MiB }), OWNER);
  await moves(service, id, 2 * CHUNK);
  const done = await service.complete(id, OWNER);
  expect(done).toMatchObject({ state: 'acknowledged', committed: 1, left: 1 });
  expectDone(whole);
  expect([half.target, half.part, half.journal].map(existsSync)).toEqual([false, false, false]);
});

test('what was written to while it waited for its name is mended before it gets it', async () => {
  const { service } = await testService(new Shelf());
  const pair = pairIn(scratchFolder(), SIZE);
  const { id } = await service.create(specOf([pair]), OWNER);
  await reaches(service, id, 'transferred');
  const part = openSync(pair.part, 'r+');
  writeSync(part, 'spoiled', CHUNK + 7);
  closeSync(part);
  expect(await service.complete(id, OWNER)).toMatchObject({ state: 'acknowledged', committed: 1, left: 0 });
  expectDone(pair);
});

test('a completion that failed can be repeated: nothing is copied again', async () => {
  const { service } = await testService(new Shelf());
  const pair = pairIn(scratchFolder(), SIZE);
  const { id } = await service.create(specOf([pair]), OWNER);
  await reaches(service, id, 'transferred');
  writeFileSync(pair.target, 'in the way');
  const failure = await failureOf(service.complete(id, OWNER));
  expectClear(failure, { code: 'E_TARGET_EXISTS', exitCode: 2, names: pair.target });
  expect(service.get(id, OWNER)).toMatchObject({ state: 'transferred', error: { code: 'E_TARGET_EXISTS' } });
  expect(readFileSync(pair.target, 'latin1')).toBe('in the way');
  renameSync(pair.target, join(pair.folder, 'aside'));
  await service.complete(id, OWNER);
  expect(service.get(id, OWNER).files[0]).toMatchObject({ state: 'committed' });
  renameSync(join(pair.folder, 'aside'), join(scratchFolder(), 'aside'));
  expectDone(pair);
});

test('what is missing at the start is an error that says so, and the job goes on when it is there', async () => {
  const { service } = await testService(new Shelf());
  const pair = pairIn(scratchFolder(), SIZE);
  renameSync(pair.source, `${pair.source}.away`);
  const { id } = await service.create(specOf([pair], { autoComplete: true }), OWNER);
  const failed = await reaches(service, id, 'error');
  expect(failed.error).toMatchObject({ code: 'E_SOURCE_MISSING' });
  expect(service.why(id, OWNER)).toMatchObject({ state: 'error', sentence: expect.stringContaining(pair.source) });
  renameSync(`${pair.source}.away`, pair.source);
  await service.resume(id, OWNER);
  await reaches(service, id, 'acknowledged');
  expectDone(pair);
});

test('what goes away for a while is a transient error, with its code and the time of the next try', async () => {
  const { service } = await testService(new Shelf());
  const pair = pairIn(scratchFolder(), SIZE);
  const { id } = await service.create(
    specOf([pair], { autoComplete: true, limitBytesPerSecond: 4 * MiB, retryDelayMsMin: 1000 }),
    OWNER,
  );
  await moves(service, id, MiB);
  await service.suspend(id, OWNER);
  renameSync(pair.source, `${pair.source}.away`);
  await service.resume(id, OWNER);
  const waiting = await reaches(service, id, 'transient-error');
  expect(waiting.error).toMatchObject({ code: 'E_SOURCE_MISSING' });
  expect(waiting.retryAt).toBeGreaterThanOrEqual(waiting.createdAt + 1000);
  expect(service.why(id, OWNER)).toMatchObject({ rule: 'retry', until: waiting.retryAt });
  renameSync(`${pair.source}.away`, pair.source);
  // By itself, when the time has come.
  await reaches(service, id, 'acknowledged');
  expectDone(pair);
});

/** A job in that state, made with the least that it takes. */
async function jobIn(state: JobState, service: Service): Promise<string> {
  const pair = pairIn(scratchFolder(), CHUNK);
  if (state === 'error') renameSync(pair.source, `${pair.source}.away`);
  const slow = state === 'transferring' ? { limitBytesPerSecond: 1024 } : {};
  const { id } = await service.create(specOf([pair], { suspended: state === 'suspended', ...slow }), OWNER);
  if (state === 'acknowledged') {
    await reaches(service, id, 'transferred');
    await service.complete(id, OWNER);
  } else if (state === 'cancelled') await service.cancel(id, { keepPartial: false }, OWNER);
  else await reaches(service, id, state);
  return id;
}

const CALLS: Readonly<Record<JobCall, (service: Service, id: string) => Promise<unknown>>> = {
  addFiles: (service, id) => service.addFiles(id, [], OWNER),
  suspend: (service, id) => service.suspend(id, OWNER),
  resume: (service, id) => service.resume(id, OWNER),
  cancel: (service, id) => service.cancel(id, { keepPartial: false }, OWNER),
  complete: (service, id) => service.complete(id, OWNER),
  change: (service, id) => service.change(id, { priority: 'low' }, OWNER),
  replacePrefix: (service, id) => service.replacePrefix(id, '/nowhere', '/elsewhere', OWNER),
};

test('a call that does not fit the state of a job is refused, changes nothing, and says what fits', async () => {
  const { service } = await testService(new Shelf());
  for (const state of ['suspended', 'transferring', 'transferred', 'error', 'acknowledged', 'cancelled'] as const) {
    const id = await jobIn(state, service);
    for (const call of (Object.keys(CALLS) as JobCall[]).filter((name) => !MOVES[name].includes(state))) {
      const failure = await failureOf(CALLS[call](service, id));
      expectClear(failure, { code: 'E_JOB_STATE', exitCode: 2, names: id });
      for (const [legal, states] of Object.entries(MOVES)) {
        expect(failure.hint?.includes(legal) ?? false, `${state} ${legal}`).toBe(states.includes(state));
      }
      expect(service.get(id, OWNER).state).toBe(state);
    }
  }
});

test('an owner sees and moves only their own jobs; to others these do not exist', async () => {
  const { service } = await testService(new Shelf());
  const [bob, eve]: Caller[] = [
    { name: 'bob', admin: false },
    { name: 'eve', admin: false },
  ];
  const pair = pairIn(scratchFolder(), CHUNK);
  const { id } = await service.create(specOf([pair], { suspended: true }), bob as Caller);
  expect(service.list(bob as Caller).map((job) => job.id)).toEqual([id]);
  expect(service.list(eve as Caller)).toEqual([]);
  expect(() => service.get(id, eve as Caller)).toThrow(/no job/);
  expectClear(await failureOf(service.cancel(id, { keepPartial: false }, eve as Caller)), {
    code: 'E_NO_JOB',
    exitCode: 2,
    names: id,
  });
  expect(service.list(OWNER).map((job) => job.owner)).toEqual(['bob']);
});

test('sources can be moved to another place together: the job goes on from there', async () => {
  const { service } = await testService(new Shelf());
  const pair = pairIn(scratchFolder(), SIZE);
  const elsewhere = scratchFolder();
  const { id } = await service.create(specOf([pair], { suspended: true, autoComplete: true }), OWNER);
  const moved = join(elsewhere, 'source.img');
  renameSync(pair.source, moved);
  const from = pair.source.slice(0, -'/source.img'.length);
  expect(await service.replacePrefix(id, from, elsewhere, OWNER)).toBe(1);
  expect(service.get(id, OWNER).files[0]?.source).toBe(moved);
  await service.resume(id, OWNER);
  await reaches(service, id, 'acknowledged');
  expectDone({ ...pair, source: moved });
});

test('what is asked for is checked before anything is kept', async () => {
  const { service } = await testService(new Shelf());
  const pair = pairIn(scratchFolder(), CHUNK);
  const file = { source: pair.source, target: pair.target };
  const bad: readonly (readonly [unknown, RegExp])[] = [
    [{ files: [] }, /no files/],
    [{ files: [{ source: 'relative.img', target: pair.target }] }, /relative/],
    [{ files: [{ source: 7, target: pair.target }] }, /path or a URL/],
    [{ files: [file], priority: 'urgent' }, /foreground/],
    [{ files: [file], limitBytesPerSecond: -1 }, /bytes per second/],
    [{ files: [file], retryDelayMsMin: 3 }, /1000 or more/],
    [{ files: [file], notify: ['rm', '-rf'] }, /program/],
    [{ files: [file], webhook: { url: 'file:///etc/passwd', secret: 'hidden' } }, /http/],
    [{ files: [file], options: { discard: true } }, /no option "discard"/],
    [{ files: [file], options: { chunkBytes: 'big' } }, /chunkBytes/],
    [{ files: [file], surprise: 1 }, /no setting "surprise"/],
    [{ files: [file], name: '' }, /characters/],
    [{ files: [file, { ...file, source: '/other.img' }] }, /two files of the job have the target/],
    [
      { files: [file, { source: '/other/target.img', target: `${dirname(pair.target)}/` }] },
      /two files of the job have the target/,
    ],
  ];
  for (const [spec, says] of bad) {
    const failure = await failureOf(service.create(spec as JobSpec, OWNER));
    expect(failure.code).toBe('E_USAGE');
    expect(failure.message).toMatch(says);
    expect(JSON.stringify(failure)).not.toContain('hidden');
  }
  expect(service.list(OWNER, { all: true })).toEqual([]);
});

test('what is shown of a job has no secrets', async () => {
  const { service } = await testService(new Shelf());
  const target = makeFile(join(scratchFolder(), 'there'), 1) as string;
  const { id } = await service.create(
    {
      files: [{ source: 'https://user:hunter2@example.org/disk.vhd?sig=hunter2', target }],
      webhook: { url: 'https://hooks.example.org/in?key=hunter2', secret: 'hunter2' },
      suspended: true,
    },
    OWNER,
  );
  const shown = JSON.stringify([service.get(id, OWNER), service.list(OWNER), service.why(id, OWNER)]);
  expect(shown).not.toContain('hunter2');
  expect(shown).toContain('example.org/disk.vhd');
});
