/** Compares two locations chunk by chunk, on the workers, and tells exactly where they differ. Nothing is written. */
import { type ByteRange, CHUNK_BYTES_DEFAULT, CHUNK_BYTES_MIN, ChunkGrid } from '../core/chunk.js';
import { nowMs } from '../core/clock.js';
import {
  type Algorithm,
  DIGEST_BYTES,
  type DigestOf,
  loadHasher,
  rootDigest,
  sameBytes,
  toHex,
  zeroDigest,
} from '../core/digest.js';
import { type Location, sameIdentity } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import type { ProofLevel } from '../core/events.js';
import { formatBytes, KiB } from '../core/units.js';
import { sparingCache } from './cache-use.js';
import type { ChunkRunner } from './chunk-runner.js';
import type { EventStream } from './event-stream.js';
import { type CompareOutcome, MAP, type SourceInfo } from './requests.js';
import { openSource } from './retry.js';
import type { TransferParts } from './transfer.js';
import { VerifyLanes } from './verify-lanes.js';

export const VERIFY_BLOCK_BYTES = 256 * KiB;
const SECTOR_BYTES = 512;
/** More ranges than this are counted but not listed. */
export const RANGES_MAX = 10_000;

export interface VerifyRequest {
  readonly one: Location;
  readonly other: Location;
  readonly algorithm: Algorithm;
}

export interface VerifyResult {
  readonly same: boolean;
  readonly one: { readonly name: string; readonly size: number };
  readonly other: { readonly name: string; readonly size: number };
  /** Where the bytes differ, in order, merged where they touch; what only one of the two has counts as differing. */
  readonly differing: readonly ByteRange[];
  readonly bytesDiffering: number;
  /** The hash over the chunk digests of `one`, in hex. */
  readonly root: string;
  /** What was compared, and what the root is of: what guests see of two disks, or the files themselves. */
  readonly of: DigestOf;
  readonly algorithm: Algorithm;
  readonly chunkBytes: number;
  /** The other is a manifest, which says how the digests were proven; ranges are then whole chunks. */
  readonly proof?: ProofLevel;
  readonly elapsedMs: number;
}

/** That a file is the same as itself proves nothing, and somebody may remove one of the names next. */
function assertTwo({ name, identity }: SourceInfo, other: SourceInfo): void {
  if (!sameIdentity(identity, other.identity)) return;
  throw new TransferError('E_USAGE', `${name} and ${other.name} are one and the same file`, {
    hint: 'One of the two is a link to the other, or they are two names of it: there is no copy that could be proven.',
  });
}

export class Verification {
  readonly #request: VerifyRequest;
  readonly #parts: TransferParts;
  readonly #lanes: VerifyLanes;

  constructor(request: VerifyRequest, parts: TransferParts) {
    this.#request = request;
    this.#parts = parts;
    this.#lanes = new VerifyLanes(parts);
  }

  get events(): EventStream {
    return this.#lanes.events;
  }

  suspend(): void {
    this.#lanes.suspend();
  }

  /** To be called once. @throws TransferError; that the two differ is an answer and no error */
  async run(): Promise<VerifyResult> {
    const { runner, clock } = this.#parts;
    const startMs = nowMs(clock);
    const opened: SourceInfo[] = [];
    try {
      for (const location of [this.#request.one, this.#request.other]) {
        const end = await openSource(runner, location, this.#lanes.retryRules());
        opened.push({ ...end, ref: sparingCache(end.ref, end.size, this.#parts.memoryBytes) });
      }
      const [one, other] = opened as [SourceInfo, SourceInfo];
      assertTwo(one, other);
      const compared = await this.#compare(one, other);
      for (const end of opened) await runner.run('check-source', { ref: end.ref });
      return await this.#result(one, other, compared, nowMs(clock) - startMs);
    } finally {
      await this.#lanes.end(opened.map(({ ref }) => ref));
    }
  }

  async #compare(one: SourceInfo, other: SourceInfo): Promise<CompareOutcome & { readonly grid: ChunkGrid }> {
    const size = Math.min(one.size, other.size);
    const inOne = one.oneChunk || other.oneChunk;
    const grid = new ChunkGrid(size, inOne ? Math.max(CHUNK_BYTES_MIN, size) : CHUNK_BYTES_DEFAULT);
    const { algorithm } = this.#request;
    const digests = new Uint8Array(grid.count * DIGEST_BYTES[algorithm]);
    const differing: ByteRange[][] = [];
    const { progress } = this.#lanes;
    progress.bytesTotal = grid.size;
    const isHole = await this.#holesOf(one, other, grid.chunkBytes);
    const zero = zeroDigest(await loadHasher(algorithm), Math.min(grid.chunkBytes, grid.size));
    let next = 0;
    const perWorker = Math.max(one.readsPerWorker, other.readsPerWorker);
    await this.#lanes.run(this.#parts.runner.workers * perWorker, async () => {
      while (next < grid.count && isHole(next) && grid.range(next).length === grid.chunkBytes) {
        digests.set(zero, next++ * zero.length);
        progress.bytesZero += grid.chunkBytes;
      }
      if (next >= grid.count) return false;
      const chunk = next++;
      const outcome = await this.#compareChunk(chunk, grid.range(chunk), one, other);
      digests.set(outcome.digest, chunk * outcome.digest.length);
      if (outcome.differing.length > 0) differing[chunk] = [...outcome.differing];
      return true;
    });
    const longer = one.size > other.size ? one : other;
    const tail = longer.size - grid.size;
    if (await isRounding(longer, grid.size, this.#parts.runner, this.#lanes))
      return { grid, digest: digests, differing: differing.flat() };
    if (tail > 0 && longer.sizeIs === 'capacity') this.#lanes.note(deviceTail(longer.name, tail));
    else if (tail > 0) differing[grid.count] = [{ offset: grid.size, length: tail }];
    return { grid, digest: digests, differing: differing.flat() };
  }

  /** Whether both storages say that there is nothing in the chunk: then nothing has to be read. */
  async #holesOf(one: SourceInfo, other: SourceInfo, chunkBytes: number): Promise<(chunk: number) => boolean> {
    const maps: (Uint8Array | undefined)[] = [];
    for (const { ref } of [one, other]) maps.push(await this.#parts.runner.run('map-source', { ref, chunkBytes }));
    return (chunk) => maps.every((map) => map?.[chunk] === MAP.zero);
  }

  #compareChunk(chunk: number, range: ByteRange, one: SourceInfo, other: SourceInfo): Promise<CompareOutcome> {
    const { algorithm } = this.#request;
    const { control } = this.#lanes;
    const task = { range, one: one.ref, other: other.ref, algorithm, blockBytes: VERIFY_BLOCK_BYTES, control };
    return this.#lanes.withRetry(chunk, () => this.#parts.runner.run('compare', task));
  }

  async #result(
    one: SourceInfo,
    other: SourceInfo,
    compared: CompareOutcome & { readonly grid: ChunkGrid },
    elapsedMs: number,
  ): Promise<VerifyResult> {
    const { algorithm } = this.#request;
    const { size, chunkBytes } = compared.grid;
    const differing = mergeTouching(compared.differing);
    const root = rootDigest(await loadHasher(algorithm), { algorithm, chunkBytes, size }, compared.digest);
    return {
      same: differing.length === 0,
      one: { name: one.name, size: one.size },
      other: { name: other.name, size: other.size },
      differing: differing.slice(0, RANGES_MAX),
      bytesDiffering: differing.reduce((sum, range) => sum + range.length, 0),
      root: toHex(root),
      of: one.of ?? 'container',
      algorithm,
      chunkBytes,
      elapsedMs: Math.round(elapsedMs),
    };
  }
}

/**
 * Whether all that a disk has more than the other side is what a format adds that counts in sectors: less than one of
 * them, and zero.
 */
export async function isRounding(
  { of, ref, size }: SourceInfo,
  otherSize: number,
  runner: ChunkRunner,
  { control }: VerifyLanes,
): Promise<boolean> {
  const length = size - otherSize;
  if (of !== 'content' || length <= 0 || length >= SECTOR_BYTES) return false;
  const range = { offset: otherSize, length };
  const task = { range, source: ref, algorithm: 'xxh64', blockBytes: SECTOR_BYTES, control } as const;
  return sameBytes(await runner.run('hash', task), zeroDigest(await loadHasher('xxh64'), length));
}

/** What a device has behind the image that was put on it belongs to nobody. */
export function deviceTail(name: string, tail: number): string {
  return `${name} has ${formatBytes(tail)} more than the other, which were not compared: it is a device`;
}

export function mergeTouching(ranges: readonly ByteRange[]): ByteRange[] {
  const merged: { offset: number; length: number }[] = [];
  for (const { offset, length } of ranges) {
    const last = merged.at(-1);
    if (last && last.offset + last.length === offset) last.length += length;
    else merged.push({ offset, length });
  }
  return merged;
}
