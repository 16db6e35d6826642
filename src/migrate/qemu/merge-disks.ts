/** Merges the overlays of disks away, beside a running guest or in a machine that is off. */
import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Clock } from '../../core/clock.js';
import { TransferError } from '../../core/errors.js';
import { syncFolder } from '../../platform/publish.js';
import type { MergeProgress } from '../hypervisor.js';
import type { ImageFile, VmDescription, VmDisk } from '../vm.js';
import type { VmRegistry } from '../vm-registry.js';
import type { Machine } from './machine.js';
import { finishMerged, mergeOnline } from './merge.js';
import { topImages } from './nodes.js';
import type { Qmp } from './qmp.js';
import { CONTROL_SOCKET } from './sockets.js';

export interface Merge {
  /** As the caller knows it: also images that an earlier call merged are removed. */
  readonly vm: VmDescription;
  readonly disks: readonly { readonly disk: string; readonly into: string }[];
  readonly progress: (progress: MergeProgress) => void;
  readonly signal: AbortSignal;
}

/** Merges an image that nobody uses into its parent, and keeps it; the same again changes nothing. */
export type MergeOffline = (
  child: string,
  progress: (bytesDone: number, bytesTotal: number) => void,
  signal: AbortSignal,
) => Promise<void>;

export interface MergeParts {
  readonly registry: VmRegistry;
  readonly mergeOffline: MergeOffline;
  readonly clock: Clock;
}

export async function mergeDisks(machine: Machine, merge: Merge, parts: MergeParts): Promise<VmDescription> {
  const { registry } = parts;
  const running = machine.find();
  for (const { disk: id, into } of merge.disks) {
    const disk = diskOf(registry.get(machine.id), id);
    const at = disk.chain.findIndex(({ path }) => path === into);
    if (at < 0) throw noSuchImage(id, into);
    if (running) await machine.ask(CONTROL_SOCKET, (qmp) => mergeRunning(qmp, machine, { ...merge, id, at }, parts));
    else await mergeOff(machine, { ...merge, id, at }, parts);
    removeFiles(diskOf(merge.vm, id), diskOf(registry.get(machine.id), id));
  }
  return registry.get(machine.id);
}

interface One extends Merge {
  readonly id: string;
  /** The place in the chain that is merged into. */
  readonly at: number;
}

async function mergeRunning(qmp: Qmp, machine: Machine, { vm, id, at, progress, signal }: One, parts: MergeParts) {
  const { registry, clock } = parts;
  const written = registry.get(machine.id);
  // What is written down changes just before QEMU does: until then the caller knows the images above.
  const disk = longest(diskOf(written, id), diskOf(vm, id));
  const top = (await topImages(qmp)).get(id);
  const settled = withDisk(written, { ...disk, chain: disk.chain.slice(0, at + 1) });
  const goOn = async (): Promise<void> => {
    if (machine.runtime?.pausedBy !== 'merge') return;
    await qmp.execute('cont');
    machine.forget('pausedBy');
  };
  if (top?.path === disk.chain[at]?.path) {
    registry.put(settled);
    await finishMerged(qmp, disk, at);
    return goOn();
  }
  await mergeOnline(
    qmp,
    {
      ...{ disk, into: at, goOn, progress, signal },
      settle: () => registry.put(settled),
      unsettle: () => registry.put(withDisk(settled, disk)),
      pause: async () => {
        const { running } = await qmp.execute<{ running: boolean }>('query-status');
        if (!running) return;
        machine.note({ pausedBy: 'merge' });
        await qmp.execute('stop');
      },
    },
    clock,
  );
}

/** One image after the other, the top first; what is written down always reads the same. */
async function mergeOff(machine: Machine, { id, at, progress, signal }: One, { registry, mergeOffline }: MergeParts) {
  for (;;) {
    const written = registry.get(machine.id);
    const disk = diskOf(written, id);
    const top = disk.chain.at(-1) as ImageFile;
    if (disk.chain.length - 1 <= at) return;
    const told = (bytesDone: number, bytesTotal: number): void => progress({ disk: id, bytesDone, bytesTotal });
    await mergeOffline(top.path, told, signal);
    registry.put(withDisk(written, { ...disk, chain: disk.chain.slice(0, -1) }));
    removeFiles(disk, { ...disk, chain: disk.chain.slice(0, -1) });
  }
}

/** Images of the longer chain that are not in the shorter one. */
function removeFiles(long: VmDisk, short: VmDisk): void {
  const kept = new Set(short.chain.map(({ path }) => path));
  for (const { path } of long.chain.slice(short.chain.length)) {
    if (kept.has(path)) continue;
    rmSync(path, { force: true });
    syncFolder(dirname(path));
  }
}

function longest(one: VmDisk, other: VmDisk): VmDisk {
  const begins = one.chain.every(({ path }, at) => other.chain[at]?.path === path);
  return begins ? { ...one, chain: other.chain } : one;
}

function withDisk(vm: VmDescription, disk: VmDisk): VmDescription {
  return { ...vm, disks: vm.disks.map((one) => (one.id === disk.id ? disk : one)) };
}

function diskOf({ disks, id }: VmDescription, name: string): VmDisk {
  const disk = disks.find((one) => one.id === name);
  if (disk) return disk;
  throw new TransferError('E_USAGE', `the machine ${id} has no disk ${name}`, { hint: 'Nothing was changed.' });
}

function noSuchImage(disk: string, path: string): TransferError {
  return new TransferError('E_USAGE', `disk ${disk} does not lie on ${path}`, { hint: 'Nothing was changed.' });
}
