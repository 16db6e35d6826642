/**
 * The bytes of one small file, from an open source to a hidden partial file: read, hashed, written, and looked at again
 * for a change meanwhile. Holes of the source stay holes, by blocks.
 */
import { type BigIntStats, constants } from 'node:fs';
import { basename } from 'node:path';
import { sameBytes, toHex } from '../../core/digest.js';
import { errnoOf, TransferError } from '../../core/errors.js';
import { type FilesHost, type FilesRequest, specialFile } from '../../core/tree.js';
import { applyAttributes, readAttributes } from '../../platform/attributes.js';
import { DirectReader } from '../../platform/direct-io.js';
import { type FileLayer, readFully, writeFully } from '../../platform/file-layer.js';
import { nativeAvailable } from '../../platform/libc.js';
import { whyNotOurs } from '../../platform/own-file.js';
import { decodePath, type PathBytes, showPath } from '../../platform/path-bytes.js';
import { localError } from './errors.js';

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR } = constants;
const MODE_BITS = 0o777n;
const PROBE_BYTES = 1024 * 1024;
const CLONE_BYTES_MIN = 64 * 1024;

export interface SmallFile {
  /** The source, as people are told. */
  readonly shown: string;
  /** The target, as people are told. */
  readonly shownTarget: string;
  /** As the kernel is told. */
  readonly part: PathBytes;
  /** The folder that the partial file is in. */
  readonly folder: string;
  /** What the target's name stands for now, when it is to be replaced. */
  readonly replaces?: BigIntStats | undefined;
  readonly preserve: boolean;
}

export interface OpenedSmallFile {
  readonly fd: number;
  readonly stat: BigIntStats;
}

export interface WrittenFile {
  readonly source: BigIntStats;
  readonly target: BigIntStats;
  /** In hex; an empty file has no chunks and none. */
  readonly digests: string;
  readonly notKept: readonly string[];
}

/** @throws TransferError E_SOURCE_MISSING, E_SOURCE_ACCESS, E_SOURCE_KIND */
export function openSmallFile(files: FileLayer, from: PathBytes, shown: string): OpenedSmallFile {
  let fd: number | undefined;
  try {
    fd = files.openSync(from, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    const stat = files.fstat(fd);
    if (stat.isDirectory()) throw otherKind(shown, 'a folder');
    if (!stat.isFile()) throw specialFile(showPath(shown));
    return { fd, stat };
  } catch (thrown) {
    if (fd !== undefined) files.closeSync(fd);
    if (errnoOf(thrown) === 'ELOOP') throw otherKind(shown, 'a link');
    throw errnoOf(thrown) === 'ENXIO' ? specialFile(showPath(shown)) : localError('open-source', shown, thrown);
  }
}

function otherKind(shown: string, now: string): TransferError {
  return new TransferError('E_SOURCE_CHANGED', `${showPath(shown)} was a file and is ${now} now`, {
    hint: 'It was left out; the same command copies what it is now.',
  });
}

/** Writes small files; whether the file system can share blocks is asked until it refuses. */
export class SmallFileWriter {
  readonly #files: FileLayer;
  readonly #host: FilesHost;
  /** Without syncfs: only the descriptor that wrote a file learns for sure that its writing failed. */
  readonly #flushesEach: boolean;
  #reflink: FilesRequest['reflink'];
  /** Shared with the source instead of written. */
  bytesCloned = 0;
  /** Sources that this batch has written already. */
  readonly #written = new Set<string>();

  constructor(files: FileLayer, host: FilesHost, { reflink, sync, readBack }: FilesRequest) {
    this.#files = files;
    this.#host = host;
    this.#reflink = reflink;
    this.#flushesEach = (sync || readBack) && !nativeAvailable();
  }

  /** Writes the partial file; after a failure there is none. @throws TransferError */
  async write(file: SmallFile, source: OpenedSmallFile): Promise<WrittenFile> {
    const { stat } = source;
    const ownAccess = file.preserve || file.replaces !== undefined;
    const mode = ownAccess ? 0o600 : Number(stat.mode & MODE_BITS);
    const out = openPart(this.#files, file, mode, this.#written.has(file.shown));
    try {
      const cloned = this.#clone(file, source, out);
      const digest = await copyBytes(this.#files, file, source, { fd: out, cloned }, this.#host);
      const notKept = giveAccess(this.#files, file, source.fd, out);
      if (this.#flushesEach) flushFile(this.#files, out, file.shownTarget);
      const target = this.#files.fstat(out);
      this.#written.add(file.shown);
      return { source: stat, target, digests: stat.size === 0n ? '' : digest, notKept };
    } catch (thrown) {
      this.#files.unlinkSync(file.part);
      throw localError('write-target', file.shownTarget, thrown);
    } finally {
      this.#files.closeSync(out);
    }
  }

  /** Asking takes as long as writing a few pages, so it is done where it is worth it or wanted at any price. */
  #clone({ shown }: SmallFile, { fd, stat }: OpenedSmallFile, out: number): boolean {
    const length = Number(stat.size);
    const worth = this.#reflink === 'always' ? length > 0 : length >= CLONE_BYTES_MIN;
    if (this.#reflink === 'never' || !worth) return false;
    const refused = this.#files.cloneRange(fd, out, { offset: 0, length });
    if (refused === undefined) this.bytesCloned += length;
    else if (this.#reflink === 'always') throw cannotClone(shown, refused);
    else this.#reflink = 'never';
    return refused === undefined;
  }
}

function flushFile(files: FileLayer, fd: number, shownTarget: string): void {
  try {
    files.fsyncSync(fd);
  } catch (thrown) {
    throw localError('flush-target', shownTarget, thrown);
  }
}

function cannotClone(shown: string, why: string): TransferError {
  return new TransferError('E_USAGE', `--reflink always: the blocks of ${showPath(shown)} cannot be shared: ${why}`, {
    hint: 'It was left out. With --reflink auto such a file is copied instead.',
  });
}

/**
 * One that is there was left by an earlier run of this very tree: its name is nobody else's, and its lock is ours. Of
 * this run it is where one name is met twice, as in a folder that changes while it is listed.
 */
function openPart(files: FileLayer, file: SmallFile, mode: number, writtenBefore: boolean): number {
  const { part, folder, shownTarget } = file;
  const open = (): number => files.openSync(part, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
  try {
    return open();
  } catch (thrown) {
    const left = errnoOf(thrown) === 'EEXIST' ? files.lstat(part) : undefined;
    if (!left) throw localError('open-target', shownTarget, thrown);
    const wrong = writtenBefore ? 'is of this very run' : whyNotOurs(files, folder, left);
    if (wrong !== undefined) {
      const message = `${showPath(shownTarget)}: what stands where its partial copy belongs ${wrong}`;
      const hint = `See who put ${showPath(basename(decodePath(Buffer.from(part))))} there, then remove it.`;
      throw new TransferError('E_PART_UNSAFE', message, { hint });
    }
    files.unlinkSync(part);
    return open();
  }
}

async function copyBytes(
  files: FileLayer,
  { shown }: SmallFile,
  { fd, stat }: OpenedSmallFile,
  out: { readonly fd: number; readonly cloned: boolean },
  host: FilesHost,
): Promise<string> {
  const size = Number(stat.size);
  const sparse = stat.blocks * 512n < stat.size;
  const hasher = host.newHasher();
  let done = 0;
  try {
    while (done < size) {
      const room = host.block(size - done);
      const block = room instanceof Uint8Array ? room : await room;
      // Of a clone it is the target that has to be proven.
      const from = out.cloned ? out.fd : fd;
      if (readSource(files, from, block, done, shown) < block.length) throw changed(shown);
      hasher.update(block);
      const writes = !out.cloned && (!sparse || block.some((byte) => byte !== 0));
      if (writes) writeFully(files, out.fd, block, done);
      done += block.length;
      host.counted(block.length);
    }
    if (sparse) files.ftruncateSync(out.fd, size);
    if (!sameContent(files.fstat(fd), stat)) throw changed(shown);
    return toHex(hasher.digest());
  } catch (thrown) {
    host.counted(-done);
    throw thrown;
  }
}

function readSource(files: FileLayer, fd: number, block: Uint8Array, at: number, shown: string): number {
  try {
    return readFully(files, fd, block, at);
  } catch (thrown) {
    throw localError('read-source', shown, thrown, { offset: at });
  }
}

function sameContent(a: BigIntStats, b: BigIntStats): boolean {
  return a.size === b.size && a.mtimeNs === b.mtimeNs;
}

function changed(shown: string): TransferError {
  return new TransferError('E_SOURCE_CHANGED', `${showPath(shown)} was changed while it was copied`, {
    hint: 'It was left out; run the same command again once nothing writes to it.',
  });
}

/** As for a single file: the source's attributes when they are asked for, else those of what is replaced. */
function giveAccess(files: FileLayer, { preserve, replaces }: SmallFile, from: number, out: number): string[] {
  if (preserve) return applyAttributes(out, readAttributes(from));
  if (replaces?.isFile()) {
    const { uid, gid } = files.fstat(out);
    if (uid !== replaces.uid || gid !== replaces.gid) {
      files.fchownSync(out, Number(replaces.uid), Number(replaces.gid));
    }
    files.fchmodSync(out, Number(replaces.mode & MODE_BITS));
  } else if (replaces) {
    files.fchmodSync(out, Number(files.fstat(from).mode & MODE_BITS) & ~process.umask());
  }
  return [];
}

/**
 * Reads some of a file past the cache, for a dry run that says how long the copy will take; `path` leads to what is
 * open already. @throws errno Errors
 */
export function probeReading(path: PathBytes, size: number, host: FilesHost): void {
  const reader = size < PROBE_BYTES || !host.probed(0, 0n) ? undefined : DirectReader.open(path);
  try {
    for (let at = 0, more = reader !== undefined; reader && more && at < size; ) {
      const before = host.nowNs();
      const { length } = reader.read(at, PROBE_BYTES);
      at += length;
      more = host.probed(length, host.nowNs() - before) && length > 0;
    }
  } finally {
    reader?.close();
  }
}

/** A file, as the kernel is told where it lies, and as people are. */
interface NamedFile {
  readonly path: PathBytes;
  readonly shown: string;
}

/** Whether source and target hold the same bytes, whatever their size. */
export async function sameFiles(
  files: FileLayer,
  source: NamedFile,
  target: NamedFile,
  host: FilesHost,
): Promise<boolean> {
  const a = openSmallFile(files, source.path, source.shown).fd;
  let b: number | undefined;
  try {
    b = files.openSync(target.path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    const [size, there] = [Number(files.fstat(a).size), files.fstat(b)];
    if (!there.isFile() || Number(there.size) !== size) return false;
    for (let done = 0; done < size; ) {
      const block = await host.block(size - done);
      const copy = new Uint8Array(block.length);
      const got = readSource(files, a, block, done, source.shown);
      if (readFully(files, b, copy, done) !== got || got < block.length || !sameBytes(block, copy)) return false;
      done += got;
    }
    return true;
  } catch (thrown) {
    throw cannotCompare(target.shown, thrown);
  } finally {
    files.closeSync(a);
    if (b !== undefined) files.closeSync(b);
  }
}

function cannotCompare(shown: string, thrown: unknown): TransferError {
  const errno = errnoOf(thrown);
  if (thrown instanceof TransferError || errno === undefined) return TransferError.from(thrown);
  const message = `${showPath(shown)}: the finished copy cannot be read, to be compared once more (${errno})`;
  const hint = 'It was left as it was. Check its permissions, then run it again.';
  return new TransferError('E_TARGET_ACCESS', message, { hint, cause: thrown });
}
