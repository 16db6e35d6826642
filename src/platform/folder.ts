/**
 * Folders held by descriptors: what is done inside one happens there and nowhere else, whatever its path leads to
 * meanwhile. A link on the way to a folder is never followed. Linux only; elsewhere the path is checked and then used,
 * which somebody quick enough can slip between. Failures are errno Errors.
 */
import { closeSync, constants, existsSync, fstatSync, mkdirSync, openSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { errnoOf } from '../core/errors.js';
import { decodePath, encodePath, type PathBytes } from './path-bytes.js';

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants;
const BY_DESCRIPTOR = process.platform === 'linux' && existsSync('/proc/self/fd');

export interface HeldFolder {
  readonly fd: number;
  readonly path: string;
}

/** Absolute, and without links. Node's own form of this call, not the native one, loses bytes that are not UTF-8. */
export function realPath(path: string): string {
  return decodePath(realpathSync.native(encodePath(path), 'buffer'));
}

/** The folder behind a path, links on the way followed: for what a user typed. */
export function openFolder(path: string): number {
  return openSync(encodePath(path), O_RDONLY | O_DIRECTORY);
}

/** What to call a name inside the folder. */
export function inFolder(folder: HeldFolder, name: string): PathBytes {
  if (BY_DESCRIPTOR)
    return encodePath(name === '' ? `/proc/self/fd/${folder.fd}` : `/proc/self/fd/${folder.fd}/${name}`);
  return encodePath(join(folder.path, name));
}

/** How folders are made that are missing. */
export interface Make {
  /** The mode of a new folder, by its path below the root; asked when it is about to be made. */
  mode(folder: string): number;
  made(): void;
}

/** One step on the way down. */
export interface Step extends HeldFolder {
  readonly name: string;
  readonly mode: number;
  readonly device: bigint;
  readonly created: boolean;
}

/**
 * The way from a root down to a folder, one descriptor a step. Going to the next folder reuses the steps that both have
 * in common; the others stay open until `release`, since work in them may not be over.
 */
export class FolderPath {
  readonly #root: Step;
  readonly #steps: Step[] = [];
  readonly #passed: Step[] = [];

  constructor(root: HeldFolder) {
    const stat = fstatSync(root.fd, { bigint: true });
    this.#root = { ...root, name: '', mode: Number(stat.mode & 0o7777n), device: stat.dev, created: false };
  }

  get root(): Step {
    return this.#root;
  }

  /** All that were opened since the last `release`, and those on the way to the last one. */
  get held(): Step[] {
    return [this.#root, ...this.#steps, ...this.#passed];
  }

  /** Descriptors that `release(false)` would give back. */
  get passed(): number {
    return this.#passed.length;
  }

  /**
   * Opens a folder below the root; with `make`, missing ones are made. @throws errno Errors: ELOOP or ENOTDIR where a
   * link or a file stands in the way
   */
  open(folder: string, make?: Make): Step {
    const names = folder === '' ? [] : folder.split('/');
    let depth = 0;
    while (depth < names.length && this.#steps[depth]?.name === names[depth]) depth++;
    this.#passed.push(...this.#steps.splice(depth));
    for (; depth < names.length; depth++) {
      const mode = make && (() => make.mode(names.slice(0, depth + 1).join('/')));
      const next = step(this.#steps.at(-1) ?? this.#root, names[depth] as string, mode);
      this.#steps.push(next);
      if (next.created) make?.made();
    }
    return this.#steps.at(-1) ?? this.#root;
  }

  /** The mode of the folder at this depth on the way to the last one that was opened; 0 is the root. */
  modeAt(depth: number): number {
    return (depth === 0 ? this.#root : this.#steps[depth - 1])?.mode ?? 0o777;
  }

  /** Closes what is not on the way to the last folder, or all of it. */
  release(all: boolean): void {
    if (all) this.#passed.push(...this.#steps.splice(0));
    for (const { fd } of this.#passed.splice(0)) closeSync(fd);
  }
}

function step(parent: HeldFolder, name: string, makeMode: (() => number) | undefined): Step {
  const path = inFolder(parent, name);
  const flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
  let created = false;
  let fd: number;
  try {
    fd = openSync(path, flags);
  } catch (thrown) {
    if (makeMode === undefined || errnoOf(thrown) !== 'ENOENT') throw thrown;
    created = makeFolder(path, makeMode());
    fd = openSync(path, flags);
  }
  const stat = fstatSync(fd, { bigint: true });
  // Nothing is to be resolved here, and of a deep tree to do so for each step takes minutes.
  const shown = parent.path === '/' ? `/${name}` : `${parent.path}/${name}`;
  return { fd, name, path: shown, mode: Number(stat.mode & 0o7777n), device: stat.dev, created };
}

/** False: another thread was quicker. */
function makeFolder(path: PathBytes, mode: number): boolean {
  try {
    mkdirSync(path, { mode });
    return true;
  } catch (thrown) {
    if (errnoOf(thrown) === 'EEXIST') return false;
    throw thrown;
  }
}
