/** Walks a folder for a verification: links are told and never followed, and no more than one page of names is held. */
import type { Dirent } from 'node:fs';
import { lstat, opendir } from 'node:fs/promises';
import { errnoOf } from '../core/errors.js';
import { decodePath, encodePath } from '../platform/path-bytes.js';

export interface Walked {
  /** Relative to the folder. */
  readonly path: string;
  readonly kind: 'file' | 'link' | 'other';
}

export interface Measured extends Walked {
  /** Bytes; 0 for what is no file. */
  readonly size: number;
}

const PAGE = 256;

/** All that is no folder. `onUnreadable` hears of folders that cannot be read; the walk goes on. */
export async function* walk(
  folder: string,
  onUnreadable: (path: string, errno: string) => void,
): AsyncGenerator<Walked> {
  const folders = [''];
  for (let path = folders.pop(); path !== undefined; path = folders.pop()) {
    try {
      // Node's types know no names that are bytes here.
      const options = { encoding: 'buffer' as BufferEncoding, bufferSize: PAGE };
      for await (const entry of await opendir(encodePath(below(folder, path)), options)) {
        const name = below(path, decodePath(entry.name as unknown as Buffer));
        if (entry.isDirectory()) folders.push(name);
        else yield { path: name, kind: kindOf(entry) };
      }
    } catch (thrown) {
      const errno = errnoOf(thrown);
      if (errno === undefined) throw thrown;
      // What was removed meanwhile is not there any more.
      if (errno !== 'ENOENT' || path === '') onUnreadable(path, errno);
    }
  }
}

/** The same with sizes, as they are now. */
export async function* measuredWalk(
  folder: string,
  onUnreadable: (path: string, errno: string) => void,
): AsyncGenerator<Measured> {
  let page: Walked[] = [];
  const measure = (): Promise<Measured[]> => Promise.all(page.map((walked) => measured(folder, walked)));
  for await (const walked of walk(folder, onUnreadable)) {
    page.push(walked);
    if (page.length < PAGE) continue;
    yield* await measure();
    page = [];
  }
  yield* await measure();
}

async function measured(folder: string, walked: Walked): Promise<Measured> {
  if (walked.kind !== 'file') return { ...walked, size: 0 };
  const stat = await lstat(encodePath(below(folder, walked.path))).catch((thrown) => {
    // Whoever opens it finds that it is gone.
    if (errnoOf(thrown) !== 'ENOENT') throw thrown;
  });
  return { ...walked, size: stat?.size ?? 0 };
}

function kindOf(entry: Dirent): Walked['kind'] {
  if (entry.isFile()) return 'file';
  return entry.isSymbolicLink() ? 'link' : 'other';
}

function below(folder: string, path: string): string {
  if (path === '' || folder === '') return folder + path;
  return folder.endsWith('/') ? folder + path : `${folder}/${path}`;
}
