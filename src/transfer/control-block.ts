/**
 * The shared memory of one job: the stop flag, the pace and the counters, read and written by the control plane and all
 * workers with Atomics. It is all that the two sides share; bytes never cross a thread.
 *
 * A job that is preempted has its tasks end at their next block as a stop has; it keeps what it opened, knows what it
 * has done, and proceeds when it may.
 */
import { byPaceCause, PACE_CAUSES, type PaceCause } from '../core/causes.js';
import type { Clock } from '../core/clock.js';
import type { TimeSpent } from '../core/events.js';
import { PACE_LEVEL_BYTES, PACE_LEVEL_CELLS } from '../core/pace-level.js';

const SIGNAL = 0;
const JOB = 1;
const ATTACHED = 2;
/** How often the job was preempted. */
const PREEMPTIONS = 3;
/** One bit for each of the shared paces that counts. */
const PACES = 4;
const INT32S = 16;
const COUNTERS_AT = INT32S * 4;
/** In bytes and nanoseconds; `busyNs` is the whole time in tasks, with what none of the others counts. */
const OWN_COUNTERS = [
  ...(['readBytes', 'writtenBytes', 'clonedBytes'] as const),
  ...(['readNs', 'readTargetNs', 'hashNs', 'writeNs', 'busyNs'] as const),
] as const;
type Counter = (typeof OWN_COUNTERS)[number] | `${PaceCause}Ns`;
const COUNTERS: readonly Counter[] = [...OWN_COUNTERS, ...PACE_CAUSES.map((cause) => `${cause}Ns` as const)];
const PACE_AT = COUNTERS_AT + COUNTERS.length * 8;
const BYTES = PACE_AT + PACE_LEVEL_BYTES;

const RUN = 0;
const PREEMPTED = 1;
const STOP = 2;
const CLOSED = 3;

let jobs = 0;

/** A job's memory, and the paces that it shares with other jobs, innermost first. */
export interface SharedControl {
  readonly own: SharedArrayBuffer;
  readonly paces: readonly SharedArrayBuffer[];
}

export class ControlBlock {
  readonly shared: SharedControl;
  readonly #ints: Int32Array;
  readonly #counters: BigInt64Array;

  private constructor(shared: SharedControl) {
    const { own } = shared;
    this.shared = shared;
    this.#ints = new Int32Array(own, 0, INT32S);
    this.#counters = new BigInt64Array(own, COUNTERS_AT, COUNTERS.length);
  }

  static create(paces: readonly SharedArrayBuffer[] = []): ControlBlock {
    const block = new ControlBlock({ own: new SharedArrayBuffer(BYTES), paces });
    block.#ints[JOB] = ++jobs;
    block.#ints[PACES] = ~0;
    return block;
  }

  static attach(shared: SharedControl): ControlBlock {
    return new ControlBlock(shared);
  }

  /** The job's own level, then those of the shared ones that count now. */
  get pace(): readonly BigInt64Array[] {
    const { own, paces } = this.shared;
    const counting = Atomics.load(this.#ints, PACES);
    const shared = paces.filter((_, at) => (counting & (1 << at)) !== 0);
    const cells = (memory: SharedArrayBuffer, at: number) => new BigInt64Array(memory, at, PACE_LEVEL_CELLS);
    return [cells(own, PACE_AT), ...shared.map((level) => cells(level, 0))];
  }

  /** Which of the shared paces count, from the next chunk on. */
  countPaces(counts: (at: number) => boolean): void {
    const bits = this.shared.paces.reduce((sum, _, at) => (counts(at) ? sum | (1 << at) : sum), 0);
    Atomics.store(this.#ints, PACES, bits);
  }

  /** Unique in the process: what a worker keeps for a job is found by it. */
  get job(): number {
    return this.#ints[JOB] as number;
  }

  /** For good. */
  get stopped(): boolean {
    return Atomics.load(this.#ints, SIGNAL) >= STOP;
  }

  /** Neither stopped nor preempted. */
  get running(): boolean {
    return Atomics.load(this.#ints, SIGNAL) === RUN;
  }

  get preemptions(): number {
    return Atomics.load(this.#ints, PREEMPTIONS);
  }

  /** Asks every task of the job to end at its next block, for good. */
  stop(): void {
    if (this.#change(RUN, STOP)) return;
    this.#change(PREEMPTED, STOP);
  }

  /** Asks every task of the job to end at its next block; they are done again when it proceeds. */
  preempt(): void {
    if (!this.running) return;
    Atomics.add(this.#ints, PREEMPTIONS, 1);
    this.#change(RUN, PREEMPTED);
  }

  proceed(): void {
    this.#change(PREEMPTED, RUN);
  }

  /** After this nothing may use the job's endpoints any more. */
  closeAll(): void {
    Atomics.store(this.#ints, SIGNAL, CLOSED);
    Atomics.notify(this.#ints, SIGNAL);
  }

  #change(from: number, to: number): boolean {
    if (Atomics.compareExchange(this.#ints, SIGNAL, from, to) !== from) return false;
    Atomics.notify(this.#ints, SIGNAL);
    return true;
  }

  /** Resolves when the job is preempted, stopped or closed: to abort waits on the network. */
  untilHalted(): Promise<void> {
    return this.#until((signal) => signal !== RUN);
  }

  /** Resolves when the job may run, or was stopped. */
  untilRunning(): Promise<void> {
    return this.#until((signal) => signal !== PREEMPTED);
  }

  untilClosed(): Promise<void> {
    return this.#until((signal) => signal === CLOSED);
  }

  async #until(reached: (signal: number) => boolean): Promise<void> {
    for (;;) {
      const signal = Atomics.load(this.#ints, SIGNAL);
      if (reached(signal)) return;
      await Atomics.waitAsync(this.#ints, SIGNAL, signal).value;
    }
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

  add(counter: Counter, amount: bigint): void {
    Atomics.add(this.#counters, COUNTERS.indexOf(counter), amount);
  }

  counter(counter: Counter): number {
    return Number(Atomics.load(this.#counters, COUNTERS.indexOf(counter)));
  }

  /** Where the tasks' time went; what the lanes wait for themselves is added by them. */
  spent(): Pick<TimeSpent, 'sourceReadMs' | 'targetReadMs' | 'hashMs' | 'targetWriteMs' | `${PaceCause}Ms`> {
    const ms = (counter: Counter): number => this.counter(counter) / 1e6;
    return {
      sourceReadMs: ms('readNs'),
      targetReadMs: ms('readTargetNs'),
      hashMs: ms('hashNs'),
      targetWriteMs: ms('writeNs'),
      ...byPaceCause((cause) => ms(`${cause}Ns`)),
    };
  }
}
