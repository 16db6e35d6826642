/**
 * Writes a machine into a folder. One that is off or saved is copied as it is. Of one that runs, a snapshot is made,
 * all that stands still since then is copied, and the snapshot is merged again: what its guest had written at that
 * moment, as after a power cut. Until all is there the folder has another, hidden name.
 */
import { lstatSync, mkdirSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { errnoOf, TransferError } from '../core/errors.js';
import { publishNew, syncFolder } from '../platform/publish.js';
import type { ExportRequest, FileCopy, PortableParts } from './export-import.js';
import { type ExportedFile, type ExportManifest, writeManifest } from './export-manifest.js';
import type { SavedState } from './hypervisor.js';
import type { ImageFile, VmDescription, VmDisk } from './vm.js';

const EXTENSIONS: Readonly<Record<ImageFile['format'], string>> = {
  ...{ raw: 'img', 'vhd-fixed': 'vhd', 'vhd-dynamic': 'vhd', vhdx: 'vhdx', qcow2: 'qcow2' },
};
/** In the names of what guests write to while they are exported. */
const OVERLAY = /-export-[0-9a-f]{8}\.overlay$/;

export interface Exported {
  readonly folder: string;
  readonly manifest: ExportManifest;
}

/** What stands still: the machine as the export will know it. */
interface Still {
  readonly vm: VmDescription;
  readonly state?: ExportManifest['state'];
  readonly saved?: SavedState | undefined;
}

interface Planned extends FileCopy {
  readonly file: Omit<ExportedFile, 'bytes' | 'sha256'>;
  /** Its name in the export: what the image names as its parent there. */
  readonly parent?: string;
}

/** @throws TransferError E_NO_VM, E_VM_STATE, E_TARGET_EXISTS, and those of a copy; nothing is left of it then */
export async function exportVm(request: ExportRequest, parts: PortableParts, signal: AbortSignal): Promise<Exported> {
  const { registry } = parts;
  // Nothing else may start it, merge it or move it meanwhile.
  return registry.locked(request.vm, async () => {
    const { vm, ownership } = await parts.host.get(request.vm);
    if (ownership.state !== 'here') throw notNow(vm, `it is not here: ${ownership.state}`);
    assertFree(request.folder);
    if (request.what === 'configuration') return written(request, { vm }, parts, signal);
    if (typeof request.what === 'number') {
      return written(request, { vm: upTo(vm, request.what) }, parts, signal);
    }
    return exportData(request, vm, parts, signal);
  });
}

async function exportData(
  request: ExportRequest,
  vm: VmDescription,
  parts: PortableParts,
  signal: AbortSignal,
): Promise<Exported> {
  const state = await parts.hypervisor.state(vm);
  if (state === 'off') return written(request, { vm, state }, parts, signal);
  if (state === 'saved') {
    const saved = parts.registry.runtime(vm.id)?.saved;
    if (saved) return written(request, { vm, state, saved }, parts, signal);
  }
  if (state !== 'running' && state !== 'paused') throw notNow(vm, `it is ${state}`);
  const round = parts.newId().slice(0, 8);
  const overlays = vm.disks.map(({ id, chain }) => ({
    disk: id,
    path: join(dirname((chain.at(-1) as ImageFile).path), `${id}-export-${round}.overlay`),
  }));
  const now = await parts.hypervisor.snapshot(vm, overlays);
  try {
    return await written(request, { vm, state }, parts, signal);
  } finally {
    // Also what an export that was cut short has left.
    const disks = vm.disks.map(({ id, chain }) => ({ disk: id, into: lastOwn(chain).path }));
    await parts.hypervisor.merge(now, disks, () => undefined, new AbortController().signal);
  }
}

function lastOwn(chain: readonly ImageFile[]): ImageFile {
  const own = chain.filter(({ path }, link) => link === 0 || !OVERLAY.test(path));
  return own.at(-1) as ImageFile;
}

/** The images of each disk that stand still since that snapshot. */
function upTo(vm: VmDescription, snapshot: number): VmDescription {
  const most = Math.min(...vm.disks.map(({ chain }) => chain.length - 1));
  if (snapshot >= 1 && snapshot <= most) {
    return { ...vm, disks: vm.disks.map((disk) => ({ ...disk, chain: disk.chain.slice(0, snapshot) })) };
  }
  const has = most < 1 ? 'no snapshot of all its disks' : `the snapshots 1 to ${most}`;
  throw new TransferError('E_USAGE', `${vm.name} has no snapshot ${snapshot}: it has ${has}`, {
    hint: 'See its images with: blockferry vm info. Nothing was changed.',
  });
}

async function written(
  request: ExportRequest,
  { vm, state, saved }: Still,
  parts: PortableParts,
  signal: AbortSignal,
): Promise<Exported> {
  const { folder, what, flatten = false } = request;
  const staging = join(dirname(folder), `.${basename(folder)}.${vm.id.slice(0, 8)}.blockferry-export`);
  const whole = flatten ? flattened(vm) : vm;
  const files: ExportedFile[] = [];
  try {
    makeStaging(staging);
    const plan = what === 'configuration' ? [] : planned(vm, staging, { flatten, saved });
    for (const one of plan) files.push(await copied(one, staging, parts, signal));
    const manifest: ExportManifest = {
      ...{ schema: 1, kind: 'blockferry-export', createdAt: parts.wallMs() },
      content: typeof what === 'number' ? 'snapshot' : what,
      ...(typeof what === 'number' && { snapshot: what }),
      ...(state && { state }),
      ...{ files, vm: whole },
    };
    writeManifest(staging, manifest);
    syncFolder(staging);
    if (publishNew(staging, folder) === 'exists') throw exists(folder);
    syncFolder(dirname(folder));
    return { folder, manifest };
  } catch (thrown) {
    rmSync(staging, { recursive: true, force: true });
    throw translated(thrown, folder);
  }
}

/** What is there under that name was made by an export of this machine that was cut short. */
function makeStaging(staging: string): void {
  rmSync(staging, { recursive: true, force: true });
  mkdirSync(staging, { mode: 0o700 });
}

/** One image for each disk, of the format that a chain becomes when it is made one. */
function flattened(vm: VmDescription): VmDescription {
  return { ...vm, disks: vm.disks.map((disk) => ({ ...disk, chain: [flatImage(disk)] })) };
}

function flatImage({ chain }: VmDisk): ImageFile {
  const top = chain.at(-1) as ImageFile;
  return chain.length > 1 && top.format === 'qcow2' ? { path: top.path, format: 'raw' } : top;
}

function planned(
  vm: VmDescription,
  staging: string,
  { flatten, saved }: { readonly flatten: boolean; readonly saved: SavedState | undefined },
): Planned[] {
  const plan = vm.disks.flatMap((disk) => (flatten && disk.chain.length > 1 ? [flat(disk)] : disk.chain.map(link)));
  return [...plan, ...others(vm, saved)].map((one) => ({ ...one, target: join(staging, one.file.name) }));

  function flat(disk: VmDisk): Omit<Planned, 'target'> {
    const source = (disk.chain.at(-1) as ImageFile).path;
    const file = { name: nameOf(disk, 0, flatImage(disk)), role: 'disk', disk: disk.id, link: 0 } as const;
    return { source, file, flattened: [...new Set(disk.chain.map(({ path }) => dirname(path)))] };
  }
  function link({ path, format }: ImageFile, at: number): Omit<Planned, 'target'> {
    const disk = vm.disks.find(({ chain }) => chain[at]?.path === path) as VmDisk;
    const below = disk.chain[at - 1];
    const file = { name: nameOf(disk, at, { path, format }), role: 'disk', disk: disk.id, link: at } as const;
    return { source: path, format, file, ...(below && { parent: nameOf(disk, at - 1, below) }) };
  }
}

const nameOf = ({ id }: VmDisk, link: number, { format }: ImageFile): string => `${id}-${link}.${EXTENSIONS[format]}`;

function others({ kernel }: VmDescription, saved: SavedState | undefined): Omit<Planned, 'target'>[] {
  const { image, initrd } = kernel ?? {};
  return [
    ...(image === undefined ? [] : [{ source: image, file: { name: 'kernel', role: 'kernel' } as const }]),
    ...(initrd === undefined ? [] : [{ source: initrd, file: { name: 'initrd', role: 'initrd' } as const }]),
    ...(saved ? [{ ...stateOf(saved), file: { name: 'memory.state', role: 'state' } as const }] : []),
  ];
}

const stateOf = ({ path, sha256 }: SavedState) => ({ source: path, sha256 });

async function copied(one: Planned, staging: string, parts: PortableParts, signal: AbortSignal): Promise<ExportedFile> {
  const { files, tell } = parts;
  const { file, parent, ...copy } = one;
  const size = lstatSync(copy.source, { throwIfNoEntry: false })?.size ?? 0;
  const about = { type: 'file', path: copy.source, size } as const;
  tell({ ...about, state: 'started', bytesDone: 0 });
  await files.copy(copy, (bytesDone) => tell({ ...about, state: 'started', bytesDone }), signal);
  if (parent !== undefined) await files.repoint(copy.target, join(staging, parent));
  const known = await files.digest(copy.target, signal);
  tell({ ...about, size: known.bytes, bytesDone: known.bytes, state: 'done' });
  return { ...file, ...known };
}

function assertFree(folder: string): void {
  if (lstatSync(folder, { throwIfNoEntry: false })) throw exists(folder);
  if (!lstatSync(dirname(folder), { throwIfNoEntry: false })) {
    throw new TransferError('E_TARGET_FOLDER', `the folder ${dirname(folder)} is missing`, { hint: 'Make it first.' });
  }
}

function exists(folder: string): TransferError {
  return new TransferError('E_TARGET_EXISTS', `${folder} exists already`, {
    hint: 'Name a new folder; an export replaces nothing. Nothing was changed.',
  });
}

function notNow(vm: VmDescription, why: string): TransferError {
  return new TransferError('E_VM_STATE', `${vm.name} cannot be exported: ${why}`, {
    hint: 'It can be while it is off, saved, paused or running, on the host that it belongs to. Nothing was changed.',
  });
}

function translated(thrown: unknown, folder: string): unknown {
  const errno = errnoOf(thrown);
  if (thrown instanceof TransferError || errno === undefined) return thrown;
  const code = errno === 'ENOSPC' || errno === 'EDQUOT' ? 'E_NO_SPACE' : 'E_TARGET_ACCESS';
  return new TransferError(code, `${folder} cannot be written (${errno})`, {
    hint: 'Look at its permissions and at the room there. The machine is as it was, and nothing is left of the export.',
    cause: thrown,
  });
}
