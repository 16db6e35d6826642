/** A bit for each block, and how many bits are set before any of them, without counting from the beginning. */

/** Bits between two sums that are kept. */
const STRIDE_BITS = 1024;
const STRIDE_BYTES = STRIDE_BITS / 8;

export class RankedBits {
  /** Bits that are set. */
  readonly count: number;
  readonly #bytes: Uint8Array;
  /** Bits set before each stride. */
  readonly #before: Uint32Array;

  /** The first bit is the highest of the first byte. What lies behind `length` bits is not looked at. */
  constructor(bytes: Uint8Array, length: number) {
    this.#bytes = bytes;
    this.#before = new Uint32Array(Math.ceil(length / STRIDE_BITS) + 1);
    let count = 0;
    for (let bit = 0; bit < length; bit += 8) {
      if (bit % STRIDE_BITS === 0) this.#before[bit / STRIDE_BITS] = count;
      count += ones((bytes[bit >>> 3] ?? 0) >>> Math.max(0, bit + 8 - length));
    }
    this.count = count;
  }

  has(bit: number): boolean {
    return (((this.#bytes[bit >>> 3] ?? 0) << (bit & 7)) & 0x80) !== 0;
  }

  /** Bits that are set before this one. */
  rank(bit: number): number {
    const stride = Math.floor(bit / STRIDE_BITS);
    let count = this.#before[stride] ?? 0;
    const last = bit >>> 3;
    for (let at = stride * STRIDE_BYTES; at < last; at++) count += ones(this.#bytes[at] ?? 0);
    return count + ones((this.#bytes[last] ?? 0) >>> (8 - (bit & 7)));
  }
}

const ONES = Uint8Array.from({ length: 256 }, (_, byte) => byte.toString(2).replaceAll('0', '').length);
const ones = (byte: number): number => ONES[byte] ?? 0;
