/**
 * Zstandard (RFC 8878), as far as a compressed cluster goes: one frame without a dictionary. Written here because Node
 * 20 has none, and because a cluster is hostile input: what is made never exceeds a cluster, and neither does the work.
 */
import { append, BLOCK_BYTES_MAX, type FrameState, unpackBlock } from './zstd-block.js';
import { demand } from './zstd-tables.js';

const MAGIC = 0xfd2fb528;

/**
 * The first frame of the bytes, whatever follows it. A checksum of the frame is not looked at.
 * @throws Error when it is no such frame, or does not make exactly so many bytes
 */
export function unpackZstd(packed: Uint8Array, bytes: number): Uint8Array {
  let at = readHeader(packed, bytes);
  const state: FrameState = { made: new Uint8Array(bytes), at: 0, codes: {}, offsets: [1, 4, 8] };
  for (let last = false; !last; ) {
    demand(at + 3 <= packed.length, 'a frame that is cut short');
    const head = (packed[at] ?? 0) | ((packed[at + 1] ?? 0) << 8) | ((packed[at + 2] ?? 0) << 16);
    last = (head & 1) === 1;
    const type = (head >> 1) & 3;
    const size = head >> 3;
    const length = type === 1 ? 1 : size;
    at += 3;
    demand(type !== 3, 'a block of an unknown type');
    demand(size <= BLOCK_BYTES_MAX && at + length <= packed.length, 'a block that is cut short');
    const block = packed.subarray(at, at + length);
    if (type === 2) unpackBlock(block, state);
    else append(type === 0 ? block : new Uint8Array(size).fill(block[0] ?? 0), state);
    at += length;
  }
  demand(state.at === bytes, `${state.at} bytes`);
  return state.made;
}

/** RFC 8878 §3.1.1.1 "Frame_Header". Answers where the first block is. */
function readHeader(packed: Uint8Array, bytes: number): number {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  demand(packed.length >= 9 && view.getUint32(0, true) === MAGIC, 'no frame');
  const descriptor = packed[4] ?? 0;
  const single = (descriptor & 0x20) !== 0;
  demand((descriptor & 8) === 0, 'reserved bits of a frame');
  demand((descriptor & 3) === 0, 'a frame that needs a dictionary');
  const at = single ? 5 : 6;
  const form = descriptor >> 6;
  const sizeBytes = form === 0 ? (single ? 1 : 0) : 2 ** form;
  demand(at + sizeBytes <= packed.length, 'a frame that is cut short');
  const size =
    sizeBytes === 1
      ? packed[at]
      : sizeBytes === 2
        ? view.getUint16(at, true) + 256
        : sizeBytes === 4
          ? view.getUint32(at, true)
          : sizeBytes === 8
            ? Number(view.getBigUint64(at, true))
            : bytes;
  demand(size === bytes, `a frame of ${size} bytes`);
  return at + sizeBytes;
}
