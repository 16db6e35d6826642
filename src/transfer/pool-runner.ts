/**
 * Runs work on threads of piscina. Tasks are never aborted by the pool, which would kill the thread: the control block
 * stops them.
 */
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import type * as PiscinaModule from 'piscina';
import { systemClock } from '../core/clock.js';
import { TransferError } from '../core/errors.js';
import { type ChunkRunner, rebuild } from './chunk-runner.js';
import type { Work, WorkName } from './requests.js';

/** Required, since it is CommonJS inside, and the first thread waits for it: an import takes longer. */
const { Piscina } = createRequire(import.meta.url)('piscina') as typeof PiscinaModule;
/** How long a thread that is stuck in a system call is waited for. */
const STUCK_MS = 2000;
const TASKS_PER_WORKER = 8;
/**
 * Buffers of packets lie outside the heap and go when what refers to them is cleared: with more room for the young they
 * pile up until all of the heap is gone through, which takes SFTP a third more of the processor.
 */
const YOUNG_MIB = 3;

/** Node 20 cannot load a worker written in TypeScript, so the built one is used even when this file runs as source. */
function workerFile(): string {
  const built = import.meta.url.endsWith('.ts')
    ? '../../dist/workers/chunk-worker.js'
    : '../../workers/chunk-worker.js';
  return fileURLToPath(new URL(built, import.meta.url));
}

export function defaultWorkers(): number {
  return Math.max(1, Math.min(4, availableParallelism()));
}

/** A pool of one thread: so the runner, and not a queue, decides which thread gets what. */
interface Thread {
  readonly pool: PiscinaModule.Piscina;
  running: number;
}

export class PoolRunner implements ChunkRunner {
  readonly workers: number;
  /** Started one by one, when those that there are have work: a small copy needs a single one. */
  readonly #threads: Thread[];
  /**
   * One more for flushes while all are busy: they take seconds, and neither they nor chunks may wait for each other.
   */
  #flusher: Thread | undefined;
  #closing = false;

  constructor(workers = defaultWorkers()) {
    this.workers = workers;
    this.#threads = [newThread(workers)];
  }

  async run<N extends WorkName>(name: N, request: Work[N]['in']): Promise<Work[N]['out']> {
    const thread = this.#threadFor(name, request);
    thread.running++;
    try {
      const answer = await thread.pool.run({ name, request });
      if ('error' in answer) throw rebuild(answer.error);
      return answer.value;
    } catch (thrown) {
      if (!this.#closing) throw thrown;
      throw new TransferError('E_STOPPED', 'a thread that the storage does not answer was left behind', {
        cause: thrown,
      });
    } finally {
      thread.running--;
    }
  }

  startAll(): void {
    while (this.#threads.length < this.workers) this.#threads.push(newThread(this.workers));
  }

  #threadFor(name: WorkName, request: object): Thread {
    const idlest = this.#threads.reduce((least, thread) => (thread.running < least.running ? thread : least));
    if (idlest.running === 0) return idlest;
    if (name === 'flush-target' || (name === 'checkpoint' && 'sync' in request && request.sync)) {
      this.#flusher ??= newThread(this.workers);
      return this.#flusher;
    }
    if (this.#threads.length === this.workers) return idlest;
    const started = newThread(this.workers);
    this.#threads.push(started);
    return started;
  }

  async close(): Promise<boolean> {
    this.#closing = true;
    const all = this.#flusher ? [...this.#threads, this.#flusher] : this.#threads;
    const stuck = all.some((thread) => thread.running > 0);
    const ended = new AbortController();
    const timeout = systemClock.sleep(stuck ? STUCK_MS : STUCK_MS * 5, ended.signal).then(() => false);
    const destroyed = Promise.all(all.map((thread) => thread.pool.destroy())).then(() => true);
    return Promise.race([destroyed, timeout]).finally(() => ended.abort());
  }
}

/**
 * Piscina tries require() on the worker file first, and Node 20 aborts the whole process when a thread is ended while
 * it loads an ES module that way: a copy that fails at once would. With this flag it loads by import(), which may be
 * cut short.
 */
const LOAD_BY_IMPORT = ['--no-experimental-require-module'].filter((flag) =>
  process.allowedNodeEnvironmentFlags.has(flag),
);

/** One of so many, which is what it is told. */
function newThread(workers: number): Thread {
  const pool = new Piscina({
    filename: workerFile(),
    execArgv: LOAD_BY_IMPORT,
    argv: [String(workers)],
    minThreads: 1,
    maxThreads: 1,
    // Only network chunks overlap on a thread; lanes, and not the pool, decide how many.
    concurrentTasksPerWorker: TASKS_PER_WORKER,
    // The default would block an idle thread's event loop, and with it timers and connections.
    atomics: 'disabled',
    // Descriptors belong to the process: one thread opens what another uses and a third closes.
    trackUnmanagedFds: false,
    recordTiming: false,
    // What a thread allocates is short-lived: the default lets it pile up to three times as much before it is cleared.
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MIB },
  });
  return { pool, running: 0 };
}
