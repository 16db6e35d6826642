/**
 * The files of machines as another host names them, `/ROOT/path`, and as they are called here. A hypervisor opens
 * paths, so that, other than for copies, no descriptor holds the way: no name on it may be a link.
 */
import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { errnoOf, TransferError } from '../core/errors.js';
import type { Place } from '../core/peer-wire.js';
import type { VmDescription } from '../migrate/vm.js';
import { mapPaths } from '../migrate/vm-paths.js';
import { FolderPath } from '../platform/folder.js';
import { ROOT_HINT, type Root, readPlace } from './roots.js';

const FOLDER_MODE = 0o700;

export class MachinePaths {
  readonly #roots: readonly Root[];

  /** @param roots that the caller may write to */
  constructor(roots: readonly Root[]) {
    this.#roots = roots;
  }

  /** @throws TransferError E_AUTH for a root that is not offered, E_USAGE for a path that leaves it, or is no file */
  file(path: string): string {
    const { root, names } = this.#read(path);
    if (names.length === 0) throw refused(path, 'is a root, and no file');
    const local = join(root.path, ...names);
    for (let depth = 1; depth <= names.length; depth++) {
      const stat = lstatSync(join(root.path, ...names.slice(0, depth)), { throwIfNoEntry: false });
      if (stat === undefined) return local;
      const fits = depth < names.length ? stat.isDirectory() : stat.isFile();
      if (!fits) throw refused(path, depth < names.length ? 'leads through what is no folder' : 'is no regular file');
    }
    return local;
  }

  /** The folder itself, or the next one above it that there is. */
  folderAbove(path: string): string {
    const { root, names } = this.#read(path);
    let found = root.path;
    for (const name of names) {
      const stat = lstatSync(join(found, name), { throwIfNoEntry: false });
      if (stat === undefined) return found;
      if (!stat.isDirectory()) throw refused(path, 'leads through what is no folder');
      found = join(found, name);
    }
    return found;
  }

  /** With all above it, below the root. */
  makeFolder(path: string): void {
    const { root, names } = this.#read(path);
    const way = new FolderPath(root);
    try {
      way.open(names.join('/'), { mode: () => FOLDER_MODE, made: () => undefined });
    } catch (cause) {
      throw new TransferError('E_TARGET_FOLDER', `${path} cannot be made there (${errnoOf(cause)})`, {
        hint: 'Make it at that host. Links are not followed.',
        cause,
      });
    } finally {
      way.release(true);
    }
  }

  /** @throws TransferError as {@link MachinePaths.file} */
  inside(vm: VmDescription): VmDescription {
    return mapPaths(vm, (path) => this.file(path));
  }

  /** Undefined for a machine that has a file elsewhere. */
  outside(vm: VmDescription): VmDescription | undefined {
    let strange = false;
    const named = mapPaths(vm, (path) => {
      const root = this.#roots.find((one) => path.startsWith(`${one.path}/`));
      if (!root) strange = true;
      return root ? `/${root.name}${path.slice(root.path.length)}` : path;
    });
    return strange ? undefined : named;
  }

  /** What is told of files is told by the names that the other host knows. */
  told(thrown: unknown): TransferError {
    const { code, message, detail } = TransferError.from(thrown);
    const hint = detail.hint && this.toldText(detail.hint);
    return new TransferError(code, this.toldText(message), { ...detail, ...(hint && { hint }) });
  }

  toldText(text: string): string {
    return this.#roots.reduce((said, { path, name }) => said.replaceAll(`${path}/`, `/${name}/`), text);
  }

  #read(path: string): { readonly root: Root; readonly names: readonly string[] } {
    const [, root = '', below = ''] = /^\/([^/]+)\/?(.*)$/s.exec(path) ?? [];
    const place: Place = { root, path: below };
    if (this.#roots.some(({ name }) => name === root)) return readPlace(this.#roots, place);
    throw new TransferError('E_AUTH', `there is no root ${root} here, or this token may not write to it`, ROOT_HINT);
  }
}

function refused(path: string, why: string): TransferError {
  return new TransferError('E_USAGE', `${path} ${why}`, {
    hint: 'Name a path below a root of that host, as in peer://host/ROOT/web. Nothing was changed.',
  });
}
