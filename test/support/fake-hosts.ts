/**
 * Hosts of machines that are not real, with the rules of real ones: who may start a machine is written down, calls may
 * be repeated, and a guest runs on whoever asked for it is killed. It watches that no machine ever runs twice.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { systemClock } from '../../src/core/clock.js';
import { TransferError } from '../../src/core/errors.js';
import type { Hypervisor, Overlay, SavedMemory, SavedState } from '../../src/migrate/hypervisor.js';
import type { Ownership, VmDescription, VmRunState, VmStatus } from '../../src/migrate/vm.js';
import type { VmHost } from '../../src/migrate/vm-host.js';
import { FakeGuest, GUEST_SECTORS } from './fake-guest.js';
import { makeOverlay, mergeSectors } from './fake-images.js';

const TICK_MS = 3;

interface Known {
  vm: VmDescription;
  ownership: Ownership;
  guest?: FakeGuest | undefined;
  /** Its process ended without being told to. */
  lost?: boolean;
  saved?: SavedMemory | undefined;
  incoming?: { readonly migration: string; vm: VmDescription; guest?: FakeGuest | undefined } | undefined;
}

/** All hosts, as somebody sees them who can look at all at once. */
export class FakeWorld {
  readonly hosts = new Map<string, FakeHost>();
  /** What must never be. */
  readonly violations: string[] = [];
  #ticking: Promise<void> | undefined;
  #stopped = false;

  host(name: string): FakeHost {
    const host = this.hosts.get(name) ?? new FakeHost(name, this);
    this.hosts.set(name, host);
    return host;
  }

  guests(id: string): FakeGuest[] {
    return [...this.hosts.values()].flatMap((host) => host.guestsOf(id));
  }

  /** To be called whenever one begins to run. */
  look(id: string): void {
    const running = this.guests(id).filter(({ state }) => state === 'running');
    if (running.length > 1) this.violations.push(`${id} runs ${running.length} times`);
  }

  /** Guests write from now on, between whatever else happens. */
  run(): void {
    this.#ticking ??= (async () => {
      while (!this.#stopped) {
        for (const host of this.hosts.values()) for (const guest of host.guests()) guest.tick();
        await systemClock.sleep(TICK_MS);
      }
    })();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#ticking;
  }
}

export class FakeHost implements VmHost, Hypervisor {
  readonly name: string;
  /** Bytes that a saved state has beside what the guest needs. */
  memoryBytes = 20_000;
  /** What `check` answers. */
  problems: string[] = [];
  readonly #world: FakeWorld;
  readonly #known = new Map<string, Known>();

  constructor(name: string, world: FakeWorld) {
    this.name = name;
    this.#world = world;
  }

  add(vm: VmDescription, running: boolean): void {
    this.#known.set(vm.id, { vm, ownership: { state: 'here' }, ...(running && { guest: FakeGuest.boot(vm) }) });
  }

  guests(): FakeGuest[] {
    return [...this.#known.values()].flatMap(({ guest, incoming }) => [guest, incoming?.guest]).filter((one) => !!one);
  }

  guestsOf(id: string): FakeGuest[] {
    const known = this.#known.get(id);
    return [known?.guest, known?.incoming?.guest].filter((one) => one !== undefined);
  }

  /** The process of the machine ends: a power cut for its guest. */
  killGuest(id: string): void {
    const known = this.#of(id);
    known.guest = undefined;
    known.lost = true;
  }

  /** The same of one that a migration has loaded. */
  endComing(id: string): void {
    const { incoming } = this.#of(id);
    if (incoming) incoming.guest = undefined;
  }

  async facts() {
    return { hypervisor: 'fake 1', machines: [] };
  }

  async list(): Promise<VmStatus[]> {
    return Promise.all([...this.#known.keys()].map((id) => this.get(id)));
  }

  async get(id: string): Promise<VmStatus> {
    const { vm, ownership } = this.#of(id);
    return { vm, ownership, state: await this.state(vm) };
  }

  async check(): Promise<string[]> {
    return this.problems;
  }

  async placeholder(vm: VmDescription, migration: string): Promise<void> {
    const known = this.#known.get(vm.id);
    if (!known) {
      const ownership = { state: 'placeholder', migration } as const;
      this.#known.set(vm.id, { vm, ownership, incoming: { migration, vm } });
      return;
    }
    if (known.incoming && known.incoming.migration !== migration) throw error('E_VM_EXISTS', 'another migration');
    if (this.#isTaken(known, migration)) return;
    known.incoming = { ...known.incoming, migration, vm };
  }

  async removePlaceholder(id: string, migration: string): Promise<void> {
    const known = this.#known.get(id);
    if (known?.incoming?.migration !== migration) return;
    known.incoming = undefined;
    if (known.ownership.state === 'placeholder') this.#known.delete(id);
  }

  /** The migration that gave it away to here has also been finished here. */
  readonly #taken = new Set<string>();

  #isTaken({ ownership }: Known, migration: string): boolean {
    return ownership.state === 'here' && this.#taken.has(migration);
  }

  async startPlaceholder(vm: VmDescription, migration: string, from?: SavedState): Promise<void> {
    const known = this.#of(vm.id);
    if (this.#isTaken(known, migration)) return;
    const { incoming, ownership } = known;
    if (incoming?.migration !== migration) throw error('E_VM_STATE', `no placeholder of ${migration}`);
    if (ownership.state === 'here') throw error('E_VM_STATE', `${vm.name} was not given away`);
    if (incoming.guest) return;
    if (!from) {
      known.incoming = { migration, vm, guest: FakeGuest.boot(vm) };
      return;
    }
    const bytes = existsSync(from.path) ? readFileSync(from.path) : Buffer.alloc(0);
    if (createHash('sha256').update(bytes).digest('hex') !== from.sha256) throw error('E_INTEGRITY', 'another state');
    known.incoming = { migration, vm, guest: FakeGuest.load(vm, from.path) };
  }

  async take(id: string, migration: string): Promise<void> {
    const known = this.#of(id);
    if (this.#isTaken(known, migration)) return;
    const { incoming, ownership } = known;
    if (incoming?.migration !== migration || ownership.state === 'here') throw error('E_VM_STATE', 'not given');
    this.#known.set(id, { vm: incoming.vm, ownership: { state: 'here' }, guest: incoming.guest });
    this.#taken.add(migration);
    if (incoming.guest) this.#go(incoming.guest);
  }

  async give(id: string, migration: string, to: string): Promise<void> {
    const known = this.#of(id);
    if (known.ownership.state === 'gone') return;
    if (known.guest?.state === 'running') throw error('E_VM_STATE', 'it runs');
    known.ownership = { state: 'gone', migration, to };
  }

  async ownership(id: string): Promise<Ownership> {
    return this.#of(id).ownership;
  }

  async state(vm: VmDescription): Promise<VmRunState> {
    const { guest, lost } = this.#of(vm.id);
    return guest?.state ?? (lost ? 'lost' : 'off');
  }

  /** @throws TransferError E_VM_STATE for whoever has no right to */
  async start(vm: VmDescription, from?: SavedState): Promise<void> {
    const known = this.#of(vm.id);
    if (known.ownership.state !== 'here') throw error('E_VM_STATE', `${vm.name} is ${known.ownership.state}`);
    if (known.guest) return;
    known.guest = from ? FakeGuest.load(known.vm, from.path) : FakeGuest.boot(known.vm);
    known.lost = false;
    this.#world.look(vm.id);
  }

  async snapshot(vm: VmDescription, overlays: readonly Overlay[]): Promise<VmDescription> {
    const known = this.#of(vm.id);
    const { guest } = known;
    const has = (path: string): boolean => known.vm.disks.some(({ chain }) => chain.some((one) => one.path === path));
    if (overlays.every(({ path }) => has(path))) return known.vm;
    if (guest?.state !== 'running') throw error('E_VM_STATE', `${vm.name} does not run`);
    const disks = known.vm.disks.map((disk) => {
      const path = overlays.find((overlay) => overlay.disk === disk.id)?.path ?? '';
      makeOverlay(path, disk.chain.at(-1)?.path ?? '');
      return { ...disk, chain: [...disk.chain, { path, format: 'qcow2' as const }] };
    });
    known.vm = { ...known.vm, disks };
    guest.vm = known.vm;
    return known.vm;
  }

  async merge(
    vm: VmDescription,
    into: readonly { readonly disk: string; readonly into: string }[],
    progress: Parameters<Hypervisor['merge']>[2],
  ): Promise<VmDescription> {
    const known = this.#of(vm.id);
    if (known.guest?.state !== 'running') throw error('E_VM_STATE', `${vm.name} does not run`);
    const gone: string[] = [];
    const disks = known.vm.disks.map((disk) => {
      const at = disk.chain.findIndex(({ path }) => path === into.find((one) => one.disk === disk.id)?.into);
      if (at < 0) throw error('E_VM_STATE', `nothing to merge ${disk.id} into`);
      const lower = disk.chain[at]?.path ?? '';
      for (const { path } of disk.chain.slice(at + 1)) {
        mergeSectors(path, lower, GUEST_SECTORS);
        gone.push(path);
      }
      progress({ disk: disk.id, bytesDone: 1, bytesTotal: 1 });
      return { ...disk, chain: disk.chain.slice(0, at + 1) };
    });
    known.vm = { ...known.vm, disks };
    known.guest.vm = known.vm;
    for (const path of gone) rmSync(path);
    return known.vm;
  }

  async saveState(vm: VmDescription, path: string): Promise<SavedMemory> {
    const known = this.#of(vm.id);
    if (known.saved?.path === path && known.guest?.state === 'saved') return known.saved;
    if (!known.guest) throw error('E_VM_STATE', `${vm.name} does not run`);
    known.saved = await known.guest.save(path, this.memoryBytes);
    return known.saved;
  }

  async discardState(vm: VmDescription): Promise<void> {
    const known = this.#of(vm.id);
    if (known.ownership.state !== 'here') throw error('E_VM_STATE', 'not here');
    known.saved = undefined;
    if (known.guest) this.#go(known.guest);
  }

  async resume(vm: VmDescription): Promise<void> {
    const { guest, ownership } = this.#of(vm.id);
    if (!guest || ownership.state !== 'here') throw error('E_VM_STATE', 'not here, or off');
    this.#go(guest);
  }

  async pause(): Promise<void> {
    throw error('E_VM_STATE', 'nobody asks for this');
  }

  async stop(vm: VmDescription): Promise<void> {
    const known = this.#of(vm.id);
    known.guest = undefined;
    known.lost = false;
  }

  async memoryInUse(): Promise<number> {
    return this.memoryBytes;
  }

  #go(guest: FakeGuest): void {
    guest.state = 'running';
    this.#world.look(guest.vm.id);
  }

  #of(id: string): Known {
    const known = this.#known.get(id);
    if (known) return known;
    throw error('E_NO_VM', `${this.name} knows no machine ${id}`);
  }
}

function error(code: 'E_VM_STATE' | 'E_VM_EXISTS' | 'E_NO_VM' | 'E_INTEGRITY', what: string): TransferError {
  return new TransferError(code, what, { hint: 'This host is not real.' });
}
