import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { systemClock } from '../../src/core/clock.js';
import { TransferError } from '../../src/core/errors.js';
import { failureOf } from '../support/copying.js';
import { expectMigrated, expectRuns, filesIn, gate, type Scene, scene } from '../support/migrating.js';

/** For each step the call in which it is caught. */
const BEFORE: readonly (readonly [string, (at: Scene) => { reached: Promise<void>; release(): void }])[] = [
  ['check', (at) => gate(at.world.host('other'), 'check')],
  ['placeholder', (at) => gate(at.world.host('other'), 'placeholder')],
  ['snapshot', (at) => gate(at.world.host('local'), 'snapshot')],
  ['copy-bases', (at) => gate(at.files, 'digest')],
  ['shrink-delta', (at) => gate(at.world.host('local'), 'memoryInUse')],
  ['save-state', (at) => gate(at.world.host('local'), 'saveState')],
  ['copy-delta', (at) => gate(at.world.host('local'), 'state', () => at.world.guests(at.vm.id)[0]?.state === 'saved')],
  ['prove', (at) => gate(at.files, 'digest', (path) => String(path).endsWith('.state'))],
  ['re-point', (at) => gate(at.files, 'repoint')],
];

test.each(BEFORE)('an abort during %s leaves the machine running at the source, with nothing lost', async (_, hold) => {
  const at = await scene({ snapshots: 1 });
  const before = filesIn(join(at.source, 'vm'));
  const bootId = at.world.guests(at.vm.id)[0]?.bootId ?? '';
  const held = hold(at);
  const { id } = await at.migrations.start({ vm: at.vm.id, to: 'other', paths: { folder: at.target } });
  await held.reached;
  const aborting = at.migrations.abort(id);
  held.release();
  expect(await aborting).toMatchObject({ state: 'aborted', switchedOver: false });
  expectRuns(at, 'local', bootId);
  expect(await at.world.host('local').get(at.vm.id)).toMatchObject({ vm: at.vm, ownership: { state: 'here' } });
  expect(filesIn(join(at.source, 'vm'))).toEqual(before);
  expect(filesIn(at.target)).toEqual([]);
  expect(at.world.host('other').guests()).toEqual([]);
  expect(await at.world.host('other').list()).toEqual([]);
  // Once more is no error, and another migration may begin.
  expect(await at.migrations.abort(id)).toMatchObject({ state: 'aborted' });
  const again = await at.migrations.start({ vm: at.vm.id, to: 'other', paths: { folder: at.target } });
  await expectMigrated(at, await at.migrations.settled(again.id), 'other');
});

const AFTER = [
  ['switch-over', (at: Scene) => gate(at.world.host('local'), 'stop')],
  ['start', (at: Scene) => gate(at.world.host('other'), 'startPlaceholder')],
  ['resume', (at: Scene) => gate(at.world.host('other'), 'take')],
  ['merge', (at: Scene) => gate(at.world.host('other'), 'merge')],
] as const;

test.each(AFTER)('an abort during %s is refused, and the machine arrives', async (_, hold) => {
  const at = await scene({ disks: 1 });
  const held = hold(at);
  const { id } = await at.migrations.start({ vm: at.vm.id, to: 'other', paths: { folder: at.target } });
  await held.reached;
  const refusal = failureOf(at.migrations.abort(id));
  held.release();
  expect(await refusal).toMatchObject({ code: 'E_MIGRATION_STATE', message: expect.stringContaining('no way back') });
  await expectMigrated(at, await at.migrations.settled(id), 'other');
  expectRuns(at, 'other');
  expect(await failureOf(at.migrations.abort(id))).toMatchObject({ code: 'E_MIGRATION_STATE' });
});

test('an abort that comes while the source gives the machine away is too late', async () => {
  const at = await scene({ disks: 1 });
  const held = gate(at.world.host('local'), 'give');
  const { id } = await at.migrations.start({ vm: at.vm.id, to: 'other', paths: { folder: at.target } });
  await held.reached;
  const refusal = failureOf(at.migrations.abort(id));
  await new Promise((resolve) => setImmediate(resolve));
  held.release();
  expect(await refusal).toMatchObject({ code: 'E_MIGRATION_STATE' });
  await expectMigrated(at, await at.migrations.settled(id), 'other');
  expectRuns(at, 'other');
});

test('files that were at the target before are neither replaced nor removed', async () => {
  const at = await scene({ disks: 1 });
  mkdirSync(at.target);
  writeFileSync(join(at.target, 'web-d0.img'), 'of somebody else');
  const { id } = await at.migrations.start({ vm: at.vm.id, paths: { folder: at.target } });
  expect(await at.migrations.settled(id)).toMatchObject({ state: 'failed', error: { code: 'E_TARGET_EXISTS' } });
  expect(await at.migrations.abort(id)).toMatchObject({ state: 'aborted' });
  expect(filesIn(at.target)).toEqual(['web-d0.img']);
  expectRuns(at, 'local');
});

test('a file that somebody put at the target after it was looked at is not removed by an abort', async () => {
  const at = await scene({ disks: 2 });
  const held = gate(at.world.host('local'), 'snapshot');
  const { id } = await at.migrations.start({ vm: at.vm.id, paths: { folder: at.target } });
  await held.reached;
  writeFileSync(join(at.target, 'web-d1.img'), 'the disk of another machine');
  held.release();
  expect(await at.migrations.settled(id)).toMatchObject({ state: 'failed', error: { code: 'E_TARGET_EXISTS' } });
  expect(await at.migrations.abort(id)).toMatchObject({ state: 'aborted' });
  expect(filesIn(at.target)).toEqual(['web-d1.img']);
  expect(readFileSync(join(at.target, 'web-d1.img'), 'utf8')).toBe('the disk of another machine');
  expectRuns(at, 'local');
});

test('overlays that cannot be merged back stay part of the machine', async () => {
  const at = await scene({ disks: 1 });
  const { id } = await at.migrations.prepare({ vm: at.vm.id, paths: { folder: at.target } });
  await at.migrations.settled(id);
  at.world.host('local').merge = async () => {
    throw new Error('no room');
  };
  const view = await at.migrations.abort(id);
  expect(view.state).toBe('aborted');
  expect(view.reason).toContain('stays in its overlays');
  expectRuns(at, 'local');
  expect(filesIn(at.target)).toEqual([]);
});

test('what was given away goes on when the service starts again, though its last step failed', async () => {
  // Waits between tries are short, and what bounds the blackout is as it is.
  const sleep = (ms: number, signal?: AbortSignal) => systemClock.sleep(ms > 10_000 ? ms : Math.min(ms, 5), signal);
  const at = await scene({ disks: 1, clock: { ...systemClock, sleep } });
  const host = at.world.host('local');
  const stop = host.stop.bind(host);
  host.stop = async () => {
    throw new TransferError('E_TIMEOUT', 'its process does not end');
  };
  const { id } = await at.migrations.start({ vm: at.vm.id, to: 'other', paths: { folder: at.target } });
  expect(await at.migrations.settled(id)).toMatchObject({ state: 'failed', step: 'switch-over' });
  expect(await host.ownership(at.vm.id)).toMatchObject({ state: 'gone' });
  host.stop = stop;
  await at.migrations.close();
  const later = await at.open();
  await expectMigrated(at, await later.settled(id), 'other');
  expectRuns(at, 'other');
});
