import { copyFileSync, readFileSync, rmSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'libsql';
import { expect, test } from 'vitest';
import type { Job } from '../../../../src/service/job.js';
import { openDatabase, placesIn } from '../../../../src/service/store/open-database.js';
import { storeError } from '../../../../src/service/store/sqlite.js';
import { Seeded } from '../../../support/seeded.js';
import { StoreFolder } from '../../../support/store-folder.js';
import { jobWith, toldOf } from '../../../support/stored-jobs.js';

const PAGE = 4096;
const seeded = new Seeded(6);

/** A folder with jobs, and a backup of all of them. */
async function filled(count = 200): Promise<{ readonly folder: StoreFolder; readonly jobs: readonly Job[] }> {
  const folder = new StoreFolder();
  const jobs = Array.from({ length: count }, () => jobWith());
  await folder.use((store) =>
    store.put(
      jobs,
      jobs.map((job, n) => toldOf(n + 1, job)),
    ),
  );
  return { folder, jobs };
}

function overwrite(path: string, at: number, bytes: Buffer): void {
  const content = readFileSync(path);
  bytes.copy(content, at);
  writeFileSync(path, content);
}

type Damage = (path: string) => void;
const damages: readonly (readonly [name: string, damage: Damage])[] = [
  ['cut in half', (path) => truncateSync(path, Math.floor(statSync(path).size / 2))],
  ['cut in the middle of its last page', (path) => truncateSync(path, statSync(path).size - 100)],
  ['cut to nothing', (path) => truncateSync(path, 0)],
  ['random bytes', (path) => writeFileSync(path, seeded.bytes(statSync(path).size))],
  [
    'without the name of a column',
    (path) => overwrite(path, readFileSync(path).lastIndexOf('body TEXT'), Buffer.from('bodu')),
  ],
  ['a text', (path) => writeFileSync(path, 'no database')],
  ['without its first page', (path) => overwrite(path, 0, Buffer.alloc(PAGE))],
  ['with a zeroed page', (path) => overwrite(path, 5 * PAGE, Buffer.alloc(PAGE))],
  ['with a page of random bytes', (path) => overwrite(path, 7 * PAGE, seeded.bytes(PAGE))],
  [
    'with a page of another place',
    (path) => overwrite(path, 2 * PAGE, readFileSync(path).subarray(9 * PAGE, 10 * PAGE)),
  ],
];

test.each(damages)('a database that is %s is kept aside, and the last backup restored', async (_name, damage) => {
  const { folder, jobs } = await filled();
  damage(folder.database);
  const damaged = readFileSync(folder.database);
  const { jobs: found, told, notes } = await folder.load();
  expect(found).toEqual(jobs);
  expect(told).toHaveLength(jobs.length);
  const aside = folder.names.find((name) => /^jobs\.damaged-\d{4}-\d\d-\d\dT[\d-]+\.\d+Z\.sqlite$/.test(name)) ?? '';
  expect(notes[0]).toBe(`The database of the jobs was damaged. It is kept as ${join(folder.path, aside)}.`);
  expect(notes[1]).toMatch(/^The jobs were restored from the backup of 20\d\d-/);
  expect(readFileSync(join(folder.path, aside))).toEqual(damaged);
  const later = jobWith();
  await folder.use((store) => store.put([later], []));
  const { jobs: after, notes: silence } = await folder.load();
  expect(after).toEqual([...jobs, later]);
  expect(silence).toEqual([]);
});

test('of what changed after the backup the restored jobs know nothing, and that is told', async () => {
  const folder = new StoreFolder();
  const [early, late] = [jobWith(), jobWith()];
  await folder.use((store) => store.put([early], []));
  const backup = readFileSync(folder.backup);
  await folder.use((store) => store.put([late], []));
  writeFileSync(folder.backup, backup);
  utimesSync(folder.backup, 1_700_000_000, 1_700_000_000);
  truncateSync(folder.database, 5000);
  const { jobs, notes } = await folder.load();
  expect(jobs).toEqual([early]);
  expect(notes[1]).toContain('restored from the backup of 2023-11-14T22:13:20.000Z: they are as they were then');
});

test('without a backup the service begins with no jobs, and says what that means', async () => {
  const { folder } = await filled(3);
  rmSync(folder.backup);
  truncateSync(folder.database, 5000);
  const { jobs, notes } = await folder.load();
  expect(jobs).toEqual([]);
  expect(notes).toHaveLength(2);
  expect(notes[1]).toContain('There is no backup, so the service begins with no jobs.');
});

test('a backup that is damaged too is kept aside as well', async () => {
  const { folder } = await filled(3);
  for (const path of [folder.database, folder.backup]) truncateSync(path, 5000);
  const { jobs, notes } = await folder.load();
  expect(jobs).toEqual([]);
  expect(notes[1]).toContain('The backup was damaged too. It is kept as');
  expect(folder.names.filter((name) => name.includes('damaged'))).toHaveLength(2);
});

test('a database that is missing is restored, and its log is not taken for that of another', async () => {
  const { folder, jobs } = await filled();
  writeFileSync(`${folder.database}-wal`, seeded.bytes(100_000));
  rmSync(folder.database);
  const { jobs: found, notes } = await folder.load();
  expect(found).toEqual(jobs);
  expect(notes[0]).toContain('The database of the jobs was missing. Its log is kept beside');
  expect(folder.names.filter((name) => name.endsWith('.sqlite-wal') && name.includes('damaged'))).toHaveLength(1);
});

test.each([
  ['a bit of its first frame is another', (log: Buffer) => log.writeUInt8(log.readUInt8(2_000) ^ 1, 2_000)],
  ['it does not begin as a log', (log: Buffer) => log.fill(0, 0, 32)],
])('a log of which %s is told, and all before it is there', async (_name, damage) => {
  const folder = new StoreFolder();
  const copy = new StoreFolder();
  const [first, second] = [jobWith(), jobWith()];
  await folder.use((store) => store.put([first], []));
  await folder.use(async (store) => {
    await store.put([second], []);
    for (const end of ['', '-wal']) copyFileSync(folder.database + end, copy.database + end);
  });
  const intact = new StoreFolder();
  for (const end of ['', '-wal']) copyFileSync(copy.database + end, intact.database + end);
  expect(await intact.load()).toEqual({ jobs: [first, second], told: [], notes: [] });
  const log = readFileSync(`${copy.database}-wal`);
  damage(log);
  writeFileSync(`${copy.database}-wal`, log);
  const { jobs, notes } = await copy.load();
  expect(jobs).toEqual([first]);
  expect(notes).toEqual([expect.stringContaining('The last changes to the jobs could not be read')]);
});

test('a backup that was cut short by a crash is no backup', async () => {
  const { folder, jobs } = await filled(3);
  copyFileSync(folder.backup, `${folder.backup}.new`);
  truncateSync(`${folder.backup}.new`, 5000);
  writeFileSync(`${folder.database}.new`, 'half');
  truncateSync(folder.database, 5000);
  const { jobs: found } = await folder.load();
  expect(found).toEqual(jobs);
  await folder.use((store) => store.put([jobWith()], []));
  expect(folder.names.filter((name) => name.includes('.new'))).toEqual([]);
});

test('a job or an event that does not make sense is told and kept aside, and the others are loaded', async () => {
  const { folder, jobs } = await filled(20);
  const [broken, wrong, short, torn, other, secret] = jobs.map(({ id }) => id);
  const database = new Database(folder.database);
  const change = (sql: string, ...values: readonly unknown[]): unknown => database.prepare(sql).run(...values);
  change('UPDATE jobs SET body = substr(body, 1, 50) WHERE id = ?', broken);
  change("UPDATE jobs SET body = json_set(body, '$.state', 'flying') WHERE id = ?", wrong);
  change('DELETE FROM files WHERE job = ? AND number = 0', short);
  change("UPDATE files SET body = '{}' WHERE job = ? AND number = 1", torn);
  change('UPDATE jobs SET body = (SELECT body FROM jobs WHERE id = ?) WHERE id = ?', secret, other);
  change("UPDATE jobs SET body = 'https://ada:secret@example.org' WHERE id = ?", secret);
  change("UPDATE told SET body = '[]' WHERE id = 3");
  change("UPDATE told SET body = CAST(x'7bff7d' AS TEXT) WHERE id = 5");
  database.close();
  const { jobs: found, told, notes } = await folder.load();
  expect(found).toEqual(jobs.slice(6));
  expect(told).toHaveLength(18);
  expect(notes).toHaveLength(7);
  expect(notes[0]).toContain(`The stored job ${broken} does not make sense (it is no JSON text) and is left out.`);
  expect(notes[1]).toContain('(.state is no one of queued, connecting,');
  expect(notes[2]).toContain('(its file 0 is missing)');
  expect(notes[3]).toContain('(.index is no whole number');
  expect(notes[4]).toContain(`(.id is not ${other})`);
  expect(notes[5]).toBe('1 more stored jobs do not make sense and are left out, and kept in that table.');
  expect(notes[6]).toBe('2 stored events do not make sense and are left out, and kept in that table.');
  expect(notes.join()).not.toContain('secret');
  const { jobs: again, notes: silence } = await folder.load();
  expect([again, silence]).toEqual([found, []]);
  const looked = new Database(folder.database);
  expect(looked.prepare('SELECT what FROM aside').all()).toHaveLength(6 + 2 + 11);
  looked.close();
});

test('whatever is damaged, a database is opened or refused, and what is opened can be written to', async () => {
  const { folder, jobs } = await filled(50);
  const [whole, backup] = [readFileSync(folder.database), readFileSync(folder.backup)];
  const known = new Set(jobs.map(({ id }) => id));
  const seeded = new Seeded(7);
  let restored = 0;
  for (let round = 0; round < 80; round++) {
    const database = Buffer.from(whole);
    const at = seeded.int(0, seeded.chance(0.3) ? 99 : database.length - 1);
    const length = seeded.chance(0.5) ? 1 : seeded.int(1, 2 * PAGE);
    const bytes = seeded.chance(0.5) ? seeded.bytes(length) : Buffer.alloc(length);
    bytes.copy(database, at);
    const places = placesIn(new StoreFolder().path);
    for (const [path, content] of [[places.database, database] as const, [places.backup, backup] as const]) {
      writeFileSync(path, content, { mode: 0o600 });
    }
    try {
      const opened = openDatabase(places, 0);
      const { jobs: found, notes } = opened.state;
      restored += notes.length > 0 ? 1 : 0;
      expect(found.filter(({ id }) => !known.has(id))).toEqual([]);
      if (notes.length === 0) expect(found).toHaveLength(jobs.length);
      opened.database.write({ jobs: [], told: [{ id: 2 ** 40, body: '{}' }], removed: [], durable: true });
      opened.database.close();
    } catch (thrown) {
      // The marks in the header may say that it is somebody else's.
      const told = storeError(thrown, 'refused');
      expect([told.code, at < 100]).toEqual(['E_STORE', true]);
    }
  }
  expect(restored).toBeGreaterThan(10);
});
