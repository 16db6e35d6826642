/**
 * The file that a target is to replace, as what its new partial data can begin with: a chunk that is the same in both
 * is shared or copied here, and need not come from the source. The old file itself is only ever read.
 */
import { constants } from 'node:fs';
import type { ByteRange } from '../../core/chunk.js';
import { systemClock } from '../../core/clock.js';
import { type Hasher, loadHasher, sameBytes } from '../../core/digest.js';
import { errnoOf, TransferError } from '../../core/errors.js';
import type { Expected } from '../../core/target.js';
import { type FileLayer, readFully, writeFully } from '../../platform/file-layer.js';
import { encodePath } from '../../platform/path-bytes.js';
import { localError } from './errors.js';
import type { PreparedRef } from './part.js';

const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
const BLOCK_BYTES = 256 * 1024;
/** Others on this thread have their turn so often. */
const TURN_BYTES = 32 * BLOCK_BYTES;

interface Pass {
  readonly hasher: Hasher;
  readonly signal: AbortSignal;
}

export class OldFile {
  readonly #files: FileLayer;
  readonly #ref: PreparedRef;
  readonly #zero: (range: ByteRange) => void;
  /** Of all passes on this thread: nobody waits while it is in use. */
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
   * holds in the end, since somebody may write to the old file meanwhile; where that is something else, the range reads
   * as zero, so that whoever leaves zeroes out leaves nothing of it. Once the signal is aborted, no descriptor is used
   * any more. @throws TransferError
   */
  async adopt(range: ByteRange, { algorithm, digest }: Expected, signal: AbortSignal): Promise<boolean> {
    const newHasher = await loadHasher(algorithm);
    assertGoesOn(signal);
    const { fd, writtenPath } = this.#ref;
    this.#fd ??= this.#open();
    const old = this.#fd;
    if (old === 'none') return false;
    const there = await this.#hash(old, range, { hasher: newHasher(), signal }).catch(unreadable);
    if (!there || !sameBytes(there, digest)) return false;
    try {
      if (this.#files.cloneRange(old, fd, range) !== undefined) await this.#copy(old, range, signal);
      const same = sameBytes(await this.#hash(fd, range, { hasher: newHasher(), signal }), digest);
      if (!same) this.#zero(range);
      return same;
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
  async #hash(fd: number, { offset, length }: ByteRange, { hasher, signal }: Pass): Promise<Uint8Array> {
    for (let done = 0; done < length; ) {
      if (done % TURN_BYTES === 0 && done > 0) await turn(signal);
      const block = this.#block.subarray(0, Math.min(BLOCK_BYTES, length - done));
      const got = readFully(this.#files, fd, block, offset + done, this.#ref.leavesCache);
      if (got === 0) break;
      hasher.update(block.subarray(0, got));
      done += got;
    }
    return hasher.digest();
  }

  async #copy(old: number, { offset, length }: ByteRange, signal: AbortSignal): Promise<void> {
    const { fd, leavesCache } = this.#ref;
    for (let done = 0; done < length; ) {
      if (done % TURN_BYTES === 0 && done > 0) await turn(signal);
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

/** An old file with a bad sector has nothing to give there; the source has. */
function unreadable(thrown: unknown): undefined {
  if (errnoOf(thrown) === undefined) throw thrown;
}

/** Lets others on this thread do something. @throws TransferError E_STOPPED */
async function turn(signal: AbortSignal): Promise<void> {
  await systemClock.sleep(0);
  assertGoesOn(signal);
}

function assertGoesOn(signal: AbortSignal): void {
  if (signal.aborted) throw new TransferError('E_STOPPED', 'stopped; finished chunks are kept');
}
