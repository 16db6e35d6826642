import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { systemClock } from '../../src/core/clock.js';
import { TransferError } from '../../src/core/errors.js';
import { unhook } from '../../src/migrate/qemu/nodes.js';
import { Qmp } from '../../src/migrate/qemu/qmp.js';
import type { VmDescription } from '../../src/migrate/vm.js';
import { buildGuest, type Guest, type Heartbeat } from '../support/guest/noticing-guest.js';
import { TestHost } from '../support/guest/qemu-host.js';
import { mounted } from '../support/mounts.js';

const built = buildGuest();
const never = new AbortController().signal;
const nothing = (): void => undefined;
const flipped = (bytes: Buffer, at: number): Buffer => {
  const other = Buffer.from(bytes);
  other.writeUInt8((other.at(at) as number) ^ 1, at);
  return other;
};
const child = join(import.meta.dirname, '../support/qemu-child.mjs');

/** One machine goes through all of it, in this order: starting its guest takes longer than the rest. */
describe.skipIf(typeof built === 'string')('a machine in trouble', { timeout: 300_000 }, () => {
  let host: TestHost;
  let vm: VmDescription;
  let guest: Guest;
  let first: Heartbeat;

  beforeAll(async () => {
    if (typeof built === 'string') return;
    host = new TestHost();
    vm = await host.machine(built, [['vhdx'], ['raw']]);
    guest = host.guest(vm);
  });
  afterAll(async () => {
    await host.close();
  });

  /** The guest was never started again, and misses nothing. */
  const assertWell = async (): Promise<void> => {
    expect(await host.hypervisor.state(vm)).toBe('running');
    expect(await guest.goesOn()).toMatchObject({ boot: first.boot, corrupt: 0, errors: 0 });
  };
  const refusal = (work: Promise<unknown>): Promise<{ code: string }> => work.then(nothing, (thrown) => thrown);
  const topOf = (disk: number): string => vm.disks[disk]?.chain.at(-1)?.path ?? '';
  const into = () => vm.disks.map(({ id, chain }) => ({ disk: id, into: chain[0]?.path ?? '' }));

  test('it goes on when the process that started it is killed, and is found again', async () => {
    const state = join(host.folder, 'state');
    const starter = spawn(process.execPath, [child, JSON.stringify({ state, vm })], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(starter.stdout, 'data');
    starter.kill('SIGKILL');
    await once(starter, 'exit');
    first = await guest.reaches(50);
    const { state: found, pid } = await host.vms.get(vm.id);
    expect(found).toBe('running');
    expect(readFileSync(`/proc/${pid}/cmdline`, 'latin1')).toContain(vm.id);
    await host.hypervisor.start(vm);
    expect(host.hypervisor.pid(vm.id)).toBe(pid);
    await assertWell();
  });

  test('a snapshot of which one overlay cannot be made leaves nothing behind', async () => {
    const overlays = host.place('overlays');
    const one = { disk: 'd0', path: join(overlays, 'd0.qcow2') };
    const missing = { disk: 'd1', path: join(overlays, 'nowhere', 'd1.qcow2') };
    expect((await refusal(host.hypervisor.snapshot(vm, [one, missing]))).code).toBe('E_TARGET_FOLDER');
    const taken = { disk: 'd1', path: join(overlays, 'd1.qcow2') };
    writeFileSync(taken.path, 'mine');
    expect((await refusal(host.hypervisor.snapshot(vm, [one, taken]))).code).toBe('E_TARGET_EXISTS');
    expect(readdirSync(overlays)).toEqual(['d1.qcow2']);
    expect(readFileSync(taken.path, 'latin1')).toBe('mine');
    // QEMU refuses an overlay twice, after both were made.
    const twice = { disk: 'd0', path: join(overlays, 'twice.qcow2') };
    expect((await refusal(host.hypervisor.snapshot(vm, [one, twice]))).code).toBe('E_HYPERVISOR');
    expect(readdirSync(overlays)).toEqual(['d1.qcow2']);
    expect((await host.vms.get(vm.id)).vm).toEqual(vm);
    await assertWell();
  });

  test('an overlay of a snapshot that was cut short before it was written down is made anew', async () => {
    const before = vm;
    const path = join(host.place('cut short'), 'd1.qcow2');
    writeFileSync(path, 'the beginning of an overlay');
    host.registry.setOverlaysBegun(vm.id, [path]);
    vm = await host.hypervisor.snapshot(vm, [{ disk: 'd1', path }]);
    expect(host.registry.overlaysBegun(vm.id)).toEqual([]);
    await assertWell();
    vm = await host.hypervisor.merge(vm, into(), nothing, never);
    expect(vm).toEqual(before);
    await assertWell();
  });

  test('no state is saved while the guest writes to a VHDX, and the guest goes on', async () => {
    const state = join(host.place('saved'), 'state');
    expect((await refusal(host.hypervisor.saveState(vm, state))).code).toBe('E_VM_STATE');
    expect(readdirSync(host.place('saved'))).toEqual([]);
    await assertWell();
  });

  test('a full storage stops the guest until there is room, and a state without any lets it go on', async (context) => {
    const { folder, remount } = await mounted(context, 'tmpfs', 1);
    const before = vm;
    vm = await host.hypervisor.snapshot(vm, [{ disk: 'd1', path: join(folder, 'd1.qcow2') }]);
    while ((await host.hypervisor.state(vm)) !== 'io-error') await systemClock.sleep(20);
    await remount('size=64m');
    // As `vm start` has it go on.
    await host.hypervisor.start(vm);
    await host.hypervisor.resume(vm);
    await assertWell();
    vm = await host.hypervisor.merge(vm, into(), nothing, never);
    expect(vm).toEqual(before);
    expect(readdirSync(folder)).toEqual([]);

    vm = await host.hypervisor.snapshot(vm, [{ disk: 'd0', path: join(host.place('roomy'), 'd0.qcow2') }]);
    await remount('size=4m');
    expect((await refusal(host.hypervisor.saveState(vm, join(folder, 'state')))).code).toBe('E_NO_SPACE');
    expect(readdirSync(folder)).toEqual([]);
    await assertWell();
    vm = await host.hypervisor.merge(vm, into(), nothing, never);
  });

  test('a merge that cannot be written down leaves the guest in its overlay, and can be repeated', async () => {
    const overlay = join(host.place('unwritten'), 'd1.qcow2');
    vm = await host.hypervisor.snapshot(vm, [{ disk: 'd1', path: overlay }]);
    const put = vi.spyOn(host.registry, 'put').mockImplementationOnce(() => {
      throw new TransferError('E_STORE', 'the folder of the machine is full');
    });
    expect((await refusal(host.hypervisor.merge(vm, into(), nothing, never))).code).toBe('E_STORE');
    put.mockRestore();
    expect((await host.vms.get(vm.id)).vm).toEqual(vm);
    await assertWell();
    const stopped = AbortSignal.abort();
    expect((await refusal(host.hypervisor.merge(vm, into(), nothing, stopped))).code).toBe('E_STOPPED');
    await assertWell();
    vm = await host.hypervisor.merge(vm, into(), nothing, never);
    expect(existsSync(overlay)).toBe(false);
    await assertWell();
  });

  test('a state that is discarded leaves a guest that goes on, and can be saved again', async () => {
    const folder = host.place('saved');
    const overlays = vm.disks.map(({ id }) => ({ disk: id, path: join(folder, `${id}.qcow2`) }));
    vm = await host.hypervisor.snapshot(vm, overlays);
    const saved = await host.hypervisor.saveState(vm, join(folder, 'state'));
    expect(await host.hypervisor.state(vm)).toBe('saved');
    expect((await refusal(host.hypervisor.resume(vm))).code).toBe('E_VM_STATE');
    await host.hypervisor.discardState(vm);
    await host.hypervisor.discardState(vm);
    expect(existsSync(saved.path)).toBe(false);
    await assertWell();
    // A save that is killed has taken the VHDX out of the machine by then.
    const qmp = await Qmp.open(join(host.registry.folderOf(vm.id), 'control.sock'), systemClock);
    await qmp.execute('stop');
    await unhook(qmp, vm);
    qmp.close();
    await host.hypervisor.resume(vm);
    await assertWell();
    // Another place makes another state, which the guest has to have run for.
    await host.hypervisor.saveState(vm, join(folder, 'state'));
    await host.hypervisor.saveState(vm, join(folder, 'other'));
    await host.hypervisor.discardState(vm);
    await assertWell();
  });

  test('a saved state that lost its end or one bit is never started, and the right one is', async () => {
    const folder = host.place('saved');
    const saved = await host.hypervisor.saveState(vm, join(folder, 'whole'));
    await host.hypervisor.stop(vm);
    const bytes = readFileSync(saved.path);
    const path = join(folder, 'damaged');
    for (const spoil of [
      () => truncateSync(path, saved.bytes - 4000),
      () => writeFileSync(path, flipped(bytes, saved.bytes >> 1)),
    ]) {
      writeFileSync(path, bytes);
      spoil();
      expect((await refusal(host.hypervisor.start(vm, { ...saved, path }))).code).toBe('E_INTEGRITY');
      expect(await host.hypervisor.state(vm)).toBe('off');
      expect(host.hypervisor.pid(vm.id)).toBeUndefined();
    }
    await host.hypervisor.start(vm, saved);
    await host.hypervisor.start(vm, saved);
    expect(await host.hypervisor.state(vm)).toBe('paused');
    await host.hypervisor.resume(vm);
    await assertWell();
  });

  test('a machine whose process is killed is lost, and what its guest wrote is merged while it is off', async () => {
    if (typeof built === 'string') return;
    const folder = host.place('second');
    vm = await host.hypervisor.snapshot(vm, [{ disk: 'd0', path: join(folder, 'd0.qcow2') }]);
    await guest.goesOn();
    const inside = await guest.verify();
    process.kill((await host.vms.get(vm.id)).pid ?? 0, 'SIGKILL');
    while ((await host.hypervisor.state(vm)) !== 'lost') await systemClock.sleep(10);
    expect((await refusal(host.vms.remove(vm.id))).code).toBe('E_VM_STATE');
    expect(vm.disks.map(({ chain }) => chain.length)).toEqual([3, 2]);
    const images = [topOf(0), topOf(1)];
    vm = await host.hypervisor.merge(vm, into(), nothing, never);
    expect(vm.disks.map(({ chain }) => chain.length)).toEqual([1, 1]);
    expect(images.filter((path) => existsSync(path))).toEqual([]);
    const outside = host.scan(built, vm).map(({ wrong, digest }) => ({ wrong, digest }));
    expect(outside).toEqual(inside.map(({ wrong, digest }) => ({ wrong, digest })));
  });
});
