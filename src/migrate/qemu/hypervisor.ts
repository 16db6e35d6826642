/**
 * QEMU as a hypervisor; hypervisor.ts says what a caller may rely on. What is written down is asked, not what a caller
 * remembers: a description that is older than the last snapshot must not bring back an older disk.
 */
import type { Clock } from '../../core/clock.js';
import { TransferError } from '../../core/errors.js';
import type { MergeProgress, Overlay, SavedMemory, SavedState } from '../hypervisor.js';
import type { LocalHypervisor } from '../local-host.js';
import type { VmDescription, VmRunState } from '../vm.js';
import type { HostFacts } from '../vm-host.js';
import type { VmRegistry } from '../vm-registry.js';
import { qemuFacts } from './facts.js';
import type { DescribeDisk } from './image-check.js';
import { Machine } from './machine.js';
import { type Merge, type MergeOffline, mergeDisks, removeMerged } from './merge-disks.js';
import { hookAgain } from './nodes.js';
import { hasEnded, type QemuProcess, residentBytes } from './process.js';
import type { Qmp } from './qmp.js';
import { save } from './save.js';
import { dropState } from './saved-state.js';
import { takeSnapshot } from './snapshot.js';
import { CONTROL_SOCKET, QUERY_SOCKET } from './sockets.js';
import { startMachine } from './start.js';

export interface QemuParts {
  readonly registry: VmRegistry;
  /** What an image and those below it are. */
  readonly describeDisk: DescribeDisk;
  /** Merges an image that nobody uses into its parent, and keeps it. */
  readonly mergeOffline: MergeOffline;
  readonly clock: Clock;
}

/** Of QEMU's own memory, besides that of the guest: its devices, as they are in a saved state. */
const DEVICES_BYTES = 1024 * 1024;

/** A process gives its memory back before it is gone. */
const ENDING_MS_MAX = 5000;

const STATES: Readonly<Record<string, VmRunState>> = {
  running: 'running',
  'io-error': 'io-error',
  postmigrate: 'saved',
  shutdown: 'off',
};

export class QemuHypervisor implements LocalHypervisor {
  readonly #parts: QemuParts;

  constructor(parts: QemuParts) {
    this.#parts = parts;
  }

  facts(): Promise<HostFacts> {
    return qemuFacts();
  }

  pid(id: string): number | undefined {
    return this.#machine(id).find()?.process.pid;
  }

  async state({ id }: VmDescription): Promise<VmRunState> {
    const machine = this.#machine(id);
    const { runtime } = machine;
    if (!runtime) return 'off';
    const running = machine.find();
    // A guest that never ran is missed by nobody.
    if (!running) return runtime.phase === 'up' ? 'lost' : 'off';
    if (running.runtime.phase === 'starting') return 'off';
    const state = await this.#askState(machine, running.process);
    // It switched itself off, and waits to be put away.
    if (state === 'off') await machine.end(QUERY_SOCKET);
    return state;
  }

  async start(vm: VmDescription, from?: SavedState): Promise<void> {
    await this.#locked(vm, async (machine, known) => {
      const { registry } = this.#parts;
      if (registry.ownership(vm.id).state === 'gone' && !registry.incoming(vm.id))
        throw wrongState(known, 'given away');
      if (machine.find()?.runtime.phase === 'up') {
        const state = await machine.ask(CONTROL_SOCKET, (qmp) => (from ? stateNow(qmp) : continueNew(qmp)));
        if (state === 'running' || (from && (state === 'paused' || state === 'io-error'))) return;
        if (state !== 'off') throw wrongState(known, state);
      }
      await machine.end(CONTROL_SOCKET);
      await removeMerged(registry, vm.id);
      await startMachine(machine, known, from, this.#parts);
    });
  }

  snapshot(vm: VmDescription, overlays: readonly Overlay[]): Promise<VmDescription> {
    return this.#locked(vm, (machine, known) =>
      this.#ask(machine, known, (qmp) => takeSnapshot(qmp, known, overlays, this.#parts.registry)),
    );
  }

  merge(
    vm: VmDescription,
    disks: Merge['disks'],
    progress: (progress: MergeProgress) => void,
    signal: AbortSignal,
  ): Promise<VmDescription> {
    return this.#locked(vm, (machine) => mergeDisks(machine, { disks, progress, signal }, this.#parts));
  }

  saveState(vm: VmDescription, path: string): Promise<SavedMemory> {
    return this.#locked(vm, (machine, known) => this.#ask(machine, known, (qmp) => save(qmp, machine, known, path)));
  }

  async discardState(vm: VmDescription): Promise<void> {
    await this.#locked(vm, (machine, known) => this.#ask(machine, known, (qmp) => goOn(qmp, machine, known)));
  }

  async resume(vm: VmDescription): Promise<void> {
    await this.#locked(vm, (machine, known) =>
      this.#ask(machine, known, async (qmp) => {
        const state = await stateNow(qmp);
        if (state === 'saved') throw wrongState(known, 'saved', 'Discard its state first.');
        await goOn(qmp, machine, known);
      }),
    );
  }

  async pause(vm: VmDescription): Promise<void> {
    await this.#locked(vm, (machine, known) =>
      this.#ask(machine, known, async (qmp) => {
        if ((await stateNow(qmp)) === 'running') await qmp.execute('stop');
      }),
    );
  }

  async stop(vm: VmDescription): Promise<void> {
    await this.#locked(vm, (machine) => machine.end(CONTROL_SOCKET));
  }

  async memoryInUse({ id, memoryBytes }: VmDescription): Promise<number> {
    const running = this.#machine(id).find();
    return running ? Math.min(residentBytes(running.process, memoryBytes), memoryBytes + DEVICES_BYTES) : 0;
  }

  /** A process that ends while it is asked is lost, and not a failure to ask it. */
  async #askState(machine: Machine, process_: QemuProcess): Promise<VmRunState> {
    try {
      return await machine.ask(QUERY_SOCKET, stateNow);
    } catch (thrown) {
      if (await hasEnded(process_, this.#parts.clock, ENDING_MS_MAX)) return 'lost';
      throw thrown;
    }
  }

  #machine(id: string): Machine {
    return new Machine(id, this.#parts.registry, this.#parts.clock);
  }

  #locked<T>({ id }: VmDescription, work: (machine: Machine, known: VmDescription) => Promise<T>): Promise<T> {
    const { registry } = this.#parts;
    return registry.locked(id, () => work(this.#machine(id), registry.get(id)));
  }

  async #ask<T>(machine: Machine, vm: VmDescription, work: (qmp: Qmp) => Promise<T>): Promise<T> {
    if (machine.find()?.runtime.phase !== 'up') throw wrongState(vm, 'off', 'Start it first.');
    if (Object.keys(this.#parts.registry.mergedAway(vm.id)).length > 0) {
      throw wrongState(vm, 'in the middle of a merge that was cut short', 'Run the same merge again; it ends that.');
    }
    return machine.ask(CONTROL_SOCKET, work);
  }
}

/** What its QEMU says. */
async function stateNow(qmp: Qmp): Promise<VmRunState> {
  const { status } = await qmp.execute<{ status: string }>('query-status');
  return STATES[status] ?? 'paused';
}

/** Also after a save that was cut short, which has taken images out of the machine by then. */
async function goOn(qmp: Qmp, machine: Machine, vm: VmDescription): Promise<void> {
  if ((await stateNow(qmp)) === 'running') return;
  await hookAgain(qmp, vm);
  await qmp.execute('cont');
  const { saved, savingTo } = machine.runtime ?? {};
  machine.forget('saved', 'savingTo');
  // The guest has gone on since: whoever loaded it now would take its disks back in time. Where it
  // cannot be removed the guest has gone on all the same.
  for (const path of new Set([saved?.path, savingTo]))
    if (path !== undefined) await dropState(path).catch(() => undefined);
}

/** Goes on with a start that was cut short just before the guest ran, or once more where its storage failed it. */
async function continueNew(qmp: Qmp): Promise<VmRunState> {
  const { status } = await qmp.execute<{ status: string }>('query-status');
  if (status === 'prelaunch' || status === 'io-error') await qmp.execute('cont');
  return stateNow(qmp);
}

function wrongState({ id, name }: VmDescription, state: string, hint = 'See: blockferry vm info.'): TransferError {
  return new TransferError('E_VM_STATE', `the machine ${name} (${id}) is ${state}, and is left as it is`, { hint });
}
