/** What fits: chunks that suit rate, target and memory, and the space that a copy needs. Refused before it begins. */
import { CHUNK_BYTES_DEFAULT, CHUNK_BYTES_MIN, CHUNK_COUNT_MAX } from '../core/chunk.js';
import { TransferError } from '../core/errors.js';
import type { TargetSite } from '../core/target.js';
import { formatBytes, KiB } from '../core/units.js';
import type { OpenedJob, OpenRequest } from './opening.js';
import type { Plan } from './plan.js';
import type { SourceInfo } from './requests.js';

/** Bytes on their way never take longer than this at the limit. */
const IN_FLIGHT_SECONDS = 2;

/** As many as keep the workers busy, but never more on their way than the limit moves in a short while. */
export function lanesFor(
  { source, site, grid }: OpenedJob,
  {
    lanes,
    rateBytesPerSecond: rate,
  }: Pick<OpenRequest, 'rateBytesPerSecond'> & { readonly lanes?: number | undefined },
  workers: number,
): number {
  const wanted = lanes ?? workers * Math.max(source.readsPerWorker, site.writesPerWorker);
  const paced = rate > 0 ? Math.floor((IN_FLIGHT_SECONDS * rate) / grid.chunkBytes) : wanted;
  return Math.max(1, Math.min(wanted, paced, grid.count));
}

/**
 * Small enough that one chunk takes no more than two seconds at the limit, large enough for the target and for our
 * memory.
 */
export function chooseChunkBytes(
  request: Pick<OpenRequest, 'rateBytesPerSecond' | 'chunkBytes'>,
  { size, oneChunk }: Pick<SourceInfo, 'size' | 'oneChunk'>,
  site: TargetSite,
): number {
  const { chunkBytesMin, chunkBytesMax } = site.limits;
  if (oneChunk || site.limits.chunkCountMax === 1) return wholeFile(request, size, site);
  const countMax = Math.min(site.limits.chunkCountMax, CHUNK_COUNT_MAX);
  const rate = request.rateBytesPerSecond;
  const paced = rate > 0 ? Math.max(64 * KiB, 2 ** Math.floor(Math.log2(rate * 2))) : CHUNK_BYTES_DEFAULT;
  let chunkBytes = request.chunkBytes ?? Math.max(chunkBytesMin, Math.min(CHUNK_BYTES_DEFAULT, paced));
  if (request.chunkBytes === undefined) while (size / chunkBytes > countMax) chunkBytes *= 2;
  if (chunkBytes >= chunkBytesMin && chunkBytes <= chunkBytesMax && size / chunkBytes <= countMax) return chunkBytes;
  if (request.chunkBytes === undefined)
    throw new TransferError(
      'E_TOO_LARGE',
      `${site.name}: no target holds the ${size} bytes that the source says it has`,
      {
        hint: 'Check the size of the source. Nothing was changed.',
      },
    );
  const bounds = `${formatBytes(chunkBytesMin)} to ${formatBytes(chunkBytesMax)} and at most ${countMax} chunks`;
  throw new TransferError(
    'E_USAGE',
    `chunks of ${formatBytes(chunkBytes)} do not suit this copy: it allows ${bounds}`,
    {
      hint: 'Leave --chunk-size out, and a fitting one is chosen.',
    },
  );
}

/** The file is one chunk, of its own size; a target that is made of parts takes that as one of them. */
function wholeFile({ chunkBytes }: Pick<OpenRequest, 'chunkBytes'>, size: number, site: TargetSite): number {
  const { chunkBytesMax, chunkCountMax } = site.limits;
  if (site.wholeChunks && chunkCountMax > 1 && size > chunkBytesMax) {
    const [most, whole] = [formatBytes(chunkBytesMax), formatBytes(size)];
    throw new TransferError('E_TOO_LARGE', `${site.name} takes parts of ${most}; the source comes in one of ${whole}`, {
      hint: 'Copy the file to a path first, and from there. Nothing was changed.',
    });
  }
  if (chunkBytes === undefined || chunkBytes >= size) return Math.max(CHUNK_BYTES_MIN, size);
  throw new TransferError('E_USAGE', `this copy to ${site.name} is one stream, and cannot be cut into chunks`, {
    hint: 'Leave --chunk-size out.',
  });
}

/** Counts what the partial holds already, and no hole of the source: better to begin than to refuse wrongly. */
export function assertSpace(plan: Plan, source: SourceInfo, site: TargetSite): void {
  if (site.freeBytes === undefined) return;
  let [toCopy, claimed] = [0, 0];
  plan.forEach((chunk, work) => {
    const { length } = plan.grid.range(chunk);
    if (work === 'prove') claimed += length;
    if (work === 'copy') toCopy += length;
  });
  const allocated = source.allocatedBytes ?? Number.POSITIVE_INFINITY;
  const spare = Math.max(0, (site.partial?.allocatedBytes ?? 0) - claimed);
  const needed = Math.min(toCopy, allocated) - spare;
  if (needed <= site.freeBytes) return;
  const message = `${site.name} needs ${formatBytes(needed)} more; ${formatBytes(site.freeBytes)} are free`;
  throw new TransferError('E_NO_SPACE', message, {
    hint: 'Nothing was lost. Free some space, then run the same command again.',
  });
}
