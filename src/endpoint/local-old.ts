/**
 * The file that a target is to replace, as what its new partial data can begin with: a chunk that is the same in both
 * is shared or copied here, and need not come from the source. The old file itself is only ever read.
 */
import { constants } from 'node:fs';
import type { ByteRange } from '../core/chunk.js';
import { type Hasher, loadHasher, sameBytes } from '../core/digest.js';
import { errnoOf } from '../core/errors.js';
import type { Expected } from '../core/target.js';
import { type FileLayer, readFully, writeFully } from '../platform/file-layer.js';
import { encodePath } from '../platform/path-bytes.js';
import { localError } from './local-errors.js';
import type { PreparedRef } from './local-part.js';

const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
const BLOCK_BYTES = 256 * 1024;

export class OldFile {
  readonly #files: FileLayer;
  readonly #ref: PreparedRef;
  readonly #zero: (range: ByteRange) => void;
  readonly #block = new Uint8Array(BLOCK_BYTES);
  readonly #zeroes = new Uint8Array(BLOCK_BYTES);
  #fd: number | 'none' | undefined;

  /** @param zero makes a range of the part read as zero */
  constructor(files: FileLayer, ref: PreparedRef, zero: (range: ByteRange) => void) {
    this.#files = files;
    this.#ref = ref;
    this.#zero = zero;
  }

  /**
   * Makes the range of the part what the old file has there, if that has this digest. What counts is what the part
   * holds in the end, since somebody may write to the old file meanwhile. @throws TransferError
   */
  async adopt(range: ByteRange, { algorithm, digest }: Expected): Promise<boolean> {
    const newHasher = await loadHasher(algorithm);
    const { fd, path, writtenPath } = this.#ref;
    this.#fd ??= this.#open();
    const old = this.#fd;
    if (old === 'none') return false;
    try {
      if (!sameBytes(this.#hash(old, range, newHasher()), digest)) return false;
    } catch (thrown) {
      throw localError('read-source', path, thrown, range);
    }
    try {
      if (this.#files.cloneRange(old, fd, range) !== undefined) this.#copy(old, range);
      return sameBytes(this.#hash(fd, range, newHasher()), digest);
    } catch (thrown) {
      throw localError('write-target', writtenPath, thrown, range);
    }
  }

  close(): void {
    if (typeof this.#fd === 'number') this.#files.closeSync(this.#fd);
    this.#fd = undefined;
  }

  /** Nothing, or something that is no file, has no bytes to give. */
  #open(): number | 'none' {
    const { path } = this.#ref;
    let fd: number;
    try {
      fd = this.#files.openSync(encodePath(path), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    } catch (thrown) {
      if (['ENOENT', 'ELOOP', 'EACCES'].includes(errnoOf(thrown) ?? '')) return 'none';
      throw localError('read-source', path, thrown);
    }
    if (this.#files.fstat(fd).isFile()) return fd;
    this.#files.closeSync(fd);
    return 'none';
  }

  /** Of fewer bytes than the range has, where the file ends before it. */
  #hash(fd: number, { offset, length }: ByteRange, hasher: Hasher): Uint8Array {
    for (let done = 0; done < length; ) {
      const block = this.#block.subarray(0, Math.min(BLOCK_BYTES, length - done));
      const got = readFully(this.#files, fd, block, offset + done, this.#ref.leavesCache);
      if (got === 0) break;
      hasher.update(block.subarray(0, got));
      done += got;
    }
    return hasher.digest();
  }

  #copy(old: number, { offset, length }: ByteRange): void {
    const { fd, leavesCache } = this.#ref;
    for (let done = 0; done < length; ) {
      const into = this.#block.subarray(0, Math.min(BLOCK_BYTES, length - done));
      const block = into.subarray(0, readFully(this.#files, old, into, offset + done, leavesCache));
      if (block.length === 0) break;
      const isZero = sameBytes(block, this.#zeroes.subarray(0, block.length));
      if (isZero) this.#zero({ offset: offset + done, length: block.length });
      else writeFully(this.#files, fd, block, offset + done, leavesCache);
      done += block.length;
    }
  }
}
