import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Database from 'libsql';
import { expect, onTestFinished, test } from 'vitest';
import { STEPS } from '../../../../src/service/store/schema.js';
import { SqliteStore } from '../../../../src/service/store/sqlite-store.js';
import { AskedClock, until } from '../../../support/asked-clock.js';
import { codeOf } from '../../../support/reading.js';
import { StoreFolder } from '../../../support/store-folder.js';
import { jobWith, toldOf } from '../../../support/stored-jobs.js';

const CHILD = fileURLToPath(new URL('../../../support/store-child.mjs', import.meta.url));
const modeOf = (path: string): number => statSync(path).mode & 0o777;

/** A process that has the store open. */
async function holder(folder: string): Promise<ChildProcess> {
  const argument = JSON.stringify({ folder, template: jobWith(), random: [0.1, 0.7, 0.3] });
  const said = join(folder, 'said');
  const output = openSync(said, 'w');
  const child = spawn(process.execPath, [CHILD, argument], { stdio: ['ignore', output, 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  closeSync(output);
  await until(() => statSync(said).size > 0);
  child.kill('SIGSTOP');
  return child;
}

test('all that is kept is for its owner alone, whatever the umask', async () => {
  const umask = process.umask(0o000);
  onTestFinished(() => void process.umask(umask));
  const parent = mkdtempSync(join(tmpdir(), 'job-store-'));
  const folder = new StoreFolder(join(parent, 'a', 'state'));
  await folder.use(async (store) => {
    await store.put([jobWith()], []);
    expect(folder.names).toEqual(['jobs.lock', 'jobs.sqlite', 'jobs.sqlite-shm', 'jobs.sqlite-wal']);
    for (const name of folder.names) expect([name, modeOf(join(folder.path, name))]).toEqual([name, 0o600]);
  });
  expect(folder.names).toEqual(['jobs.backup.sqlite', 'jobs.lock', 'jobs.sqlite']);
  for (const name of folder.names) expect([name, modeOf(join(folder.path, name))]).toEqual([name, 0o600]);
  expect(modeOf(folder.path)).toBe(0o700);
});

test('what others may read or change is not opened', async () => {
  const folder = new StoreFolder();
  await folder.use((store) => store.put([jobWith()], []));
  chmodSync(folder.database, 0o640);
  await expect(folder.load()).rejects.toThrow(`${folder.database} holds secrets, and others may read or change it`);
  chmodSync(folder.database, 0o600);
  chmodSync(folder.path, 0o770);
  await expect(folder.load()).rejects.toThrow(`${folder.path} holds secrets, and others may read or change it`);
  chmodSync(folder.path, 0o750);
  expect((await folder.load()).jobs).toHaveLength(1);
});

test("another user's folder is not used", async (context) => {
  context.skip(process.getuid?.() !== 0, 'needs root');
  const folder = new StoreFolder();
  chownSync(folder.path, 65534, 65534);
  expect(await codeOf(() => folder.load())).toBe('E_AUTH');
});

test('one service at a time has a state folder, and the second is told who is first', async () => {
  const folder = new StoreFolder();
  const child = await holder(folder.path);
  const refused = await folder.load().catch((thrown) => thrown);
  expect(refused.code).toBe('E_LOCKED');
  expect(refused.message).toBe(
    `the jobs in ${folder.path} are in use by a service: process ${child.pid} on ${hostname()}`,
  );
  const elsewhere = new StoreFolder();
  expect((await elsewhere.load()).jobs).toEqual([]);
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect((await folder.load()).notes).toEqual([]);
});

test('within one process too a folder is opened once, and again after it was closed', async () => {
  const folder = new StoreFolder();
  await folder.use(async () => {
    expect(await codeOf(() => folder.load())).toBe('E_LOCKED');
  });
  await folder.load();
});

test('a state folder may have any name', async () => {
  const parent = new StoreFolder();
  const folder = new StoreFolder(join(parent.path, 'it\'s 100% "odd"? #ü'));
  const job = jobWith();
  await folder.use((store) => store.put([job], []));
  expect(folder.names).toEqual(['jobs.backup.sqlite', 'jobs.lock', 'jobs.sqlite']);
  expect((await folder.load()).jobs).toEqual([job]);
});

test('several state folders stand side by side', async () => {
  const folders = Array.from({ length: 3 }, () => ({ folder: new StoreFolder(), job: jobWith() }));
  const stores = folders.map(({ folder }) => folder.open());
  await Promise.all(stores.map((store) => store.load()));
  await Promise.all(stores.map((store, n) => store.put([folders[n]?.job ?? jobWith()], [])));
  await Promise.all(stores.map((store) => store.close()));
  for (const { folder, job } of folders) expect((await folder.load()).jobs).toEqual([job]);
});

test('a database of the first format is brought up to date, and that is told', async () => {
  const folder = new StoreFolder();
  const job = jobWith();
  const { files, ...head } = job;
  const database = new Database(folder.database);
  database.exec(`${STEPS[0]} PRAGMA application_id = ${0x424c4b46}; PRAGMA user_version = 1;`);
  database.prepare('INSERT INTO jobs (id, body) VALUES (?, ?)').run(job.id, JSON.stringify(head));
  for (const file of files) {
    database.prepare('INSERT INTO files VALUES (?, ?, ?)').run(job.id, file.index, JSON.stringify(file));
  }
  database.close();
  chmodSync(folder.database, 0o600);
  const { notes, jobs } = await folder.load();
  expect(notes).toEqual([`${folder.database} was brought from format 1 to ${STEPS.length}.`]);
  expect(jobs).toEqual([job]);
  await folder.use((store) => store.put([], [toldOf(1, job)]));
  expect(await folder.load()).toEqual({ jobs: [job], told: [toldOf(1, job)], notes: [] });
});

test('a database of a newer format is refused by name, and left as it is', async () => {
  const folder = new StoreFolder();
  await folder.use((store) => store.put([jobWith()], []));
  const database = new Database(folder.database);
  database.exec('PRAGMA user_version = 99; PRAGMA wal_checkpoint(TRUNCATE)');
  database.close();
  const before = readFileSync(folder.database);
  const refused = await folder.load().catch((thrown) => thrown);
  expect(refused.code).toBe('E_STORE');
  expect(refused.message).toBe(`${folder.database} was written by a newer Blockferry (format 99)`);
  expect(refused.hint).toContain(`up to ${STEPS.length}`);
  expect(readFileSync(folder.database)).toEqual(before);
});

test('a database of another program is refused, and left as it is', async () => {
  const folder = new StoreFolder();
  const database = new Database(folder.database);
  database.exec('CREATE TABLE theirs (a TEXT)');
  database.close();
  chmodSync(folder.database, 0o600);
  const before = readFileSync(folder.database);
  await expect(folder.load()).rejects.toThrow("is a database, but not one of Blockferry's jobs");
  expect(readFileSync(folder.database)).toEqual(before);
});

test('a state folder that cannot be is told, and nothing hangs', async () => {
  const folder = new StoreFolder();
  writeFileSync(join(folder.path, 'file'), '');
  mkdirSync(join(folder.path, 'lock'));
  symlinkSync('/etc/hostname', join(folder.path, 'lock', 'jobs.lock'));
  for (const place of ['file', 'file/below', 'lock', '../../../proc/none']) {
    const store = new SqliteStore({ folder: join(folder.path, place), clock: new AskedClock() });
    const refused = await store.load().catch((thrown) => thrown);
    expect([place, refused.code]).toEqual([place, 'E_STORE']);
  }
});

test('a backup is made a minute after the start, each hour in which something changed, and at the end', async () => {
  const folder = new StoreFolder();
  const clock = new AskedClock();
  const hour = 3_600_000;
  const [before, first, second] = [jobWith(), jobWith(), jobWith()];
  const inBackup = (): readonly unknown[] => {
    const database = new Database(folder.backup);
    const found = database.prepare('SELECT id FROM jobs ORDER BY number').all();
    database.close();
    return found.map((row) => (row as { readonly id: string }).id);
  };
  const slept = (): number => clock.waits.filter((wait) => wait === hour).length;
  await folder.use((store) => store.put([before], []));
  // As after a kill before the first hour was over.
  rmSync(folder.backup);
  await folder.use(async (store) => {
    clock.advance(60_000);
    await until(() => slept() === 1);
    expect(inBackup()).toEqual([before.id]);
    await store.put([first], []);
    clock.advance(hour);
    await until(() => slept() === 2);
    expect(inBackup()).toEqual([before.id, first.id]);
    const { mtimeMs, ino } = statSync(folder.backup);
    clock.advance(hour);
    await until(() => slept() === 3);
    expect(statSync(folder.backup)).toMatchObject({ mtimeMs, ino });
    await store.put([second], []);
    expect(inBackup()).toEqual([before.id, first.id]);
  }, clock);
  expect(inBackup()).toEqual([before.id, first.id, second.id]);
  expect(folder.notes).toEqual([]);
});
