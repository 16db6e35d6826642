/** Makes an image name another parent, by paths of both kinds and by what it is known by. */
import { dirname, relative } from 'node:path';
import { TransferError } from '../core/errors.js';
import type { OpenDiskFile } from './disk-file.js';
import { formatNamed, probeFormat } from './formats.js';
import type { HeldFiles } from './held-files.js';
import type { DiskImage, NewParent } from './image.js';

export interface ParentFile {
  /** Absolute, without links. */
  readonly path: string;
  readonly image: DiskImage;
  /** When it was last changed. */
  readonly modifiedAtMs: number;
}

export function linkTo({ path, image, modifiedAtMs }: ParentFile, child: string): NewParent {
  const { format, identity } = image;
  return {
    format,
    ...(identity !== undefined && { identity }),
    paths: [
      { kind: 'relative', path: relative(dirname(child), path) },
      { kind: 'absolute', path },
    ],
    modifiedAtMs,
  };
}

/** @throws TransferError E_USAGE where the format has no links */
export async function openToRepoint(held: HeldFiles, path: string): Promise<OpenDiskFile> {
  const file = await held.open(path, 'write');
  const format = await probeFormat(file);
  if ((await formatNamed(format)).repoint) return file;
  throw new TransferError('E_USAGE', `${file.name}: a ${format} image cannot name another parent`, {
    hint: 'Only differencing VHD and VHDX images and qcow2 images with a backing file do. Nothing was changed.',
  });
}

/** A crash leaves the old link or the new one. */
export async function repoint(file: OpenDiskFile, parent: ParentFile): Promise<void> {
  const format = await formatNamed(await probeFormat(file));
  await format.repoint?.(file, linkTo(parent, file.path));
}
