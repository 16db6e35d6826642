import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { StepJournal } from '../../src/migrate/step-journal.js';
import { failureOf } from '../support/copying.js';
import { expectMigrated, expectRuns, filesIn, gate, scene } from '../support/migrating.js';

/** A migration that is prepared and closed, and its journal. */
async function closed() {
  const at = await scene({ disks: 1 });
  const { id } = await at.migrations.prepare({ vm: at.vm.id, paths: { folder: at.target } });
  expect(await at.migrations.settled(id)).toMatchObject({ state: 'prepared' });
  await at.migrations.close();
  return { at, id, path: join(at.state, 'migrations', id, 'journal') };
}

test('a journal whose end is torn goes on where it was before', async () => {
  const { at, id, path } = await closed();
  const whole = readFileSync(path);
  appendFileSync(path, whole.subarray(0, 40));
  const migrations = await at.open();
  expect(readFileSync(path)).toEqual(whole);
  expect(migrations.get(id)).toMatchObject({ state: 'prepared' });
  await migrations.cutover(id);
  await expectMigrated(at, await migrations.settled(id));
});

test('a journal that ends in the zeroes of a power cut goes on where it was before', async () => {
  const { at, id, path } = await closed();
  const whole = readFileSync(path);
  appendFileSync(path, Buffer.alloc(4096));
  expect((await at.open()).get(id)).toMatchObject({ state: 'prepared' });
  expect(readFileSync(path)).toEqual(whole);
});

test('a journal that is damaged in the middle is refused by name, and nothing is touched', async () => {
  const { at, id, path } = await closed();
  const lines = readFileSync(path, 'utf8').split('\n');
  const damaged = lines.map((line, number) => (number === 2 ? line.replace('"step"', '"stop"') : line)).join('\n');
  writeFileSync(path, damaged);
  const migrations = await at.open();
  expect(at.notes.join()).toContain(`${path} is damaged in line 3`);
  expect(migrations.list()).toEqual([]);
  expect(await failureOf(async () => migrations.get(id))).toMatchObject({ code: 'E_JOURNAL_DAMAGED' });
  expect(await failureOf(migrations.abort(id))).toMatchObject({ code: 'E_JOURNAL_DAMAGED' });
  expect(readFileSync(path, 'utf8')).toBe(damaged);
  expectRuns(at, 'local');
});

test('an abort that was begun is gone on with at the next start, whatever it had undone by then', async () => {
  const { at, id, path } = await closed();
  const held = await StepJournal.open(join(path, '..'));
  held.append({ type: 'abort', at: 1 });
  held.append({ type: 'undone', at: 2, steps: ['save-state'] });
  held.close();
  const migrations = await at.open();
  expect(migrations.get(id).state).toBe('aborting');
  expect(await failureOf(migrations.cutover(id))).toMatchObject({ code: 'E_MIGRATION_STATE' });
  expect(await migrations.settled(id)).toMatchObject({ state: 'aborted' });
  expectRuns(at, 'local');
  expect(filesIn(at.target)).toEqual([]);
});

test('a migration is carried out by one process at a time', async () => {
  const { at, path } = await closed();
  const held = await StepJournal.open(join(path, '..'));
  await at.open();
  expect(at.notes.join()).toContain(`${path} is in use`);
  held.close();
});

test('what had its last step done and no receipt yet gets one at the next start', async () => {
  const { at, id, path } = await closed();
  const migrations = await at.open();
  await migrations.cutover(id);
  await migrations.settled(id);
  const receipt = migrations.receipt(id);
  await migrations.close();
  const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
  writeFileSync(path, `${lines.slice(0, -1).join('\n')}\n`);
  const again = await at.open();
  expect(await again.settled(id)).toMatchObject({ state: 'done' });
  expect(again.receipt(id)).toEqual(receipt);
});

test('closing while the machine stands still waits until it runs, and the rest is done at the next start', async () => {
  const at = await scene({ disks: 1 });
  const held = gate(at.world.host('other'), 'startPlaceholder');
  const { id } = await at.migrations.start({ vm: at.vm.id, to: 'other', paths: { folder: at.target } });
  await held.reached;
  const closing = at.migrations.close();
  held.release();
  await closing;
  expectRuns(at, 'other');
  const { vm } = await at.world.host('other').get(at.vm.id);
  expect(vm.disks[0]?.chain).toHaveLength(2);
  const migrations = await at.open();
  await expectMigrated(at, await migrations.settled(id), 'other');
});
