import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { expect, test } from 'vitest';
import { systemClock } from '../../src/core/clock.js';
import { verifyReceipt } from '../../src/migrate/receipt.js';
import { STEPS } from '../../src/migrate/steps.js';
import { failureOf } from '../support/copying.js';
import { expectMigrated, expectRuns, FakeFiles, filesIn, makeVm, scene } from '../support/migrating.js';

const sha256 = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');

test('moves the disks of a running machine to other storage, and leaves nothing behind', async () => {
  const at = await scene({ disks: 2, snapshots: 1 });
  const bootId = at.world.guests(at.vm.id)[0]?.bootId ?? '';
  const begun = await at.migrations.start({ vm: at.vm.id, paths: { folder: at.target } });
  const view = await at.migrations.settled(begun.id);
  await expectMigrated(at, view);
  expectRuns(at, 'local', bootId);
  expect(filesIn(join(at.source, 'vm'))).toEqual([]);
  expect(view.stepsDone).toEqual(STEPS);
  const steps = at.told.flatMap(({ event }) => (event.type === 'step' && event.state === 'done' ? [event.step] : []));
  expect(steps).toEqual(STEPS.filter((step) => step !== 'shrink-delta'));
  expect(at.told.find(({ event }) => event.type === 'step' && event.blackoutMs !== undefined)?.event).toMatchObject({
    step: 'resume',
    blackoutMs: view.blackoutMs,
  });
});

test('gives a receipt for every file, with what it predicted and what it measured', async () => {
  const at = await scene({ disks: 1 });
  const [base] = at.vm.disks[0]?.chain ?? [];
  const { id } = await at.migrations.prepare({ vm: at.vm.id, paths: { folder: at.target } });
  await at.migrations.settled(id);
  expect(at.migrations.receipt(id)).toBeUndefined();
  // It stands still below its overlay.
  const digest = sha256(base?.path ?? '');
  await at.migrations.cutover(id);
  const view = await at.migrations.settled(id);
  const receipt = verifyReceipt(at.migrations.receipt(id));
  expect(receipt.files.map(({ kind, disk }) => [kind, disk])).toEqual([
    ['base', 'd0'],
    ['delta', 'd0'],
    ['state', undefined],
  ]);
  expect(receipt.files[0]).toMatchObject({ sha256: digest, bytes: at.vm.disks[0]?.sizeBytes });
  for (const file of receipt.files) expect(file.root).toMatch(/^[0-9a-f]{64}$/);
  expect(receipt.blackout).toEqual({ predictedMs: view.prediction?.blackoutMs, measuredMs: view.blackoutMs });
  expect(receipt.steps.map(({ step }) => step)).toEqual(STEPS);
  expect(statSync(join(at.state, 'receipt-key.pem')).mode & 0o077).toBe(0);
  expect(statSync(join(at.state, 'migrations', id, 'journal')).mode & 0o077).toBe(0);
});

test('moves each disk to a path of its own', async () => {
  const at = await scene({ disks: 2 });
  const [one, other] = [join(at.target, 'one'), join(at.target, 'other')];
  const { id } = await at.migrations.start({ vm: at.vm.id, paths: { folder: other, disks: { d0: one } } });
  expect(await at.migrations.settled(id)).toMatchObject({ state: 'done' });
  expect([filesIn(one), filesIn(other)]).toEqual([['web-d0.img'], ['web-d1.img']]);
  expectRuns(at, 'local');
});

test('images of one name are told apart where they meet in one folder', async () => {
  const at = await scene({ disks: 1 });
  const [folder] = [join(at.source, 'both')];
  mkdirSync(folder);
  const [first, second] = [makeVm(join(folder, 'a'), { disks: 1 }), makeVm(join(folder, 'b'), { disks: 1 })];
  const disks = [first.disks[0], second.disks[0]].map((disk, at) => ({ ...disk, id: `d${at}` }));
  const vm = { ...first, disks: disks as unknown as typeof first.disks };
  at.world.host('local').add(vm, true);
  const { id } = await at.migrations.start({ vm: vm.id, paths: { folder: at.target } });
  expect(await at.migrations.settled(id)).toMatchObject({ state: 'done' });
  expect(filesIn(at.target)).toEqual(['d0-web-d0.img', 'd1-web-d0.img']);
  expectRuns({ world: at.world, vm }, 'local');
});

test('moves a running machine to another host, and the source never starts it again', async () => {
  const at = await scene({ snapshots: 2, disks: 1 });
  const bootId = at.world.guests(at.vm.id)[0]?.bootId ?? '';
  const { id } = await at.migrations.start({ vm: at.vm.id, to: 'other', paths: { folder: at.target } });
  await expectMigrated(at, await at.migrations.settled(id), 'other');
  expectRuns(at, 'other', bootId);
  expect(await at.world.host('local').ownership(at.vm.id)).toEqual({ state: 'gone', migration: id, to: 'other' });
  expect(await failureOf(at.world.host('local').start(at.vm))).toMatchObject({ code: 'E_VM_STATE' });
});

test('a base that another machine lies on, too, stays at the source', async () => {
  const at = await scene({ disks: 1, snapshots: 1 });
  const other = makeVm(join(at.source, 'other'), { name: 'mail', disks: 1 });
  const [base] = at.vm.disks[0]?.chain ?? [];
  const disks = other.disks.map((disk) => ({ ...disk, chain: base ? [base] : [] }));
  at.world.host('local').add({ ...other, disks }, false);
  const { id } = await at.migrations.start({ vm: at.vm.id, paths: { folder: at.target } });
  await expectMigrated(at, await at.migrations.settled(id));
  expect(filesIn(join(at.source, 'vm'))).toEqual(['web-d0.img']);
  expect(at.told.map(({ event }) => (event.type === 'note' ? event.message : '')).join()).toContain('mail lies on it');
});

test('keeps the images of the source when that is asked for', async () => {
  const at = await scene({ disks: 1 });
  const { id } = await at.migrations.start({ vm: at.vm.id, paths: { folder: at.target }, keepSource: true });
  await expectMigrated(at, await at.migrations.settled(id));
  const kept = filesIn(join(at.source, 'vm')).map((name) => name.replace(/-?[0-9a-f]{8}-/, '*'));
  expect(kept).toEqual(['d0*1.overlay', 'memory*1.state', 'web-d0.img']);
});

test('a machine that is off is moved without a snapshot, and is off afterwards', async () => {
  const at = await scene({ off: true, snapshots: 1 });
  const { id } = await at.migrations.start({ vm: at.vm.id, to: 'other', paths: { folder: at.target } });
  const view = await at.migrations.settled(id);
  await expectMigrated(at, view, 'other');
  expect(view.blackoutMs).toBeUndefined();
  expect(await at.world.host('other').get(at.vm.id)).toMatchObject({ state: 'off', ownership: { state: 'here' } });
  expect(filesIn(join(at.source, 'vm'))).toEqual([]);
  expect(verifyReceipt(at.migrations.receipt(id)).blackout).toBeUndefined();
});

test.each([0, 1])(
  'a machine that was on while it was copied is copied again, once it cannot be started any more; with %i snapshots',
  async (snapshots) => {
    const at = await scene({ off: true, disks: 1, snapshots });
    const host = at.world.host('local');
    const { id } = await at.migrations.prepare({ vm: at.vm.id, to: 'other', paths: { folder: at.target } });
    expect(await at.migrations.settled(id)).toMatchObject({ state: 'prepared' });
    await host.start(at.vm);
    const [guest] = at.world.guests(at.vm.id);
    while ((guest?.sequence ?? 0) < 20) await systemClock.sleep(1);
    await host.stop(at.vm);
    await at.migrations.cutover(id);
    expect(await at.migrations.settled(id)).toMatchObject({ state: 'done' });
    await at.world.host('other').start(at.vm);
    expect(at.world.host('other').guestsOf(at.vm.id)[0]?.sequence).toBeGreaterThanOrEqual(20);
    expect(at.told.map(({ event }) => (event.type === 'note' ? event.message : '')).join()).toContain('copied again');
  },
);

test('stops before the blackout when it is prepared, and goes on when it is told to', async () => {
  const at = await scene({ disks: 1 });
  const { id } = await at.migrations.prepare({ vm: at.vm.id, paths: { folder: at.target }, maxBlackoutMs: 60_000 });
  const prepared = await at.migrations.settled(id);
  expect(prepared).toMatchObject({ state: 'prepared', step: 'shrink-delta', switchedOver: false });
  expect(prepared.reason).toMatch(/^it would stand still for .* at most were allowed$/);
  expectRuns(at, 'local');
  await at.migrations.cutover(id);
  await expectMigrated(at, await at.migrations.settled(id));
  expect(await failureOf(at.migrations.cutover(id))).toMatchObject({ code: 'E_MIGRATION_STATE' });
});

test('asks before it stands still for longer than it may, and takes an answer', async () => {
  const at = await scene({ disks: 1 });
  const { id } = await at.migrations.start({ vm: at.vm.id, paths: { folder: at.target }, maxBlackoutMs: 1 });
  const asking = await at.migrations.settled(id);
  expect(asking.state).toBe('asking');
  expect(asking.reason).toContain('no further snapshot helps');
  expectRuns(at, 'local');
  await at.migrations.cutover(id, { anyway: true });
  await expectMigrated(at, await at.migrations.settled(id));
});

/** Says of the first overlay that it is large. */
class LargeFirstDelta extends FakeFiles {
  override async stat(path: string) {
    const stat = await super.stat(path);
    return stat && basename(path).endsWith('-1.overlay') ? { ...stat, bytes: 500e6 } : stat;
  }
}

test('takes another snapshot while what the guest has written would take too long', async () => {
  let wallMs = systemClock.wallMs();
  const clock = {
    ...systemClock,
    wallMs: () => {
      wallMs += 60_000;
      return wallMs;
    },
  };
  const at = await scene({ disks: 1, clock, newFiles: (parts) => new LargeFirstDelta(parts) });
  const { id } = await at.migrations.start({ vm: at.vm.id, paths: { folder: at.target }, maxBlackoutMs: 2000 });
  const view = await at.migrations.settled(id);
  await expectMigrated(at, view);
  expect(view).toMatchObject({ rounds: 2 });
  const rounds = at.told.flatMap(({ event }) => (event.type === 'step' && event.round ? [event] : []));
  expect(rounds.map(({ round, state }) => [round, state])).toContainEqual([2, 'done']);
  const predictions = at.told.flatMap(({ event }) =>
    event.type === 'step' && event.predictedBlackoutMs !== undefined ? [event.predictedBlackoutMs] : [],
  );
  expect(predictions[0]).toBeGreaterThan(2000);
  expect(predictions[1]).toBeLessThan(2000);
  expectRuns(at, 'local');
});

test('what a migration would do is told before anything is changed', async () => {
  const at = await scene();
  at.world.host('local').problems = ['there is no room'];
  const { plan, problems, bytes, prediction } = await at.migrations.plan({
    vm: at.vm.id,
    paths: { folder: at.target },
  });
  expect(problems).toEqual(['there is no room']);
  expect(bytes).toBe(at.vm.disks.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0));
  expect(plan.images.map(({ target }) => target)).toEqual(
    at.vm.disks.map(({ id }) => join(at.target, `web-${id}.img`)),
  );
  expect(prediction.blackoutMs).toBeGreaterThan(0);
  expect(at.migrations.list()).toEqual([]);
});

test('what cannot be migrated is refused by name', async () => {
  const at = await scene({ disks: 1 });
  const refusal = (paths: object) => failureOf(at.migrations.start({ vm: at.vm.id, paths }));
  expect(await refusal({})).toMatchObject({ code: 'E_USAGE', message: expect.stringContaining('disk d0') });
  expect(await refusal({ folder: 'there' })).toMatchObject({ message: expect.stringContaining('no absolute path') });
  expect(await refusal({ folder: at.target, disks: { d9: '/x' } })).toMatchObject({
    message: expect.stringContaining('no disk d9'),
  });
  expect(await refusal({ folder: join(at.source, 'vm') })).toMatchObject({
    message: expect.stringContaining('is there already'),
  });
  expect(await failureOf(at.migrations.start({ vm: 'nobody', paths: { folder: at.target } }))).toMatchObject({
    code: 'E_NO_VM',
  });
  const { id } = await at.migrations.prepare({ vm: at.vm.id, paths: { folder: at.target } });
  expect(await refusal({ folder: at.target })).toMatchObject({ code: 'E_MIGRATION_STATE' });
  expect(await failureOf((async () => at.migrations.get('none'))())).toMatchObject({ code: 'E_NO_MIGRATION' });
  await at.migrations.abort(id);
});
