/** Work under way on threads of its own, which end with it: what every long call of the public API answers. */
import { createRunner } from '../compose.js';
import { orLate, systemClock } from '../core/clock.js';
import { TransferError } from '../core/errors.js';
import type { TransferEvent } from '../core/events.js';
import type { HttpOptions } from '../core/http-options.js';
import type { ChunkRunner } from '../transfer/chunk-runner.js';
import { wholeNumber } from './options.js';

/** Threads; far more than ever help. */
const WORKERS_MAX = 256;
/** A stop puts on record what is finished, which a slow storage may take half a minute for. */
const GIVE_UP_MS = 45_000;

/** Work under way: its events, its result, and the ways to change it. */
export class Run<Result, Work extends Startable<Result> = Startable<Result>> implements AsyncIterable<TransferEvent> {
  /** Rejects with a {@link TransferError}; what was finished is kept. */
  readonly result: Promise<Result>;
  protected readonly opened: Promise<{ readonly runner: ChunkRunner; readonly work: Work }>;
  /** Absent until the threads have started. */
  protected work: Work | undefined;
  readonly #suspended = new AbortController();
  #stuck = false;

  /** @internal */
  constructor(
    make: (runner: ChunkRunner) => Work | Promise<Work>,
    options: { readonly workers?: number; readonly http?: HttpOptions; readonly signal?: AbortSignal },
  ) {
    const workers = wholeNumber('workers', options.workers, WORKERS_MAX);
    // Each thread has connections of its own: with more threads there would be more than were allowed.
    this.opened = createRunner(workers, options.http?.connections).then(async (runner) => ({
      runner,
      work: await make(runner),
    }));
    this.result = this.#run(options.signal);
    // Whoever reads only the events must not be killed by a rejection that they tell of too.
    this.result.catch(() => undefined);
  }

  async #run(signal: AbortSignal | undefined): Promise<Result> {
    const { runner, work } = await this.opened;
    this.work = work;
    const suspend = (): void => this.#suspend(work);
    signal?.addEventListener('abort', suspend, { once: true });
    if (signal?.aborted) suspend();
    const running = work.run();
    let unfinished: Promise<unknown> | undefined;
    try {
      const ended = await orLate(running, systemClock, GIVE_UP_MS, this.#suspended.signal);
      if (ended !== 'late') return ended;
      work.events.end();
      unfinished = running;
      throw new TransferError('E_STOPPED', 'stopped; a storage does not answer, and what is on record is kept');
    } finally {
      signal?.removeEventListener('abort', suspend);
      unfinished ??= work.leftBehind;
      // The threads stay until the storage answers: then locks and files are let go of, and not before.
      if (unfinished !== undefined) void Promise.allSettled([unfinished]).then(() => runner.close());
      this.#stuck = unfinished !== undefined || !(await runner.close());
    }
  }

  #suspend(work: Work): void {
    this.#suspended.abort();
    work.suspend();
  }

  /** Ends the run within a block's time; what is finished is on record, and `result` rejects with E_STOPPED. */
  async suspend(): Promise<void> {
    this.#suspend((await this.opened).work);
  }

  /** Whether a thread is stuck in a system call, and keeps the process from ending; known once `result` has settled. */
  get stuck(): boolean {
    return this.#stuck;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<TransferEvent> {
    yield* (await this.opened).work.events;
  }
}

interface Startable<Result> {
  readonly events: AsyncIterable<TransferEvent> & { end(): void };
  /** Once `run` has settled: what a storage that does not answer keeps from ending; never rejects. */
  readonly leftBehind?: Promise<unknown> | undefined;
  run(): Promise<Result>;
  suspend(): void;
}
