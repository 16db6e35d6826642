/** `benchmark()`: what storage can do. */
import type { Benchmark } from '../benchmark/benchmark.js';
import { createRunner } from '../compose.js';
import { systemClock } from '../core/clock.js';
import { locationOf, wholeNumber } from './options.js';

/** What to measure. */
export interface BenchmarkOptions {
  /** A folder, in which a scratch file is made, or a file, a device or a URL, which is only read. */
  readonly source: string;
  /** A folder, which is written. Without it a source that is a folder is written too. */
  readonly target?: string;
  /** How long each step is measured. Default 1. */
  readonly seconds?: number;
  /** Bytes that are written in all, at most. Default 1 GiB. */
  readonly sizeBytes?: number;
}

/** Measures storage paths: `prepare()` says what it would write, `run()` measures, `close()` cleans up. */
export async function benchmark(options: BenchmarkOptions): Promise<Benchmark> {
  const { Benchmark, SIZE_BYTES_DEFAULT } = await import('../benchmark/benchmark.js');
  const request = {
    source: locationOf('source', options.source),
    ...(options.target !== undefined && { target: locationOf('target', options.target) }),
    seconds: options.seconds ?? 1,
    sizeBytes: wholeNumber('sizeBytes', options.sizeBytes) ?? SIZE_BYTES_DEFAULT,
  };
  return new Benchmark(request, { createRunner, clock: systemClock, random: Math.random });
}
