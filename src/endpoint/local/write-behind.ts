/**
 * Behind the writer of a background copy: what it wrote is written out step by step, and leaves the page cache then;
 * the writer waits for the step before. Otherwise a checkpoint's worth (256 MiB) would go to the disk in one heap at
 * the flush, and whoever else flushes there, of any file, would wait behind it.
 */
import { constants } from 'node:fs';
import type { ByteRange } from '../../core/chunk.js';
import { errnoOf } from '../../core/errors.js';
import { KiB, MiB } from '../../core/units.js';
import { dropCache } from '../../platform/direct-io.js';
import type { FileLayer } from '../../platform/file-layer.js';
import type { PathBytes } from '../../platform/path-bytes.js';

/**
 * On each thread one step is being written while the next is filled, so that four threads have 8 MiB at the disk: one
 * of 500 MB/s takes 17 ms for that, one of 60 MB/s 140 ms. Less would keep a disk waiting that has to seek.
 */
export const STEP_BYTES = 2 * MiB;
/** Of a copy that yields: each of its blocks is one request of its own, but tiny ones are joined. */
export const BLOCKWISE_BYTES = 16 * KiB;
/** Where nothing less than a flush can be asked for: each one costs the journal of the file system a commit. */
const FLUSH_BYTES = 32 * MiB;

interface Step {
  readonly range: ByteRange;
  /** Of the range, without what was passed over. */
  readonly bytes: number;
}

export class WriteBehind {
  readonly #files: FileLayer;
  readonly #path: PathBytes;
  #fd: number | 'refused' | undefined;
  #steps: Step[] = [];
  #bytes = 0;
  #can = true;
  readonly stepBytes: number;

  /**
   * @param path of the file, which is opened once more: a failed write is told once to each descriptor, and the one
   *   that the flushes are made on must be told (crash contract, rule 3)
   * @param stepBytes what may be on its way before a write waits
   */
  constructor(files: FileLayer, path: PathBytes, stepBytes = STEP_BYTES) {
    this.#files = files;
    this.#path = path;
    this.stepBytes = stepBytes;
  }

  /** `bytes` of the range were written; returns when little enough is under way. What fails is told by the flush. */
  wrote(range: ByteRange, bytes = range.length): void {
    this.#fd ??= this.#open();
    if (this.#fd === 'refused') return;
    const last = this.#steps.at(-1);
    // What is less than a step waits for its neighbours: a thousand small chunks would be as many small requests.
    const joins = last && last.bytes < STEP_BYTES && last.range.offset + last.range.length === range.offset;
    const step = joins ? joined(last, { range, bytes }) : { range, bytes };
    this.#steps.splice(joins ? -1 : this.#steps.length, 1, step);
    this.#bytes += bytes;
    if (step.bytes >= STEP_BYTES) this.#can &&= this.#files.beginWriteback(this.#fd, step.range);
    if (!this.#can) this.#flush(this.#fd);
    else while (this.#bytes > this.stepBytes) this.#awaitOldest(this.#fd);
  }

  /** For good: by then the path may lead to another file. */
  close(): void {
    if (typeof this.#fd === 'number') this.#files.closeSync(this.#fd);
    this.#fd = 'refused';
    this.#steps = [];
    this.#bytes = 0;
  }

  #awaitOldest(fd: number): void {
    const { range, bytes } = this.#steps.shift() as Step;
    this.#bytes -= bytes;
    this.#can &&= this.#files.awaitWriteback(fd, range);
    dropCache(fd, range);
  }

  /** What it fails with, the flush of the checkpoint is told, too. */
  #flush(fd: number): void {
    if (this.#bytes < FLUSH_BYTES) return;
    this.#steps = [];
    this.#bytes = 0;
    try {
      this.#files.fdatasyncSync(fd);
    } catch (thrown) {
      if (errnoOf(thrown) === undefined) throw thrown;
    }
  }

  #open(): number | 'refused' {
    try {
      return this.#files.openSync(this.#path, constants.O_RDONLY);
    } catch (thrown) {
      if (errnoOf(thrown) === undefined) throw thrown;
      return 'refused';
    }
  }
}

function joined(one: Step, next: Step): Step {
  const length = one.range.length + next.range.length;
  return { range: { offset: one.range.offset, length }, bytes: one.bytes + next.bytes };
}
