/**
 * A local file as a target: written as a hidden part beside it and renamed when it is proven, so that the name never
 * shows anything but the whole image. The part's one descriptor serves all threads and every flush (crash contract,
 * rules 1, 3, 6, 7).
 */
import type { ByteRange } from '../../core/chunk.js';
import { type ChunkReader, type EndpointRef, type FileTimes, sameIdentity } from '../../core/endpoint.js';
import type { ChunkWriter, CommitRequest, Expected, PartMark, ReadBack, Target } from '../../core/target.js';
import { DirectReader, dropCache } from '../../platform/direct-io.js';
import { type FileLayer, readFully, writeFully } from '../../platform/file-layer.js';
import { encodePath, type PathBytes } from '../../platform/path-bytes.js';
import { localError } from './errors.js';
import { OldFile } from './old.js';
import { identityOf, markOf, type PreparedRef, publish, setAccess, syncFile, vanished } from './part.js';
import { isLocalFile } from './source.js';
import { BLOCKWISE_BYTES, WriteBehind } from './write-behind.js';

const ZEROES = new Uint8Array(256 * 1024);

export class LocalTarget implements Target {
  readonly ref: PreparedRef;
  readonly extents?: (range: ByteRange) => ReturnType<FileLayer['extentsOf']>;
  readonly #files: FileLayer;
  #direct: DirectReader | 'refused' | undefined;
  #old: OldFile | undefined;
  /** Of a background copy. */
  readonly #behind: WriteBehind | undefined;

  constructor(files: FileLayer, ref: PreparedRef) {
    this.#files = files;
    this.ref = ref;
    if (ref.kind === 'file') this.extents = this.#extents;
    if (ref.background)
      this.#behind = new WriteBehind(files, sameFile(ref), ref.blockwise ? BLOCKWISE_BYTES : undefined);
  }

  openChunk(range: ByteRange): ChunkWriter {
    let position = range.offset;
    let [from, written] = [position, 0];
    const writeOut = (): void => {
      if (written > 0) this.#behind?.wrote({ offset: from, length: position - from }, written);
      [from, written] = [position, 0];
    };
    return {
      write: (block) => {
        this.#write(block, position);
        position += block.length;
        written += block.length;
        if (this.#behind && written >= this.#behind.stepBytes) writeOut();
      },
      skip: (length) => {
        position += length;
      },
      finish: () => {
        writeOut();
        return undefined;
      },
      abort: writeOut,
    };
  }

  async adopt(range: ByteRange, expected: Expected, signal: AbortSignal): Promise<boolean> {
    this.#old ??= new OldFile(this.#files, this.ref, (zeroes) => this.zero(zeroes));
    const adopted = await this.#old.adopt(range, expected, signal);
    if (adopted) this.#behind?.wrote(range);
    return adopted;
  }

  clone(source: EndpointRef, range: ByteRange): string | undefined {
    if (!isLocalFile(source)) return 'the source is no local file';
    try {
      return this.#files.cloneRange(source.fds[0] as number, this.ref.fd, range);
    } catch (thrown) {
      throw localError('write-target', this.ref.writtenPath, thrown, range);
    }
  }

  zero(range: ByteRange): void {
    const { fd, writtenPath } = this.ref;
    try {
      if (this.#files.punchHole(fd, range)) return;
    } catch (thrown) {
      throw localError('write-target', writtenPath, thrown, range);
    }
    for (let done = 0; done < range.length; done += ZEROES.length) {
      const zeroes = ZEROES.subarray(0, range.length - done);
      this.#write(zeroes, range.offset + done);
      this.#behind?.wrote({ offset: range.offset + done, length: zeroes.length });
    }
  }

  openChunkBack(range: ByteRange): ChunkReader {
    const { fd, leavesCache } = this.ref;
    const reader = this.#reader(range, (into, position) => readFully(this.#files, fd, into, position, leavesCache));
    return { ...reader, close: () => void (leavesCache && dropCache(fd, range)) };
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
    const { fd, kind, writtenPath, leavesCache } = this.ref;
    const { nlink, size } = this.#files.fstat(fd);
    if (kind === 'file' && nlink === 0n) throw vanished(writtenPath);
    try {
      this.#files.fdatasyncSync(fd);
    } catch (thrown) {
      throw localError('flush-target', writtenPath, thrown);
    }
    // Nobody else can have a use for what is cached of a part: where it was written through the cache, it goes now.
    if (leavesCache) dropCache(fd, { offset: 0, length: Number(size) });
  }

  /** The mark holds the time of the last change, so what sets that comes first; nothing in a commit changes it. */
  mark(times?: FileTimes): PartMark {
    const { fd, kind, path } = this.ref;
    try {
      if (times && kind === 'file') this.#files.setTimes(fd, times);
    } catch (thrown) {
      throw localError('commit-target', path, thrown);
    }
    return markOf(this.#files.fstat(fd));
  }

  async commit(request: CommitRequest): Promise<readonly string[]> {
    if (this.ref.kind === 'device')
      return request.attributes ? ['--preserve: a device keeps its own attributes, and not those of a source'] : [];
    const { fd, path, writtenPath } = this.ref;
    try {
      const named = this.#files.lstat(encodePath(writtenPath));
      if (!named || !sameIdentity(identityOf(named), identityOf(this.#files.fstat(fd)))) throw vanished(writtenPath);
      const notKept = setAccess(this.#files, this.ref, request);
      if (request.sync) syncFile(this.#files, fd, writtenPath);
      publish(this.#files, path, request);
      return notKept.map((sentence) => `--preserve: ${sentence}`);
    } catch (thrown) {
      throw localError('commit-target', path, thrown);
    }
  }

  detach(): void {
    if (this.#direct instanceof DirectReader) this.#direct.close();
    this.#direct = undefined;
    this.#old?.close();
    this.#old = undefined;
    this.#behind?.close();
  }

  async close(): Promise<void> {
    this.detach();
    this.#files.closeSync(this.ref.fd);
  }

  #extents(range: ByteRange): ReturnType<FileLayer['extentsOf']> {
    return this.#files.extentsOf(this.ref.fd, range);
  }

  #write(block: Uint8Array, position: number): void {
    const { fd, leavesCache } = this.ref;
    try {
      writeFully(this.#files, fd, block, position, leavesCache && !this.#behind);
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

/** The file behind the descriptor, whatever the path may name by now. */
function sameFile(ref: PreparedRef): PathBytes {
  return process.platform === 'linux' ? `/proc/self/fd/${ref.fd}` : encodePath(ref.writtenPath);
}
