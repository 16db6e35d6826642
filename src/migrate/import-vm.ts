/**
 * Makes a machine of an export. First all that can be in the way is looked at, then files are copied where they are to
 * be, and last the machine is written down: an import that fails leaves no machine and no file.
 */
import { lstatSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, resolve } from 'node:path';
import { TransferError } from '../core/errors.js';
import { showPath } from '../platform/path-bytes.js';
import type { ImportRequest, PortableParts } from './export-import.js';
import { type ExportedFile, type ExportManifest, imageIn, readManifest } from './export-manifest.js';
import type { SavedState } from './hypervisor.js';
import type { TargetPaths } from './migration-plan.js';
import type { VmDescription } from './vm.js';

export interface Imported {
  readonly vm: VmDescription;
  /** What its first start goes on from. */
  readonly saved?: SavedState;
}

interface Placed {
  readonly file: ExportedFile;
  readonly source: string;
  readonly target: string;
}

/** @throws TransferError E_MANIFEST, E_INTEGRITY, E_SOURCE_MISSING, E_VM_EXISTS, E_USAGE, and those of a copy */
export async function importVm(request: ImportRequest, parts: PortableParts, signal: AbortSignal): Promise<Imported> {
  const { registry, newId } = parts;
  const manifest = readManifest(request.folder);
  const id = request.id === 'new' ? newId() : manifest.vm.id;
  return registry.locked(id, async () => {
    if (registry.has(id)) throw known(id, registry.get(id).name);
    const bare = manifest.content === 'configuration';
    for (const name of Object.keys(request.to?.disks ?? {})) assertDisk(name, manifest.vm);
    const placed = bare ? [] : manifest.files.map((file) => placedAt(file, request, manifest));
    assertPresent(placed);
    const vm = { ...described(manifest, request, placed), id, name: request.name ?? manifest.vm.name };
    assertUnused(vm, parts);
    if (bare) for (const path of imagesOf(vm)) assertFile(path);
    else if (request.to) await copyAll(placed, parts, signal);
    else for (const one of placed) await compared(one, parts, signal);
    try {
      await parts.host.add(vm);
    } catch (thrown) {
      if (request.to && !bare) for (const { target } of placed) rmSync(target);
      throw thrown;
    }
    const state = placed.find(({ file }) => file.role === 'state');
    if (!state) return { vm };
    return { vm, saved: { path: state.target, bytes: state.file.bytes, sha256: state.file.sha256 } };
  });
}

function placedAt(file: ExportedFile, { folder, to }: ImportRequest, { vm }: ExportManifest): Placed {
  const source = join(folder, file.name);
  if (!to) return { file, source, target: source };
  const into = folderFor(file.disk, to, vm);
  const name = file.role === 'disk' ? file.name : `${vm.id.slice(0, 8)}-${file.name}`;
  return { file, source, target: join(into, name) };
}

/** What is of no disk goes to the folder, or to the first that is named. */
function folderFor(disk: string | undefined, { folder, disks = {} }: TargetPaths, vm: VmDescription): string {
  const named = disk === undefined ? Object.values(disks)[0] : disks[disk];
  const wanted = disk === undefined ? (folder ?? named) : (named ?? folder);
  if (wanted !== undefined && isAbsolute(wanted)) return resolve(wanted);
  throw new TransferError('E_USAGE', `nothing says where ${disk ?? 'all that is of no disk'} goes`, {
    hint: `Name a folder for all, or one for each disk of ${vm.name}. Nothing was changed.`,
  });
}

/** The machine as it will be. */
function described(manifest: ExportManifest, { folder, to }: ImportRequest, placed: readonly Placed[]): VmDescription {
  const { vm, content } = manifest;
  if (content === 'configuration') return to ? moved(vm, to) : vm;
  const targetOf = (file: ExportedFile): string => placed.find((one) => one.file === file)?.target ?? '';
  const one = (role: ExportedFile['role']) => placed.find(({ file }) => file.role === role)?.target;
  const [image, initrd] = [one('kernel'), one('initrd')];
  const { kernel, consoleLog, ...rest } = vm;
  return {
    ...rest,
    disks: vm.disks.map((disk) => ({
      ...disk,
      chain: disk.chain.map(({ format }, link) => ({ path: targetOf(imageIn(manifest, disk, link)), format })),
    })),
    ...(kernel && image !== undefined && { kernel: { image, ...(initrd && { initrd }), append: kernel.append } }),
    // Never where the other machine writes.
    ...(consoleLog !== undefined && {
      consoleLog: join(to ? folderFor(undefined, to, vm) : folder, `${vm.id.slice(0, 8)}-console.log`),
    }),
  };
}

/** The images are there already, under the names that they had. */
function moved(vm: VmDescription, to: TargetPaths): VmDescription {
  const disks = vm.disks.map((disk) => {
    const into = to.disks?.[disk.id] ?? to.folder;
    if (into === undefined) return disk;
    return { ...disk, chain: disk.chain.map(({ path, format }) => ({ path: join(into, basename(path)), format })) };
  });
  return { ...vm, disks };
}

const imagesOf = ({ disks }: VmDescription): string[] => disks.flatMap(({ chain }) => chain.map(({ path }) => path));

/** Two machines on one image would each destroy what the other writes. */
function assertUnused(vm: VmDescription, { registry }: PortableParts): void {
  const wanted = new Map(imagesOf(vm).map((path) => [fileKey(path), path]));
  for (const id of registry.ids()) {
    const taken = imagesOf(registry.get(id)).map(fileKey);
    const path = wanted.get(taken.find((key) => wanted.has(key)) ?? '');
    if (path === undefined) continue;
    throw new TransferError(
      'E_VM_EXISTS',
      `${showPath(path)} belongs to the machine ${registry.get(id).name} (${id})`,
      {
        hint: 'Import a copy, with a folder of its own. Nothing was changed.',
      },
    );
  }
}

/** The file itself, whatever names it has; of one that is missing the path. */
function fileKey(path: string): string {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stat ? `${stat.dev}:${stat.ino}` : path;
}

function assertPresent(placed: readonly Placed[]): void {
  for (const { file, source, target } of placed) {
    assertFile(source);
    const { size } = lstatSync(source);
    if (size !== file.bytes) throw damaged(source, `it has ${size} bytes, and ${file.bytes} were exported`);
    if (target !== source && lstatSync(target, { throwIfNoEntry: false })) {
      throw new TransferError('E_TARGET_EXISTS', `${showPath(target)} exists already`, {
        hint: 'Name another folder; an import replaces nothing. Nothing was changed.',
      });
    }
  }
  const targets = new Set(placed.map(({ target }) => target));
  if (targets.size < placed.length) throw new TransferError('E_MANIFEST', 'two files of the export go to one place');
}

/** A link could lead anywhere. */
function assertFile(path: string): void {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (!stat) {
    throw new TransferError('E_SOURCE_MISSING', `${showPath(path)} is missing`, {
      hint: 'Bring the file back, or export the machine again. Nothing was changed.',
    });
  }
  if (stat.isFile()) return;
  throw new TransferError('E_SOURCE_KIND', `${showPath(path)} is no file of its own`, {
    hint: 'A link, a folder or a device cannot be a part of an export. Nothing was changed.',
  });
}

async function compared({ file, source }: Placed, { files, tell }: PortableParts, signal: AbortSignal): Promise<void> {
  const { bytes, sha256 } = await files.digest(source, signal);
  if (bytes !== file.bytes || sha256 !== file.sha256) throw damaged(source, 'its SHA-256 is not the one of the export');
  tell({ type: 'file', state: 'done', path: source, size: bytes, bytesDone: bytes });
}

async function copyAll(placed: readonly Placed[], parts: PortableParts, signal: AbortSignal): Promise<void> {
  const { files, tell } = parts;
  const done: string[] = [];
  try {
    for (const { file, source, target } of placed) {
      const about = { type: 'file', path: source, size: file.bytes } as const;
      mkdirSync(dirname(target), { recursive: true, mode: 0o700 });
      tell({ ...about, state: 'started', bytesDone: 0 });
      const copy = { source, target, sha256: file.sha256, format: 'raw' } as const;
      await files.copy(copy, (bytesDone) => tell({ ...about, state: 'started', bytesDone }), signal);
      done.push(target);
      tell({ ...about, state: 'done', bytesDone: file.bytes });
    }
  } catch (thrown) {
    for (const path of done) rmSync(path);
    throw thrown;
  }
}

function assertDisk(name: string, vm: VmDescription): void {
  if (vm.disks.some(({ id }) => id === name)) return;
  throw new TransferError('E_USAGE', `${vm.name} has no disk ${name}`, {
    hint: `It has ${vm.disks.map(({ id }) => id).join(', ') || 'none'}. Nothing was changed.`,
  });
}

function known(id: string, name: string): TransferError {
  return new TransferError('E_VM_EXISTS', `this host has the machine ${id} already: ${name}`, {
    hint: 'Import it with a new id. Nothing was changed.',
  });
}

function damaged(path: string, why: string): TransferError {
  return new TransferError('E_INTEGRITY', `${showPath(path)} is not what was exported: ${why}`, {
    hint: 'Copy the export again from where it was made. Nothing was changed.',
  });
}
