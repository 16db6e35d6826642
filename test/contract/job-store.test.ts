import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { systemClock } from '../../src/core/clock.js';
import type { Job } from '../../src/service/job.js';
import type { JobStore, StoredState } from '../../src/service/job-store.js';
import { SqliteStore } from '../../src/service/store/sqlite-store.js';
import { MemoryStore, Shelf } from '../support/memory-store.js';
import { fileWith, jobWith, progressOf, toldOf, withProgress } from '../support/stored-jobs.js';

/** Opens what was left by the one that was opened before. */
type Opener = () => JobStore;

function memory(): Opener {
  const shelf = new Shelf();
  return () => new MemoryStore(shelf);
}

function sqlite(): Opener {
  const folder = mkdtempSync(join(tmpdir(), 'job-store-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return () => new SqliteStore({ folder, clock: systemClock });
}

/** Uses a store until it is closed. */
async function using<T>(open: Opener, work: (store: JobStore, state: StoredState) => Promise<T>): Promise<T> {
  const store = open();
  try {
    return await work(store, await store.load());
  } finally {
    await store.close();
  }
}

const reopened = (open: Opener): Promise<StoredState> => using(open, async (_store, state) => state);

describe.each([
  ['the store in memory', memory],
  ['the SQLite store', sqlite],
])('%s', (_name, newOpener) => {
  test('begins empty', async () => {
    expect(await reopened(newOpener())).toEqual({ jobs: [], told: [], notes: [] });
  });

  test('gives back every job as it was put, in the order of their creation', async () => {
    const open = newOpener();
    const error = { code: 'E_NETWORK', message: 'reset', hint: 'Try again.', retryAfterMs: 1.5 } as const;
    const jobs: readonly Job[] = [
      jobWith({ name: 'ünïcode \u0000 "quotes" \'and\' ; DROP TABLE jobs' }),
      jobWith({ state: 'transient-error', error, retryAt: 1_790_000_000_123.5, retries: 3 }),
      jobWith({ notify: ['/bin/true', '--x'], webhook: { url: 'https://example.org/hook', secret: 's' } }),
      jobWith({ kind: 'migration', priority: 'foreground', files: [] }),
      jobWith({ state: 'acknowledged' }, 300),
      jobWith({ files: [fileWith(0, { state: 'failed', size: 2 ** 45, bytesDone: 7, root: 'ab', error })] }),
    ];
    await using(open, (store) => store.put(jobs, []));
    expect((await reopened(open)).jobs).toEqual(jobs);
  });

  test('keeps the last that was put of a job, and its place among the others', async () => {
    const open = newOpener();
    const [first, second] = [jobWith(), jobWith()];
    const changed = { ...first, state: 'transferring', files: [...first.files, fileWith(2)] } as const;
    const shorter = { ...second, files: second.files.slice(0, 1) };
    await using(open, async (store) => {
      await store.put([first], []);
      await store.put([second], []);
      await store.put([changed, shorter], []);
    });
    expect((await reopened(open)).jobs).toEqual([changed, shorter]);
    await using(open, (store) => store.put([first], []));
    expect((await reopened(open)).jobs).toEqual([first, shorter]);
  });

  test('puts that are made at the same time are all stored, each in its turn', async () => {
    const open = newOpener();
    const jobs = Array.from({ length: 40 }, () => jobWith());
    const later = jobs.map((job) => ({ ...job, state: 'suspended' as const }));
    await using(open, async (store) => {
      const puts = [...jobs, ...later].map((job, n) => store.put([job], [toldOf(n + 1, job)]));
      await Promise.all(puts);
    });
    const { jobs: found, told } = await reopened(open);
    expect(found).toEqual(later);
    expect(told.map(({ id }) => id)).toEqual(Array.from({ length: 80 }, (_, n) => n + 1));
  });

  test('keeps the progress of files, and of those alone that went on', async () => {
    const open = newOpener();
    const job = jobWith({}, 3);
    const early = progressOf(job, [fileWith(0, { state: 'copying', bytesDone: 1 }), fileWith(1, { bytesDone: 5 })]);
    const late = progressOf(job, [fileWith(1, { state: 'copying', bytesDone: 9 })], { transferMs: 70_000 });
    await using(open, async (store) => {
      await store.put([job], []);
      store.progress([early]);
      store.progress([late]);
    });
    expect((await reopened(open)).jobs).toEqual([withProgress(withProgress(job, early), late)]);
  });

  test('what is put of a job counts more than its progress before, and less than its progress after', async () => {
    const open = newOpener();
    const job = jobWith();
    const suspended = { ...job, state: 'suspended' as const, files: [fileWith(0, { bytesDone: 50 }), fileWith(1)] };
    const after = progressOf(suspended, [fileWith(1, { bytesDone: 60 })]);
    await using(open, async (store) => {
      store.progress([progressOf(job, [fileWith(0, { bytesDone: 10 })])]);
      const first = store.put([job], []);
      store.progress([progressOf(job, [fileWith(0, { bytesDone: 40 }), fileWith(1, { bytesDone: 40 })])]);
      await first;
      const second = store.put([suspended], []);
      store.progress([after]);
      await second;
    });
    expect((await reopened(open)).jobs).toEqual([withProgress(suspended, after)]);
  });

  test('a job that was put back to what it was before its progress is stored so', async () => {
    const open = newOpener();
    const job = jobWith();
    await using(open, async (store) => {
      await store.put([job], []);
      store.progress([progressOf(job, [fileWith(0, { bytesDone: 10 })])]);
      await store.put([jobWith()], []);
      await store.put([job], []);
    });
    expect((await reopened(open)).jobs[0]).toEqual(job);
  });

  test('forgets what is removed, and takes no progress of it', async () => {
    const open = newOpener();
    const [kept, gone, never] = [jobWith(), jobWith(), jobWith()];
    await using(open, async (store) => {
      await store.put([kept, gone], [toldOf(1, gone)]);
      await store.remove([gone.id, never.id]);
      store.progress([gone, never].map((job) => progressOf(job, [fileWith(0, { bytesDone: 1 })])));
    });
    const { jobs, told } = await reopened(open);
    expect(jobs).toEqual([kept]);
    expect(told).toEqual([toldOf(1, gone)]);
    await using(open, (store) => store.put([gone], []));
    expect((await reopened(open)).jobs).toEqual([kept, gone]);
  });

  test('keeps the newest 10,000 events, the oldest first', async () => {
    const open = newOpener();
    const job = jobWith();
    const told = Array.from({ length: 12_345 }, (_, n) => toldOf(n + 1, job));
    await using(open, async (store) => {
      await store.put([job], told.slice(0, 9_000));
      for (let at = 9_000; at < told.length; at += 700) await store.put([], told.slice(at, at + 700));
    });
    expect((await reopened(open)).told).toEqual(told.slice(-10_000));
  });

  test('can be closed twice, and unused', async () => {
    const open = newOpener();
    await open().close();
    const store = open();
    await store.load();
    await store.close();
    await store.close();
  });
});
