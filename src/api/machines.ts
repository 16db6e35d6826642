/** `openMachines()`: the virtual machines of this host, their exports and imports. */
import { randomUUID } from 'node:crypto';
import { resolve } from 'node:path';
import { systemClock } from '../core/clock.js';
import { NEVER } from '../core/stop.js';
import type { MachinesHere } from '../daemon/machine-door.js';
import { makeFolders, stateFolder } from '../endpoint/state-folder.js';
import type { ExportRequest, ImportRequest, PortableEvent, PortableParts } from '../migrate/export-import.js';
import type { Exported } from '../migrate/export-vm.js';
import type { SavedState } from '../migrate/hypervisor.js';
import type { Imported } from '../migrate/import-vm.js';
import type { LocalHost } from '../migrate/local-host.js';
import type { OfflineMerge } from '../migrate/qemu/merge-disks.js';
import { checkDisk, describeDisk, mergeDisk } from './disk.js';
import { qemuHere } from './qemu-here.js';

export interface MachinesOptions {
  /** Where the machines are written down: the folder of the service. Default: as for `openService`. */
  readonly state?: string;
  readonly onEvent?: (event: PortableEvent) => void;
  /** Aborting ends an export or an import, of which nothing is left then. */
  readonly signal?: AbortSignal;
}

export interface Machines {
  readonly host: LocalHost;
  /** With a saved state it goes on from there. @throws TransferError E_VM_STATE for one that is not here */
  start(id: string, from?: SavedState): Promise<void>;
  /** @throws TransferError E_NO_VM, E_VM_STATE, E_TARGET_EXISTS, and those of a copy; nothing is left of it then */
  exportVm(request: ExportRequest): Promise<Exported>;
  /** @throws TransferError E_MANIFEST, E_INTEGRITY, E_VM_EXISTS, E_SOURCE_MISSING, and those of a copy */
  importVm(request: ImportRequest): Promise<Imported>;
  /** What `blockferry serve` lets other hosts use. Its threads end with the process. */
  forPeers(): Promise<MachinesHere>;
}

const outside = { wallMs: systemClock.wallMs, newId: randomUUID };

/** Several processes may have them open: one at a time works on each machine. */
export async function openMachines(options: MachinesOptions = {}): Promise<Machines> {
  const { state = stateFolder(), onEvent = () => undefined, signal = NEVER } = options;
  const { registry, hypervisor, host } = await localMachines(resolve(state));
  const withFiles = async <T>(work: (parts: PortableParts) => Promise<T>): Promise<T> => {
    const { EngineFiles } = await import('./portable-files.js');
    const files = new EngineFiles();
    try {
      return await work({ ...{ registry, hypervisor, host, files, tell: onEvent }, ...outside });
    } finally {
      await files.close();
    }
  };
  return {
    host,
    start: (id, from) =>
      registry.locked(id, async () => {
        await host.start(id, from);
        if (from) await hypervisor.resume(registry.get(id));
      }),
    exportVm: async (request) => {
      const { exportVm } = await import('../migrate/export-vm.js');
      return withFiles((parts) => exportVm(request, parts, signal));
    },
    importVm: async (request) => {
      const { importVm } = await import('../migrate/import-vm.js');
      return withFiles((parts) => importVm(request, parts, signal));
    },
    forPeers: async () => {
      const { qemu, files } = await qemuHere(resolve(state));
      return { registry: qemu.registry, host: qemu.vms, hypervisor: qemu.hypervisor, files };
    },
  };
}

/** What this host's machines are made of. */
async function localMachines(state: string) {
  makeFolders(state);
  const [{ VmRegistry }, { LocalHost }, { QemuHypervisor }] = await Promise.all([
    import('../migrate/vm-registry.js'),
    import('../migrate/local-host.js'),
    import('../migrate/qemu/hypervisor.js'),
  ]);
  const registry = new VmRegistry(state);
  const hypervisor = new QemuHypervisor({ registry, describeDisk, mergeOffline, clock: systemClock });
  const host = new LocalHost({ registry, hypervisor, checkDisk });
  return { registry, hypervisor, host };
}

async function mergeOffline(child: string, { progress, ...how }: OfflineMerge): Promise<void> {
  const run = mergeDisk({ child, keep: true, ...how });
  for await (const event of run) if (event.type === 'progress') progress(event.bytesDone, event.bytesTotal);
  await run.result;
}
