/** Merges the overlays of disks away, beside a running guest or in a machine that is off. */
import type { Clock } from '../../core/clock.js';
import { TransferError } from '../../core/errors.js';
import type { MergeProgress } from '../hypervisor.js';
import type { ImageFile, VmDescription, VmDisk } from '../vm.js';
import type { MergedAway, VmRegistry } from '../vm-registry.js';
import { foldersOf, type ParentFolders } from './image-check.js';
import type { Machine } from './machine.js';
import { finishMerged, mergeOnline } from './merge.js';
import { topImages } from './nodes.js';
import { commitOverlay, removeImage } from './overlays.js';
import type { Qmp } from './qmp.js';
import { CONTROL_SOCKET } from './sockets.js';

export interface Merge {
  readonly disks: readonly { readonly disk: string; readonly into: string }[];
  readonly progress: (progress: MergeProgress) => void;
  readonly signal: AbortSignal;
}

/** Merges an image that nobody uses into its parent, and keeps it; the same again changes nothing. */
export type MergeOffline = (child: string, how: OfflineMerge) => Promise<void>;

export interface OfflineMerge extends ParentFolders {
  readonly progress: (bytesDone: number, bytesTotal: number) => void;
  readonly signal: AbortSignal;
}

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
    const one = { ...merge, disk, at };
    if (running) await machine.ask(CONTROL_SOCKET, (qmp) => mergeRunning(qmp, machine, one, parts));
    else await mergeOff(machine, one, parts);
    await removeMerged(registry, machine.id, id);
  }
  return registry.get(machine.id);
}

/** Files of images that nobody uses any more; all disks, or one. */
export async function removeMerged(registry: VmRegistry, machine: string, disk?: string): Promise<void> {
  const merged = registry.mergedAway(machine);
  const going = Object.entries(merged).filter(([id]) => disk === undefined || id === disk);
  for (const { path } of going.flatMap(([, images]) => images)) {
    await removeImage(path);
  }
  const kept = Object.entries(merged).filter(([id]) => disk !== undefined && id !== disk);
  if (going.length > 0) registry.setMergedAway(machine, Object.fromEntries(kept));
}

interface One extends Merge {
  readonly disk: VmDisk;
  /** The place in the chain that is merged into. */
  readonly at: number;
}

async function mergeRunning(qmp: Qmp, machine: Machine, one: One, { registry, clock }: MergeParts): Promise<void> {
  const { at, progress, signal } = one;
  const { id } = one.disk;
  // What is written down changes just before QEMU does; an earlier call may have been cut short between the two.
  const disk = { ...one.disk, chain: [...one.disk.chain, ...(registry.mergedAway(machine.id)[id] ?? [])] };
  if (disk.chain.length - 1 <= at) return;
  const goOn = async (): Promise<void> => {
    if (machine.runtime?.pausedBy !== 'merge') return;
    await qmp.execute('cont');
    machine.forget('pausedBy');
  };
  if ((await topImages(qmp)).get(id)?.path === disk.chain[at]?.path) {
    await finishMerged(qmp, disk, at);
    await goOn();
    return;
  }
  const pause = async (): Promise<void> => {
    const { running } = await qmp.execute<{ running: boolean }>('query-status');
    if (!running) return;
    machine.note({ pausedBy: 'merge' });
    await qmp.execute('stop');
  };
  const settle = (): void => cut(registry, machine.id, disk, at);
  const unsettle = (): void => {
    registry.put(withDisk(registry.get(machine.id), disk));
    registry.setMergedAway(machine.id, without(registry.mergedAway(machine.id), id));
  };
  await mergeOnline(qmp, { disk, into: at, pause, goOn, settle, unsettle, progress, signal }, clock);
}

/** One image after the other, the top first; what is written down always reads the same. */
async function mergeOff(machine: Machine, one: One, { registry, mergeOffline }: MergeParts): Promise<void> {
  const { at, signal } = one;
  const progress = (bytesDone: number, bytesTotal: number): void =>
    one.progress({ disk: one.disk.id, bytesDone, bytesTotal });
  for (let { disk } = one; disk.chain.length - 1 > at; disk = diskOf(registry.get(machine.id), disk.id)) {
    const [below, top] = disk.chain.slice(-2) as [ImageFile, ImageFile];
    // Into one of QEMU's own overlays only QEMU writes.
    if (disk.chain.length > 2) await commitOverlay(top.path, below.path, signal);
    else await mergeOffline(top.path, { ...foldersOf(disk), progress, signal });
    cut(registry, machine.id, disk, disk.chain.length - 2);
    await removeMerged(registry, machine.id, disk.id);
  }
}

/** Writes down that a machine does without the images above that one: first what goes, and then that it has gone. */
function cut(registry: VmRegistry, machine: string, disk: VmDisk, at: number): void {
  const merged = registry.mergedAway(machine);
  registry.setMergedAway(machine, { ...merged, [disk.id]: disk.chain.slice(at + 1) });
  registry.put(withDisk(registry.get(machine), { ...disk, chain: disk.chain.slice(0, at + 1) }));
}

function without(merged: MergedAway, disk: string): MergedAway {
  return Object.fromEntries(Object.entries(merged).filter(([id]) => id !== disk));
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
