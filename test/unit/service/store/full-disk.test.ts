import { execFileSync } from 'node:child_process';
import { rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { TransferError } from '../../../../src/core/errors.js';
import type { Job } from '../../../../src/service/job.js';
import type { SqliteStore } from '../../../../src/service/store/sqlite-store.js';
import { AskedClock, until } from '../../../support/asked-clock.js';
import { mounted } from '../../../support/mounts.js';
import { commandAvailable } from '../../../support/servers.js';
import { StoreFolder } from '../../../support/store-folder.js';
import { fileWith, jobWith, progressOf, toldOf, withProgress } from '../../../support/stored-jobs.js';

const bulky = (changes: Partial<Job> = {}): Job => jobWith({ reason: 'r'.repeat(20_000), ...changes });

/** Puts jobs until one is refused. */
async function putUntilRefused(store: SqliteStore): Promise<{ readonly stored: Job[]; readonly error: TransferError }> {
  const stored: Job[] = [];
  for (;;) {
    const job = bulky();
    try {
      await store.put([job], [toldOf(stored.length + 1, job)]);
      stored.push(job);
    } catch (thrown) {
      return { stored, error: thrown as TransferError };
    }
  }
}

test('a full disk refuses a put with what to do, keeps what was stored, and takes it again later', async (context) => {
  const mount = await mounted(context, 'tmpfs', 1);
  const folder = new StoreFolder(join(mount.folder, 'state'));
  const ballast = join(mount.folder, 'ballast');
  writeFileSync(ballast, Buffer.alloc(400_000));
  const all = await folder.use(async (store) => {
    const { stored, error } = await putUntilRefused(store);
    expect(stored.length).toBeGreaterThan(0);
    expect(error.code).toBe('E_STORE');
    expect(error.message).toBe(
      `${folder.database}: nothing could be stored: the disk is full (${(error.cause as string).slice(0, 11)})`,
    );
    expect(error.hint).toBe('Free some space there. What was stored before is kept.');
    const late = bulky();
    await expect(store.put([late], [])).rejects.toThrow('the disk is full');
    rmSync(ballast);
    await store.put([late], [toldOf(9_999, late)]);
    return [...stored, late];
  });
  const { jobs, told, notes } = await folder.load();
  expect(jobs).toEqual(all);
  expect(told).toHaveLength(all.length);
  expect(notes).toEqual([]);
});

test('progress that finds the disk full is told once, and stored when there is room again', async (context) => {
  const mount = await mounted(context, 'tmpfs', 4);
  const folder = new StoreFolder(join(mount.folder, 'state'));
  const ballast = join(mount.folder, 'ballast');
  const clock = new AskedClock();
  const job = jobWith();
  const big = progressOf(job, [fileWith(0, { bytesDone: 1, root: 'x'.repeat(700_000) })]);
  const small = progressOf(job, [fileWith(1, { bytesDone: 2 })], { transferMs: 5 });
  writeFileSync(ballast, Buffer.alloc(3_600_000));
  await folder.use(async (store) => {
    await store.put([job], []);
    store.progress([big]);
    await clock.passAllBut([60_000, 3_600_000], () => folder.notes.length > 0);
    expect(folder.notes[0]).toContain('progress is not stored: ');
    expect(folder.notes[0]).toContain('the disk is full');
    store.progress([small]);
    const before = clock.waits.length;
    await clock.passAllBut([60_000, 3_600_000], () => clock.waits.length > before + 2);
    rmSync(ballast);
  }, clock);
  expect(folder.notes).toHaveLength(1);
  expect((await folder.load()).jobs).toEqual([withProgress(withProgress(job, big), small)]);
});

/** What this process writes beyond that size of any file fails, as on a broken disk; that is no full one to SQLite. */
function breakWritesBeyond(bytes: number | 'unlimited'): void {
  execFileSync('prlimit', ['--pid', String(process.pid), `--fsize=${bytes}:unlimited`]);
}

test('a storage that fails refuses a put, and the store goes on when it is well again', async (context) => {
  context.skip(!commandAvailable('prlimit'), 'needs prlimit');
  onTestFinished(() => breakWritesBeyond('unlimited'));
  const folder = new StoreFolder();
  const all = await folder.use(async (store) => {
    breakWritesBeyond(200_000);
    const { stored, error } = await putUntilRefused(store);
    expect(error.code).toBe('E_STORE');
    expect(error.message).toContain('the storage answered with an error (SQLITE_IOERR_WRITE)');
    expect(error.hint).toBe('See the kernel log about that storage. What was stored before is kept.');
    const refused = await putUntilRefused(store);
    breakWritesBeyond('unlimited');
    const late = bulky();
    await store.put([late], []);
    return [...stored, ...refused.stored, late];
  });
  const { jobs, notes } = await folder.load();
  expect(jobs).toEqual(all);
  expect(notes).toEqual([]);
});

test('a backup that cannot be made is told, and the last one stays', async (context) => {
  context.skip(!commandAvailable('prlimit'), 'needs prlimit');
  onTestFinished(() => breakWritesBeyond('unlimited'));
  const folder = new StoreFolder();
  await folder.use((store) => store.put([jobWith()], []));
  const { ino } = statSync(folder.backup);
  const clock = new AskedClock();
  await folder.use(async (store) => {
    for (let n = 0; n < 10; n++) await store.put([bulky()], []);
    breakWritesBeyond(50_000);
    clock.advance(3_600_000);
    await until(() => folder.notes.length > 0);
    breakWritesBeyond('unlimited');
    expect(folder.notes[0]).toContain('no backup could be made');
    expect(statSync(folder.backup).ino).toBe(ino);
  }, clock);
  expect(statSync(folder.backup).ino).not.toBe(ino);
  expect(folder.names).toEqual(['jobs.backup.sqlite', 'jobs.lock', 'jobs.sqlite']);
});
