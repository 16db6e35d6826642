/** What goes on for long: retries, clocks that are set, files that wait for their names, a storage that hangs. */
import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { type Clock, systemClock } from '../../src/core/clock.js';
import { KiB, MiB } from '../../src/core/units.js';
import type { Job } from '../../src/service/job.js';
import type { JobSpec } from '../../src/service/job-service.js';
import type { Service } from '../../src/service/service.js';
import { PoolRunner } from '../../src/transfer/pool-runner.js';
import type { Work, WorkName } from '../../src/transfer/requests.js';
import {
  bytesOf,
  CHUNK,
  expectDone,
  failureOf,
  makeFile,
  type Pair,
  pairIn,
  scratchFolder,
  targetIn,
} from '../support/copying.js';
import { FullStore, Shelf } from '../support/memory-store.js';
import { OWNER, reaches, testService } from '../support/services.js';

const SIZE = 8 * MiB + 4097;
const HOUR = 3_600_000;
const DAY = 24 * HOUR;

function specOf(pairs: readonly Pick<Pair, 'source' | 'target'>[], more: Partial<JobSpec> = {}): JobSpec {
  return {
    files: pairs.map(({ source, target }) => ({ source, target })),
    options: { chunkBytes: CHUNK, reflink: 'never', check: false },
    ...more,
  };
}

/** The system's, until somebody sets it, or lets more time pass than there was. */
class SetClock implements Clock {
  setMs = 0;
  passedMs = 0;
  nowNs = (): bigint => systemClock.nowNs() + BigInt(this.passedMs) * 1_000_000n;
  wallMs = (): number => systemClock.wallMs() + this.passedMs + this.setMs;
  sleep = systemClock.sleep;
}

/** A storage that never answers when a target is to get its name. */
class HungRunner extends PoolRunner {
  override run<N extends WorkName>(name: N, request: Work[N]['in']): Promise<Work[N]['out']> {
    return name === 'commit-target' ? new Promise(() => undefined) : super.run(name, request);
  }
}

/** A server that has half of a file, and is busy when it is asked for the rest. */
async function halfServer(): Promise<string> {
  const bytes = bytesOf(SIZE, 'half');
  const server = createServer((request, response) => {
    const [, from = '0', to = ''] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
    const end = Math.min(SIZE - 1, to === '' ? SIZE - 1 : Number(to));
    response.setHeader('ETag', '"half"').setHeader('Accept-Ranges', 'bytes');
    if (request.method === 'HEAD') return void response.setHeader('Content-Length', SIZE).end();
    const busy = end >= SIZE / 2 && Number(from) > 0;
    // Long enough for progress to be told.
    if (busy) return void systemClock.sleep(400).then(() => response.writeHead(503).end());
    const range = `bytes ${from}-${end}/${SIZE}`;
    response.writeHead(206, { 'Content-Range': range }).end(bytes.subarray(Number(from), end + 1));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/half.img`;
}

async function retried(service: Service, id: string, retries: number): Promise<void> {
  await vi.waitFor(() => expect(service.get(id, OWNER)).toMatchObject({ state: 'transient-error', retries }), {
    timeout: 55_000,
    interval: 20,
  });
}

test('what is proven again after a failure is no progress: the next retry is later than the one before', {
  timeout: 120_000,
}, async () => {
  const shelf = new Shelf();
  const { service } = await testService(shelf);
  const pair = { source: await halfServer(), ...targetIn(scratchFolder()) };
  // Chunks so small that proving them takes longer than it takes until progress is told.
  const options = { chunkBytes: 4 * KiB, lanes: 1, check: false };
  const { id } = await service.create(specOf([pair], { options, retryDelayMsMin: 1000 }), OWNER);
  await retried(service, id, 1);
  await retried(service, id, 2);
  expect(service.get(id, OWNER).progress.bytesReused).toBeGreaterThan(0);
  const failures = shelf.told.filter(({ event }) => event.type === 'state' && event.state === 'transient-error');
  expect(failures).toHaveLength(2);
});

test.each([-DAY, DAY])(
  'a clock that is set by %s ms makes no job wait longer, and is no time without progress',
  async (setMs) => {
    const clock = new SetClock();
    const { service } = await testService(new Shelf(), {}, { clock });
    const pair = { source: await halfServer(), ...targetIn(scratchFolder()) };
    const delays = { retryDelayMsMin: HOUR / 2, noProgressMsMax: HOUR };
    const { id } = await service.create(specOf([pair], delays), OWNER);
    await retried(service, id, 1);
    clock.setMs = setMs;
    await retried(service, id, 2);
  },
);

test('a clock that is set by a year ends no job as one that nothing happened to', async () => {
  const clock = new SetClock();
  const { service } = await testService(new Shelf(), { historyMs: HOUR }, { clock });
  const pairs = ['one', 'two'].map((seed) => pairIn(scratchFolder(), CHUNK, seed));
  const [waits, ends] = await Promise.all(
    pairs.map((pair) => service.create(specOf([pair], { suspended: true }), OWNER)),
  );
  await service.cancel(ends?.id ?? '', { keepPartial: false }, OWNER);
  clock.setMs = 365 * DAY;
  clock.passedMs = 2 * HOUR;
  await vi.waitFor(() => expect(service.list(OWNER, { all: true })).toHaveLength(1), { timeout: 20_000 });
  expect(service.get(waits?.id ?? '', OWNER).state).toBe('suspended');
});

test('only so many files wait open for their names; all of them can be completed', async () => {
  const { service } = await testService(new Shelf(), {}, { heldMax: 4 });
  const [from, to] = [scratchFolder(), scratchFolder()];
  const pairs = Array.from({ length: 24 }, (_, number) => {
    makeFile(join(from, String(number)), 1000 + number, String(number));
    return { source: join(from, String(number)), ...targetIn(to, String(number)) };
  });
  const descriptors = (): number => readdirSync('/proc/self/fd').length;
  const before = descriptors();
  const jobs = [pairs.slice(0, 12), pairs.slice(12)].map((some) => service.create(specOf(some), OWNER));
  for (const { id } of await Promise.all(jobs)) await reaches(service, id, 'transferred');
  await vi.waitFor(() => expect(descriptors() - before).toBeLessThan(4 * 8 + 24), { timeout: 10_000 });
  for (const { id } of await Promise.all(jobs)) {
    expect(await service.complete(id, OWNER)).toMatchObject({ state: 'acknowledged', committed: 12 });
  }
  for (const pair of pairs) expectDone(pair);
});

test('jobs whose time to be forgotten has come stay while the store is full, and go when it is not', async () => {
  const clock = new SetClock();
  const store = new FullStore(new Shelf());
  const { service, notes } = await testService(new Shelf(), { historyMs: 1000 }, { clock, store });
  const { id } = await service.create(specOf([pairIn(scratchFolder(), CHUNK)], { suspended: true }), OWNER);
  await service.cancel(id, { keepPartial: false }, OWNER);
  store.full = true;
  clock.passedMs = HOUR;
  await vi.waitFor(() => expect(notes.join()).toContain('full'), { timeout: 10_000 });
  expect(service.list(OWNER, { all: true })).toHaveLength(1);
  store.full = false;
  clock.passedMs = 2 * HOUR;
  await vi.waitFor(() => expect(service.list(OWNER, { all: true })).toEqual([]), { timeout: 10_000 });
});

test('as many jobs as the policy allows may wait; those that ended make room for others', async () => {
  const { service } = await testService(new Shelf(), { jobsMax: 2 });
  const spec = specOf([pairIn(scratchFolder(), CHUNK)], { suspended: true });
  const [first, second] = [await service.create(spec, OWNER), await service.create(spec, OWNER)];
  const failure = await failureOf(service.create(spec, OWNER));
  expect(failure).toMatchObject({ code: 'E_USAGE', message: expect.stringContaining('2 jobs under way or waiting') });
  await service.cancel(second.id, { keepPartial: false }, OWNER);
  const third = await service.create(spec, OWNER);
  expect(service.list(OWNER, { all: true }).map(({ id }) => id)).toEqual([first.id, third.id]);
});

test('a storage that does not answer keeps no service from starting again', async () => {
  const shelf = new Shelf();
  const before = await testService(shelf);
  const pair = pairIn(scratchFolder(), SIZE);
  const { id } = await before.service.create(specOf([pair], { suspended: true, autoComplete: true }), OWNER);
  const other = await before.service.create(specOf([pairIn(scratchFolder(), SIZE)], { suspended: true }), OWNER);
  await before.service.close();
  const job = shelf.jobs.get(id) as Job;
  const files = job.files.map((file) => ({ ...file, state: 'committing' as const }));
  shelf.jobs.set(id, { ...job, state: 'transferring', files });
  let answers = (): void => undefined;
  const hangs = new Promise<void>((resolve) => {
    answers = resolve;
  });
  const newRunner = async (): Promise<PoolRunner> => hangs.then(() => new PoolRunner(2));
  const { service } = await testService(shelf, {}, { newRunner });
  expect(await service.change(other.id, { name: 'other' }, OWNER)).toMatchObject({ name: 'other' });
  answers();
  await reaches(service, id, 'acknowledged');
  expectDone(pair);
});

test('a target that was used before the service knew of its name is not replaced unasked', async () => {
  const shelf = new Shelf();
  const before = await testService(shelf);
  const pair = pairIn(scratchFolder(), SIZE);
  writeFileSync(pair.target, 'the old one');
  const options = { overwrite: true, reflink: 'never' } as const;
  const { id } = await before.service.create(specOf([pair], { autoComplete: true, options }), OWNER);
  const puts: Job[] = [];
  const put = shelf.jobs.set.bind(shelf.jobs);
  shelf.jobs.set = (key, job) => {
    puts.push(job);
    return put(key, job);
  };
  await reaches(before.service, id, 'acknowledged');
  await before.service.close();
  // As a service leaves it that is killed when the target has its name.
  shelf.jobs.set(id, puts.find(({ files }) => files[0]?.state === 'committing') as Job);
  writeFileSync(pair.target, 'what a guest wrote', { flag: 'r+' });
  const { service } = await testService(shelf);
  const { error } = await vi.waitFor(() => {
    const job = service.get(id, OWNER);
    expect(job.state).toBe('error');
    return job;
  });
  expect(error).toMatchObject({ code: 'E_TARGET_CHANGED', hint: expect.stringContaining('resume copies again') });
  expect(readFileSync(pair.target, 'latin1')).toMatch(/^what a guest wrote/);
  await service.resume(id, OWNER);
  await reaches(service, id, 'acknowledged');
  expectDone(pair);
});

test('what the store could not take is stored as soon as it can, though nothing else happens to the job', async () => {
  const shelf = new Shelf();
  const store = new FullStore(shelf);
  const { service } = await testService(shelf, {}, { store });
  const pair = pairIn(scratchFolder(), SIZE);
  renameSync(pair.source, `${pair.source}.away`);
  const { id } = await service.create(specOf([pair]), OWNER);
  store.full = true;
  await reaches(service, id, 'error').catch(() => undefined);
  expect(shelf.jobs.get(id)?.state).not.toBe('error');
  store.full = false;
  await vi.waitFor(() => expect(shelf.jobs.get(id)?.state).toBe('error'), { timeout: 10_000 });
});

test('a service ends though a storage does not answer while it gives a target its name', async () => {
  const clock = { ...systemClock, sleep: (ms: number, signal?: AbortSignal) => systemClock.sleep(ms / 20, signal) };
  const { service } = await testService(new Shelf(), {}, { clock, newRunner: async () => new HungRunner(2) });
  const pair = pairIn(scratchFolder(), CHUNK);
  const { id } = await service.create(specOf([pair]), OWNER);
  await reaches(service, id, 'transferred');
  void service.complete(id, OWNER);
  await vi.waitFor(() => expect(service.get(id, OWNER).files[0]?.state).toBe('committing'));
  await service.close();
});
