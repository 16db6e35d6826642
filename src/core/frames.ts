/**
 * How the bytes of a range travel between two hosts: in frames, each of eight bytes that say its kind and its length,
 * and of what follows. Bytes that read as zero are a gap, which has a length and no bytes. The last frame holds the
 * digest of all, gaps included, so that both sides know that they mean the same.
 */
import type { Hasher } from './digest.js';
import { TransferError } from './errors.js';
import { KiB } from './units.js';

export const FRAME = { data: 1, gap: 2, end: 3, failure: 4 } as const;
export const FRAME_HEAD_BYTES = 8;
/** Of a data frame; what follows a larger number is refused. */
export const FRAME_BYTES_MAX = 256 * KiB;
/** Of the last frame: the longest digest; of a failure: its JSON. */
const SMALL_FRAME_BYTES_MAX = 16 * KiB;
/** At most so many extents of one range are told apart: a range in more pieces is sent as data. */
export const EXTENTS_PER_RANGE_MAX = 1024;

export interface FrameHead {
  readonly kind: number;
  /** Bytes that follow, or that the gap stands for. */
  readonly length: number;
}

export function writeFrameHead(into: Uint8Array, { kind, length }: FrameHead): void {
  const view = new DataView(into.buffer, into.byteOffset, FRAME_HEAD_BYTES);
  view.setUint32(0, kind);
  view.setUint32(4, length);
}

export function frame(kind: number, content: Uint8Array): Buffer {
  const bytes = Buffer.alloc(FRAME_HEAD_BYTES + content.length);
  writeFrameHead(bytes, { kind, length: content.length });
  bytes.set(content, FRAME_HEAD_BYTES);
  return bytes;
}

export function gapFrame(length: number): Buffer {
  const bytes = Buffer.alloc(FRAME_HEAD_BYTES);
  writeFrameHead(bytes, { kind: FRAME.gap, length });
  return bytes;
}

/**
 * @param left bytes of the range that no frame has spoken of yet
 * @throws TransferError E_PROTOCOL for a frame that does not belong there
 */
export function readFrameHead(bytes: Uint8Array, left: number): FrameHead {
  const view = new DataView(bytes.buffer, bytes.byteOffset, FRAME_HEAD_BYTES);
  const head = { kind: view.getUint32(0), length: view.getUint32(4) };
  if (!fits(head, left)) throw badFrame(`kind ${head.kind} of ${head.length} bytes where ${left} are left`);
  return head;
}

function fits({ kind, length }: FrameHead, left: number): boolean {
  switch (kind) {
    case FRAME.data:
      return length > 0 && length <= Math.min(left, FRAME_BYTES_MAX);
    case FRAME.gap:
      return length > 0 && length <= left;
    case FRAME.end:
      return left === 0 && length <= SMALL_FRAME_BYTES_MAX;
    case FRAME.failure:
      return length <= SMALL_FRAME_BYTES_MAX;
    default:
      return false;
  }
}

export function badFrame(what: string): TransferError {
  return new TransferError('E_PROTOCOL', `a frame that does not belong there: ${what}`, {
    hint: 'Check what stands between the two hosts; the chunk is sent again.',
  });
}

const ZEROES = new Uint8Array(64 * KiB);

/** A gap counts as the zeroes that it stands for. */
export function hashGap(hasher: Hasher, length: number): void {
  for (let rest = length; rest > 0; rest -= ZEROES.length) {
    hasher.update(rest < ZEROES.length ? ZEROES.subarray(0, rest) : ZEROES);
  }
}
