/**
 * A snapshot of disks at one instant. The overlays are durable and written down before QEMU uses them: an empty overlay
 * over an image reads as that image, so whatever ends us or QEMU, the machine is started with all that its guest wrote.
 */
import { TransferError } from '../../core/errors.js';
import type { Overlay } from '../hypervisor.js';
import type { ImageFile, VmDescription, VmDisk } from '../vm.js';
import type { VmRegistry } from '../vm-registry.js';
import { fileNode, formatNode, nodeName, removeNodes, topImages, topNode } from './nodes.js';
import { isFree, makeOverlay, removeImage } from './overlays.js';
import type { Qmp } from './qmp.js';

/** A disk as it is, and as it will be. */
interface Change {
  readonly before: VmDisk;
  readonly after: VmDisk;
  /** Its overlay is of a call that was cut short. */
  readonly again: boolean;
}

/** @param known as it is written down; answers what is written down then */
export async function takeSnapshot(
  qmp: Qmp,
  known: VmDescription,
  overlays: readonly Overlay[],
  registry: VmRegistry,
): Promise<VmDescription> {
  const begun = registry.overlaysBegun(known.id);
  const changes = overlays.map((overlay) => changeOf(known, overlay, begun));
  const tops = await topImages(qmp);
  const done = overlays.filter(({ disk, path }) => tops.get(disk)?.path === path);
  const after = replaced(
    known,
    changes.map((change) => change.after),
  );
  if (done.length === overlays.length) return after;
  if (done.length > 0) throw halfDone(known, done);

  const before = replaced(
    known,
    changes.map((change) => change.before),
  );
  const made: string[] = [];
  try {
    const ours: string[] = [];
    for (const { after: disk, again } of changes) if (again || (await isFree(pathOf(disk)))) ours.push(pathOf(disk));
    registry.setOverlaysBegun(known.id, ours);
    for (const change of changes) made.push(await make(change));
    registry.put(after);
    registry.setOverlaysBegun(known.id, []);
    for (const change of changes) await addNodes(qmp, change.after);
    const actions = changes.map((change) => ({
      type: 'blockdev-snapshot',
      data: { node: topNode(change.before), overlay: topNode(change.after) },
    }));
    await qmp.execute('transaction', { actions });
    return after;
  } catch (thrown) {
    // Where it is not known what QEMU did, the overlays stay: they are right whether they are in use or empty.
    if (!qmp.isOpen) throw thrown;
    await undo(qmp, changes);
    registry.put(before);
    for (const path of made) await removeImage(path);
    registry.setOverlaysBegun(known.id, []);
    throw thrown;
  }
}

function changeOf({ disks, id }: VmDescription, { disk, path }: Overlay, begun: readonly string[]): Change {
  const found = disks.find((one) => one.id === disk);
  if (!found) {
    throw new TransferError('E_USAGE', `the machine ${id} has no disk ${disk}`, { hint: 'Nothing was changed.' });
  }
  const known = found.chain.length > 1 && found.chain.at(-1)?.path === path;
  const chain = known ? found.chain.slice(0, -1) : found.chain;
  const after = { ...found, chain: [...chain, { path, format: 'qcow2' as const }] };
  return { before: { ...found, chain }, after, again: known || begun.includes(path) };
}

function replaced(vm: VmDescription, disks: readonly VmDisk[]): VmDescription {
  return { ...vm, disks: vm.disks.map((disk) => disks.find(({ id }) => id === disk.id) ?? disk) };
}

const pathOf = ({ chain }: VmDisk): string => (chain.at(-1) as ImageFile).path;

async function make({ before, after, again }: Change): Promise<string> {
  const path = pathOf(after);
  const below = before.chain.at(-1) as ImageFile;
  await makeOverlay({ path, sizeBytes: before.sizeBytes, below, again });
  return path;
}

async function addNodes(qmp: Qmp, disk: VmDisk): Promise<void> {
  const at = disk.chain.length - 1;
  await removeNodes(qmp, namesOf(disk));
  await qmp.execute('blockdev-add', fileNode(disk, at));
  // What it lies on is joined to it by the snapshot.
  await qmp.execute('blockdev-add', formatNode(disk, at, true));
}

/** A transaction is all or nothing; what was added for it is not. */
async function undo(qmp: Qmp, changes: readonly Change[]): Promise<void> {
  for (const { after } of changes) await removeNodes(qmp, namesOf(after));
}

function namesOf({ id, chain }: VmDisk): [string, string] {
  const name = nodeName(id, chain.length - 1);
  return [name, `${name}-file`];
}

function halfDone({ id }: VmDescription, done: readonly Overlay[]): TransferError {
  const disks = done.map(({ disk }) => disk).join(', ');
  return new TransferError('E_VM_STATE', `of the machine ${id} only the disks ${disks} have these overlays`, {
    hint: 'They are of an earlier snapshot. Name other overlays; nothing was changed.',
  });
}
