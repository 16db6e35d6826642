/** The digests of a source's chunks, by all workers; what is known to be a hole is not read. */
import type { ChunkGrid } from '../core/chunk.js';
import { type Algorithm, DIGEST_BYTES, loadHasher, zeroDigest } from '../core/digest.js';
import { KiB } from '../core/units.js';
import { MAP, type SourceInfo } from './requests.js';
import type { TransferParts } from './transfer.js';
import type { VerifyLanes } from './verify-lanes.js';

const BLOCK_BYTES = 256 * KiB;

export interface ChunksToHash {
  readonly grid: ChunkGrid;
  readonly algorithm: Algorithm;
  /** Only the first of the grid. */
  readonly count: number;
}

/** One digest behind the other. @throws TransferError of the first chunk that fails for good, E_STOPPED */
export async function hashChunks(
  { grid, algorithm, count }: ChunksToHash,
  source: Pick<SourceInfo, 'ref' | 'readsPerWorker'>,
  lanes: VerifyLanes,
  { runner }: Pick<TransferParts, 'runner'>,
): Promise<Uint8Array> {
  const { control, progress } = lanes;
  const { chunkBytes } = grid;
  const digestBytes = DIGEST_BYTES[algorithm];
  const digests = new Uint8Array(count * digestBytes);
  const map = await runner.run('map-source', { ref: source.ref, chunkBytes });
  const zero = zeroDigest(await loadHasher(algorithm), Math.min(chunkBytes, grid.size));
  progress.bytesTotal = Math.min(grid.size, count * chunkBytes);
  let next = 0;
  await lanes.run(runner.workers * source.readsPerWorker, async () => {
    while (next < count && map?.[next] === MAP.zero && grid.range(next).length === chunkBytes) {
      digests.set(zero, next++ * digestBytes);
      progress.bytesZero += chunkBytes;
    }
    if (next >= count) return false;
    const chunk = next++;
    const task = { range: grid.range(chunk), source: source.ref, algorithm, blockBytes: BLOCK_BYTES, control };
    digests.set(await lanes.withRetry(chunk, () => runner.run('hash', task)), chunk * digestBytes);
    return true;
  });
  return digests;
}
