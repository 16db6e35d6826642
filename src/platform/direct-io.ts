/**
 * Reading past the page cache, and leaving the cache as it was. O_DIRECT wants page-aligned memory, which of all the
 * memory that Node can give only a WebAssembly.Memory is.
 */
import { closeSync, constants, openSync, readSync } from 'node:fs';
import type { ByteRange } from '../core/chunk.js';
import { errnoOf } from '../core/errors.js';
import { MiB } from '../core/units.js';
import { libc, type PathBytes } from './libc.js';

/** What is used of the global that neither lib.es2023 nor @types/node declares. */
declare const WebAssembly: {
  readonly Memory: new (pages: {
    readonly initial: number;
    readonly maximum: number;
  }) => { readonly buffer: ArrayBuffer };
};

/** Offsets, lengths and memory on this grid suit every device whose sectors are 512 or 4096 bytes. */
const ALIGN_BYTES = 4096;
const WASM_PAGE_BYTES = 65536;
const POSIX_FADV_RANDOM = 1;
const POSIX_FADV_DONTNEED = 4;

/** How a file system says that it has no O_DIRECT. */
export const REFUSED: ReadonlySet<string | undefined> = new Set(['EINVAL', 'ENOTSUP', 'EOPNOTSUPP']);

/** Zeroes that O_DIRECT takes from their start: at least `bytes` of them, in whole pages of 64 KiB. */
export function alignedBuffer(bytes: number): Uint8Array {
  const pages = Math.ceil(bytes / WASM_PAGE_BYTES);
  const buffer = new Uint8Array(new WebAssembly.Memory({ initial: pages, maximum: pages }).buffer);
  // Touched once: btrfs takes no page faults in a direct read, and may go through the cache when it meets fresh memory.
  return buffer.fill(0);
}

/**
 * Reads a file from its storage. O_DIRECT is a wish, though: tmpfs has no other storage than the cache, and some file
 * systems (ext4 with data=journal, compressed btrfs) answer from it. Where the difference matters, flush and
 * `dropCache` first. One reader serves one thread, one read at a time.
 */
export class DirectReader {
  readonly bufferBytes: number;
  readonly #bytes: Uint8Array;
  readonly #fd: number;
  #open = true;

  private constructor(fd: number, bufferBytes: number) {
    // One page more, so that a full read at an odd position has room for its aligned cover.
    this.#bytes = alignedBuffer(bufferBytes + WASM_PAGE_BYTES);
    this.bufferBytes = bufferBytes;
    this.#fd = fd;
  }

  /** Undefined where O_DIRECT is refused or unknown. @throws errno Errors when the file cannot be opened at all */
  static open(path: PathBytes, bufferBytes: number = MiB): DirectReader | undefined {
    if (!constants.O_DIRECT) return undefined;
    let fd = -1;
    try {
      fd = openSync(path, constants.O_RDONLY | constants.O_DIRECT);
      const reader = new DirectReader(fd, bufferBytes);
      if (reader.#accepted()) return reader;
      reader.close();
    } catch (error) {
      if (fd >= 0) closeSync(fd);
      if (!REFUSED.has(errnoOf(error))) throw error;
    }
    return undefined;
  }

  /** Some file systems let O_DIRECT through at the open and refuse at the first read. */
  #accepted(): boolean {
    try {
      this.read(0, 1);
    } catch (error) {
      // An unreadable first sector is no refusal: the read that wants it will meet it again and say where it is.
      return !REFUSED.has(errnoOf(error));
    }
    return true;
  }

  /**
   * The bytes at `position`, at most `bufferBytes` of them: `length` of them, fewer only at the end of the file. The
   * answer is a view that the next read overwrites. @throws errno Errors
   */
  read(position: number, length: number): Uint8Array {
    if (length > this.bufferBytes) throw new RangeError(`direct read of ${length} bytes into ${this.bufferBytes}`);
    const skipped = position % ALIGN_BYTES;
    const start = position - skipped;
    const cover = Math.ceil((skipped + length) / ALIGN_BYTES) * ALIGN_BYTES;
    const filled = this.#fill(start, cover);
    return this.#bytes.subarray(skipped, Math.max(skipped, Math.min(filled, skipped + length)));
  }

  /**
   * A read that stopped off the grid goes on from the last aligned byte: the end of the file is where that gains
   * nothing.
   */
  #fill(start: number, cover: number): number {
    let filled = 0;
    while (filled < cover) {
      const from = filled - (filled % ALIGN_BYTES);
      const reached = from + readSync(this.#fd, this.#bytes, from, cover - from, start + from);
      if (reached <= filled) break;
      filled = reached;
    }
    return filled;
  }

  close(): void {
    if (this.#open) closeSync(this.#fd);
    this.#open = false;
  }
}

/**
 * Drops the clean pages of the range from the page cache; pages not yet written stay. False where that cannot be asked.
 */
export function dropCache(fd: number, range: ByteRange): boolean {
  // A length of 0 would mean "to the end of the file".
  if (range.length === 0) return true;
  return libc()?.posix_fadvise(fd, range.offset, range.length, POSIX_FADV_DONTNEED) === 0;
}

/** Nothing is read ahead through this descriptor, so that a read is as large as it says. */
export function readNothingAhead(fd: number): void {
  libc()?.posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
}
