/** Makes an image name another parent, in place, once it is sure that the disk reads the same with it. */
import { dirname, relative } from 'node:path';
import type { Location } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import type { FileLayer } from '../platform/file-layer.js';
import { isOpenForWriting } from '../platform/open-elsewhere.js';
import { encodePath } from '../platform/path-bytes.js';
import { OpenDiskFile } from './disk-file.js';
import { openImage } from './formats.js';
import { HeldFiles } from './held-files.js';
import type { DiskFormat, ParentLink } from './image.js';
import { realLocation } from './merge-plan.js';
import { type ChainOpener, openChain } from './open-chain.js';
import { meansIdentity } from './parent-places.js';
import { linkTo, openToRepoint, repoint } from './repoint.js';

export interface ParentChange {
  readonly child: Location;
  readonly parent: Location;
  /** Also one that is not what the image was made on. */
  readonly anyParent: boolean;
  readonly parentFolders?: readonly string[];
}

export interface ParentChanged {
  readonly child: string;
  readonly parent: string;
  readonly parentFormat: DiskFormat;
  readonly before?: ParentLink;
  /** The format tells parents by an identity, and it is the one that the image meant. */
  readonly proven: boolean;
  /** The folder that `parentFolders` has to name from now on: outside of the image's own a name alone is not enough. */
  readonly outside?: string;
}

/** @throws TransferError E_DISK_PARENT when it is another disk, E_USAGE, E_LOCKED */
export async function setParent(change: ParentChange, opener: ChainOpener, files: FileLayer): Promise<ParentChanged> {
  const { anyParent, parentFolders = [] } = change;
  const [child, location] = [realLocation(change.child), realLocation(change.parent)];
  for (const end of [child, location]) if (end.scheme !== 'file') throw notHere(end.name);
  assertUnused(files, child);
  const chain = await openChain({ location, parentFolders }, opener);
  const held = new HeldFiles(files);
  try {
    const [parent] = chain.links as [(typeof chain.links)[0]];
    if (chain.links.some((link) => link.location.text === child.text)) throw cycle(child.name, location.name);
    const file = await openToRepoint(held, child.text);
    const { image } = parent;
    const opened = await openImage(file);
    const before = opened.parent;
    if (!before) throw standsAlone(child.name, opened.kind);
    if (!anyParent && !meansIdentity(before, image.identity)) throw another(child.name, location.name, before);
    if (!anyParent && image.size > opened.size) throw larger(child.name, location.name);
    const modifiedAtMs = Number(files.stat(encodePath(location.text))?.mtimeMs ?? 0);
    const to = { path: location.text, image, modifiedAtMs };
    await repoint(file, to);
    const proven = before.identity !== undefined && meansIdentity(before, linkTo(to, child.text).identity);
    const isInside = !relative(dirname(child.text), location.text).startsWith('..');
    const outside = image.identity === undefined && !isInside ? { outside: dirname(location.text) } : {};
    return { child: child.name, parent: location.name, parentFormat: image.format, before, proven, ...outside };
  } finally {
    held.release();
    await chain.close();
  }
}

function assertUnused(files: FileLayer, { text, name }: Location): void {
  const file = OpenDiskFile.open(files, text, 'read');
  try {
    if (!isOpenForWriting(file.fd)) return;
  } finally {
    file.close();
  }
  throw new TransferError('E_LOCKED', `${name} is open for writing in another process`, {
    hint: 'Shut down the machine that uses it first. Nothing was changed.',
  });
}

function notHere(name: string): TransferError {
  return new TransferError('E_USAGE', `${name} is no file of this machine`, {
    hint: 'Only files of this machine can be changed, and named as a parent.',
  });
}

function standsAlone(name: string, kind: string): TransferError {
  return new TransferError('E_USAGE', `${name} is a ${kind} image, which has no parent`, {
    hint: 'Only an image that builds on another one can be pointed at another place. Nothing was changed.',
  });
}

function cycle(child: string, parent: string): TransferError {
  return new TransferError('E_DISK_PARENT', `${parent} is ${child} itself, or builds on it`, {
    hint: 'A disk cannot build on itself. Nothing was changed.',
  });
}

function another(child: string, parent: string, { identity }: ParentLink): TransferError {
  return new TransferError(
    'E_DISK_PARENT',
    `${parent} is not what ${child} was made on, which is known by ${identity}`,
    {
      hint: [
        'With another parent, or with one that was written to since, the disk reads other bytes.',
        'If that is what you want, say --any-parent. Nothing was changed.',
      ].join('\n'),
    },
  );
}

function larger(child: string, parent: string): TransferError {
  return new TransferError(
    'E_DISK_PARENT',
    `${parent} is a larger disk than ${child}, so it is not what it was made on`,
    {
      hint: 'If that is what you want, say --any-parent. Nothing was changed.',
    },
  );
}
