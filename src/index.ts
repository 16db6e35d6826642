/**
 * The public API: `copy` moves one file between any two locations and proves it, `verify` compares two, `status` tells
 * what a partial copy holds. Each runs on threads of its own, which end with it.
 */
import type { Benchmark } from './benchmark/benchmark.js';
import { createRunner } from './compose.js';
import { systemClock } from './core/clock.js';
import { type Algorithm, DIGEST_BYTES } from './core/digest.js';
import type { Location } from './core/endpoint.js';
import { TransferError } from './core/errors.js';
import type { TransferEvent } from './core/events.js';
import { parseLocation } from './endpoint/location.js';
import type { ChunkRunner } from './transfer/chunk-runner.js';
import { type PartialStatus, partialStatus } from './transfer/partial-status.js';
import { Transfer, type TransferResult } from './transfer/transfer.js';
import { Verification, type VerifyResult } from './transfer/verify.js';

export type { Benchmark } from './benchmark/benchmark.js';
export type { BenchmarkReport } from './benchmark/report.js';
export type { ByteRange } from './core/chunk.js';
export type { Algorithm } from './core/digest.js';
export { type ErrorCode, type ErrorJson, TransferError } from './core/errors.js';
export type * from './core/events.js';
export type { PartialStatus } from './transfer/partial-status.js';
export type { TransferResult } from './transfer/transfer.js';
export type { VerifyResult } from './transfer/verify.js';

/** Threads; far more than ever help. */
const WORKERS_MAX = 256;

export interface CopyOptions {
  /** A path or a URL. */
  readonly source: string;
  /** A path; when it is a folder, the file keeps its name inside it. */
  readonly target: string;
  /** Bytes per second, an upper bound; absent or 0: as fast as it goes. */
  readonly limitBytesPerSecond?: number;
  /**
   * Bytes of a chunk, for a new copy; a partial keeps the one that it began with. Default 8 MiB, less at low limits.
   */
  readonly chunkBytes?: number;
  /** Threads that copy. Default: one for each core, up to 4. */
  readonly workers?: number;
  /** Chunks under way at the same time. Default: as many as suit the ends. */
  readonly lanes?: number;
  /** Hash of the chunks. Default xxh64, which detects accidents and not attackers. */
  readonly algorithm?: Algorithm;
  /** Read the target past the cache before it gets its name, and repair what differs. */
  readonly readBack?: boolean;
  /** Replace an existing target, once the new copy is whole and proven. */
  readonly overwrite?: boolean;
  /** Throw a partial copy away and start afresh. */
  readonly discard?: boolean;
  /** False: skip the flushes; a killed process still loses nothing, a power cut may. Default true. */
  readonly sync?: boolean;
  /** Aborting suspends the copy. */
  readonly signal?: AbortSignal;
}

/** Work under way: its events, its result, and the ways to change it. */
export class Run<Result, Work extends Startable<Result> = Startable<Result>> implements AsyncIterable<TransferEvent> {
  /** Rejects with a {@link TransferError}; what was finished is kept. */
  readonly result: Promise<Result>;
  protected readonly opened: Promise<{ readonly runner: ChunkRunner; readonly work: Work }>;
  #stuck = false;

  constructor(
    make: (runner: ChunkRunner) => Work,
    options: { readonly workers?: number; readonly signal?: AbortSignal },
  ) {
    const workers = wholeNumber('workers', options.workers, WORKERS_MAX);
    this.opened = createRunner(workers).then((runner) => ({ runner, work: make(runner) }));
    this.result = this.#run(options.signal);
    // Whoever reads only the events must not be killed by a rejection that they tell of too.
    this.result.catch(() => undefined);
  }

  async #run(signal: AbortSignal | undefined): Promise<Result> {
    const { runner, work } = await this.opened;
    const suspend = (): void => work.suspend();
    signal?.addEventListener('abort', suspend, { once: true });
    if (signal?.aborted) suspend();
    try {
      return await work.run();
    } finally {
      signal?.removeEventListener('abort', suspend);
      this.#stuck = !(await runner.close());
    }
  }

  /** Ends the run within a block's time; what is finished is on record, and `result` rejects with E_STOPPED. */
  async suspend(): Promise<void> {
    (await this.opened).work.suspend();
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
  readonly events: AsyncIterable<TransferEvent>;
  run(): Promise<Result>;
  suspend(): void;
}

export class CopyRun extends Run<TransferResult, Transfer> {
  /** Bytes per second from the next block on; 0 lifts the limit. */
  async setLimit(bytesPerSecond: number): Promise<void> {
    const rate = rateOf(bytesPerSecond);
    (await this.opened).work.setRate(rate);
  }
}

/** Copies one file, or goes on with the partial copy of an earlier run. */
export function copy(options: CopyOptions): CopyRun {
  const request = {
    source: locationOf('source', options.source),
    target: locationOf('target', options.target),
    algorithm: algorithmOf(options.algorithm),
    chunkBytes: wholeNumber('chunkBytes', options.chunkBytes),
    lanes: wholeNumber('lanes', options.lanes),
    rateBytesPerSecond: rateOf(options.limitBytesPerSecond),
    overwrite: options.overwrite ?? false,
    discard: options.discard ?? false,
    sync: options.sync ?? true,
    readBack: options.readBack ?? false,
  } as const;
  return new CopyRun((runner) => new Transfer(request, { runner, clock: systemClock, random: Math.random }), options);
}

export interface VerifyOptions {
  /** What is to be proven. */
  readonly target: string;
  /** What it is compared with. */
  readonly source: string;
  readonly workers?: number;
  readonly signal?: AbortSignal;
}

/** Compares two locations byte by byte. That they differ is an answer and no error. */
export function verify(options: VerifyOptions): Run<VerifyResult> {
  const request = {
    one: parseLocation(options.target),
    other: parseLocation(options.source),
    algorithm: 'xxh64',
  } as const;
  const parts = { clock: systemClock, random: Math.random };
  return new Run((runner) => new Verification(request, { ...parts, runner }), options);
}

/** What is known of a target and of its partial copy. @throws TransferError */
export async function status(target: string): Promise<PartialStatus> {
  const runner = await createRunner(1);
  try {
    return await partialStatus(locationOf('target', target), runner);
  } finally {
    await runner.close();
  }
}

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

/**
 * Measures what two storage paths can do: `prepare()` says what it would write, `run()` measures, and `close()`, always
 * to be called, cleans up.
 */
export async function benchmark(options: BenchmarkOptions): Promise<Benchmark> {
  const { Benchmark, SIZE_BYTES_DEFAULT } = await import('./benchmark/benchmark.js');
  const request = {
    source: locationOf('source', options.source),
    ...(options.target !== undefined && { target: locationOf('target', options.target) }),
    seconds: options.seconds ?? 1,
    sizeBytes: wholeNumber('sizeBytes', options.sizeBytes) ?? SIZE_BYTES_DEFAULT,
  };
  return new Benchmark(request, { createRunner, clock: systemClock, random: Math.random });
}

function wholeNumber(name: string, value: number | undefined, max = Number.MAX_SAFE_INTEGER): number | undefined {
  if (value === undefined || (Number.isSafeInteger(value) && value > 0 && value <= max)) return value;
  const most = max === Number.MAX_SAFE_INTEGER ? '' : ` up to ${max}`;
  throw new TransferError('E_USAGE', `${name} is ${value}; a positive whole number${most} was expected`);
}

/** Callers without types exist. */
function locationOf(name: string, text: unknown): Location {
  if (typeof text === 'string') return parseLocation(text);
  throw new TransferError('E_USAGE', `${name} is ${typeof text}; a path or a URL was expected`);
}

/** Whole bytes per second, 0 for no limit: what is less than one byte must not become no limit at all. */
function rateOf(value = 0): number {
  if (value === 0 || (value >= 1 && value <= Number.MAX_SAFE_INTEGER)) return Math.floor(value);
  throw new TransferError('E_USAGE', `the limit is ${value}; bytes per second were expected, or 0 for no limit`);
}

function algorithmOf(value: Algorithm = 'xxh64'): Algorithm {
  if (Object.hasOwn(DIGEST_BYTES, value)) return value;
  throw new TransferError('E_USAGE', `the algorithm is ${value}; one of ${Object.keys(DIGEST_BYTES)} was expected`);
}
