/** Counts what became of the files of a tree, and tells it: troubles at once, numbers a few times a second. */
import type { EventBody, TransferEvent } from '../core/events.js';
import type { FileFailure, FilesOutcome } from '../core/tree.js';
import type { ControlBlock } from '../transfer/control-block.js';
import type { Progress } from '../transfer/progress.js';
import type { TransferResult } from '../transfer/transfer-result.js';

/** In a result; as events all of them are told. */
const FAILURES_KEPT = 100;

const NOTHING = { files: 0, links: 0, folders: 0, skipped: 0, bytesCopied: 0, bytesCloned: 0, bytesSkipped: 0 };
type Sum = keyof typeof NOTHING;

export class Tally {
  readonly #emit: (event: EventBody) => void;
  readonly #progress: Progress;
  readonly #failures: FileFailure[] = [];
  readonly #control: ControlBlock;
  readonly #sums = { ...NOTHING };
  #bytesSmall = 0;
  #bytesReused = 0;
  #refused = 0;
  #failed = 0;
  /** Files and links that there are, once all folders were looked into. */
  total: number | undefined;
  /** Bytes of large files, done or not. */
  bytesLarge = 0;

  constructor(emit: (event: EventBody) => void, progress: Progress, control: ControlBlock) {
    this.#emit = emit;
    this.#progress = progress;
    this.#control = control;
  }

  get isFlawless(): boolean {
    return this.#refused + this.#failed === 0;
  }

  add(outcome: Pick<FilesOutcome, Sum | 'failures'>): void {
    const sums = this.#sums;
    for (const key of Object.keys(sums) as Sum[]) sums[key] += outcome[key];
    this.#bytesSmall += outcome.bytesCopied + outcome.bytesSkipped;
    this.#progress.bytesReused += outcome.bytesSkipped;
    for (const failure of outcome.failures) this.fail(failure);
  }

  fail(failure: FileFailure): void {
    if (failure.state === 'refused') this.#refused++;
    else this.#failed++;
    if (this.#failures.length < FAILURES_KEPT) this.#failures.push(failure);
    const { path, state, error } = failure;
    this.#emit({ type: 'file', state, path, size: 0, reason: error.message, error });
  }

  /** What a transfer tells is told on, and its bytes are counted among those of the tree. */
  async follow(path: string, size: number, events: AsyncIterable<TransferEvent>): Promise<void> {
    let before = { written: 0, reused: 0, zero: 0 };
    this.#emit({ type: 'file', state: 'started', path, size });
    for await (const event of events) {
      if (event.type === 'progress') {
        const { bytesDone, bytesReused: reused, bytesZero: zero } = event;
        const now = { written: bytesDone - reused - zero, reused, zero };
        this.#control.add('writtenBytes', BigInt(now.written - before.written));
        this.#progress.bytesReused += now.reused - before.reused;
        this.#progress.bytesZero += now.zero - before.zero;
        before = now;
        this.#emit({ type: 'file', state: 'started', path, size, bytesDone });
      } else if (event.type !== 'state') this.#emit(event);
    }
  }

  doneLarge(path: string, size: number, { bytesCloned, bytesReused }: TransferResult): void {
    this.#sums.files++;
    this.#sums.bytesCopied += size;
    this.#sums.bytesCloned += bytesCloned;
    this.#bytesReused += bytesReused;
    this.#emit({ type: 'file', state: 'done', path, size, bytesDone: size });
  }

  tell(): void {
    const { files, links, skipped } = this.#sums;
    // Of small files under way nobody knows yet how large they are.
    const { bytesReused, bytesZero } = this.#progress;
    const met = this.#control.counter('writtenBytes') + bytesReused + bytesZero;
    this.#progress.bytesTotal = Math.max(met, this.#bytesSmall + this.bytesLarge);
    const counts = { done: files + links + skipped, skipped, failed: this.#refused + this.#failed };
    const total = this.total === undefined ? {} : { total: this.total };
    this.#emit({ ...this.#progress.event(), files: { ...counts, ...total } } as EventBody);
  }

  result() {
    return {
      ...this.#sums,
      bytesReused: this.#bytesReused,
      refused: this.#refused,
      failed: this.#failed,
      failures: this.#failures,
    };
  }
}
