/**
 * The two codes of Zstandard (RFC 8878 §4): finite state entropy and Huffman, each as a table that is looked up. A
 * table that cannot come from a right description is refused, so that whatever is looked up makes headway.
 */

/** Bits that are read from the last one on (RFC 8878 §4.1 "FSE"); the highest bit set of the last byte is no data. */
export class BackwardBits {
  /** Bits that are left; below zero: more were read than there are. */
  left: number;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    const last = bytes.at(-1) ?? 0;
    demand(last !== 0, 'a stream of bits without an end mark');
    this.#bytes = bytes;
    this.left = bytes.length * 8 - 1 - Math.clz32(last << 24);
  }

  /** The next `count` bits, at most 24, and still there; zeroes past the beginning. */
  peek(count: number): number {
    const from = this.left - count;
    if (from < 0) return this.left > 0 ? this.#at(0, this.left) << -from : 0;
    return this.#at(from, count);
  }

  read(count: number): number {
    const value = this.peek(count);
    this.left -= count;
    return value;
  }

  #at(from: number, count: number): number {
    const at = from >> 3;
    const bytes = this.#bytes;
    const word =
      (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24);
    return (word >>> (from & 7)) & ((1 << count) - 1);
  }
}

export interface FseTable {
  readonly accuracy: number;
  readonly symbols: Uint8Array;
  readonly bits: Uint8Array;
  readonly bases: Uint16Array;
}

export interface FseLimits {
  readonly accuracyMax: number;
  readonly symbolMax: number;
}

/** RFC 8878 §4.1.1 "FSE Table Description". Answers the table, and how many bytes describe it. */
export function readFseTable(bytes: Uint8Array, limits: FseLimits): { table: FseTable; length: number } {
  let at = 4;
  const peek = (count: number): number => {
    const byte = at >> 3;
    const word = (bytes[byte] ?? 0) | ((bytes[byte + 1] ?? 0) << 8) | ((bytes[byte + 2] ?? 0) << 16);
    return (word >> (at & 7)) & ((1 << count) - 1);
  };
  const accuracy = ((bytes[0] ?? 0) & 15) + 5;
  demand(accuracy <= limits.accuracyMax, 'a table of too high an accuracy');
  const counts: number[] = [];
  let remaining = 1 << accuracy;
  while (remaining > 0) {
    demand(counts.length <= limits.symbolMax && at < bytes.length * 8, 'a table that does not add up');
    // Small values take a bit less than large ones.
    const bits = 32 - Math.clz32(remaining + 1);
    const shorter = (1 << bits) - 2 - remaining;
    let value = peek(bits);
    const low = value & ((1 << (bits - 1)) - 1);
    if (low < shorter) value = low;
    else if (value > low) value -= shorter;
    at += low < shorter ? bits - 1 : bits;
    counts.push(value - 1);
    remaining -= Math.abs(value - 1);
    if (value !== 1) continue;
    for (let repeat = 3; repeat === 3 && counts.length <= limits.symbolMax + 1; ) {
      repeat = peek(2);
      at += 2;
      for (let zero = 0; zero < repeat; zero++) counts.push(0);
    }
  }
  const length = Math.ceil(at / 8);
  const fits = remaining === 0 && counts.length <= limits.symbolMax + 1 && length <= bytes.length;
  demand(fits, 'a table that does not add up');
  return { table: fseTable(counts, accuracy), length };
}

/** RFC 8878 §4.1.1 "From normalized distribution to decoding tables". A count of -1 is "less than one". */
export function fseTable(counts: readonly number[], accuracy: number): FseTable {
  const size = 1 << accuracy;
  const symbols = new Uint8Array(size);
  const next = counts.map((count) => Math.abs(count));
  let high = size;
  counts.forEach((count, symbol) => {
    if (count === -1) symbols[--high] = symbol;
  });
  const step = (size >> 1) + (size >> 3) + 3;
  let place = 0;
  counts.forEach((count, symbol) => {
    for (let left = count; left > 0; left--) {
      symbols[place] = symbol;
      do place = (place + step) & (size - 1);
      while (place >= high);
    }
  });
  const bits = new Uint8Array(size);
  const bases = new Uint16Array(size);
  for (let state = 0; state < size; state++) {
    const symbol = symbols[state] ?? 0;
    const value = next[symbol] ?? 1;
    next[symbol] = value + 1;
    const count = accuracy - (31 - Math.clz32(value));
    bits[state] = count;
    bases[state] = (value << count) - size;
  }
  return { accuracy, symbols, bits, bases };
}

/** A table that always gives the same symbol, and takes no bits for it. */
export function oneSymbolTable(symbol: number): FseTable {
  return { accuracy: 0, symbols: Uint8Array.of(symbol), bits: new Uint8Array(1), bases: new Uint16Array(1) };
}

export interface HuffmanTable {
  readonly bitsMax: number;
  readonly symbols: Uint8Array;
  readonly bits: Uint8Array;
}

const HUFFMAN_BITS_MAX = 11;

/** RFC 8878 §4.2.1 "Huffman Tree Description". Answers the table, and how many bytes describe it. */
export function readHuffmanTable(bytes: Uint8Array): { table: HuffmanTable; length: number } {
  const head = bytes[0] ?? 0;
  const count = head - 127;
  const length = 1 + (head < 128 ? head : Math.ceil(count / 2));
  demand(length <= bytes.length, 'a Huffman table that is cut short');
  const described = bytes.subarray(1, length);
  if (head < 128) return { table: huffmanTable(packedWeights(described)), length };
  const weights = Array.from({ length: count }, (_, at) => {
    const pair = described[at >> 1] ?? 0;
    return at % 2 === 0 ? pair >> 4 : pair & 15;
  });
  return { table: huffmanTable(weights), length };
}

/** RFC 8878 §4.2.1.2: two states take turns, until the bits of one of them are more than there are. */
function packedWeights(bytes: Uint8Array): number[] {
  const { table, length } = readFseTable(bytes, { accuracyMax: 6, symbolMax: 255 });
  const bits = new BackwardBits(bytes.subarray(length));
  let state = bits.read(table.accuracy);
  let other = bits.read(table.accuracy);
  demand(bits.left >= 0, 'a Huffman table that is cut short');
  const weights: number[] = [];
  while (bits.left >= 0) {
    demand(weights.length < 255, 'a Huffman table of too many symbols');
    weights.push(table.symbols[state] ?? 0);
    const after = (table.bases[state] ?? 0) + bits.read(table.bits[state] ?? 0);
    state = other;
    other = after;
  }
  weights.push(table.symbols[state] ?? 0);
  return weights;
}

/** RFC 8878 §4.2.1: the last weight is what is missing to a power of two. Longer codes come first. */
function huffmanTable(given: readonly number[]): HuffmanTable {
  const sum = given.reduce((total, weight) => total + (weight > 0 ? 2 ** (weight - 1) : 0), 0);
  demand(sum > 0 && given.length < 256, 'a Huffman table that does not add up');
  const bitsMax = Math.floor(Math.log2(sum)) + 1;
  const missing = 2 ** bitsMax - sum;
  const last = Math.log2(missing) + 1;
  demand(bitsMax <= HUFFMAN_BITS_MAX && Number.isInteger(last), 'a Huffman table that does not add up');
  const weights = [...given, last];
  const symbols = new Uint8Array(2 ** bitsMax);
  const bits = new Uint8Array(2 ** bitsMax);
  let at = 0;
  for (let weight = 1; weight <= bitsMax; weight++) {
    for (let symbol = 0; symbol < weights.length; symbol++) {
      if (weights[symbol] !== weight) continue;
      const end = at + 2 ** (weight - 1);
      symbols.fill(symbol, at, end);
      bits.fill(bitsMax + 1 - weight, at, end);
      at = end;
    }
  }
  return { bitsMax, symbols, bits };
}

export function demand(holds: boolean, found: string): asserts holds {
  if (!holds) throw new Error(`zstd: ${found}`);
}
