/** Which images in a folder build on a given one: what a merge has to re-point, or would break. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { errnoOf, TransferError } from '../core/errors.js';
import type { FileLayer } from '../platform/file-layer.js';
import { decodePath, encodePath, showPath } from '../platform/path-bytes.js';
import { OpenDiskFile } from './disk-file.js';
import { openImage, probeFormat } from './formats.js';
import type { ParentLink } from './image.js';
import { meansIdentity, parentPlaces } from './parent-places.js';

/** A folder with more files is no folder of disks. */
const FILES_MAX = 4096;

export interface BuiltOn {
  /** Absolute, without links. */
  readonly path: string;
  readonly identity?: string;
}

/** Paths of images in these folders that name this one as their parent. What cannot be read names nobody. */
export async function childrenOf(files: FileLayer, parent: BuiltOn, folders: Iterable<string>): Promise<string[]> {
  const children: string[] = [];
  for (const folder of new Set(folders)) {
    for (const path of filesIn(files, folder)) {
      const link = await parentNamedBy(files, path);
      if (link && path !== parent.path && names(link, path, parent)) children.push(path);
    }
  }
  return children;
}

function filesIn(files: FileLayer, folder: string): string[] {
  const names = readdirSync(encodePath(folder), { encoding: 'buffer' }).map(decodePath).sort();
  if (names.length > FILES_MAX) {
    throw new TransferError('E_USAGE', `${showPath(folder)} has ${names.length} files, too many to look into`, {
      hint: 'Say --break-others to leave unasked which of them build on the parent. Nothing was changed.',
    });
  }
  return names.map((name) => join(folder, name)).filter((path) => files.lstat(encodePath(path))?.isFile());
}

async function parentNamedBy(files: FileLayer, path: string): Promise<ParentLink | undefined> {
  let file: OpenDiskFile | undefined;
  try {
    file = OpenDiskFile.open(files, path, 'read');
    const format = await probeFormat(file);
    return format === 'raw' ? undefined : (await openImage(file, format)).parent;
  } catch (thrown) {
    // A file that is no image, or that we may not read.
    if (thrown instanceof TransferError || errnoOf(thrown) !== undefined) return undefined;
    throw thrown;
  } finally {
    file?.close();
  }
}

/** An image that means another identity is nobody's child already. */
function names(link: ParentLink, child: string, { path, identity }: BuiltOn): boolean {
  if (!meansIdentity(link, identity)) return false;
  const location = { scheme: 'file', text: child, name: showPath(child) };
  const locate = (text: string) => ({ scheme: '', text, name: text });
  return parentPlaces({ child: location, link, parentFolders: [], locate }).some(
    (place) => place.location.text === path,
  );
}
