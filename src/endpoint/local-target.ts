/**
 * A local file as a target: written as a hidden part beside it and renamed when it is proven, so that the name never
 * shows anything but the whole image. The part's one descriptor serves all threads and every flush (crash contract,
 * rules 1, 3, 6, 7).
 */
import { type BigIntStats, constants } from 'node:fs';
import { dirname } from 'node:path';
import type { ByteRange } from '../core/chunk.js';
import type {
  ChunkReader,
  ChunkWriter,
  CommitRequest,
  EndpointRef,
  FileIdentity,
  PartMark,
  PreparedTarget,
  PrepareRequest,
  ReadBack,
  Target,
} from '../core/endpoint.js';
import { errnoOf, TransferError } from '../core/errors.js';
import { DirectReader, dropCache } from '../platform/direct-io.js';
import { type FileLayer, readFully, writeFully } from '../platform/file-layer.js';
import { whyNotOurs } from '../platform/own-file.js';
import { encodePath, type PathBytes, showPath } from '../platform/path-bytes.js';
import { localError } from './local-errors.js';
import { partPath } from './part-names.js';

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR } = constants;
const ZEROES = new Uint8Array(256 * 1024);

/** A located target: the path of the file, with links in its folder left as they are. */
export interface LocalTargetRef extends EndpointRef {
  readonly path: string;
  readonly kind: 'file' | 'device';
}

export interface PreparedRef extends LocalTargetRef {
  readonly fd: number;
  /** What is written to: the part, or the device itself. */
  readonly writtenPath: string;
}

export function identityOf(stat: BigIntStats): FileIdentity {
  return { device: String(stat.dev), inode: String(stat.ino) };
}

export function sameIdentity(a: FileIdentity | undefined, b: FileIdentity): boolean {
  return a !== undefined && a.device === b.device && a.inode === b.inode;
}

export function markOf(stat: BigIntStats): PartMark {
  return { ...identityOf(stat), size: Number(stat.size), mtimeNs: String(stat.mtimeNs) };
}

export function sameMark(a: PartMark, b: PartMark): boolean {
  return sameIdentity(a, b) && a.size === b.size && a.mtimeNs === b.mtimeNs;
}

export function preparePart(files: FileLayer, ref: LocalTargetRef, request: PrepareRequest): PreparedTarget {
  const path = partPath(ref.path);
  const flags = O_RDWR | O_NOFOLLOW | (request.partial === 'create' ? O_CREAT | O_EXCL : 0);
  let fd: number | undefined;
  try {
    fd = request.partial === 'create' ? files.openSync(encodePath(path), flags, 0o600) : reopen(files, path, flags);
    const stat = files.fstat(fd);
    if (stat.size !== BigInt(request.size)) files.ftruncateSync(fd, request.size);
    if (request.sync && request.partial === 'create') files.syncFolder(encodePath(dirname(path)));
    const prepared: PreparedRef = { ...ref, fd, writtenPath: path };
    return { ref: prepared, identity: identityOf(stat), zeroed: request.partial === 'create' };
  } catch (thrown) {
    if (fd !== undefined) files.closeSync(fd);
    // A part without a journal would look like somebody else's.
    if (fd !== undefined && request.partial === 'create') files.unlinkSync(encodePath(path));
    throw localError('open-target', path, thrown);
  }
}

/** A commit that did not come through may have given the part permissions that shut its own owner out. */
function reopen(files: FileLayer, path: string, flags: number): number {
  try {
    return opened(files, path, flags);
  } catch (thrown) {
    if (errnoOf(thrown) !== 'EACCES') throw thrown;
  }
  const fd = opened(files, path, O_RDONLY | O_NOFOLLOW);
  try {
    files.fchmodSync(fd, 0o600);
  } finally {
    files.closeSync(fd);
  }
  return opened(files, path, flags);
}

function opened(files: FileLayer, path: string, flags: number): number {
  const fd = files.openSync(encodePath(path), flags | O_NONBLOCK);
  try {
    assertOurs(path, files.fstat(fd));
    return fd;
  } catch (thrown) {
    files.closeSync(fd);
    throw thrown;
  }
}

/** A part that somebody else made, or that has a second name, could carry our bytes to where they do not belong. */
function assertOurs(path: string, stat: BigIntStats): void {
  const wrong = whyNotOurs(stat);
  if (wrong === undefined) return;
  throw new TransferError(
    'E_PART_UNSAFE',
    `${showPath(path)} ${wrong}; Blockferry made no such file and won't write to it`,
    {
      hint: 'See who put it there, then remove it. Nothing was changed.',
    },
  );
}

export class LocalTarget implements Target {
  readonly ref: PreparedRef;
  readonly extents?: (range: ByteRange) => ReturnType<FileLayer['extentsOf']>;
  readonly #files: FileLayer;
  #direct: DirectReader | 'refused' | undefined;

  constructor(files: FileLayer, ref: PreparedRef) {
    this.#files = files;
    this.ref = ref;
    if (ref.kind === 'file') this.extents = this.#extents;
  }

  openChunk(range: ByteRange): ChunkWriter {
    let position = range.offset;
    return {
      write: (block) => {
        this.#write(block, position);
        position += block.length;
      },
      skip: (length) => {
        position += length;
      },
      finish: () => undefined,
      abort: () => undefined,
    };
  }

  zero(range: ByteRange): void {
    const { fd, writtenPath } = this.ref;
    try {
      if (this.#files.punchHole(fd, range)) return;
    } catch (thrown) {
      throw localError('write-target', writtenPath, thrown, range);
    }
    for (let done = 0; done < range.length; done += ZEROES.length) {
      this.#write(ZEROES.subarray(0, range.length - done), range.offset + done);
    }
  }

  openChunkBack(range: ByteRange): ChunkReader {
    return this.#reader(range, (into, position) => readFully(this.#files, this.ref.fd, into, position));
  }

  /** Through O_DIRECT; where a file system refuses that, the pages are dropped first, which need not help. */
  openReadBack(range: ByteRange): ReadBack {
    this.#direct ??= DirectReader.open(sameFile(this.ref)) ?? 'refused';
    const direct = this.#direct;
    dropCache(this.ref.fd, range);
    if (direct === 'refused') return { reader: this.openChunkBack(range), pastCache: false };
    const reader = this.#reader(range, (into, position) => {
      let done = 0;
      while (done < into.length) {
        const got = direct.read(position + done, Math.min(into.length - done, direct.bufferBytes));
        if (got.length === 0) break;
        into.set(got, done);
        done += got.length;
      }
      return done;
    });
    return { reader, pastCache: true };
  }

  /**
   * fdatasync keeps what is needed to find the data again, size included (POSIX, synchronized I/O data integrity
   * completion).
   */
  async flush(): Promise<void> {
    const { fd, kind, writtenPath } = this.ref;
    if (kind === 'file' && this.#files.fstat(fd).nlink === 0n) throw vanished(writtenPath);
    try {
      this.#files.fdatasyncSync(fd);
    } catch (thrown) {
      throw localError('flush-target', writtenPath, thrown);
    }
  }

  mark(): PartMark {
    return markOf(this.#files.fstat(this.ref.fd));
  }

  async commit(request: CommitRequest): Promise<void> {
    if (this.ref.kind === 'device') return;
    const { fd, path, writtenPath } = this.ref;
    try {
      const named = this.#files.lstat(encodePath(writtenPath));
      if (!named || !sameIdentity(identityOf(named), identityOf(this.#files.fstat(fd)))) throw vanished(writtenPath);
      setAccess(this.#files, this.ref, request);
      if (request.sync) syncFile(this.#files, fd, writtenPath);
      publish(this.#files, path, request);
    } catch (thrown) {
      throw localError('commit-target', path, thrown);
    }
  }

  detach(): void {
    if (this.#direct instanceof DirectReader) this.#direct.close();
    this.#direct = undefined;
  }

  async close(): Promise<void> {
    this.detach();
    this.#files.closeSync(this.ref.fd);
  }

  #extents(range: ByteRange): ReturnType<FileLayer['extentsOf']> {
    return this.#files.extentsOf(this.ref.fd, range);
  }

  #write(block: Uint8Array, position: number): void {
    try {
      writeFully(this.#files, this.ref.fd, block, position);
    } catch (thrown) {
      throw localError('write-target', this.ref.writtenPath, thrown, { offset: position });
    }
  }

  #reader(range: ByteRange, read: (into: Uint8Array, position: number) => number): ChunkReader {
    const end = range.offset + range.length;
    let position = range.offset;
    return {
      next: (into) => {
        const block = into.subarray(0, Math.min(into.length, end - position));
        try {
          const got = read(block, position);
          position += got;
          return got;
        } catch (thrown) {
          throw localError('write-target', this.ref.writtenPath, thrown, { offset: position });
        }
      },
      close: () => undefined,
    };
  }
}

/** What takes the place of a file gets its owner and permissions, as if it had been written over; else the source's. */
function setAccess(files: FileLayer, { fd, path }: PreparedRef, request: CommitRequest): void {
  const old = request.overwrite ? files.lstat(encodePath(path)) : undefined;
  if (!old?.isFile()) {
    files.fchmodSync(fd, (request.mode ?? 0o666) & ~process.umask());
    return;
  }
  const { uid, gid } = files.fstat(fd);
  if (uid !== old.uid || gid !== old.gid) files.fchownSync(fd, Number(old.uid), Number(old.gid));
  files.fchmodSync(fd, Number(old.mode & 0o777n));
}

export function syncFile(files: FileLayer, fd: number, path: string): void {
  try {
    files.fsyncSync(fd);
  } catch (thrown) {
    throw localError('flush-target', path, thrown);
  }
}

/** The file behind the descriptor, whatever the path may name by now. */
function sameFile(ref: PreparedRef): PathBytes {
  return process.platform === 'linux' ? `/proc/self/fd/${ref.fd}` : encodePath(ref.writtenPath);
}

/** Gives the part its name: with `overwrite` by a plain rename, without it only where nothing stands. */
export function publish(files: FileLayer, path: string, request: CommitRequest): void {
  const from = encodePath(partPath(path));
  const to = encodePath(path);
  if (request.overwrite) files.renameSync(from, to);
  else if (files.publishNew(from, to) === 'exists') throw targetExists(path);
  if (request.sync) files.syncFolder(encodePath(dirname(path)));
}

export function targetExists(path: string): TransferError {
  return new TransferError('E_TARGET_EXISTS', `${showPath(path)} exists already and was left as it is`, {
    hint: 'Say --overwrite to replace it, once the new copy is complete and proven, or choose another target.',
  });
}

function vanished(path: string): TransferError {
  return new TransferError(
    'E_TARGET_CHANGED',
    `the partial copy ${showPath(path)} was removed or replaced while it was written`,
    {
      hint: 'Nothing was put under the name of the target. Find out what cleans that folder, then copy again.',
    },
  );
}
