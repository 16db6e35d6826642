/** What a disk is known by on its way to a worker: nobody types these locations, so they may hold anything. */
import type { Location } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import type { DiskFormat } from './image.js';
import type { LayoutKind } from './layout.js';

export const DISK_SCHEME = 'disk';

/** The guest's content of an image, and of its parents. */
export interface DiskToRead {
  readonly container: Location;
  /** Absent: what the container's own marks say. */
  readonly format?: DiskFormat;
  readonly parentFolders?: readonly string[];
  /** False: an image that has a parent is refused. */
  readonly parents?: boolean;
}

/** A new image, and how it is laid out. */
export interface DiskToWrite {
  readonly container: Location;
  /** flattened: the one of its source's own format, as far as that can be written. */
  readonly layout: LayoutKind | 'flattened';
}

export function diskLocation(disk: DiskToRead | DiskToWrite): Location {
  return { scheme: DISK_SCHEME, text: JSON.stringify(disk), name: disk.container.name };
}

/** @throws TransferError E_USAGE for a location that somebody typed */
export function readDiskLocation<T extends DiskToRead | DiskToWrite>({ text, name }: Location): T {
  if (text.startsWith('{')) return JSON.parse(text);
  throw new TransferError('E_USAGE', `${name} is not a location`, { hint: 'Give a path or a URL.' });
}
