/** Two sources side by side: where their bytes differ. */
import type { ByteRange } from '../core/chunk.js';
import { sameBytes } from '../core/digest.js';
import type { ChunkReader, Source } from '../core/endpoint.js';
import { fillBlock } from './copy-chunk.js';
import { assertRunning, type ChunkHost } from './hash-range.js';
import type { CompareOutcome } from './requests.js';

const DIFFERENCES_MAX = 256;

/** Compares the same range of two sources, byte by byte. */
export async function compareChunk(
  range: ByteRange,
  ends: { readonly one: Source; readonly other: Source; readonly blockBytes: number },
  host: ChunkHost,
): Promise<CompareOutcome> {
  const readers = [ends.one, ends.other].map((end) => end.openChunk(range, host.signal)) as [ChunkReader, ChunkReader];
  const buffers = [host.buffers.take(ends.blockBytes), host.buffers.take(ends.blockBytes)] as [Uint8Array, Uint8Array];
  const hasher = host.newHasher();
  const differing: { offset: number; length: number }[] = [];
  try {
    for (let done = 0; done < range.length; ) {
      assertRunning(host);
      const length = Math.min(ends.blockBytes, range.length - done);
      const blocks = buffers.map((buffer) => buffer.subarray(0, length)) as [Uint8Array, Uint8Array];
      const before = host.clock.nowNs();
      await fillBlock(readers[0], blocks[0]);
      await fillBlock(readers[1], blocks[1]);
      host.control.add('readNs', host.clock.nowNs() - before);
      hasher.update(blocks[0]);
      host.control.add('readBytes', BigInt(length));
      if (!sameBytes(blocks[0], blocks[1])) addDifferences(differing, blocks, range.offset + done);
      done += length;
    }
    return { digest: hasher.digest(), differing };
  } finally {
    for (const reader of readers) reader.close();
    for (const buffer of buffers) host.buffers.give(buffer);
  }
}

/** Adds the runs of differing bytes; beyond the most that is listed, the last run grows over what lies between. */
function addDifferences(
  into: { offset: number; length: number }[],
  [one, other]: readonly [Uint8Array, Uint8Array],
  base: number,
): void {
  for (let at = 0; at < one.length; at++) {
    if (one[at] === other[at]) continue;
    const last = into.at(-1);
    const end = last && last.offset + last.length;
    if (last && (end === base + at || into.length >= DIFFERENCES_MAX)) last.length = base + at + 1 - last.offset;
    else into.push({ offset: base + at, length: 1 });
  }
}
