/** What a log that was replayed lays over the bytes of its file, and the file with that laid over it. */
import type { ByteRange } from '../../core/chunk.js';
import { diskError } from '../disk-bytes.js';
import type { DiskBytes } from '../image.js';
import { demand, type Spot } from './demand.js';
import type { LogReplay } from './log.js';

/** Bytes of the file: with `at` they stand there in the log; without it they are zero. */
export interface Segment extends ByteRange {
  readonly at?: number;
}

/** Bounds the time that it takes to put each in its place. */
const COUNT_MAX = 32_768;

/** Segments in order. What is added later lies below what is there: the log is replayed from its newest change on. */
export class Segments {
  readonly #list: Segment[] = [];

  get list(): readonly Segment[] {
    return this.#list;
  }

  get end(): number {
    return endOf(this.#list.at(-1) ?? { offset: 0, length: 0 });
  }

  add({ offset, length, at }: Segment, spot: Spot): void {
    const list = this.#list;
    const end = offset + length;
    const first = firstBehind(list, offset);
    const added: Segment[] = [];
    const fill = (from: number, to: number): void => {
      if (to <= from) return;
      added.push({ offset: from, length: to - from, ...(at !== undefined && { at: at + from - offset }) });
    };
    let from = offset;
    let next = first;
    for (let there = list[next]; there && there.offset < end; there = list[++next]) {
      fill(from, there.offset);
      added.push(there);
      from = endOf(there);
    }
    fill(from, end);
    list.splice(first, next - first, ...added);
    demand(spot, list.length <= COUNT_MAX, `at most ${COUNT_MAX} changed places to replay in memory`, 'more');
  }
}

const endOf = ({ offset, length }: ByteRange): number => offset + length;

/** The first segment that ends after the offset. */
function firstBehind(list: readonly Segment[], offset: number): number {
  let low = 0;
  for (let high = list.length; low < high; ) {
    const middle = (low + high) >>> 1;
    if (endOf(list[middle] as Segment) > offset) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The range in pieces: what the log says about it, and the gaps between, which are the file's own. */
export function* overlaid(
  { segments }: LogReplay,
  { offset, length }: ByteRange,
): Iterable<ByteRange & { readonly segment?: Segment }> {
  const end = offset + length;
  let from = offset;
  for (let next = firstBehind(segments, offset); from < end; next++) {
    const segment = segments[next];
    const start = Math.min(end, Math.max(from, segment?.offset ?? end));
    if (start > from) yield { offset: from, length: start - from };
    if (!segment || start === end) return;
    from = Math.min(end, endOf(segment));
    yield { offset: start, length: from - start, segment };
  }
}

/** The bytes of a piece that the log says are data. */
export function segmentBytes({ sectors }: LogReplay, { offset, length }: ByteRange, segment: Segment): Uint8Array {
  return new Uint8Array(sectors, (segment.at ?? 0) + offset - segment.offset, length);
}

/** The file as it is once its log is replayed. */
export function replayedBytes(bytes: DiskBytes, log: LogReplay): DiskBytes {
  const { name } = bytes;
  const size = log.fileBytes;
  return {
    name,
    size,
    read: async (range, what) => {
      const { offset, length } = range;
      const inside = Number.isSafeInteger(offset) && offset >= 0 && length >= 0 && offset <= size - length;
      if (!inside) throw diskError(name, what, offset, `${length} bytes inside the file`, `a file of ${size} bytes`);
      const own = Math.max(0, Math.min(length, bytes.size - offset));
      const read = own > 0 ? await bytes.read({ offset, length: own }, what) : Buffer.alloc(0);
      const into = own === length ? read : Buffer.concat([read], length);
      for (const piece of overlaid(log, range)) {
        if (!piece.segment) continue;
        const at = piece.offset - offset;
        if (piece.segment.at === undefined) into.fill(0, at, at + piece.length);
        else into.set(segmentBytes(log, piece, piece.segment), at);
      }
      return into;
    },
  };
}
