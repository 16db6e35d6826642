/**
 * Local folders as the ends of a tree copy. Below the roots that a user named no link is ever followed, on the side
 * that is read and on the side that is written.
 */
import { createHash } from 'node:crypto';
import {
  type BigIntStats,
  closeSync,
  type Dirent,
  fchmodSync,
  mkdirSync,
  opendirSync,
  readdirSync,
  statSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type { Location } from '../../core/endpoint.js';
import { errnoOf, TransferError } from '../../core/errors.js';
import {
  type FileGroup,
  type FilesHost,
  type FilesOutcome,
  type FilesRequest,
  joinPath,
  type Listing,
  type SourceTree,
  specialFile,
  type TargetTree,
  type TreeEnd,
  type TreeRef,
} from '../../core/tree.js';
import { applyAttributes, readAttributes } from '../../platform/attributes.js';
import type { FileLayer } from '../../platform/file-layer.js';
import { mountsBelow } from '../../platform/file-system.js';
import { FolderPath, type HeldFolder, inFolder, openFolder, realPath } from '../../platform/folder.js';
import { whyNotOurs } from '../../platform/own-file.js';
import { decodePath, encodePath, showPath } from '../../platform/path-bytes.js';
import { isTreePart } from '../part-names.js';
import { makeStateFolder, stateFolder } from '../state-folder.js';
import { localError } from './errors.js';
import { copyFiles } from './files.js';
import { within } from './tree-paths.js';

const LIST_ENTRIES = 1024;

export class LocalTrees implements TreeEnd {
  readonly #files: FileLayer;

  constructor(files: FileLayer) {
    this.#files = files;
  }

  openSourceTree({ text, name }: Location, recursive: boolean): SourceTree {
    try {
      const real = realPath(text);
      const stat = statSync(encodePath(real), { bigint: true });
      if (!stat.isDirectory()) return sourceFile(text, real, stat);
      if (!recursive) throw folderWithoutRecursive(name);
      const typed = basename(text);
      const contents = text.endsWith('/') || typed === '.' || typed === '..';
      return { ref: treeRef(real, name), targetName: contents ? '' : typed };
    } catch (thrown) {
      throw localError('open-source', text, thrown);
    }
  }

  openTargetTree({ text, name }: Location, dryRun: boolean): TargetTree {
    try {
      const there = this.#files.stat(encodePath(text));
      if (there && !there.isDirectory()) throw targetIsFile(name);
      const above = there ? '' : realPath(dirname(resolve(text)));
      const real = there ? realPath(text) : join(above, basename(resolve(text)));
      if (!there && dryRun) return missingTarget(real, name);
      // Before the folder is made: where no journal can be kept, nothing is changed.
      const journalPath = treeJournalPath(real, dryRun);
      if (!there) mkdirSync(encodePath(real));
      const ref = treeRef(real, name);
      return { ref, journalPath, created: !there };
    } catch (thrown) {
      throw localError('locate-target', text, thrown);
    }
  }

  list(ref: TreeRef, folder: string): Listing {
    return this.#inFolder('open-source', ref, folder, (held) => {
      const names = { files: new Names(), links: new Names(), folders: new Names(), specials: new Names() };
      const open = opendirSync(inFolder(held, ''), { encoding: 'buffer' as BufferEncoding, bufferSize: LIST_ENTRIES });
      try {
        for (let entry = open.readSync(); entry; entry = open.readSync()) {
          // With this encoding names are buffers, which the types do not tell.
          const bytes = entry.name as unknown as Buffer;
          names[this.#kindOf(entry, held, bytes)].add(bytes);
        }
      } finally {
        open.closeSync();
      }
      const { files, links, folders, specials } = names;
      return { files: files.taken, links: links.taken, folders: folders.taken, specials: specials.taken };
    });
  }

  copyFiles(request: FilesRequest, host: FilesHost): Promise<FilesOutcome> {
    return copyFiles(this.#files, request, host);
  }

  finishFolders(target: TreeRef, groups: readonly FileGroup[]): string[] {
    const notes: string[] = [];
    for (const { source, sourceFolder, targetFolder } of groups) {
      try {
        const attributes = this.#inFolder('open-source', source, sourceFolder, ({ fd }) => readAttributes(fd));
        const notKept = this.#inFolder('open-target', target, targetFolder, ({ fd }) =>
          applyAttributes(fd, attributes),
        );
        notes.push(...notKept.map((sentence) => `${showPath(joinPath(target.path, targetFolder))}: ${sentence}`));
      } catch (thrown) {
        // Nothing in it was meant, so it was not made.
        if (!isGone(thrown)) notes.push(TransferError.from(thrown).message);
      }
    }
    return notes;
  }

  /** The deepest first, since a folder that is restricted may bar the way to those in it. */
  restrictFolders(target: TreeRef, folders: FilesOutcome['restrict']): string[] {
    const notes: string[] = [];
    for (const { folder, mode } of folders.toSorted((a, b) => (a.folder < b.folder ? 1 : -1))) {
      try {
        this.#inFolder('open-target', target, folder, ({ fd }) => fchmodSync(fd, mode));
      } catch (thrown) {
        // Told before it was made, and perhaps it never was.
        if (!isGone(thrown)) notes.push(`its mode could not be kept: ${TransferError.from(thrown).message}`);
      }
    }
    return notes;
  }

  /** A folder that is gone or barred by now holds nothing that this run could remove. */
  sweep(target: TreeRef, folders: readonly string[], tag: string): void {
    for (const folder of folders) {
      try {
        this.#inFolder('open-target', target, folder, (held) => this.#sweepFolder(held, tag));
      } catch (thrown) {
        const gone = thrown instanceof TransferError && ['E_TARGET_FOLDER', 'E_TARGET_KIND'].includes(thrown.code);
        if (!gone) throw thrown;
      }
    }
  }

  locate(ref: TreeRef, folder: string, name: string): { location: Location; fd: number } {
    const path = new FolderPath(ref);
    try {
      const { fd } = within('open-target', ref, folder, () => path.open(folder));
      const held = {
        fd: this.#files.openSync(inFolder({ fd, path: ref.path }, ''), 'r'),
        path: join(ref.path, folder),
      };
      const text = decodePath(Buffer.from(inFolder(held, name)));
      const shown = showPath(join(held.path, name));
      return { location: { scheme: 'file', text, name: shown, shown, links: 'refuse' }, fd: held.fd };
    } finally {
      path.release(true);
    }
  }

  flush(ref: TreeRef, folders: readonly string[]): boolean {
    const flushed = ['', ...folders].filter((folder) =>
      this.#inFolder('open-target', ref, folder, (held) => this.#flushFolder(held)),
    );
    const isFlushed = (mount: string) => flushed.some((folder) => isBelow(join(ref.path, folder), mount));
    return flushed.length > folders.length && mountsBelow(ref.path).every(isFlushed);
  }

  /** False: of its file system only this folder's names. */
  #flushFolder(held: HeldFolder): boolean {
    try {
      const whole = this.#files.syncFileSystem(held.fd);
      if (!whole) this.#files.syncFolder(inFolder(held, ''));
      return whole;
    } catch (thrown) {
      throw localError('flush-target', held.path, thrown);
    }
  }

  close(fd: number): void {
    if (fd >= 0) closeSync(fd);
  }

  #kindOf(entry: Dirent, folder: HeldFolder, name: Buffer): keyof Listing {
    if (entry.isFile()) return 'files';
    if (entry.isDirectory()) return 'folders';
    if (entry.isSymbolicLink()) return 'links';
    if (entry.isFIFO() || entry.isSocket() || entry.isBlockDevice() || entry.isCharacterDevice()) return 'specials';
    // The file system does not say in its listing.
    const stat = this.#files.lstat(inFolder(folder, decodePath(name)));
    return stat?.isDirectory() ? 'folders' : stat?.isSymbolicLink() ? 'links' : stat?.isFile() ? 'files' : 'specials';
  }

  #sweepFolder(folder: HeldFolder, tag: string): void {
    for (const bytes of readdirSync(inFolder(folder, ''), { encoding: 'buffer' })) {
      const name = decodePath(bytes);
      if (!isTreePart(name, tag)) continue;
      const stat = this.#files.lstat(inFolder(folder, name));
      const ours =
        stat?.isSymbolicLink() || (stat && whyNotOurs(this.#files, String(inFolder(folder, '')), stat) === undefined);
      if (ours) this.#files.unlinkSync(inFolder(folder, name));
    }
  }

  #inFolder<T>(doing: 'open-source' | 'open-target', ref: TreeRef, folder: string, work: (held: HeldFolder) => T): T {
    const path = new FolderPath(ref);
    try {
      return within(doing, ref, folder, () => work(path.open(folder)));
    } finally {
      path.release(true);
    }
  }
}

function isBelow(path: string, folder: string): boolean {
  return path === folder || path.startsWith(`${folder}/`);
}

function isGone(thrown: unknown): boolean {
  return errnoOf(TransferError.from(thrown).cause) === 'ENOENT';
}

/** Names one behind the other, in one buffer that grows. */
class Names {
  #bytes = Buffer.alloc(0);
  #used = 0;

  add(name: Uint8Array): void {
    const end = this.#used + name.length + 1;
    if (end > this.#bytes.length) this.#bytes = Buffer.concat([this.#bytes], Math.max(4096, end * 2));
    this.#bytes.set(name, this.#used);
    this.#bytes[end - 1] = 0;
    this.#used = end;
  }

  get taken(): Uint8Array {
    return Uint8Array.from(this.#bytes.subarray(0, this.#used));
  }
}

function treeRef(path: string, name: string): TreeRef {
  return { scheme: 'file', fd: openFolder(path), name, path };
}

/** A link that a user names is followed; only below a root links are links. */
function sourceFile(text: string, real: string, stat: BigIntStats): SourceTree {
  if (!stat.isFile()) throw specialFile(showPath(text));
  const folder = dirname(real);
  return { ref: treeRef(folder, showPath(folder)), targetName: basename(text), fileName: basename(real) };
}

function missingTarget(path: string, name: string): TargetTree {
  const ref = { scheme: 'file', fd: -1, name, path };
  return { ref, journalPath: '', created: true };
}

/** All names of a folder find the same journal, which outlives the copy, so that a later run knows what is finished. */
function treeJournalPath(real: string, dryRun: boolean): string {
  const folder = join(stateFolder(), 'trees');
  try {
    if (!dryRun) makeStateFolder('trees');
  } catch (thrown) {
    throw new TransferError(
      'E_JOURNAL_WRITE',
      `cannot make the folder ${showPath(folder)} for journals (${errnoOf(thrown)})`,
      {
        hint: 'Name another folder by BLOCKFERRY_STATE. Nothing was changed.',
        cause: thrown,
      },
    );
  }
  const hash = createHash('sha256').update(encodePath(real)).digest('hex').slice(0, 32);
  return join(folder, `${hash}.blockferry-journal`);
}

function folderWithoutRecursive(name: string): TransferError {
  return new TransferError('E_SOURCE_KIND', `${name} is a folder; a file was expected`, {
    hint: 'Say --recursive (-r) to copy it with all that is in it.',
  });
}

function targetIsFile(name: string): TransferError {
  return new TransferError('E_TARGET_KIND', `${name} is not a folder; several sources, or a folder, need one`, {
    hint: 'Name a folder as the last argument. Nothing was changed.',
  });
}
