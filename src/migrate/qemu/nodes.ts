/**
 * The images of a disk as QEMU's block nodes, each named by its disk and its place in the chain. A chain only ever
 * grows and shrinks at its top, so a node keeps its name for as long as it is there.
 */
import { TransferError } from '../../core/errors.js';
import type { DiskFormat, ImageFile, VmDescription, VmDisk } from '../vm.js';
import type { Qmp } from './qmp.js';

/** Options of a node, as `blockdev-add` takes them. */
export type Node = Readonly<Record<string, string | number | boolean | null>>;

const DRIVERS: Readonly<Record<DiskFormat, string>> = {
  raw: 'raw',
  // QEMU's own driver takes the size from the geometry, and keeps a state from being saved.
  'vhd-fixed': 'raw',
  'vhd-dynamic': 'vpc',
  vhdx: 'vhdx',
  qcow2: 'qcow2',
};

/** What a header of an overlay calls the format below it. */
export const BACKING_FORMATS: Readonly<Record<DiskFormat, string>> = { ...DRIVERS, 'vhd-fixed': 'vpc' };

export const nodeName = (disk: string, at: number): string => `${disk}-${at}`;
export const topNode = ({ id, chain }: VmDisk): string => nodeName(id, chain.length - 1);

/** Formats whose nodes refuse a saved state for as long as they are part of the machine. */
export function keepsFromSaving({ format }: ImageFile): boolean {
  return format === 'vhd-dynamic' || format === 'vhdx';
}

/** All of them, the lowest first. */
export function nodesOf(disk: VmDisk, fixedBytes: ReadonlyMap<string, number>): Node[] {
  return disk.chain.flatMap((image, at) => {
    const size = fixedBytes.get(image.path);
    const format = { ...formatNode(disk, at), ...(size !== undefined && { size }) };
    return [fileNode(disk, at), format];
  });
}

/** Only what knows a format may be read-only for good: a file that is could not be merged into later. */
export function fileNode({ id, chain }: VmDisk, at: number): Node {
  const filename = (chain[at] as ImageFile).path;
  return { driver: 'file', 'node-name': `${nodeName(id, at)}-file`, filename, 'auto-read-only': true };
}

/** `alone`: without what is below it. */
export function formatNode({ id, chain }: VmDisk, at: number, alone = false): Node {
  const { format } = chain[at] as ImageFile;
  const name = nodeName(id, at);
  return {
    driver: DRIVERS[format],
    'node-name': name,
    file: `${name}-file`,
    ...(at < chain.length - 1 && { 'read-only': true }),
    ...(format === 'qcow2' && { backing: at === 0 || alone ? null : nodeName(id, at - 1) }),
  };
}

/** QEMU opens a differencing VHD or VHDX without complaint, and reads zeroes wherever its parent has the data. */
export function assertUnderstood({ disks }: VmDescription): void {
  for (const { id, chain } of disks) {
    const at = chain.findIndex(({ format }, link) => link > 0 && format !== 'qcow2');
    const image = chain[at];
    if (image) throw differencing(id, image.path, image.format);
  }
}

export function differencing(disk: string, path: string, format: string): TransferError {
  return new TransferError('E_DISK_FORMAT', `disk ${disk} needs ${path}, a differencing ${format} image`, {
    hint: 'QEMU ignores the parent of such an image and reads zeroes. Merge it first: blockferry disk merge.',
  });
}

interface Inserted {
  readonly 'node-name'?: string;
  readonly image?: { readonly 'virtual-size'?: number };
}

/** What the guest writes to now. */
export interface TopImage {
  readonly node: string;
  readonly path: string;
  readonly sizeBytes: number;
}

/** By the ids of the disks. */
export async function topImages(qmp: Qmp): Promise<ReadonlyMap<string, TopImage>> {
  const blocks = await qmp.execute<readonly { qdev?: string; inserted?: Inserted }[]>('query-block');
  const paths = await nodePaths(qmp);
  const tops = new Map<string, TopImage>();
  for (const { qdev, inserted } of blocks) {
    const disk = /^\/machine\/peripheral\/([a-z0-9]+)(\/|$)/.exec(qdev ?? '')?.[1];
    const node = inserted?.['node-name'];
    const path = paths.get(`${node}-file`);
    if (disk === undefined || node === undefined || path === undefined) continue;
    tops.set(disk, { node, path, sizeBytes: inserted?.image?.['virtual-size'] ?? 0 });
  }
  return tops;
}

/** Only a node of a file says which one that is: others may say what they would be without their options. */
async function nodePaths(qmp: Qmp): Promise<ReadonlyMap<string, string>> {
  type Named = { readonly 'node-name'?: string; readonly file?: string };
  const nodes = await qmp.execute<readonly Named[]>('query-named-block-nodes', { flat: true });
  return new Map(nodes.map((node) => [node['node-name'] ?? '', node.file ?? '']));
}

async function nodeNames(qmp: Qmp): Promise<ReadonlySet<string>> {
  return new Set((await nodePaths(qmp)).keys());
}

/** Removes those of them that are there. */
export async function removeNodes(qmp: Qmp, names: readonly string[]): Promise<void> {
  const there = await nodeNames(qmp);
  for (const name of names) if (there.has(name)) await qmp.execute('blockdev-del', { 'node-name': name });
}

/** Takes what keeps a state from being saved out of the machine; its guest must stand still. */
export async function unhook(qmp: Qmp, { disks }: VmDescription): Promise<void> {
  const there = await nodeNames(qmp);
  for (const disk of disks) {
    const [base] = disk.chain;
    const name = nodeName(disk.id, 0);
    if (!base || !keepsFromSaving(base) || !there.has(name)) continue;
    if (disk.chain.length === 1) throw cannotSave(disk, base);
    await qmp.execute('blockdev-reopen', { options: [formatNode(disk, 1, true)] });
    await qmp.execute('blockdev-del', { 'node-name': name });
    await qmp.execute('blockdev-del', { 'node-name': `${name}-file` });
  }
}

/** The inverse; also after an {@link unhook} that was cut short. */
export async function hookAgain(qmp: Qmp, { disks }: VmDescription): Promise<void> {
  const there = await nodeNames(qmp);
  for (const disk of disks) {
    const [base] = disk.chain;
    if (!base || !keepsFromSaving(base) || disk.chain.length === 1) continue;
    const name = nodeName(disk.id, 0);
    if (!there.has(`${name}-file`)) await qmp.execute('blockdev-add', fileNode(disk, 0));
    if (!there.has(name)) await qmp.execute('blockdev-add', formatNode(disk, 0));
    await qmp.execute('blockdev-reopen', { options: [formatNode(disk, 1)] });
  }
}

function cannotSave(disk: VmDisk, { format, path }: ImageFile): TransferError {
  return new TransferError('E_VM_STATE', `QEMU saves no state while the guest writes to the ${format} image ${path}`, {
    hint: `Make a snapshot of disk ${disk.id} first: the guest then writes to an overlay. The machine goes on.`,
  });
}
