/**
 * The settings that the measurements speak for: the smallest ones that are as good as the best, since threads and
 * memory that gain nothing are taken from the neighbours. Nothing but the report goes in.
 */
import { CHUNK_BYTES_DEFAULT } from '../core/chunk.js';
import { TiB } from '../core/units.js';
import type { CopySettings } from './plan.js';
import { type Advice, type CopyMeasurement, isMeasured, type Measurement, type MeasurementResult } from './report.js';

/** Rates nearer to the best than this are as good as the best, however steady the runs were. */
const NOISE_MIN = 0.03;
/** Beyond it nothing could be told apart. */
const NOISE_MAX = 0.3;

interface Rated {
  readonly bytesPerSecond: number;
}

/** How far the runs of the same copy lie apart, as a share, on average over all that ran more than once. */
export function noiseOf(copies: readonly Pick<CopyMeasurement, 'runs'>[]): number {
  const repeated = copies.filter(({ runs }) => runs.length > 1);
  const apart = repeated.map(({ runs }) => 1 - Math.min(...runs) / Math.max(...runs));
  const average = apart.reduce((sum, share) => sum + share, 0) / Math.max(1, apart.length);
  return Math.min(NOISE_MAX, Math.max(NOISE_MIN, average));
}

/** Those that are as good as the best, in the order given. */
function asGoodAsBest<T extends Rated>(rated: readonly T[], noise: number): readonly T[] {
  const best = Math.max(0, ...rated.map(({ bytesPerSecond }) => bytesPerSecond));
  return rated.filter(({ bytesPerSecond }) => bytesPerSecond >= best * (1 - noise));
}

/** The fewest workers, then the fewest lanes, then the chunk nearest to the default. */
export function smallestOfBest<T extends CopySettings & Rated>(copies: readonly T[], noise: number): T | undefined {
  const apart = ({ chunkBytes }: CopySettings): number => Math.abs(Math.log2(chunkBytes / CHUNK_BYTES_DEFAULT));
  return [...asGoodAsBest(copies, noise)].sort(
    (a, b) => a.workers - b.workers || a.lanes - b.lanes || apart(a) - apart(b),
  )[0];
}

export function adviceOf(results: readonly MeasurementResult[], copies: readonly CopyMeasurement[]): Advice {
  const measured = results.filter(isMeasured);
  const noise = noiseOf(copies);
  const best = smallestOfBest(copies, noise);
  if (best) {
    const { workers, lanes, chunkBytes, bytesPerSecond } = best;
    return {
      settings: { workers, lanes, chunkBytes },
      basis: 'copies',
      noise,
      ...limitOf(measured, workers),
      ...at(bytesPerSecond),
    };
  }
  const settings = settingsFromParts(measured);
  const limited = limitOf(measured, settings?.workers ?? 1);
  return {
    basis: 'parts',
    noise,
    ...(settings && { settings }),
    ...limited,
    ...(limited.limit && at(limited.limit.bytesPerSecond)),
  };
}

function at(bytesPerSecond: number): Pick<Advice, 'bytesPerSecond' | 'msPerTiB'> {
  return { bytesPerSecond, msPerTiB: (TiB / bytesPerSecond) * 1000 };
}

/** As a copy reads and writes: sources through the page cache or chunk by chunk, targets down to the storage. */
function readsOf(measured: readonly Measurement[]): readonly Measurement[] {
  const reads = measured.filter(({ pattern }) => {
    return pattern.kind === 'fetch'
      ? pattern.order === 'sequential'
      : pattern.kind === 'read' && pattern.access === 'cold';
  });
  if (reads.length > 0) return reads;
  return measured.filter(({ pattern }) => pattern.kind === 'read' && pattern.order === 'sequential');
}

function writesOf(measured: readonly Measurement[]): readonly Measurement[] {
  return measured.filter(({ pattern }) => pattern.kind === 'write' && pattern.flush !== 'each');
}

function bestRate(measured: readonly Measurement[]): number | undefined {
  return measured.length === 0 ? undefined : Math.max(...measured.map(({ bytesPerSecond }) => bytesPerSecond));
}

/** Of xxh64, which copies use unless they are told otherwise. */
function hashRate(measured: readonly Measurement[], workers: number): number | undefined {
  const hashes = measured.filter(({ pattern }) => pattern.kind === 'hash' && pattern.algorithm === 'xxh64');
  const one = bestRate(hashes.filter(({ threads }) => threads === 1));
  const all = bestRate(hashes);
  return one === undefined || all === undefined ? undefined : Math.min(one * workers, all);
}

function limitOf(measured: readonly Measurement[], workers: number): Pick<Advice, 'limit'> {
  const parts = [
    { by: 'source', bytesPerSecond: bestRate(readsOf(measured)) },
    { by: 'hash', bytesPerSecond: hashRate(measured, workers) },
    { by: 'target', bytesPerSecond: bestRate(writesOf(measured)) },
  ] as const;
  // A hash alone is no limit of a storage.
  if (parts[0].bytesPerSecond === undefined && parts[2].bytesPerSecond === undefined) return {};
  const known = parts.flatMap(({ by, bytesPerSecond }) =>
    bytesPerSecond === undefined ? [] : [{ by, bytesPerSecond }],
  );
  const limit = known.reduce((least, part) => (part.bytesPerSecond < least.bytesPerSecond ? part : least));
  return { limit };
}

/** Without copies: as many workers as reading, writing and hashing want each, and what they want under way. */
function settingsFromParts(measured: readonly Measurement[]): CopySettings | undefined {
  const reads = readsOf(measured);
  const read = fewest(reads);
  const write = fewest(
    writesOf(measured).filter(({ pattern }) => pattern.kind === 'write' && pattern.access === 'direct'),
  );
  const storage = Math.min(read?.bytesPerSecond ?? Infinity, write?.bytesPerSecond ?? Infinity);
  if (read === undefined || storage === Infinity) return undefined;
  const cores = Math.max(...measured.map(({ pattern, threads }) => (pattern.kind === 'hash' ? threads : 1)));
  const hashing = Math.min(cores, Math.ceil(storage / (hashRate(measured, 1) ?? Infinity)));
  const workers = Math.max(read.threads, write?.threads ?? 1, hashing, 1);
  const lanes = read.pattern.kind === 'fetch' ? read.threads * read.pattern.lanes : 2 * workers;
  const chunkBytes = read.pattern.kind === 'fetch' ? read.pattern.blockBytes : CHUNK_BYTES_DEFAULT;
  return { workers, lanes: Math.max(lanes, workers), chunkBytes };
}

/** The smallest of those that are as good as the best: fewest threads, then fewest lanes, then the usual chunk. */
function fewest(measured: readonly Measurement[]): Measurement | undefined {
  const settings = measured.map((measurement) => {
    const { pattern, threads, bytesPerSecond } = measurement;
    const lanes = pattern.kind === 'fetch' ? pattern.lanes * threads : threads;
    const chunkBytes = pattern.kind === 'fetch' ? pattern.blockBytes : CHUNK_BYTES_DEFAULT;
    return { workers: threads, lanes, chunkBytes, bytesPerSecond, measurement };
  });
  return smallestOfBest(settings, NOISE_MIN)?.measurement;
}
