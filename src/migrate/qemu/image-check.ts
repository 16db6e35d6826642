/** Looks whether the images of a machine are what its description says, before QEMU takes them at their word. */
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { TransferError } from '../../core/errors.js';
import type { ChainDescription, DiskDescription } from '../../disk/describe.js';
import { realPath } from '../../platform/folder.js';
import { showPath } from '../../platform/path-bytes.js';
import type { DiskFormat, ImageFile, VmDescription, VmDisk } from '../vm.js';
import { differencing, type TopImage } from './nodes.js';

const FOOTER_BYTES = 512;

/** What each format is called in the description of an image. */
const CALLED: Readonly<Record<DiskFormat, readonly [format: string, kind?: string]>> = {
  raw: ['raw'],
  'vhd-fixed': ['vhd', 'fixed'],
  'vhd-dynamic': ['vhd', 'dynamic'],
  vhdx: ['vhdx'],
  qcow2: ['qcow2'],
};

/** Where to look for the images below one, besides its own folder. */
export interface ParentFolders {
  readonly parentFolders: readonly string[];
}

export type DescribeDisk = (path: string, where: ParentFolders) => Promise<ChainDescription>;

/** Bytes of the disk in each fixed VHD: all but its footer. */
export async function fixedBytesOf({ disks }: VmDescription): Promise<ReadonlyMap<string, number>> {
  const fixed = disks.flatMap(({ chain }) => chain.filter(({ format }) => format === 'vhd-fixed'));
  return new Map(await Promise.all(fixed.map(async ({ path }) => [path, await contentBytes(path)] as const)));
}

async function contentBytes(path: string): Promise<number> {
  try {
    return (await stat(path)).size - FOOTER_BYTES;
  } catch (cause) {
    throw new TransferError('E_SOURCE_MISSING', `${path} cannot be looked at`, { ...HINT, cause });
  }
}

/** @throws TransferError E_DISK_FORMAT, E_DISK_PARENT */
export async function assertImages({ disks }: VmDescription, describeDisk: DescribeDisk): Promise<void> {
  // What a guest wrote to a raw disk must not choose what it is taken for, so nobody looks at one.
  const told = disks.filter(({ chain }) => chain.at(-1)?.format !== 'raw');
  await Promise.all(told.map(async (disk) => assertChain(disk, await describeDisk(topPath(disk), foldersOf(disk)))));
}

function assertChain(disk: VmDisk, { images, broken }: ChainDescription): void {
  if (broken) throw new TransferError('E_DISK_PARENT', `disk ${disk.id}: ${broken.message}`, hintOf(broken.hint));
  const described = disk.chain.toReversed();
  described.forEach((image, at) => {
    const found = images[at];
    if (!found) throw shortChain(disk, described.length, images.length);
    assertSame(disk, image, found);
  });
  if (images.length > described.length) throw shortChain(disk, described.length, images.length);
  const size = images[0]?.size ?? 0;
  if (size !== disk.sizeBytes) throw otherSize(disk, size);
}

function assertSame(disk: VmDisk, image: ImageFile, found: DiskDescription): void {
  if (found.kind === 'differencing' && found.format !== 'qcow2') throw differencing(disk.id, image.path, found.format);
  const [format, kind = found.kind] = CALLED[image.format];
  if (found.format !== format || found.kind !== kind) {
    const is = `${found.format}, ${found.kind}`;
    throw new TransferError('E_DISK_FORMAT', `${image.path} of disk ${disk.id} is ${is}, and no ${image.format}`, HINT);
  }
  const name = showPath(realPath(image.path));
  if (found.name === name || found.name === showPath(image.path)) return;
  throw new TransferError('E_DISK_PARENT', `disk ${disk.id} builds on ${found.name}, and not on ${name}`, HINT);
}

/** What QEMU found when it opened them. */
export function assertSizes({ disks }: VmDescription, tops: ReadonlyMap<string, TopImage>): void {
  for (const disk of disks) {
    const size = tops.get(disk.id)?.sizeBytes ?? 0;
    if (size !== disk.sizeBytes) throw otherSize(disk, size);
  }
}

export function foldersOf({ chain }: VmDisk): ParentFolders {
  return { parentFolders: [...new Set(chain.map(({ path }) => dirname(path)))] };
}

const topPath = ({ chain }: VmDisk): string => chain.at(-1)?.path ?? '';

const HINT = { hint: 'Nothing was started. Correct the description of the machine, or put the right image there.' };
const hintOf = (hint = HINT.hint): { hint: string } => ({ hint });

function shortChain({ id }: VmDisk, described: number, found: number): TransferError {
  return new TransferError('E_DISK_PARENT', `disk ${id} has ${found} images, and ${described} are described`, HINT);
}

function otherSize({ id, sizeBytes }: VmDisk, size: number): TransferError {
  return new TransferError('E_DISK_FORMAT', `disk ${id} has ${size} bytes for its guest, and not ${sizeBytes}`, HINT);
}
