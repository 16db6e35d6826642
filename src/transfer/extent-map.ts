/** From the extents of a range to what each of its chunks is made of; extents themselves never leave the thread. */
import { type ByteRange, ChunkGrid } from '../core/chunk.js';
import type { Extent } from '../core/endpoint.js';
import { MAP } from './requests.js';

/** One of {@link MAP} for each chunk of the range, which begins at a chunk. */
export async function mapExtents(
  extents: Iterable<Extent> | AsyncIterable<Extent>,
  range: ByteRange,
  chunkBytes: number,
): Promise<Uint8Array> {
  const grid = new ChunkGrid(range.length, chunkBytes);
  const [hasData, hasZero] = [new Uint8Array(grid.count), new Uint8Array(grid.count)];
  for await (const { kind, offset, length } of extents) {
    if (length === 0) continue;
    const from = offset - range.offset;
    (kind === 'data' ? hasData : hasZero).fill(1, grid.at(from), grid.at(from + length - 1) + 1);
  }
  // What no extent speaks of counts as data: that is only slower, never wrong.
  return hasData.map((data, chunk) => (!hasZero[chunk] ? MAP.data : data ? MAP.mixed : MAP.zero));
}
