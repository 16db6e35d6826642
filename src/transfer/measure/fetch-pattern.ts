/** Reads any source as the engine does, chunk by chunk, several under way at once on this thread. */
import type { Clock } from '../../core/clock.js';
import type { Source } from '../../core/endpoint.js';
import { KiB } from '../../core/units.js';
import type { FetchTask, Measured } from './tasks.js';
import { Latencies } from './timed.js';

const BLOCK_BYTES = 256 * KiB;
/** Long enough for connections to be made. */
const WARM_SHARE = 0.3;

export interface FetchParts {
  readonly clock: Clock;
  /** Aborts when the benchmark is stopped. */
  readonly signal: AbortSignal;
}

/** @throws TransferError what the source throws before the time is over */
export async function measureFetch(task: FetchTask, source: Source, parts: FetchParts): Promise<Measured> {
  const { clock } = parts;
  const run = new FetchRun(task, source, parts);
  const lanes = Array.from({ length: task.pattern.lanes }, () => run.lane());
  // A lane that fails ends the others too.
  const failed = Promise.all(lanes).catch((thrown: unknown) => {
    run.end();
    throw thrown;
  });
  const timing = (async () => {
    await clock.sleep(task.seconds * WARM_SHARE * 1000, run.signal);
    const [startNs, cpu] = [run.begin(), process.cpuUsage()];
    await clock.sleep(task.seconds * 1000, run.signal);
    const used = process.cpuUsage(cpu);
    const endNs = clock.nowNs();
    run.end();
    return { startNs, endNs, cpuMs: (used.user + used.system) / 1000 };
  })();
  const [times] = await Promise.all([timing, failed]);
  return { ...times, bytes: run.bytes, latenciesNs: run.latencies.taken() };
}

class FetchRun {
  bytes = 0;
  readonly latencies = new Latencies();
  readonly signal: AbortSignal;
  readonly #task: FetchTask;
  readonly #source: Source;
  readonly #parts: FetchParts;
  readonly #ended = new AbortController();
  #counting = false;
  #chunk = 0;

  constructor(task: FetchTask, source: Source, parts: FetchParts) {
    this.#task = task;
    this.#source = source;
    this.#parts = parts;
    this.signal = AbortSignal.any([parts.signal, this.#ended.signal]);
  }

  /** What comes from now on counts. */
  begin(): bigint {
    this.#counting = true;
    return this.#parts.clock.nowNs();
  }

  end(): void {
    this.#counting = false;
    this.#ended.abort();
  }

  async lane(): Promise<void> {
    const buffer = new Uint8Array(Math.min(BLOCK_BYTES, this.#task.pattern.blockBytes));
    try {
      while (!this.signal.aborted) await this.#chunkOf(buffer);
    } catch (thrown) {
      // The end of the time cuts requests short; that is no failure of the source.
      if (!this.#ended.signal.aborted) throw thrown;
    }
    this.#parts.signal.throwIfAborted();
  }

  async #chunkOf(buffer: Uint8Array): Promise<void> {
    const { clock } = this.#parts;
    const random = this.#task.pattern.order === 'random';
    const range = this.#next();
    const startNs = clock.nowNs();
    const reader = this.#source.openChunk(range, this.signal);
    try {
      for (let rest = range.length; rest > 0 && !this.signal.aborted; ) {
        const got = await reader.next(rest < buffer.length ? buffer.subarray(0, rest) : buffer);
        if (this.#counting) this.bytes += got;
        const first = rest === range.length;
        rest -= got;
        if (this.#counting && (random ? rest === 0 : first)) this.latencies.add(Number(clock.nowNs() - startNs));
      }
    } finally {
      reader.close();
    }
  }

  #next(): { readonly offset: number; readonly length: number } {
    const { pattern, range } = this.#task;
    const chunks = Math.ceil(range.length / pattern.blockBytes);
    const chunk = pattern.order === 'random' ? Math.floor(Math.random() * chunks) : this.#chunk++ % chunks;
    const offset = range.offset + chunk * pattern.blockBytes;
    return { offset, length: Math.min(pattern.blockBytes, range.offset + range.length - offset) };
  }
}
