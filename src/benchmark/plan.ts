/**
 * What a benchmark measures, as data: steps in the order in which they run, and how the bytes that it may write are
 * shared out among them, so that the sum is never exceeded.
 */
import { KiB, MiB } from '../core/units.js';
import type { Pattern, ReadAccess, WritePattern } from '../transfer/measure/tasks.js';

export interface Step {
  readonly end: 'source' | 'target' | 'machine';
  readonly pattern: Pattern;
  readonly threads: number;
  /** Shares of the bytes that may be written; 0: it writes nothing. */
  readonly share: number;
}

export interface CopySettings {
  readonly workers: number;
  readonly lanes: number;
  readonly chunkBytes: number;
}

/** What is measured: a local path, anything else that can be read, a folder that is written. */
export interface Ends {
  readonly source: 'file' | 'scratch' | 'stream';
  /** same: the one scratch file of the source is written too · own: another folder, to which is copied. */
  readonly target: 'none' | 'same' | 'own';
}

const RANDOM_BYTES = 4 * KiB;
/** A block of the engine. */
const ENGINE_BLOCK_BYTES = 256 * KiB;
const CHUNK_BYTES = 8 * MiB;
const LATENCY_SHARE = 0.5;
const BUFFERED_SHARE = 2;
/** The scratch file, and each copy of it. */
const FILE_SHARE = 4;
/** The first copies are made in turn, so often: what differs between the rounds is noise. */
export const COPY_ROUNDS = 2;
/** Three first settings in each round, and two around the best of them. */
export const COPIES = COPY_ROUNDS * 3 + 2;
/** Before each copy a small one, so that its threads have loaded everything. */
export const WARM_COPY_BYTES = 2 * MiB;

export const THREADS_MAX = 8;

export function planSteps(ends: Ends, cores: number): readonly Step[] {
  const reads = ends.source === 'stream' ? fetchSteps() : readSteps(cores);
  const writes = ends.target === 'none' ? [] : writeSteps(cores, ends.target === 'own');
  return [...hashSteps(cores), ...reads, ...writes];
}

function threadCounts(cores: number): readonly number[] {
  return cores >= 4 ? [1, 2, 4, THREADS_MAX] : [1, 2, 4];
}

function hashSteps(cores: number): readonly Step[] {
  const counts = cores > 1 ? [1, Math.min(cores, THREADS_MAX)] : [1];
  return (['xxh64', 'sha256'] as const).flatMap((algorithm) =>
    counts.map((threads): Step => {
      return {
        end: 'machine',
        threads,
        share: 0,
        pattern: { kind: 'hash', algorithm, blockBytes: ENGINE_BLOCK_BYTES },
      };
    }),
  );
}

function readSteps(cores: number): readonly Step[] {
  const read = (access: ReadAccess, blockBytes: number, threads: number): Step => {
    return { end: 'source', threads, share: 0, pattern: { kind: 'read', access, order: 'sequential', blockBytes } };
  };
  const random: Pattern = { kind: 'read', access: 'direct', order: 'random', blockBytes: RANDOM_BYTES };
  return [
    ...[64 * KiB, 256 * KiB, MiB, 4 * MiB].map((blockBytes) => read('direct', blockBytes, 1)),
    ...threadCounts(cores).flatMap((threads) => (threads === 1 ? [] : [read('direct', MiB, threads)])),
    ...threadCounts(cores).map((threads) => read('cold', MiB, threads)),
    read('cached', MiB, 1),
    { end: 'source', threads: 1, share: 0, pattern: random },
  ];
}

function writeSteps(cores: number, alsoCopies: boolean): readonly Step[] {
  const write = (pattern: Omit<WritePattern, 'kind'>, threads: number, share: number): Step => {
    return { end: 'target', threads, share, pattern: { kind: 'write', ...pattern } };
  };
  const direct = (blockBytes: number, threads: number): Step =>
    write({ access: 'direct', flush: 'none', blockBytes }, threads, 1);
  // Copies need most of the bytes: fewer steps are then left with enough to be measured by.
  const blocks = alsoCopies ? [64 * KiB, MiB, 4 * MiB] : [64 * KiB, 256 * KiB, MiB, 4 * MiB];
  const counts = threadCounts(cores).filter((threads) => threads > 1 && !(alsoCopies && threads > 4));
  return [
    // First: direct writes empty the cache, and the next buffered ones would pay for finding its memory again.
    write({ access: 'buffered', flush: 'end', blockBytes: MiB }, 1, BUFFERED_SHARE),
    ...blocks.map((blockBytes) => direct(blockBytes, 1)),
    ...counts.map((threads) => direct(MiB, threads)),
    write({ access: 'buffered', flush: 'each', blockBytes: RANDOM_BYTES }, 1, LATENCY_SHARE),
  ];
}

function fetchSteps(): readonly Step[] {
  const fetch = (lanes: number, threads: number, blockBytes = CHUNK_BYTES): Step => {
    return { end: 'source', threads, share: 0, pattern: { kind: 'fetch', order: 'sequential', lanes, blockBytes } };
  };
  const random: Pattern = { kind: 'fetch', order: 'random', lanes: 1, blockBytes: RANDOM_BYTES };
  return [
    ...[1, 2, 4, 8].map((lanes) => fetch(lanes, 1)),
    fetch(4, 2),
    ...[MiB, 32 * MiB].map((blockBytes) => fetch(4, 1, blockBytes)),
    { end: 'source', threads: 1, share: 0, pattern: random },
  ];
}

/** Copies that are tried first: what they differ in matters most. */
export function firstCopies(perWorker: number): readonly CopySettings[] {
  return [1, 2, 4].map((workers) => ({ workers, lanes: workers * perWorker, chunkBytes: CHUNK_BYTES }));
}

/** Then around the best of those: more under way, and larger chunks. */
export function nextCopies(best: CopySettings): readonly CopySettings[] {
  return [
    { ...best, lanes: best.lanes * 2 },
    { ...best, chunkBytes: best.chunkBytes * 4 },
  ];
}

export interface Budget {
  /** Bytes of a scratch file, and of a copy. */
  readonly fileBytes: number;
  /** Bytes that a step of one share may write. */
  readonly shareBytes: number;
  /** Of all that is written, in each folder. */
  readonly sourceBytes: number;
  readonly targetBytes: number;
}

/** Shares `bytesMax` out: whatever the storage does, no more is written. No file becomes larger than `fileBytesMax`. */
export function budgetOf(ends: Ends, steps: readonly Step[], bytesMax: number, fileBytesMax: number): Budget {
  const written = steps.reduce((sum, { share }) => sum + share, 0);
  const fills = (ends.source === 'scratch' ? 1 : 0) + (ends.target === 'own' ? 1 : 0);
  const copies = ends.target === 'own' ? COPIES : 0;
  const shares = (fills + copies) * FILE_SHARE + written;
  const warmBytes = copies * WARM_COPY_BYTES;
  const shareBytes = shares === 0 ? 0 : Math.floor((bytesMax - warmBytes) / shares / RANDOM_BYTES) * RANDOM_BYTES;
  const fileBytes = Math.floor(Math.min(fileBytesMax, shareBytes * FILE_SHARE) / MiB) * MiB;
  const fill = ends.source === 'scratch' ? fileBytes : 0;
  if (ends.target === 'own') {
    const targetBytes = fileBytes * (1 + copies) + written * shareBytes + warmBytes;
    return { fileBytes, shareBytes, sourceBytes: fill, targetBytes };
  }
  return { fileBytes, shareBytes, sourceBytes: fill + written * shareBytes, targetBytes: 0 };
}
