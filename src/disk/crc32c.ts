/**
 * CRC-32C: the Castagnoli polynomial 0x1EDC6F41, bits reflected, begun and ended with all bits set. Node's own
 * `zlib.crc32` has another polynomial. Eight bytes are taken at a time, each through a table of its own.
 */

/** The polynomial with its bits in reverse, as the reflected form wants it. */
const POLYNOMIAL = 0x82f6_3b78;
const LANES = 8;
/** Table 0 is a byte's remainder; table n the remainder of that byte with n zero bytes behind it. */
const tables = makeTables();

function makeTables(): Uint32Array {
  const made = new Uint32Array(LANES * 256);
  for (let byte = 0; byte < 256; byte++) {
    let rest = byte;
    for (let bit = 0; bit < 8; bit++) rest = rest & 1 ? (rest >>> 1) ^ POLYNOMIAL : rest >>> 1;
    made[byte] = rest;
  }
  for (let at = 256; at < made.length; at++) {
    const before = made[at - 256] ?? 0;
    made[at] = (before >>> 8) ^ (made[before & 0xff] ?? 0);
  }
  return made;
}

/** The checksum of the bytes; with `crc` that of what it stands for, followed by the bytes. */
export function crc32c(bytes: Uint8Array, crc = 0): number {
  const t = tables;
  const b = bytes;
  let rest = ~crc;
  let at = 0;
  // Typed arrays answer within their bounds here; the casts say so and cost nothing.
  for (const end = b.length - LANES; at <= end; at += LANES) {
    const low = rest ^ word(b, at);
    rest =
      (t[1792 + (low & 0xff)] as number) ^
      (t[1536 + ((low >>> 8) & 0xff)] as number) ^
      (t[1280 + ((low >>> 16) & 0xff)] as number) ^
      (t[1024 + (low >>> 24)] as number) ^
      (t[768 + (b[at + 4] as number)] as number) ^
      (t[512 + (b[at + 5] as number)] as number) ^
      (t[256 + (b[at + 6] as number)] as number) ^
      (t[b[at + 7] as number] as number);
  }
  for (; at < b.length; at++) rest = (rest >>> 8) ^ (t[(rest ^ (b[at] as number)) & 0xff] as number);
  return ~rest >>> 0;
}

const word = (b: Uint8Array, at: number): number =>
  (b[at] as number) | ((b[at + 1] as number) << 8) | ((b[at + 2] as number) << 16) | ((b[at + 3] as number) << 24);

/** The checksum of a structure that holds its own: taken as if those four bytes were zero. */
export function crc32cWithout(bytes: Uint8Array, checksumAt: number): number {
  const before = crc32c(bytes.subarray(0, checksumAt));
  return crc32c(bytes.subarray(checksumAt + 4), crc32c(FOUR_ZEROES, before));
}

const FOUR_ZEROES = new Uint8Array(4);
