/** `copy()`: one file, from any location to any other. */
import { systemClock } from '../core/clock.js';
import type { ChunkMapView } from '../transfer/chunk-map.js';
import { Transfer } from '../transfer/transfer.js';
import type { TransferResult } from '../transfer/transfer-result.js';
import { type CopyOptions, checksumRequest, endsOf, manifestOf, rateOf, requestOf } from './options.js';
import { Run } from './run.js';

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
    ...endsOf(options),
    checksum: checksumRequest(options.checksum),
    manifest: manifestOf(options),
  };
  return new CopyRun((runner) => new Transfer(request, { runner, clock: systemClock, random: Math.random }), options);
}
