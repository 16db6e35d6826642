/** `copy()`: one file, from any location to any other. */
import { systemClock } from '../core/clock.js';
import { parseFinishBy } from '../core/finish-by.js';
import type { ChunkMapView } from '../transfer/chunk-map.js';
import { Transfer, type TransferRequest } from '../transfer/transfer.js';
import type { TransferResult } from '../transfer/transfer-result.js';
import type { YieldLease } from '../yield/desk.js';
import { type CopyOptions, checksumRequest, endsOf, manifestOf, rateOf, requestOf } from './options.js';
import type { PullWork } from './pull.js';
import { Run } from './run.js';
import { goalOf, leaseFor, partsOf, releaseAfter } from './yielding.js';

/** A copy under way. */
export class CopyRun extends Run<TransferResult, Transfer | PullWork> {
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
    ...endsOf(options),
    checksum: checksumRequest(options.checksum),
    manifest: manifestOf(options),
    ...(options.finishBy !== undefined && { finishBy: parseFinishBy(options.finishBy, systemClock.wallMs()) }),
  };
  const goal = goalOf(options);
  let lease: YieldLease | undefined;
  const run = new CopyRun(async (runner) => {
    const pull = await pulled(request, options);
    if (pull) return pull;
    lease = await leaseFor(request, goal);
    return new Transfer(request, { runner, clock: systemClock, random: Math.random, ...partsOf(lease) });
  }, options);
  releaseAfter(run.result, () => lease);
  return run;
}

/** Between two peers, where nothing is asked for that has to be done here. */
async function pulled(request: TransferRequest, { preserve, reflink }: CopyOptions): Promise<PullWork | undefined> {
  const { source, target, manifest, checksum, chunkBytes, lanes } = request;
  if (source.scheme !== 'peer' || target.scheme !== 'peer') return undefined;
  if (request.finishBy !== undefined || preserve || manifest !== undefined || checksum || reflink === 'always')
    return undefined;
  const { algorithm, rateBytesPerSecond, overwrite, discard, delta, sync, readBack, check = true } = request;
  const { pullBetween } = await import('./pull.js');
  return pullBetween(
    { source, target },
    {
      ...{ algorithm, rateBytesPerSecond, overwrite, discard, sync, readBack, check },
      ...(delta && { delta }),
      ...(chunkBytes !== undefined && { chunkBytes }),
      ...(lanes !== undefined && { lanes }),
    },
  );
}
