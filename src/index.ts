/**
 * The public API: `copy` moves one file between any two locations and proves it, `verify` compares two, or one with a
 * manifest, `verifyTree` does so with folders, `status` tells what a partial copy holds. Each runs on threads of its
 * own, which end with it. What a plain copy does not need is loaded when it is asked for.
 */
import { basename, join, resolve } from 'node:path';
import type { Benchmark } from './benchmark/benchmark.js';
import { createRunner } from './compose.js';
import { systemClock } from './core/clock.js';
import { type Algorithm, DIGEST_BYTES } from './core/digest.js';
import type { Location } from './core/endpoint.js';
import { TransferError } from './core/errors.js';
import type { TransferEvent } from './core/events.js';
import type { PlannedFile } from './core/tree.js';
import { parseLocation } from './endpoint/location.js';
import type { ChecksumRequest } from './transfer/checksum.js';
import type { ChunkMapView } from './transfer/chunk-map.js';
import type { ChunkRunner } from './transfer/chunk-runner.js';
import { type PartialStatus, partialStatus } from './transfer/partial-status.js';
import { Transfer, type TransferResult } from './transfer/transfer.js';
import type { VerifyResult } from './transfer/verify.js';
import type { TreeCopy, TreeResult } from './tree/tree-copy.js';
import type { TreeVerifyResult } from './tree/verify-report.js';

export type { Benchmark } from './benchmark/benchmark.js';
export type { BenchmarkReport } from './benchmark/report.js';
export type { ByteRange } from './core/chunk.js';
export type { Algorithm } from './core/digest.js';
export { type ErrorCode, type ErrorJson, TransferError } from './core/errors.js';
export type * from './core/events.js';

export type { FileFailure, PlannedFile } from './core/tree.js';
export type { Checksum, ChecksumRequest } from './transfer/checksum.js';
export type { ChunkMapView, ChunkState } from './transfer/chunk-map.js';
export type { PartialStatus } from './transfer/partial-status.js';
export type { TransferResult } from './transfer/transfer.js';
export type { VerifyResult } from './transfer/verify.js';
export type { TreeResult } from './tree/tree-copy.js';
export type { ListedProblem, TreeVerifyResult } from './tree/verify-report.js';

/** Threads; far more than ever help. */
const WORKERS_MAX = 256;

export type Reflink = 'auto' | 'always' | 'never';

/** What to copy, and how; both ends are enough. */
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
  /**
   * Path of a manifest to be written: digests of all chunks, for `verify` and for anybody else (docs/manifest.md). Only
   * an older manifest is replaced.
   */
  readonly manifest?: string;
  /** Read the target past the cache before it gets its name, and repair what differs. */
  readonly readBack?: boolean;
  /**
   * Keep mode, times, extended attributes (access control lists too) and, as root, the owner; they win over those of a
   * target that is replaced. What cannot be kept is told as a note. Of an http(s) source only its time is known.
   */
  readonly preserve?: boolean;
  /**
   * Share the blocks of the source instead of writing them: `auto` (the default) where the file system can, `always` or
   * fail, `never`. What is shared is read back from the target and hashed.
   */
  readonly reflink?: Reflink;
  /**
   * Read the finished copy once more, in order, for its SHA-256, before it gets its name. With `expected`, 64 hex
   * digits, another value is E_INTEGRITY: the target gets no name, and the partial copy is kept.
   */
  readonly checksum?: ChecksumRequest;
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
  /** Absent until the threads have started. */
  protected work: Work | undefined;
  #stuck = false;

  /** @internal */
  constructor(
    make: (runner: ChunkRunner) => Work | Promise<Work>,
    options: { readonly workers?: number; readonly signal?: AbortSignal },
  ) {
    const workers = wholeNumber('workers', options.workers, WORKERS_MAX);
    this.opened = createRunner(workers).then(async (runner) => ({ runner, work: await make(runner) }));
    this.result = this.#run(options.signal);
    // Whoever reads only the events must not be killed by a rejection that they tell of too.
    this.result.catch(() => undefined);
  }

  async #run(signal: AbortSignal | undefined): Promise<Result> {
    const { runner, work } = await this.opened;
    this.work = work;
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

/** A copy under way. */
export class CopyRun extends Run<TransferResult, Transfer> {
  /** Bytes per second from the next block on; 0 lifts the limit. */
  async setLimit(bytesPerSecond: number): Promise<void> {
    const rate = rateOf(bytesPerSecond);
    (await this.opened).work.setRate(rate);
  }

  /**
   * What has become of the chunks, in at most `cells` cells, to be drawn; undefined until both ends are known. It costs
   * a pass over a byte for each chunk, a millisecond or two for 5 TiB: a few times a second are nothing.
   */
  chunkMap(cells: number): ChunkMapView | undefined {
    return this.work?.chunkMap(cells);
  }
}

/** Copies one file, or goes on with the partial copy of an earlier run. */
export function copy(options: CopyOptions): CopyRun {
  const request = {
    ...requestOf(options),
    source: locationOf('source', options.source),
    target: locationOf('target', options.target),
    checksum: checksumRequest(options.checksum),
    manifest: manifestOf(options),
  };
  return new CopyRun((runner) => new Transfer(request, { runner, clock: systemClock, random: Math.random }), options);
}

/** As for a single file, where it says nothing else. */
export interface CopyTreeOptions extends Omit<CopyOptions, 'source' | 'target'> {
  /** Paths; of a folder that ends with `/` only what is in it is meant. */
  readonly sources: readonly string[];
  /** A folder; made when it is missing. */
  readonly target: string;
  /** Folders too, with all that is in them. Default false: a folder among the sources is refused. */
  readonly recursive?: boolean;
  /** Modes, times, extended attributes and, as root, owners are kept. */
  readonly preserve?: boolean;
  /** Copy only what matches; a pattern without a slash is a name, one with a slash a path below the source. */
  readonly include?: readonly string[];
  /** Leave out what matches. */
  readonly exclude?: readonly string[];
  /** Look and tell, and change nothing. */
  readonly dryRun?: boolean;
  /** Called with what a dry run finds, in the order in which it finds it. */
  readonly onPlanned?: (files: readonly PlannedFile[]) => void;
}

export class CopyTreeRun extends Run<TreeResult, TreeCopy> {
  /** Bytes per second from the next block on; 0 lifts the limit. */
  async setLimit(bytesPerSecond: number): Promise<void> {
    const rate = rateOf(bytesPerSecond);
    (await this.opened).work.setRate(rate);
  }
}

/**
 * Copies several files, or folders with all that is in them, into a folder; finished files are known by a journal, so
 * that the same call goes on where it stopped. The troubles of single files are in the result and end nothing.
 */
export function copyTree(options: CopyTreeOptions): CopyTreeRun {
  const { recursive = false, preserve = false, include = [], exclude = [], dryRun = false, onPlanned } = options;
  const request = {
    ...requestOf(options),
    ...{ recursive, preserve, include, exclude, dryRun },
    sources: options.sources.map((source) => locationOf('a source', source)),
    target: locationOf('target', options.target),
    manifest: options.manifest,
  };
  const parts = { clock: systemClock, random: Math.random, ...(onPlanned && { onPlanned }) };
  return new CopyTreeRun(async (runner) => {
    const { TreeCopy } = await import('./tree/tree-copy.js');
    return new TreeCopy(request, { ...parts, runner });
  }, options);
}

/** What to compare. */
export interface VerifyOptions {
  /** What is to be proven. */
  readonly target: string;
  /** What it is compared with, byte by byte; or: */
  readonly source?: string;
  /** Path of a manifest, with whose digests it is compared. */
  readonly manifest?: string;
  readonly workers?: number;
  readonly signal?: AbortSignal;
}

/**
 * Compares a target with another location or with a manifest that speaks of one file. That they differ is an answer and
 * no error.
 */
export function verify(options: VerifyOptions): Run<VerifyResult> {
  const target = locationOf('target', options.target);
  const against = otherSide(options);
  const parts = { clock: systemClock, random: Math.random };
  if ('manifest' in against) {
    const request = { target, manifest: against.manifest };
    return new Run(async (runner) => {
      const { ManifestVerification } = await import('./transfer/verify-manifest.js');
      return new ManifestVerification(request, { ...parts, runner });
    }, options);
  }
  const request = { one: target, other: locationOf('source', against.source), algorithm: 'xxh64' } as const;
  return new Run(async (runner) => {
    const { Verification } = await import('./transfer/verify.js');
    return new Verification(request, { ...parts, runner });
  }, options);
}

/** Compares the files of a folder with those of another folder, or with a manifest. */
export function verifyTree(options: VerifyOptions): Run<TreeVerifyResult> {
  const against = otherSide(options);
  const other = 'manifest' in against ? against : { source: folderOf('source', against.source) };
  const request = { target: folderOf('target', options.target), ...other };
  const parts = { clock: systemClock, random: Math.random };
  return new Run(async (runner) => {
    const { TreeVerification } = await import('./tree/verify-tree.js');
    return new TreeVerification(request, { ...parts, runner });
  }, options);
}

function otherSide({ source, manifest }: VerifyOptions): { readonly manifest: string } | { readonly source: string } {
  if (manifest !== undefined && source === undefined) return { manifest };
  if (source !== undefined && manifest === undefined) return { source };
  throw new TransferError('E_USAGE', 'verify compares with a source or with a manifest: one of the two was expected');
}

function folderOf(name: string, text: string): string {
  const location = locationOf(name, text);
  if (location.scheme === 'file') return location.text;
  throw new TransferError('E_USAGE', `${location.name} is no folder of this machine`, {
    hint: 'Mount it, or compare its files one by one.',
  });
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

/** What the copy of one file and of many are asked for alike. */
function requestOf(options: Omit<CopyOptions, 'source' | 'target'>) {
  return {
    algorithm: algorithmOf(options.algorithm),
    chunkBytes: wholeNumber('chunkBytes', options.chunkBytes),
    lanes: wholeNumber('lanes', options.lanes),
    rateBytesPerSecond: rateOf(options.limitBytesPerSecond),
    overwrite: options.overwrite ?? false,
    discard: options.discard ?? false,
    sync: options.sync ?? true,
    readBack: options.readBack ?? false,
    preserve: options.preserve ?? false,
    reflink: reflinkOf(options.reflink),
  } as const;
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

/** A path that is neither of the two ends, as far as that can be told before they are looked at. */
function manifestOf({ manifest, source, target }: CopyOptions): string | undefined {
  if (manifest === undefined) return undefined;
  const path = resolve(manifest);
  const ends = [source, target, join(target, basename(source))].map((end) => resolve(end));
  if (manifest !== '' && !ends.includes(path)) return manifest;
  throw new TransferError(
    'E_USAGE',
    `the manifest cannot be ${manifest === '' ? 'nameless' : 'source or target too'}`,
    {
      hint: 'Give it a name of its own. Nothing was changed.',
    },
  );
}

function reflinkOf(value: Reflink = 'auto'): Reflink {
  if (['auto', 'always', 'never'].includes(value)) return value;
  throw new TransferError('E_USAGE', `reflink is ${value}; auto, always or never was expected`);
}

function checksumRequest(value: ChecksumRequest | undefined): ChecksumRequest | undefined {
  if (value === undefined) return undefined;
  const { algorithm, expected } = value;
  const known = algorithm === 'sha256' && (expected === undefined || /^[0-9a-f]{64}$/i.test(expected));
  if (known) return { algorithm, ...(expected !== undefined && { expected: expected.toLowerCase() }) };
  const given = expected === undefined ? algorithm : `${algorithm}:${expected}`;
  throw new TransferError('E_USAGE', `the checksum is ${given}; sha256, or sha256: and 64 hex digits, was expected`);
}
