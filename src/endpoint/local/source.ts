/**
 * A local file or block device as a source. Its descriptors are opened once and shared by all threads of the process,
 * one for each reader, so that every reader keeps its own read-ahead and nobody opens the path a second time.
 */
import { type BigIntStats, constants } from 'node:fs';
import { basename, resolve } from 'node:path';
import { threadId } from 'node:worker_threads';
import type { ByteRange } from '../../core/chunk.js';
import type { ChunkReader, EndpointRef, FileAttributes, Location, Source, Version } from '../../core/endpoint.js';
import { TransferError } from '../../core/errors.js';
import { fileVersion } from '../../core/version.js';
import { DirectReader, dropCache, readNothingAhead } from '../../platform/direct-io.js';
import { type FileLayer, readFully } from '../../platform/file-layer.js';
import { deviceBytes, isRemoteFileSystem } from '../../platform/file-system.js';
import { isOpenForWriting } from '../../platform/open-elsewhere.js';
import { encodePath, showPath } from '../../platform/path-bytes.js';
import { settled } from '../settled.js';
import { localError } from './errors.js';

const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;
const DESCRIPTORS = 4;
/** An unreadable block is narrowed down to this, the largest sector size in use. */
const SECTOR_BYTES = 4096;

interface LocalSourceRef extends EndpointRef {
  readonly path: string;
  /** For people, where the path is not. */
  readonly shown?: string;
  readonly fds: readonly number[];
  readonly size: number;
  readonly version: Version;
  readonly mode: number;
  readonly device: string;
  readonly inode: string;
  readonly sizeIs: 'exact' | 'capacity';
  readonly allocatedBytes?: number;
  /** When it was last read before it was opened. */
  readonly accessedNs: string;
  /** Asked once, at the opening. */
  readonly holes: boolean;
  /** Some of it was in the page cache at the opening, or that cannot be told. */
  readonly cached: boolean;
}

export function isLocalFile(ref: EndpointRef): ref is LocalSourceRef {
  return ref.scheme === 'file' && (ref as LocalSourceRef).sizeIs === 'exact';
}

export async function openLocalSource(files: FileLayer, location: Location): Promise<LocalSource> {
  const path = location.text;
  const fds: number[] = [];
  try {
    const stat = files.stat(encodePath(path));
    assertReadable(path, stat);
    const flags = O_RDONLY | O_NONBLOCK | (location.links === 'refuse' ? O_NOFOLLOW : 0);
    for (let n = 0; n < DESCRIPTORS; n++) fds.push(files.openSync(encodePath(path), flags));
    const { shown } = location;
    const first = { fd: fds[0] as number, stat: files.fstat(fds[0] as number) };
    if (first.stat.isFile()) await settled(files, first, shown ?? path);
    assertSized(files, first.fd, path);
    return new LocalSource(files, { ...describe(files, path, fds), ...(shown !== undefined && { shown }) });
  } catch (thrown) {
    for (const fd of fds) files.closeSync(fd);
    throw localError('open-source', path, thrown);
  }
}

function assertReadable(path: string, stat: BigIntStats | undefined): void {
  if (stat === undefined) {
    throw new TransferError('E_SOURCE_MISSING', `${showPath(path)}: no such file`, { hint: 'Check the path.' });
  }
  if (stat.isFile() || stat.isBlockDevice()) return;
  const kind = stat.isDirectory() ? 'a folder' : 'a special file (pipe, socket or character device)';
  throw new TransferError('E_SOURCE_KIND', `${showPath(path)} is ${kind}; a file or a block device was expected`, {
    hint: stat.isDirectory() ? 'Say --recursive (-r) for a folder with all that is in it.' : 'Give the path of a file.',
  });
}

/** Files that the kernel makes up as they are read (/proc) call themselves empty, and a copy by that would be empty. */
function assertSized(files: FileLayer, fd: number, path: string): void {
  const stat = files.fstat(fd);
  if (!stat.isFile() || stat.size > 0n || readFully(files, fd, new Uint8Array(1), 0) === 0) return;
  throw new TransferError('E_SOURCE_KIND', `${showPath(path)} says that it is empty, and has bytes`, {
    hint: 'Such a file has no size and no version that a copy could go by. Use cp for it.',
  });
}

function describe(files: FileLayer, path: string, fds: readonly number[]): LocalSourceRef {
  const stats = fds.map((fd) => files.fstat(fd));
  const stat = stats[0] as BigIntStats;
  if (stats.some((other) => other.dev !== stat.dev || other.ino !== stat.ino))
    throw changed(path, 'was replaced while it was opened');
  const device = stat.isBlockDevice();
  const size = device ? deviceBytes(encodePath(path)) : Number(stat.size);
  return {
    scheme: 'file',
    path,
    fds,
    size,
    version: device ? { strength: 'none', value: `device ${size}` } : versionOf(path, stat),
    mode: Number(stat.mode & 0o777n),
    device: String(stat.dev),
    inode: String(stat.ino),
    accessedNs: String(stat.atimeNs),
    sizeIs: device ? 'capacity' : 'exact',
    ...(!device && { allocatedBytes: Number(stat.blocks) * 512 }),
    holes: !device && files.supportsHoles(fds[0] as number, size),
    cached: files.isCached(fds[0] as number),
  };
}

/** Inode numbers of network and FUSE mounts may change from mount to mount, so there they tell nothing. */
function versionOf(path: string, stat: BigIntStats): Version {
  const strength = isRemoteFileSystem(encodePath(path)) ? 'weak' : 'strong';
  return { strength, value: versionValue(stat, strength), changedNs: String(stat.ctimeNs) };
}

export function versionValue(stat: BigIntStats, strength: 'strong' | 'weak'): string {
  return fileVersion({ size: stat.size, mtimeNs: stat.mtimeNs, inode: stat.ino }, strength);
}

function changed(path: string, how: string): TransferError {
  return new TransferError('E_SOURCE_CHANGED', `${showPath(path)} ${how}; a copy of it would mix two versions`, {
    hint: 'Nothing was put under the name of the target. Stop what writes to the source, then copy with --discard.',
  });
}

export class LocalSource implements Source {
  readonly ref: LocalSourceRef;
  readonly name: string;
  readonly fileName: string;
  readonly size: number;
  readonly sizeIs: 'exact' | 'capacity';
  readonly allocatedBytes?: number;
  readonly version: Version;
  readonly mode: number;
  readonly readsPerWorker = 2;
  readonly identity: { readonly device: string; readonly inode: string };
  readonly extents?: (range: ByteRange) => ReturnType<FileLayer['extentsOf']>;
  readonly attributes?: () => FileAttributes;
  readonly #files: FileLayer;
  readonly #fd: number;

  constructor(files: FileLayer, ref: LocalSourceRef) {
    this.ref = ref;
    this.name = ref.shown ?? showPath(resolve(ref.path));
    this.fileName = basename(ref.path);
    this.sizeIs = ref.sizeIs;
    if (ref.allocatedBytes !== undefined) this.allocatedBytes = ref.allocatedBytes;
    this.size = ref.size;
    this.version = ref.version;
    this.mode = ref.mode;
    this.identity = { device: ref.device, inode: ref.inode };
    this.#files = files;
    this.#fd = ref.fds[threadId % ref.fds.length] as number;
    if (ref.blockwise) readNothingAhead(this.#fd);
    // What a device node has says nothing of what is on the device.
    if (ref.sizeIs === 'exact') {
      this.attributes = () => ({ ...files.readAttributes(this.#fd), accessedNs: ref.accessedNs });
    }
    if (ref.holes) {
      this.extents = (range) => files.extentsOf(this.#fd, range);
    }
  }

  /**
   * As a ranged GET does with If-Match: a change is met at the next chunk, and not after hours of copying. It is looked
   * for behind the last byte too, so that no chunk goes on record that was read while the source changed.
   */
  openChunk(range: ByteRange): ChunkReader {
    this.#assertVersion();
    const end = range.offset + range.length;
    let position = range.offset;
    return {
      next: (into) => {
        const block = into.subarray(0, Math.min(into.length, end - position));
        const got = this.#read(block, position);
        if (got < block.length)
          throw changed(this.#shown, `ended at byte ${position + got}, before its ${this.size} bytes`);
        position += got;
        if (position === end) this.#assertVersion();
        return got;
      },
      close: () => this.#dropBehind(range),
    };
  }

  /** Where reading past the cache is refused: a file of which nothing was cached is left so. */
  #dropBehind(range: ByteRange): void {
    if (this.ref.leavesCache && !this.ref.cached) dropCache(this.#fd, range);
  }

  get #shown(): string {
    return this.ref.shown ?? this.ref.path;
  }

  #read(block: Uint8Array, position: number): number {
    try {
      return readFully(this.#files, this.#fd, block, position, this.ref.leavesCache);
    } catch (thrown) {
      return this.#readSectors(block, position, thrown);
    }
  }

  /**
   * Sector by sector, past the cache where that can be: in the cache one bad sector fails all of the large folio that
   * read-ahead put around it, in the next chunks too. Fails at the very sector that cannot be read.
   */
  #readSectors(block: Uint8Array, position: number, failure: unknown): number {
    let at = 0;
    let direct: DirectReader | undefined;
    try {
      direct = DirectReader.open(`/proc/self/fd/${this.#fd}`, SECTOR_BYTES);
      for (; at < block.length; at += SECTOR_BYTES) {
        const sector = block.subarray(at, at + SECTOR_BYTES);
        const bytes = direct?.read(position + at, sector.length);
        if (bytes) sector.set(bytes);
        const got = bytes?.length ?? readFully(this.#files, this.#fd, sector, position + at);
        if (got < sector.length) return at + got;
      }
      return block.length;
    } catch {
      // What the first read said is the cause; only the place was looked for.
      throw localError('read-source', this.#shown, failure, { offset: position + at });
    } finally {
      direct?.close();
    }
  }

  isOpenForWriting(): boolean | undefined {
    return isOpenForWriting(this.#fd);
  }

  async assertUnchanged(): Promise<string | undefined> {
    const { path, version } = this.ref;
    const named = this.#files.stat(encodePath(path));
    const held = this.#files.fstat(this.#fd);
    if (named === undefined || named.dev !== held.dev || named.ino !== held.ino)
      throw changed(this.#shown, 'was moved or replaced');
    this.#assertVersion();
    return version.changedNs === undefined ? undefined : String(held.ctimeNs);
  }

  #assertVersion(): void {
    const { version } = this.ref;
    if (version.strength === 'none') return;
    const value = versionValue(this.#files.fstat(this.#fd), version.strength);
    if (value !== version.value) throw changed(this.#shown, 'was changed while it was copied');
  }

  async close(): Promise<void> {
    // The system reads ahead, and what it read last nobody has taken.
    this.#dropBehind({ offset: 0, length: this.size });
    for (const fd of this.ref.fds) this.#files.closeSync(fd);
  }
}
