/**
 * Small files that are written and wait for their names: durable first, on record second, named last. After a flush
 * that failed none of them gets its name, for a second flush would "succeed" (crash contract, rule 3).
 */
import { type BigIntStats, constants } from 'node:fs';
import { type Hasher, toHex } from '../../core/digest.js';
import { TransferError } from '../../core/errors.js';
import { type FilesHost, type FilesRequest, type FinishedFile, joinPath } from '../../core/tree.js';
import { DirectReader } from '../../platform/direct-io.js';
import type { FileLayer } from '../../platform/file-layer.js';
import { inFolder, type Step } from '../../platform/folder.js';
import { nativeAvailable } from '../../platform/libc.js';
import { localError } from './errors.js';
import { targetExists, vanished } from './part.js';

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK } = constants;
/** What one flush and one record may hold back. */
const BYTES_MAX = 64 * 1024 * 1024;
const BLOCK_BYTES = 256 * 1024;

export interface PendingFile {
  readonly finished: FinishedFile;
  readonly folder: Step;
  readonly name: string;
  readonly part: string;
  /** What the partial file was when it was whole: only that gets the name. */
  readonly written: BigIntStats;
  /** Something stood under the name when it was looked at. */
  readonly replaces: boolean;
}

export class PendingFiles {
  readonly #files: FileLayer;
  readonly #request: FilesRequest;
  readonly #host: FilesHost;
  /** One descriptor a file system, opened before its first write: it learns of every failure since (syncfs(2)). */
  readonly #flushers = new Map<bigint, number>();
  #flushesEach = !nativeAvailable();
  #pastCache = true;
  #pending: PendingFile[] = [];
  #bytes = 0;

  constructor(files: FileLayer, request: FilesRequest, host: FilesHost) {
    this.#files = files;
    this.#request = request;
    this.#host = host;
  }

  get isFull(): boolean {
    return this.#bytes >= BYTES_MAX;
  }

  /** To be called before anything is written in the folder. */
  prepareFlush(folder: Step): void {
    const { sync, readBack } = this.#request;
    if (!(sync || readBack) || this.#flushers.has(folder.device)) return;
    this.#flushers.set(folder.device, this.#files.openSync(inFolder(folder, ''), O_RDONLY | O_DIRECTORY));
  }

  /** Whether all that was read back came from the storage itself; where that cannot be, nothing was read back. */
  get pastCache(): boolean {
    return this.#pastCache;
  }

  add(file: PendingFile): void {
    this.#pending.push(file);
    this.#bytes += file.finished.size;
  }

  /** Each file, and why it did not get its name. @throws TransferError E_FLUSH, E_NO_SPACE, E_JOURNAL_WRITE */
  settle(): (readonly [file: PendingFile, refusal: TransferError | undefined])[] {
    const settled = this.#pending;
    this.#pending = [];
    this.#bytes = 0;
    if (settled.length === 0) return [];
    const { sync, readBack } = this.#request;
    if (sync || readBack) this.#flush(settled);
    const refused = new Map<PendingFile, TransferError>();
    const read = new Set(readBack ? settled.filter((file) => this.#readBack(file, refused)) : []);
    const proven = settled.filter((file) => !refused.has(file));
    this.#host.record(
      proven.map((file) => (read.has(file) ? { ...file.finished, proof: 'read-back' } : file.finished)),
    );
    for (const file of proven) {
      const refusal = this.#publish(file);
      if (refusal) refused.set(file, refusal);
    }
    const nameless = proven.filter((file) => refused.has(file));
    if (nameless.length > 0) this.#host.unrecord(nameless.map(({ finished }) => finished));
    return settled.map((file) => [file, refused.get(file)]);
  }

  /** Without syncfs names are flushed with their folders. @throws TransferError E_FLUSH */
  syncNames(folders: readonly Step[]): void {
    try {
      if (this.#flushesEach) for (const folder of folders) this.#files.syncFolder(inFolder(folder, ''));
    } catch (thrown) {
      throw localError('flush-target', this.#request.target.path, thrown);
    }
  }

  close(): void {
    for (const fd of this.#flushers.values()) this.#files.closeSync(fd);
  }

  #flush(settled: readonly PendingFile[]): void {
    try {
      for (const fd of this.#flushers.values()) {
        if (this.#files.syncFileSystem(fd)) continue;
        this.#flushesEach = true;
        // Without the call at all each was flushed as it was written.
        if (nativeAvailable()) this.#flushEach(settled);
      }
    } catch (thrown) {
      throw localError('flush-target', this.#request.target.path, thrown);
    }
  }

  #flushEach(settled: readonly PendingFile[]): void {
    for (const { folder, part } of settled) {
      // Of one that is gone only the next run can make a copy.
      if (!this.#files.lstat(inFolder(folder, part))) continue;
      const fd = this.#files.openSync(inFolder(folder, part), O_RDONLY);
      try {
        this.#files.fsyncSync(fd);
      } finally {
        this.#files.closeSync(fd);
      }
    }
  }

  /** Whether it was read. What reads back otherwise than written is thrown away; the next run copies it again. */
  #readBack(file: PendingFile, refused: Map<PendingFile, TransferError>): boolean {
    const { finished, folder, part, written } = file;
    // Of an empty file there is nothing that could read back wrong.
    if (finished.size === 0) return true;
    const refuse = (why: TransferError): boolean => {
      refused.set(file, why);
      return false;
    };
    const path = inFolder(folder, part);
    const shown = joinPath(this.#request.target.path, finished.path);
    if (!this.#isOurs(file)) return refuse(vanished(shown));
    const fd = this.#files.openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    let direct: DirectReader | undefined;
    try {
      // What was swapped in between the look and the opening is none of ours either.
      if (!sameFile(this.#files.fstat(fd), written)) return refuse(vanished(shown));
      direct = DirectReader.open(inFolder({ fd, path: String(path) }, ''), BLOCK_BYTES);
      this.#pastCache &&= direct !== undefined;
      const digest = direct ? digestOf(this.#host.newHasher(), reading(direct)) : undefined;
      if (digest === undefined || digest === finished.digests) return direct !== undefined;
      const hint = 'It was left out. Do not trust this storage or the way to it; the same command tries again.';
      this.#files.unlinkSync(path);
      return refuse(new TransferError('E_INTEGRITY', `${shown} reads back wrong`, { hint }));
    } finally {
      direct?.close();
      this.#files.closeSync(fd);
    }
  }

  /** Whether the partial file's name still stands for what was written: anything else is neither named nor removed. */
  #isOurs({ folder, part, written }: PendingFile): boolean {
    const there = this.#files.lstat(inFolder(folder, part));
    return there !== undefined && sameFile(there, written);
  }

  /** What came to be under the name meanwhile is never replaced: two names of the source may be one there. */
  #publish(file: PendingFile): TransferError | undefined {
    const { finished, folder, name, part, replaces } = file;
    const [from, to] = [inFolder(folder, part), inFolder(folder, name)];
    const shown = joinPath(this.#request.target.path, finished.path);
    if (!this.#isOurs(file)) return vanished(shown);
    try {
      if (replaces) this.#files.renameSync(from, to);
      else if (this.#files.publishNew(from, to) === 'exists') throw targetExists(shown);
      return undefined;
    } catch (thrown) {
      if (!this.#isOurs(file)) return vanished(shown);
      this.#files.unlinkSync(from);
      return localError('commit-target', shown, thrown);
    }
  }
}

function sameFile(a: BigIntStats, b: BigIntStats): boolean {
  return a.dev === b.dev && a.ino === b.ino && a.size === b.size && a.mtimeNs === b.mtimeNs;
}

function reading(direct: DirectReader): (at: number) => Uint8Array {
  return (at) => direct.read(at, BLOCK_BYTES);
}

/** Reads to the end, in the buffer of the reader. */
function digestOf(hasher: Hasher, read: (at: number) => Uint8Array): string {
  for (let at = 0, block = read(at); block.length > 0; block = read(at)) {
    hasher.update(block);
    at += block.length;
  }
  return toHex(hasher.digest());
}
