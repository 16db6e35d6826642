/** What goes wrong on the way: it is found before the machine is started from it, and the machine runs on somewhere. */
import { closeSync, openSync, readSync, rmSync, truncateSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { systemClock } from '../../src/core/clock.js';
import { TransferError } from '../../src/core/errors.js';
import { MiB } from '../../src/core/units.js';
import type { SavedState } from '../../src/migrate/hypervisor.js';
import type { LocalFilesParts } from '../../src/migrate/local-files.js';
import { verifyReceipt } from '../../src/migrate/receipt.js';
import { failureOf } from '../support/copying.js';
import { expectMigrated, expectRuns, FakeFiles, filesIn, type Scene, scene } from '../support/migrating.js';
import { mounted } from '../support/mounts.js';

/** Waits for a second are short, and those that bound the blackout as they are. */
const impatient = {
  ...systemClock,
  sleep: (ms: number, signal?: AbortSignal) => systemClock.sleep(ms > 10_000 ? ms : Math.min(ms, 5), signal),
};

function flip(path: string, at = 100): void {
  const fd = openSync(path, 'r+');
  const byte = Buffer.alloc(1);
  readSync(fd, byte, 0, 1, at);
  writeSync(fd, Buffer.from([(byte[0] ?? 0) ^ 1]), 0, 1, at);
  closeSync(fd);
}

/** Spoils a file at the target, once, just before it is read for its proof. */
class Spoiling extends FakeFiles {
  readonly #which: RegExp;
  readonly #how: (path: string) => void;
  #spoilt = false;

  constructor(parts: LocalFilesParts, which: RegExp, how: (path: string) => void) {
    super(parts);
    this.#which = which;
    this.#how = how;
  }

  override async digest(path: string, whole: boolean, signal: AbortSignal) {
    if (!this.#spoilt && this.#which.test(path)) {
      this.#spoilt = true;
      this.#how(path);
    }
    return super.digest(path, whole, signal);
  }
}

async function goneWrong(at: Scene, id: string, code: string): Promise<void> {
  const view = await at.migrations.settled(id);
  expect(view).toMatchObject({ state: 'failed', error: { code }, switchedOver: false });
  expectRuns(at, 'local');
  expect(at.world.host('other').guests()).toEqual([]);
}

test.each([
  ['a saved state with one other byte', /\.state$/, flip],
  ['a saved state that is cut short', /\.state$/, (path: string) => truncateSync(path, 4000)],
  ['an overlay with one other byte', /\.overlay$/, flip],
])('%s is found and not started; the machine runs on, and the next try arrives', async (_, which, how) => {
  const at = await scene({ disks: 1, newFiles: (parts) => new Spoiling(parts, which, how) });
  const bootId = at.world.guests(at.vm.id)[0]?.bootId ?? '';
  const { id } = await at.migrations.start({ vm: at.vm.id, to: 'other', paths: { folder: at.target } });
  await goneWrong(at, id, 'E_INTEGRITY');
  await at.migrations.cutover(id);
  await expectMigrated(at, await at.migrations.settled(id), 'other');
  expectRuns(at, 'other', bootId);
});

test('a base that somebody changed at the target since it was proven is found', async () => {
  const at = await scene({ disks: 1 });
  const { id } = await at.migrations.prepare({ vm: at.vm.id, to: 'other', paths: { folder: at.target } });
  await at.migrations.settled(id);
  flip(join(at.target, 'web-d0.img'));
  await at.migrations.cutover(id);
  await goneWrong(at, id, 'E_INTEGRITY');
  expect(await at.migrations.abort(id)).toMatchObject({ state: 'aborted' });
  expect(filesIn(at.target)).toEqual([]);
});

test.each([1, 3])(
  'a saved state that is changed %i times after its proof is copied again, and only then started',
  async (times) => {
    const at = await scene({ disks: 1, clock: impatient });
    const host = at.world.host('other');
    const start = host.startPlaceholder.bind(host);
    let left = times;
    host.startPlaceholder = async (vm, migration, from?: SavedState) => {
      if (--left === 0) host.startPlaceholder = start;
      truncateSync(from?.path ?? '', 4000);
      return start(vm, migration, from);
    };
    const { id } = await at.migrations.start({ vm: at.vm.id, to: 'other', paths: { folder: at.target } });
    await expectMigrated(at, await at.migrations.settled(id), 'other');
    expectRuns(at, 'other');
  },
);

test('on one host the memory goes straight to the target: a source that is full is no obstacle', async () => {
  const at = await scene({ disks: 1 });
  const host = at.world.host('local');
  const save = host.saveState.bind(host);
  const saved: string[] = [];
  host.saveState = (vm, path) => {
    saved.push(dirname(path));
    return save(vm, path);
  };
  const { id } = await at.migrations.start({ vm: at.vm.id, paths: { folder: at.target } });
  await expectMigrated(at, await at.migrations.settled(id));
  expect(saved).toEqual([at.target]);
  const { files = [] } = at.migrations.receipt(id) ?? {};
  const hex = expect.stringMatching(/^[0-9a-f]{64}$/);
  expect(files.find(({ kind }) => kind === 'state')).toMatchObject({ sha256: hex, root: hex });
});

test('memory that is damaged after its proof, and is nowhere else, is not started: it is told', async () => {
  const at = await scene({ disks: 1 });
  const host = at.world.host('local');
  const start = host.startPlaceholder.bind(host);
  host.startPlaceholder = async (vm, migration, from?: SavedState) => {
    if (from) truncateSync(from.path, 4000);
    return start(vm, migration, from);
  };
  const [before] = host.guestsOf(at.vm.id);
  const { id } = await at.migrations.start({ vm: at.vm.id, paths: { folder: at.target } });
  expect(await at.migrations.settled(id)).toMatchObject({ state: 'done' });
  const [after] = host.guestsOf(at.vm.id);
  expect(after).toMatchObject({ state: 'running' });
  expect(after?.bootId).not.toBe(before?.bootId);
  const notes = at.told.flatMap(({ event }) => (event.type === 'note' ? [event.message] : []));
  expect(notes.join()).toContain('to its guest this is a power cut');
  expect(at.world.violations).toEqual([]);
});

test('memory that is read rightly the second time is loaded: nobody loses it for one wrong read', async () => {
  const at = await scene({ disks: 1 });
  const bootId = at.world.guests(at.vm.id)[0]?.bootId ?? '';
  const host = at.world.host('local');
  const start = host.startPlaceholder.bind(host);
  host.startPlaceholder = async () => {
    host.startPlaceholder = start;
    throw new TransferError('E_INTEGRITY', 'another state');
  };
  const { id } = await at.migrations.start({ vm: at.vm.id, paths: { folder: at.target } });
  await expectMigrated(at, await at.migrations.settled(id));
  expectRuns(at, 'local', bootId);
});

test('memory that is gone from beside its disks is told, and the machine starts without it', async () => {
  const at = await scene({ disks: 1 });
  const host = at.world.host('local');
  const start = host.startPlaceholder.bind(host);
  host.startPlaceholder = async (vm, migration, from?: SavedState) => {
    if (!from) return start(vm, migration);
    rmSync(from.path, { force: true });
    throw new TransferError('E_SOURCE_MISSING', 'the saved state cannot be opened');
  };
  const { id } = await at.migrations.start({ vm: at.vm.id, paths: { folder: at.target } });
  await expectMigrated(at, await at.migrations.settled(id));
  expect(at.migrations.get(id).reason).toContain('a power cut to its guest');
});

test('a machine that started without its memory never gets it back on disks that it has written to', async () => {
  const at = await scene({ disks: 1, clock: impatient });
  const bootId = at.world.guests(at.vm.id)[0]?.bootId ?? '';
  const host = at.world.host('local');
  const start = host.startPlaceholder.bind(host);
  host.startPlaceholder = async (vm, migration, from?: SavedState) => {
    if (from) throw new TransferError('E_INTEGRITY', 'another state');
    await start(vm, migration);
    // It ran, wrote, and was killed; and nobody lived to write that down. Its memory can be read again by now.
    const [guest] = host.guestsOf(vm.id);
    if (guest) guest.state = 'running';
    for (let record = 0; record < 5; record++) guest?.tick();
    host.endComing(vm.id);
    host.startPlaceholder = start;
    throw new TransferError('E_HYPERVISOR', 'it ended');
  };
  const { id } = await at.migrations.start({ vm: at.vm.id, paths: { folder: at.target } });
  await expectMigrated(at, await at.migrations.settled(id));
  expectRuns(at, 'local');
  expect(host.guestsOf(at.vm.id)[0]?.bootId).not.toBe(bootId);
  expect(verifyReceipt(at.migrations.receipt(id)).withoutMemory).toBe('another state');
});

test('a machine whose process ends before it runs at the target is loaded again, with its memory', async () => {
  const at = await scene({ disks: 1 });
  const bootId = at.world.guests(at.vm.id)[0]?.bootId ?? '';
  const host = at.world.host('other');
  const start = host.startPlaceholder.bind(host);
  host.startPlaceholder = async (vm, migration, from?: SavedState) => {
    host.startPlaceholder = start;
    await start(vm, migration, from);
    host.endComing(vm.id);
  };
  const { id } = await at.migrations.start({ vm: at.vm.id, to: 'other', paths: { folder: at.target } });
  await expectMigrated(at, await at.migrations.settled(id), 'other');
  expectRuns(at, 'other', bootId);
});

test('a target that is full is waited for, and told; an abort gives the space back', async (context) => {
  const full = await mounted(context, 'tmpfs', 1);
  const target = join(full.folder, 'vm');
  const at = await scene({ disks: 1, baseBytes: 3 * MiB, target });
  const { id } = await at.migrations.start({ vm: at.vm.id, paths: { folder: target } });
  while (!at.migrations.get(id).reason.startsWith('waits')) await systemClock.sleep(10);
  expect(at.migrations.get(id)).toMatchObject({ state: 'running', step: 'copy-bases' });
  expectRuns(at, 'local');
  expect(await at.migrations.abort(id)).toMatchObject({ state: 'aborted' });
  expect(filesIn(target)).toEqual([]);
  expectRuns(at, 'local');
});

test('memory that cannot be saved lets the machine run on', async () => {
  const at = await scene({ disks: 1 });
  const host = at.world.host('local');
  const save = host.saveState.bind(host);
  host.saveState = async () => {
    host.saveState = save;
    const [guest] = host.guestsOf(at.vm.id);
    if (guest) guest.state = 'paused';
    throw new TransferError('E_NO_SPACE', 'no room for the memory');
  };
  const { id } = await at.migrations.start({ vm: at.vm.id, paths: { folder: at.target } });
  await goneWrong(at, id, 'E_NO_SPACE');
  await at.migrations.cutover(id);
  await expectMigrated(at, await at.migrations.settled(id));
});

test('a machine that is killed before its memory is saved is started again, as after a power cut', async () => {
  const at = await scene({ disks: 1 });
  const host = at.world.host('local');
  const save = host.saveState.bind(host);
  host.saveState = async (vm, path) => {
    host.saveState = save;
    host.killGuest(vm.id);
    return save(vm, path);
  };
  const { id } = await at.migrations.start({ vm: at.vm.id, paths: { folder: at.target } });
  await goneWrong(at, id, 'E_VM_STATE');
  expect(at.told.map(({ event }) => (event.type === 'note' ? event.message : '')).join()).toContain('power cut');
});

test('once the source has given it away, the target is asked until it starts', async () => {
  const at = await scene({ disks: 1, clock: impatient });
  const host = at.world.host('other');
  const take = host.take.bind(host);
  let refusals = 3;
  host.take = async (id, migration) => {
    if (refusals-- > 0) throw new TransferError('E_NETWORK', 'the host does not answer');
    return take(id, migration);
  };
  const { id } = await at.migrations.start({ vm: at.vm.id, to: 'other', paths: { folder: at.target } });
  await expectMigrated(at, await at.migrations.settled(id), 'other');
  const failed = at.told.filter(({ event }) => event.type === 'step' && event.state === 'failed');
  expect(failed).toHaveLength(3);
});

test('a target that never starts it is told; the source does not either, and the cutover can be repeated', async () => {
  const at = await scene({ disks: 1, clock: impatient });
  const host = at.world.host('other');
  const begin = host.startPlaceholder.bind(host);
  host.startPlaceholder = async () => {
    throw new TransferError('E_NETWORK', 'the host does not answer');
  };
  const { id } = await at.migrations.start({ vm: at.vm.id, to: 'other', paths: { folder: at.target } });
  expect(await at.migrations.settled(id)).toMatchObject({ state: 'failed', step: 'start', switchedOver: true });
  expect(at.world.guests(at.vm.id)).toEqual([]);
  expect(await failureOf(at.world.host('local').start(at.vm))).toMatchObject({ code: 'E_VM_STATE' });
  expect(await failureOf(at.migrations.abort(id))).toMatchObject({ code: 'E_MIGRATION_STATE' });
  host.startPlaceholder = begin;
  await at.migrations.cutover(id);
  await expectMigrated(at, await at.migrations.settled(id), 'other');
  expectRuns(at, 'other');
});

test('a blackout that takes far longer than predicted ends at the source', async () => {
  const hasty = {
    ...systemClock,
    sleep: async (ms: number, signal?: AbortSignal) => systemClock.sleep(ms / 1e6, signal),
  };
  const at = await scene({ disks: 1, clock: hasty });
  const { id } = await at.migrations.start({ vm: at.vm.id, paths: { folder: at.target } });
  await goneWrong(at, id, 'E_TIMEOUT');
  expect((await at.migrations.abort(id)).state).toBe('aborted');
  expect(filesIn(at.target)).toEqual([]);
});

test('a step that fails while the machine runs is tried again by a cutover', async () => {
  const at = await scene({ disks: 1 });
  at.world.host('other').problems = ['there is no room'];
  const { id } = await at.migrations.start({ vm: at.vm.id, to: 'other', paths: { folder: at.target } });
  const view = await at.migrations.settled(id);
  expect(view).toMatchObject({ state: 'failed', step: 'check', error: { code: 'E_USAGE' } });
  expect(view.reason).toContain('there is no room');
  at.world.host('other').problems = [];
  await at.migrations.cutover(id);
  await expectMigrated(at, await at.migrations.settled(id), 'other');
});
