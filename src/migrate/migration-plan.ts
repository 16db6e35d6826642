/**
 * What a migration is going to do: which file goes where. It is made once, kept, and never changed, so that a step that
 * is repeated does the same.
 */
import { basename, dirname, isAbsolute, join, resolve } from 'node:path';
import { TransferError } from '../core/errors.js';
import type { Overlay } from './hypervisor.js';
import type { MigrationRequest } from './migration-service.js';
import type { ImageFile, VmDescription, VmDisk } from './vm.js';

/** One folder for all files, or one for each disk; a disk that is not named goes to the folder. Absolute. */
export interface TargetPaths {
  readonly folder?: string;
  readonly disks?: Readonly<Record<string, string>>;
}

export interface PlannedImage {
  readonly disk: string;
  readonly format: ImageFile['format'];
  /** Absolute paths, at the source and at the target. */
  readonly source: string;
  readonly target: string;
}

export interface MigrationPlan {
  readonly schema: 1;
  /** A UUID. */
  readonly id: string;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  /** As it is at the source, before the first snapshot. */
  readonly vm: VmDescription;
  /** It ran when the migration began: it is moved with its memory, and runs afterwards. */
  readonly running: boolean;
  readonly from: string;
  readonly to: string;
  /** Of each disk, the base first. */
  readonly images: readonly PlannedImage[];
  /** Of what is new: overlays and the saved state. */
  readonly folders: { readonly source: string; readonly target: string };
  readonly diskFolders: Readonly<Record<string, string>>;
  readonly keepSource: boolean;
  readonly maxBlackoutMs?: number;
  /** It stops before the blackout, and waits. */
  readonly prepareOnly: boolean;
}

interface PathPair {
  readonly source: string;
  readonly target: string;
}

export interface Planning extends Pick<MigrationPlan, 'id' | 'createdAt' | 'running' | 'prepareOnly'> {
  readonly vm: VmDescription;
}

/** @throws TransferError E_USAGE */
export function planMigration(request: MigrationRequest, about: Planning): MigrationPlan {
  const { paths, from = 'local', to = 'local', keepSource = false, maxBlackoutMs } = request;
  const { vm } = about;
  for (const name of Object.keys(paths.disks ?? {})) {
    if (!vm.disks.some(({ id }) => id === name)) throw refused(`${vm.name} has no disk ${name}`, vm);
  }
  const diskFolders = Object.fromEntries(vm.disks.map(({ id }) => [id, folderFor(id, paths, vm)]));
  const images = namedApart(vm, diskFolders);
  for (const { source, target } of images) {
    if (from === to && source === target) throw refused(`${source} is there already`, vm);
  }
  const [first] = images;
  if (!first) throw refused(`${vm.name} has no disks`, vm);
  return {
    schema: 1,
    ...about,
    ...{ from, to, images, diskFolders, keepSource },
    folders: { source: dirname(first.source), target: dirname(first.target) },
    ...(maxBlackoutMs !== undefined && { maxBlackoutMs }),
  };
}

function folderFor(disk: string, { folder, disks = {} }: TargetPaths, vm: VmDescription): string {
  const wanted = (Object.hasOwn(disks, disk) ? disks[disk] : undefined) ?? folder;
  if (wanted === undefined) throw refused(`nothing says where the disk ${disk} goes`, vm);
  if (!isAbsolute(wanted) || wanted.includes('\0')) throw refused(`${wanted} is no absolute path`, vm);
  return resolve(wanted);
}

/** Images keep their names; where two would have the same one, each says of which disk it is. */
function namedApart({ disks }: VmDescription, folders: Readonly<Record<string, string>>): PlannedImage[] {
  const all = disks.flatMap(({ id, chain }) =>
    chain.map(({ path, format }) => {
      const folder = folders[id] as string;
      return { disk: id, format, source: path, folder, target: join(folder, basename(path)) };
    }),
  );
  const count = (target: string): number => all.filter((other) => other.target === target).length;
  const taken = new Set(all.map(({ target }) => target));
  return all.map(({ folder, ...image }) => {
    if (count(image.target) === 1) return image;
    let name = `${image.disk}-${basename(image.source)}`;
    while (taken.has(join(folder, name))) name = `${image.disk}-${name}`;
    taken.add(join(folder, name));
    return { ...image, target: join(folder, name) };
  });
}

/** What the guest writes to after so many snapshots, one for each disk; from 1. */
export function overlaysOf({ id, vm }: MigrationPlan, round: number): Overlay[] {
  return vm.disks.map((disk) => ({
    disk: disk.id,
    path: join(dirname(topOf(disk).path), `${disk.id}-${id.slice(0, 8)}-${round}.overlay`),
  }));
}

/** Where a file of the source is going to be: its images by the plan, overlays and state by their names. */
export function targetOf(plan: MigrationPlan, disk: string, source: string): string {
  const planned = plan.images.find((image) => image.disk === disk && image.source === source);
  return planned?.target ?? join(plan.diskFolders[disk] ?? plan.folders.target, basename(source));
}

/**
 * What the guest's memory is saved to: a new one each time, so that no old one is taken for it. On one host it is saved
 * where it is loaded from, so that it is not copied while the guest stands still, and a source that is full is no
 * obstacle; a source that is to be kept is kept with its memory.
 */
export function stateFiles({ id, folders, from, to, keepSource }: MigrationPlan, attempt: number): PathPair {
  const name = `memory-${id.slice(0, 8)}-${attempt}.state`;
  const target = join(folders.target, name);
  return { source: from === to && !keepSource ? target : join(folders.source, name), target };
}

/** @see stateFiles */
export function stateIsCopied(plan: MigrationPlan): boolean {
  const { source, target } = stateFiles(plan, 1);
  return source !== target;
}

/** What the machine is started with, and what another host does not have; on the same host it stays where it is. */
export function bootFiles({ id, vm: { kernel }, from, to, folders }: MigrationPlan): PathPair[] {
  if (from === to || !kernel) return [];
  const { image, initrd } = kernel;
  const named = [['kernel', image] as const, ...(initrd === undefined ? [] : [['initrd', initrd] as const])];
  return named.map(([name, source]) => ({ source, target: join(folders.target, `${name}-${id.slice(0, 8)}`) }));
}

/** The same machine with its images at the target. */
export function atTarget(plan: MigrationPlan, vm: VmDescription): VmDescription {
  const disks = vm.disks.map((disk) => ({
    ...disk,
    chain: disk.chain.map(({ path, format }) => ({ path: targetOf(plan, disk.id, path), format })),
  }));
  return { ...vm, disks, ...(plan.from !== plan.to && otherFiles(plan, vm)) };
}

function otherFiles(plan: MigrationPlan, { kernel, consoleLog }: VmDescription): Partial<VmDescription> {
  const [image, initrd] = bootFiles(plan).map(({ target }) => target);
  const log = join(plan.folders.target, `console-${plan.id.slice(0, 8)}.log`);
  return {
    ...(kernel && image && { kernel: { ...kernel, image, ...(initrd !== undefined && { initrd }) } }),
    ...(consoleLog !== undefined && { consoleLog: log }),
  };
}

/** What the guest writes to. */
export function topOf({ id, chain }: VmDisk): ImageFile {
  const top = chain.at(-1);
  if (!top) throw new TransferError('E_BUG', `the disk ${id} has no image`);
  return top;
}

function refused(what: string, { name }: VmDescription): TransferError {
  return new TransferError('E_USAGE', `${what}: ${name} cannot be migrated so`, {
    hint: 'Name one absolute folder, or one for each disk. Nothing was changed.',
  });
}
