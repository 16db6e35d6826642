/** A memory that was saved is worth nothing once its guest has written on: nobody loads it then. */
import { expect, test } from 'vitest';
import { TransferError } from '../../src/core/errors.js';
import { expectMigrated, expectRuns, filesIn, gate, type Scene, scene } from '../support/migrating.js';

/** Somebody starts it, without its memory, and it writes. */
async function startedByHand({ world, vm }: Scene): Promise<void> {
  const host = world.host('local');
  await host.start(vm);
  const [guest] = host.guestsOf(vm.id);
  for (let record = 0; record < 5; record++) guest?.tick();
}

test.each(['runs', 'was killed again', 'was switched off'])(
  'a machine that somebody started after it was killed, and that %s, never gets its old memory back',
  async (how) => {
    const at = await scene({ disks: 1 });
    const host = at.world.host('local');
    const held = gate(host, 'state', () => host.guestsOf(at.vm.id)[0]?.state === 'saved');
    const { id } = await at.migrations.start({ vm: at.vm.id, to: 'other', paths: { folder: at.target } });
    await held.reached;
    host.killGuest(at.vm.id);
    await startedByHand(at);
    const sequence = host.guestsOf(at.vm.id)[0]?.sequence ?? 0;
    if (how === 'was killed again') host.killGuest(at.vm.id);
    if (how === 'was switched off') await host.stop(at.vm);
    held.release();
    expect(await at.migrations.settled(id)).toMatchObject({ state: 'failed', error: { code: 'E_VM_STATE' } });
    if (how === 'was switched off') await host.start(at.vm);
    expectRuns(at, 'local');
    expect(host.guestsOf(at.vm.id)[0]?.sequence).toBeGreaterThanOrEqual(sequence);
    await at.migrations.cutover(id);
    await expectMigrated(at, await at.migrations.settled(id), 'other');
    expectRuns(at, 'other');
  },
);

test('a machine that ran on and was killed before that was on record starts as after a power cut', async () => {
  const at = await scene({ disks: 1 });
  const host = at.world.host('local');
  const discard = host.discardState.bind(host);
  let sequence = 0;
  host.discardState = async (vm) => {
    host.discardState = discard;
    await discard(vm);
    for (let record = 0; record < 5; record++) host.guestsOf(vm.id)[0]?.tick();
    sequence = host.guestsOf(vm.id)[0]?.sequence ?? 0;
    host.killGuest(vm.id);
    throw new TransferError('E_HYPERVISOR', 'it ended');
  };
  const digest = at.files.digest.bind(at.files);
  at.files.digest = async (path, ...rest) => {
    if (!path.endsWith('.state')) return digest(path, ...rest);
    at.files.digest = digest;
    throw new TransferError('E_SOURCE_READ', 'no storage');
  };
  const { id } = await at.migrations.start({ vm: at.vm.id, to: 'other', paths: { folder: at.target } });
  expect(await at.migrations.settled(id)).toMatchObject({ state: 'failed' });
  expect(await at.migrations.abort(id)).toMatchObject({ state: 'aborted' });
  expectRuns(at, 'local');
  expect(sequence).toBeGreaterThan(0);
  expect(host.guestsOf(at.vm.id)[0]?.sequence).toBeGreaterThanOrEqual(sequence);
});

test.each(['is gone', 'is damaged'])(
  'a machine that is killed while it stands still, and whose memory %s, starts without it: that is a power cut',
  async (how) => {
    const at = await scene({ disks: 1 });
    const host = at.world.host('local');
    const start = host.start.bind(host);
    host.start = async (vm, from) => {
      if (from) throw new TransferError('E_INTEGRITY', 'another state');
      return start(vm);
    };
    const digest = at.files.digest.bind(at.files);
    at.files.digest = async (path, ...rest) => {
      if (!path.endsWith('.state')) return digest(path, ...rest);
      at.files.digest = digest;
      host.killGuest(at.vm.id);
      if (how === 'is gone') await at.files.remove(path);
      throw new TransferError('E_INTEGRITY', 'not what was saved');
    };
    const { id } = await at.migrations.start({ vm: at.vm.id, paths: { folder: at.target } });
    expect(await at.migrations.settled(id)).toMatchObject({
      state: 'failed',
      error: { message: 'not what was saved' },
    });
    expectRuns(at, 'local');
    expect(at.told.map(({ event }) => (event.type === 'note' ? event.message : '')).join()).toContain('power cut');
    await at.migrations.cutover(id);
    await expectMigrated(at, await at.migrations.settled(id));
  },
);

test('a memory that cannot be removed keeps no machine standing still; it goes when the migration ends', async () => {
  const at = await scene({ disks: 1 });
  const [digest, remove] = [at.files.digest.bind(at.files), at.files.remove.bind(at.files)];
  at.files.digest = async (path, ...rest) => {
    if (!path.endsWith('.state')) return digest(path, ...rest);
    at.files.digest = digest;
    throw new TransferError('E_SOURCE_READ', 'the storage fails');
  };
  at.files.remove = async (path) => {
    if (path.endsWith('.state')) throw new TransferError('E_TARGET_ACCESS', 'it is read-only by now');
    return remove(path);
  };
  const { id } = await at.migrations.start({ vm: at.vm.id, paths: { folder: at.target } });
  expect(await at.migrations.settled(id)).toMatchObject({ state: 'failed', error: { message: 'the storage fails' } });
  expectRuns(at, 'local');
  at.files.remove = remove;
  expect(await at.migrations.abort(id)).toMatchObject({ state: 'aborted' });
  expect(filesIn(at.target)).toEqual([]);
  expectRuns(at, 'local');
});
