/** Paths below the root of a tree, and what it means when one of them cannot be followed. */
import { errnoOf, TransferError } from '../../core/errors.js';
import { type FileGroup, joinPath, type TreeRef } from '../../core/tree.js';
import { showPath } from '../../platform/path-bytes.js';
import { treePartName } from '../part-names.js';
import { localError } from './errors.js';

export function partNameIn({ source, sourceFolder, as }: FileGroup, name: string, tag: string): string {
  // A file that was named by itself may also lie in a folder that is copied.
  const from = `${as === undefined ? 'in' : 'as'} ${joinPath(source.path, joinPath(sourceFolder, name))}`;
  return treePartName(as ?? name, from, tag);
}

/** Does something at a path of a tree, with its errors told in the words of that path. @throws TransferError */
export function within<T>(doing: 'open-source' | 'open-target', ref: TreeRef, path: string, work: () => T): T {
  const shown = joinPath(ref.path, path);
  try {
    return work();
  } catch (thrown) {
    const errno = errnoOf(thrown);
    if (errno !== 'ENOTDIR' && errno !== 'ELOOP') throw localError(doing, shown, thrown);
    const message = `${showPath(shown)}: a link or a file stands where a folder was expected`;
    const hint = 'Links are never followed inside a tree. What belongs below it was left out.';
    throw new TransferError(doing === 'open-source' ? 'E_SOURCE_CHANGED' : 'E_TARGET_KIND', message, { hint });
  }
}
