import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { DiskCheck } from '../../../src/disk/check.js';
import { LocalHost, type LocalHypervisor } from '../../../src/migrate/local-host.js';
import type { VmDescription, VmRunState } from '../../../src/migrate/vm.js';
import { VmRegistry } from '../../../src/migrate/vm-registry.js';
import { sampleVm } from '../../support/sample-vm.js';

/** Knows only whether machines run. */
class NoHypervisor implements Partial<LocalHypervisor> {
  readonly states = new Map<string, VmRunState>();
  readonly started: VmDescription[] = [];

  async facts() {
    return { hypervisor: 'none', machines: ['pc-i440fx-7.2'] };
  }
  pid(): undefined {
    return undefined;
  }
  async state({ id }: VmDescription): Promise<VmRunState> {
    return this.states.get(id) ?? 'off';
  }
  async start(vm: VmDescription, from?: unknown): Promise<void> {
    this.started.push(vm);
    this.states.set(vm.id, from ? 'paused' : 'running');
  }
  async resume({ id }: VmDescription): Promise<void> {
    this.states.set(id, 'running');
  }
  async stop({ id }: VmDescription): Promise<void> {
    this.states.set(id, 'off');
  }
}

const vm = sampleVm();
const state = { path: '/saved', bytes: 1, sha256: '0'.repeat(64) };

let folder: string;
let registry: VmRegistry;
let hypervisor: NoHypervisor;
let host: LocalHost;
let found: DiskCheck;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vms-'));
  registry = new VmRegistry(folder);
  hypervisor = new NoHypervisor();
  found = { sound: true, images: [] };
  const checkDisk = async (): Promise<DiskCheck> => found;
  host = new LocalHost({ registry, hypervisor: hypervisor as unknown as LocalHypervisor, checkDisk });
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

const codeOf = (work: Promise<unknown>): Promise<string> => work.then(String, (thrown) => thrown.code);

test('a machine is written down for its user alone, and found again by whoever looks later', async () => {
  await host.add(vm);
  expect(await codeOf(host.add(vm))).toBe('E_VM_EXISTS');
  const again = new VmRegistry(folder);
  expect(again.ids()).toEqual([vm.id]);
  expect(again.get(vm.id)).toEqual(vm);
  expect(await host.list()).toEqual([{ vm, ownership: { state: 'here' }, state: 'off' }]);
  const files = join(folder, 'vms', vm.id);
  expect(statSync(files).mode & 0o777).toBe(0o700);
  expect(readdirSync(files).map((name) => statSync(join(files, name)).mode & 0o777)).toEqual([0o600, 0o600]);
  chmodSync(join(files, 'vm.json'), 0o644);
  expect(() => again.get(vm.id)).toThrow(/others may read or change it/);
});

test('what stands in a damaged file is told, and an id that leads elsewhere is none', async () => {
  await host.add(vm);
  writeFileSync(join(folder, 'vms', vm.id, 'vm.json'), '{"schema":1}', { mode: 0o600 });
  expect(await codeOf(host.get(vm.id))).toBe('E_USAGE');
  writeFileSync(join(folder, 'vms', vm.id, 'owner.json'), '{', { mode: 0o600 });
  expect(await codeOf(host.ownership(vm.id))).toBe('E_STORE');
  expect(await codeOf(host.ownership('../../etc'))).toBe('E_USAGE');
  expect(await codeOf(host.ownership(vm.id.replace('9', '8')))).toBe('E_NO_VM');
});

test('a machine is forgotten only when it is off, and its images stay', async () => {
  const path = join(folder, 'd0.raw');
  writeFileSync(path, 'disk');
  const [disk] = vm.disks;
  if (!disk) throw new Error('the sample has a disk');
  await host.add({ ...vm, disks: [{ ...disk, chain: [{ path, format: 'raw' }] }] });
  hypervisor.states.set(vm.id, 'running');
  expect(await codeOf(host.remove(vm.id))).toBe('E_VM_STATE');
  hypervisor.states.set(vm.id, 'off');
  await host.remove(vm.id);
  expect(await host.list()).toEqual([]);
  expect(existsSync(path)).toBe(true);
});

test('a placeholder is started by its migration alone, and belongs here once it is taken', async () => {
  await host.placeholder(vm, 'm1');
  await host.placeholder(vm, 'm1');
  expect(await host.ownership(vm.id)).toEqual({ state: 'placeholder', migration: 'm1' });
  expect(await codeOf(host.placeholder(vm, 'm2'))).toBe('E_VM_EXISTS');
  expect(await codeOf(host.start(vm.id))).toBe('E_VM_STATE');
  expect(await codeOf(host.startPlaceholder(vm, 'm2', state))).toBe('E_VM_STATE');
  expect(await codeOf(host.take(vm.id, 'm2'))).toBe('E_VM_STATE');
  expect(hypervisor.started).toEqual([]);
  const moved = { ...vm, name: 'as it is at the target' };
  await host.startPlaceholder(moved, 'm1', state);
  expect(hypervisor.started).toEqual([moved]);
  await host.take(vm.id, 'm1');
  await host.take(vm.id, 'm1');
  expect(await host.get(vm.id)).toMatchObject({ vm: moved, ownership: { state: 'here' }, state: 'running' });
});

test('a take that was cut short goes on, and a machine that is off stays off', async () => {
  await host.placeholder(vm, 'm1');
  const resume = hypervisor.resume;
  hypervisor.resume = () => Promise.reject(new Error('killed'));
  await host.startPlaceholder(vm, 'm1', state);
  await expect(host.take(vm.id, 'm1')).rejects.toThrow('killed');
  await host.removePlaceholder(vm.id, 'm1');
  await host.placeholder(vm, 'm1');
  expect(await host.ownership(vm.id)).toMatchObject({ state: 'here' });
  hypervisor.resume = resume;
  await host.take(vm.id, 'm1');
  expect((await host.get(vm.id)).state).toBe('running');

  const off = sampleVm({ id: vm.id.replace('9', '8') });
  await host.placeholder(off, 'm2');
  await host.take(off.id, 'm2');
  expect(await host.get(off.id)).toMatchObject({ state: 'off', ownership: { state: 'here' } });
});

test('a placeholder that is not needed goes, and only the one of that migration', async () => {
  await host.placeholder(vm, 'm1');
  await host.removePlaceholder(vm.id, 'm2');
  expect(await host.list()).toHaveLength(1);
  await host.removePlaceholder(vm.id, 'm1');
  await host.removePlaceholder(vm.id, 'm1');
  expect(await host.list()).toEqual([]);
});

test('a machine that was given away is stopped, and never started here again', async () => {
  await host.add(vm);
  await host.start(vm.id);
  expect(await codeOf(host.give(vm.id, 'm1', 'peer://other'))).toBe('E_VM_STATE');
  hypervisor.states.set(vm.id, 'saved');
  await host.give(vm.id, 'm1', 'peer://other');
  await host.give(vm.id, 'm1', 'peer://other');
  expect(await host.get(vm.id)).toMatchObject({ state: 'off', ownership: { state: 'gone', to: 'peer://other' } });
  expect(await codeOf(host.start(vm.id))).toBe('E_VM_STATE');
  expect(await codeOf(host.give(vm.id, 'm2', 'peer://third'))).toBe('E_VM_STATE');
  // Another migration may bring it back.
  await host.placeholder(vm, 'm3');
  await host.startPlaceholder(vm, 'm3');
  await host.take(vm.id, 'm3');
  expect(await host.ownership(vm.id)).toMatchObject({ state: 'here' });
});

test('on one host a machine moves from itself to itself, and never runs twice', async () => {
  await host.add(vm);
  await host.start(vm.id);
  await host.placeholder(vm, 'm1');
  expect(await host.ownership(vm.id)).toMatchObject({ state: 'here' });
  expect(await codeOf(host.startPlaceholder(vm, 'm1', state))).toBe('E_VM_STATE');
  await host.removePlaceholder(vm.id, 'm1');
  expect(await host.get(vm.id)).toMatchObject({ state: 'running', ownership: { state: 'here' } });

  await host.placeholder(vm, 'm2');
  hypervisor.states.set(vm.id, 'saved');
  await host.give(vm.id, 'm2', 'here');
  expect((await host.get(vm.id)).state).toBe('off');
  const moved = { ...vm, name: 'elsewhere' };
  await host.startPlaceholder(moved, 'm2', state);
  await host.take(vm.id, 'm2');
  expect(await host.get(vm.id)).toMatchObject({ vm: moved, state: 'running', ownership: { state: 'here' } });
});

test('what would stop a migration later is told before it begins', async () => {
  expect(await host.check(vm, [folder], 1)).toEqual([]);
  const other = { ...vm, machine: 'pc-q35-99.0' };
  // It is made when the migration begins.
  expect(await host.check(vm, [join(folder, 'not', 'yet')], 1)).toEqual([]);
  writeFileSync(join(folder, 'file'), '');
  expect(await host.check(other, [join(folder, 'file', 'nowhere')], 1)).toEqual([
    'This host has no machine of the type pc-q35-99.0.',
    expect.stringMatching(/^Nothing can be written to .*nowhere: /),
  ]);
  expect(await host.check(vm, [folder], Number.MAX_SAFE_INTEGER)).toEqual([
    expect.stringMatching(/^9007199254740991 bytes are needed, and .* has room for \d+\.$/),
  ]);
  await host.placeholder(vm, 'm1');
  expect(await host.check(vm, [folder], 1)).toEqual([expect.stringMatching(/^Another migration has the machine/)]);
});

test('an image that cannot be trusted stops a migration from here', async () => {
  const [disk] = vm.disks;
  if (!disk) throw new Error('the sample has a disk');
  const here = { ...vm, disks: [{ ...disk, chain: [{ path: '/d0.vhdx', format: 'vhdx' as const }] }] };
  await host.add(here);
  const finding = { code: 'vhdx-bat', severity: 'wrong', message: 'block 7 lies outside of the file' } as const;
  found = { sound: false, images: [{ name: 'd0', format: 'vhdx', findings: [finding], more: 0 }] };
  expect(await host.check(here, [folder], 1)).toEqual(['Disk d0 cannot be trusted: block 7 lies outside of the file.']);
});

test('one at a time works on a machine; another process is refused, and work inside of work goes on', async () => {
  await host.add(vm);
  const order: string[] = [];
  let finish = (): void => undefined;
  const first = registry.locked(vm.id, async () => {
    await registry.locked(vm.id, async () => order.push('inside'));
    await new Promise<void>((resolve) => {
      finish = resolve;
    });
    order.push('first');
  });
  const second = registry.locked(vm.id, async () => order.push('second'));
  // Another registry is what another process has.
  while (order.length === 0) await new Promise((resolve) => setImmediate(resolve));
  expect(await codeOf(new VmRegistry(folder).locked(vm.id, async () => undefined))).toBe('E_LOCKED');
  finish();
  await Promise.all([first, second]);
  expect(order).toEqual(['inside', 'first', 'second']);
  await expect(registry.locked(vm.id, () => Promise.reject(new Error('mine')))).rejects.toThrow('mine');
  expect(await new VmRegistry(folder).locked(vm.id, async () => 'free')).toBe('free');
});
