/**
 * A compressed block of a Zstandard frame (RFC 8878 §3.1.1.3): literals, and sequences that say how many of them come
 * next and which earlier bytes are repeated after them. Nothing is written past the end of what is to be made.
 */
import {
  BackwardBits,
  demand,
  type FseTable,
  fseTable,
  type HuffmanTable,
  oneSymbolTable,
  readFseTable,
  readHuffmanTable,
} from './zstd-tables.js';

export const BLOCK_BYTES_MAX = 128 * 1024;

/** What later blocks of a frame may refer to, and what was made so far. */
export interface FrameState {
  readonly made: Uint8Array;
  at: number;
  huffman?: HuffmanTable;
  readonly codes: { lengths?: FseTable; offsets?: FseTable; matches?: FseTable };
  /** RFC 8878 §3.1.1.5 "Repeat Offsets". */
  readonly offsets: [number, number, number];
}

const repeated = (bits: number, times: number): number[] => new Array<number>(times).fill(bits);
/** RFC 8878 §3.1.1.3.2.1.1: the bits that follow a code; what a code begins at is the sum of those before it. */
const LENGTH_BITS = [...repeated(0, 16), 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
const MATCH_BITS = [...repeated(0, 32), 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
const MATCH_BYTES_MIN = 3;
/** So many bytes are copied one by one, which is quicker than a call. */
const FEW_BYTES = 64;
/** No cluster needs a longer offset, and its bits are still read in one go. */
const OFFSET_BITS_MAX = 24;

/** RFC 8878 §3.1.1.3.2.2: the distributions that need no description. */
const LENGTHS = fseTable(
  [4, 3, ...repeated(2, 11), 1, 1, 1, ...repeated(2, 9), 3, 2, ...repeated(1, 5), ...repeated(-1, 4)],
  6,
);
const OFFSETS = fseTable([...repeated(1, 6), 2, 2, 2, ...repeated(1, 15), ...repeated(-1, 5)], 5);
const MATCHES = fseTable([1, 4, 3, ...repeated(2, 6), ...repeated(1, 37), ...repeated(-1, 7)], 6);

const KINDS = {
  lengths: { usual: LENGTHS, accuracyMax: 9, symbolMax: 35 },
  offsets: { usual: OFFSETS, accuracyMax: 8, symbolMax: 31 },
  matches: { usual: MATCHES, accuracyMax: 9, symbolMax: 52 },
} as const;

const startsOf = (bits: readonly number[], first: number): readonly number[] => {
  let start = first;
  return bits.map((count) => {
    const at = start;
    start += 2 ** count;
    return at;
  });
};
const LENGTH_STARTS = startsOf(LENGTH_BITS, 0);
const MATCH_STARTS = startsOf(MATCH_BITS, MATCH_BYTES_MIN);

export function unpackBlock(block: Uint8Array, state: FrameState): void {
  const { literals, length } = readLiterals(block, state);
  const rest = block.subarray(length);
  const { count, at } = sequenceCount(rest);
  const begin = state.at;
  const left = count === 0 ? literals : followSequences(rest.subarray(at), count, literals, state);
  demand(count > 0 || at === rest.length, 'bytes after the last literal');
  append(left, state);
  demand(state.at - begin <= BLOCK_BYTES_MAX, 'a block of more than 128 KiB');
}

/** RFC 8878 §3.1.1.3.1 "Literals_Section". */
function readLiterals(block: Uint8Array, state: FrameState): { literals: Uint8Array; length: number } {
  const head = (block[0] ?? 0) + (block[1] ?? 0) * 2 ** 8 + (block[2] ?? 0) * 2 ** 16;
  const long = head + (block[3] ?? 0) * 2 ** 24 + (block[4] ?? 0) * 2 ** 32;
  const [type, form] = [head & 3, (head >> 2) & 3];
  if (type < 2) {
    const headBytes = form === 1 ? 2 : form === 3 ? 3 : 1;
    const size = headBytes === 1 ? (head & 0xff) >> 3 : headBytes === 2 ? (head & 0xffff) >> 4 : head >> 4;
    const length = headBytes + (type === 0 ? size : 1);
    demand(size <= BLOCK_BYTES_MAX && length <= block.length, 'literals that are cut short');
    if (type === 0) return { literals: block.subarray(headBytes, length), length };
    return { literals: new Uint8Array(size).fill(block[headBytes] ?? 0), length };
  }
  const [headBytes, bits] = form < 2 ? [3, 10] : form === 2 ? [4, 14] : [5, 18];
  const size = Math.floor(long / 16) % 2 ** bits;
  const packedBytes = Math.floor(long / 2 ** (4 + bits)) % 2 ** bits;
  const length = headBytes + packedBytes;
  demand(size <= BLOCK_BYTES_MAX && length <= block.length, 'literals that are cut short');
  let packed = block.subarray(headBytes, length);
  if (type === 2) {
    const described = readHuffmanTable(packed);
    state.huffman = described.table;
    packed = packed.subarray(described.length);
  }
  demand(state.huffman !== undefined, 'literals without a Huffman table');
  const literals = new Uint8Array(size);
  if (form === 0) readStream(packed, state.huffman, literals);
  else readFourStreams(packed, state.huffman, literals);
  return { literals, length };
}

/** RFC 8878 §3.1.1.3.1.6 "Jump_Table". */
function readFourStreams(packed: Uint8Array, table: HuffmanTable, into: Uint8Array): void {
  const quarter = Math.ceil(into.length / 4);
  demand(packed.length > 6 && into.length >= 3 * quarter, 'four streams that are cut short');
  let at = 6;
  for (let stream = 0; stream < 4; stream++) {
    const length = (packed[stream * 2] ?? 0) + (packed[stream * 2 + 1] ?? 0) * 256;
    const end = stream === 3 ? packed.length : at + length;
    demand(end <= packed.length, 'four streams that are cut short');
    const to = stream === 3 ? into.length : (stream + 1) * quarter;
    readStream(packed.subarray(at, end), table, into.subarray(stream * quarter, to));
    at = end;
  }
}

/** RFC 8878 §4.2.2: every bit is used, and none is missing. */
function readStream(packed: Uint8Array, { bitsMax, symbols, bits }: HuffmanTable, into: Uint8Array): void {
  const stream = new BackwardBits(packed);
  for (let at = 0; at < into.length; at++) {
    const code = stream.peek(bitsMax);
    into[at] = symbols[code] ?? 0;
    stream.left -= bits[code] ?? 0;
  }
  demand(stream.left === 0, 'literals that do not end with their bits');
}

/** RFC 8878 §3.1.1.3.2.1 "Sequences_Section_Header", its first field. */
function sequenceCount(bytes: Uint8Array): { count: number; at: number } {
  const first = bytes[0] ?? 0;
  const at = first < 128 ? 1 : first < 255 ? 2 : 3;
  demand(at <= bytes.length, 'sequences that are cut short');
  if (at === 1) return { count: first, at };
  if (at === 2) return { count: (first - 128) * 256 + (bytes[1] ?? 0), at };
  return { count: (bytes[1] ?? 0) + (bytes[2] ?? 0) * 256 + 0x7f00, at };
}

/** Reads the tables, then makes what the sequences say. Answers the literals that are left. */
function followSequences(bytes: Uint8Array, count: number, literals: Uint8Array, state: FrameState): Uint8Array {
  const modes = bytes[0] ?? 0;
  demand((modes & 3) === 0, 'reserved bits of sequences');
  let at = 1;
  (['lengths', 'offsets', 'matches'] as const).forEach((kind, index) => {
    at += readCode(kind, (modes >> (6 - 2 * index)) & 3, bytes.subarray(at), state);
  });
  const { lengths, offsets, matches } = state.codes;
  demand(lengths !== undefined && offsets !== undefined && matches !== undefined, 'sequences without a table');
  const bits = new BackwardBits(bytes.subarray(at));
  let [length, offset, match] = [bits.read(lengths.accuracy), bits.read(offsets.accuracy), bits.read(matches.accuracy)];
  const next = (table: FseTable, from: number): number => (table.bases[from] ?? 0) + bits.read(table.bits[from] ?? 0);
  let used = 0;
  for (let sequence = 1; ; sequence++) {
    const offsetCode = offsets.symbols[offset] ?? 0;
    demand(offsetCode <= OFFSET_BITS_MAX, 'an offset that is larger than a cluster');
    const offsetValue = (1 << offsetCode) + bits.read(offsetCode);
    const matchBytes = extended(matches.symbols[match] ?? 0, MATCH_STARTS, MATCH_BITS, bits);
    const literalBytes = extended(lengths.symbols[length] ?? 0, LENGTH_STARTS, LENGTH_BITS, bits);
    demand(bits.left >= 0 && literalBytes <= literals.length - used, 'a sequence of more than there is');
    copy(literals, used, literalBytes, state);
    used += literalBytes;
    repeatEarlier(offsetOf(offsetValue, literalBytes, state.offsets), matchBytes, state);
    if (sequence === count) break;
    length = next(lengths, length);
    match = next(matches, match);
    offset = next(offsets, offset);
  }
  demand(bits.left === 0, 'sequences that do not end with their bits');
  return literals.subarray(used);
}

/** RFC 8878 §3.1.1.3.2.1 "Symbol Compression Modes". Answers how many bytes describe the table. */
function readCode(kind: keyof typeof KINDS, mode: number, bytes: Uint8Array, state: FrameState): number {
  const { usual, ...limits } = KINDS[kind];
  if (mode === 3) return 0;
  if (mode === 0) {
    state.codes[kind] = usual;
    return 0;
  }
  if (mode === 1) {
    const symbol = bytes[0] ?? 0xff;
    demand(symbol <= limits.symbolMax, 'a code that does not exist');
    state.codes[kind] = oneSymbolTable(symbol);
    return 1;
  }
  const described = readFseTable(bytes, limits);
  state.codes[kind] = described.table;
  return described.length;
}

function extended(code: number, starts: readonly number[], extra: readonly number[], bits: BackwardBits): number {
  return (starts[code] ?? 0) + bits.read(extra[code] ?? 0);
}

/** RFC 8878 §3.1.1.5: values up to 3 mean one of the last offsets, the next one where no literal comes before. */
function offsetOf(value: number, literalBytes: number, last: FrameState['offsets']): number {
  // By number, not taken apart: this runs for each sequence.
  const first = last[0];
  const second = last[1];
  const third = last[2];
  const choice = value > 3 ? 4 : value - 1 + (literalBytes === 0 ? 1 : 0);
  if (choice === 0) return first;
  last[0] = choice === 4 ? value - 3 : choice === 3 ? first - 1 : choice === 2 ? third : second;
  last[1] = first;
  if (choice !== 1) last[2] = second;
  return last[0];
}

export function append(bytes: Uint8Array, state: FrameState): void {
  demand(bytes.length <= state.made.length - state.at, 'more than a cluster');
  state.made.set(bytes, state.at);
  state.at += bytes.length;
}

/** As {@link append}, without a view of its own for a few bytes. */
function copy(bytes: Uint8Array, from: number, length: number, state: FrameState): void {
  const { made, at } = state;
  demand(length <= made.length - at, 'more than a cluster');
  if (length > FEW_BYTES) made.set(bytes.subarray(from, from + length), at);
  else for (let index = 0; index < length; index++) made[at + index] = bytes[from + index] ?? 0;
  state.at += length;
}

/** A match may reach into what it makes itself. */
function repeatEarlier(offset: number, length: number, state: FrameState): void {
  const { made, at } = state;
  demand(offset > 0 && offset <= at, 'an offset to before the beginning');
  demand(length <= made.length - at, 'more than a cluster');
  if (offset >= length && length > FEW_BYTES) made.copyWithin(at, at - offset, at - offset + length);
  else for (let to = at; to < at + length; to++) made[to] = made[to - offset] ?? 0;
  state.at += length;
}
