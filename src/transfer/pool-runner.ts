/**
 * Runs work on threads of piscina. Tasks are never aborted by the pool, which would kill the thread: the control block
 * stops them.
 */
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Piscina } from 'piscina';
import { systemClock } from '../core/clock.js';
import { type ChunkRunner, rebuild } from './chunk-runner.js';
import type { Work, WorkName } from './requests.js';

/** How long a thread that is stuck in a system call is waited for. */
const STUCK_MS = 2000;
const TASKS_PER_WORKER = 8;

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

export class PoolRunner implements ChunkRunner {
  readonly workers: number;
  readonly #chunks: Piscina;
  /**
   * One thread more, started by the first flush: a flush takes seconds, and no chunk may wait behind it, nor it behind
   * one.
   */
  #flushes: Piscina | undefined;
  #running = 0;

  constructor(workers = defaultWorkers()) {
    this.workers = workers;
    this.#chunks = threads(workers);
  }

  async run<N extends WorkName>(name: N, request: Work[N]['in']): Promise<Work[N]['out']> {
    this.#running++;
    try {
      const answer = await this.#poolFor(name, request).run({ name, request });
      if ('error' in answer) throw rebuild(answer.error);
      return answer.value;
    } finally {
      this.#running--;
    }
  }

  #poolFor(name: WorkName, request: object): Piscina {
    if (name !== 'checkpoint' || !('sync' in request && request.sync)) return this.#chunks;
    this.#flushes ??= threads(1);
    return this.#flushes;
  }

  async close(): Promise<boolean> {
    const ended = new AbortController();
    const timeout = systemClock.sleep(this.#running > 0 ? STUCK_MS : STUCK_MS * 5, ended.signal).then(() => false);
    const destroyed = Promise.all([this.#chunks.destroy(), this.#flushes?.destroy()]).then(() => true);
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

function threads(count: number): Piscina {
  return new Piscina({
    filename: workerFile(),
    execArgv: LOAD_BY_IMPORT,
    minThreads: count,
    maxThreads: count,
    // Only network chunks overlap on a thread; lanes, and not the pool, decide how many.
    concurrentTasksPerWorker: TASKS_PER_WORKER,
    // The default would block an idle thread's event loop, and with it timers and connections.
    atomics: 'disabled',
    // Descriptors belong to the process: one thread opens what another uses and a third closes.
    trackUnmanagedFds: false,
    recordTiming: false,
  });
}
