/**
 * The shared memory of one job: the stop flag, the pace and the counters, read and written by the control plane and all
 * workers with Atomics. It is all that the two sides share; bytes never cross a thread.
 */
import type { Clock } from '../core/clock.js';
import type { TimeSpent } from '../core/events.js';

const SIGNAL = 0;
const JOB = 1;
const ATTACHED = 2;
const INT32S = 16;
const COUNTERS_AT = INT32S * 4;
/** In bytes and nanoseconds; `busyNs` is the whole time in tasks, with what none of the others counts. */
const COUNTERS = [
  'readBytes',
  'writtenBytes',
  'clonedBytes',
  'readNs',
  'readTargetNs',
  'hashNs',
  'writeNs',
  'limitNs',
  'busyNs',
] as const;
const PACE_AT = COUNTERS_AT + COUNTERS.length * 8;
const PACE_LEVELS = 4;
const BYTES = PACE_AT + PACE_LEVELS * 2 * 8;

const RUN = 0;
const STOP = 1;
const CLOSED = 2;

let jobs = 0;

export class ControlBlock {
  readonly shared: SharedArrayBuffer;
  /** Two cells a level: the next free time in ns, the rate in bytes per second (0: no limit). Innermost level first. */
  readonly pace: BigInt64Array;
  readonly #ints: Int32Array;
  readonly #counters: BigInt64Array;

  private constructor(shared: SharedArrayBuffer) {
    this.shared = shared;
    this.#ints = new Int32Array(shared, 0, INT32S);
    this.#counters = new BigInt64Array(shared, COUNTERS_AT, COUNTERS.length);
    this.pace = new BigInt64Array(shared, PACE_AT, PACE_LEVELS * 2);
  }

  static create(): ControlBlock {
    const block = new ControlBlock(new SharedArrayBuffer(BYTES));
    block.#ints[JOB] = ++jobs;
    return block;
  }

  static attach(shared: SharedArrayBuffer): ControlBlock {
    return new ControlBlock(shared);
  }

  /** Unique in the process: what a worker keeps for a job is found by it. */
  get job(): number {
    return this.#ints[JOB] as number;
  }

  get stopped(): boolean {
    return Atomics.load(this.#ints, SIGNAL) !== RUN;
  }

  /** Asks every task of the job to end at its next block. */
  stop(): void {
    if (Atomics.compareExchange(this.#ints, SIGNAL, RUN, STOP) === RUN) Atomics.notify(this.#ints, SIGNAL);
  }

  /** After this nothing may use the job's endpoints any more. */
  closeAll(): void {
    Atomics.store(this.#ints, SIGNAL, CLOSED);
    Atomics.notify(this.#ints, SIGNAL);
  }

  /** Resolves when the job is stopped or closed: to abort waits on the network. */
  async untilStopped(): Promise<void> {
    await Atomics.waitAsync(this.#ints, SIGNAL, RUN).value;
  }

  async untilClosed(): Promise<void> {
    await this.untilStopped();
    await Atomics.waitAsync(this.#ints, SIGNAL, STOP).value;
  }

  /** Workers count themselves in and out, so that the control plane knows when the last has let go. */
  attachWorker(): void {
    Atomics.add(this.#ints, ATTACHED, 1);
  }

  detachWorker(): void {
    Atomics.sub(this.#ints, ATTACHED, 1);
    Atomics.notify(this.#ints, ATTACHED);
  }

  /** Resolves true when no worker holds anything of the job any more, false after `timeoutMs`. */
  async untilDetached(clock: Clock, timeoutMs: number): Promise<boolean> {
    const waited = new AbortController();
    // Only a timer keeps a process alive that waits for its workers.
    const timeout = clock.sleep(timeoutMs, waited.signal).then(() => 'timed-out' as const);
    try {
      for (;;) {
        const attached = Atomics.load(this.#ints, ATTACHED);
        if (attached <= 0) return true;
        const change = Atomics.waitAsync(this.#ints, ATTACHED, attached).value;
        if ((await Promise.race([change, timeout])) === 'timed-out') return false;
      }
    } finally {
      waited.abort();
    }
  }

  add(counter: (typeof COUNTERS)[number], amount: bigint): void {
    Atomics.add(this.#counters, COUNTERS.indexOf(counter), amount);
  }

  counter(counter: (typeof COUNTERS)[number]): number {
    return Number(Atomics.load(this.#counters, COUNTERS.indexOf(counter)));
  }

  /** Where the tasks' time went; what the lanes wait for themselves is added by them. */
  spent(): Pick<TimeSpent, 'sourceReadMs' | 'targetReadMs' | 'hashMs' | 'targetWriteMs' | 'limitMs'> {
    return {
      sourceReadMs: this.counter('readNs') / 1e6,
      targetReadMs: this.counter('readTargetNs') / 1e6,
      hashMs: this.counter('hashNs') / 1e6,
      targetWriteMs: this.counter('writeNs') / 1e6,
      limitMs: this.counter('limitNs') / 1e6,
    };
  }
}
