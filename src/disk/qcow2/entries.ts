/**
 * Entries of L2 tables (docs/interop/qcow2, "Cluster mapping" and "Extended L2 Entries"). Offsets have up to 56 bits
 * and are multiples of 512, so that a Number holds each of them exactly; one past 2^53 is past the end of any file.
 */
import type { Qcow2Header } from './header.js';

export type EntryFormat = Pick<Qcow2Header, 'version' | 'clusterBits' | 'clusterBytes' | 'subclusters'>;

/** What is wrong with an entry. `doubtful`: it can be read all the same. */
export interface Problem {
  readonly code: string;
  readonly doubtful?: boolean;
  readonly expected: string;
  readonly found: string;
}

export interface Entry {
  readonly kind: 'absent' | 'zero' | 'data' | 'compressed' | 'parted';
  /** Where its bytes are; 0: nowhere. `zero` may have a place that is not read. */
  readonly at: number;
  /** Of compressed bytes, up to the end of their last sector: at most so many. */
  readonly bytes: number;
  /** Its refcount is exactly one. */
  readonly copied: boolean;
  readonly problem?: Problem;
}

export const SUBCLUSTERS = 32;
const ABSENT: Entry = { kind: 'absent', at: 0, bytes: 0, copied: false };
const UNIT = 2 ** 32;

export function entryBytes({ subclusters }: Pick<EntryFormat, 'subclusters'>): number {
  return subclusters ? 16 : 8;
}

export function entryAt(table: Buffer, index: number, format: EntryFormat): Entry {
  const at = index * entryBytes(format);
  const high = table.readUInt32BE(at);
  const low = table.readUInt32BE(at + 4);
  const compressed = (high & 0x4000_0000) !== 0;
  if (compressed) return compressedEntry(high, low, format);
  if (format.subclusters)
    return partedEntry(high, low, table.readUInt32BE(at + 8), table.readUInt32BE(at + 12), format);
  return high === 0 && low === 0 ? ABSENT : standardEntry(high, low, format);
}

/** The same layout as in L1 tables and, but for the upper bits, in refcount tables. */
export function offsetOf(high: number, low: number): number {
  return (high & 0x00ff_ffff) * UNIT + ((low & 0xffff_fe00) >>> 0);
}

export interface RunLimits {
  /** The first entry that is not asked for. */
  readonly end: number;
  readonly fileBytes: number;
  /** Only kinds count: bytes may stand anywhere. */
  readonly anyPlace: boolean;
}

/**
 * How many entries, this one included, go on with what it is: nothing, zeroes, or bytes that stand one after the other.
 * It is quick, and 1 for all that has to be looked at closely.
 */
export function runFrom(table: Buffer, index: number, format: EntryFormat, limits: RunLimits): number {
  const high = table.readUInt32BE(index * 8);
  const low = table.readUInt32BE(index * 8 + 4);
  if (format.subclusters) return 1;
  let next = index + 1;
  if (high === 0 && low <= 1) {
    while (next < limits.end && table.readUInt32BE(next * 8) === 0 && table.readUInt32BE(next * 8 + 4) === low) next++;
    return low === 1 && format.version === 2 ? 1 : next - index;
  }
  if (!isPlain(high, low, format)) return 1;
  const last = limits.fileBytes - format.clusterBytes;
  for (let expected = offsetOf(high, low) + format.clusterBytes; next < limits.end; next++) {
    const [nextHigh, nextLow] = [table.readUInt32BE(next * 8), table.readUInt32BE(next * 8 + 4)];
    if (!isPlain(nextHigh, nextLow, format)) break;
    const at = offsetOf(nextHigh, nextLow);
    if (at > last || (at !== expected && !limits.anyPlace)) break;
    expected = at + format.clusterBytes;
  }
  return next - index;
}

/** Bytes as they are, at an aligned place; no other bit is set. */
function isPlain(high: number, low: number, { clusterBytes }: EntryFormat): boolean {
  return (high & 0x7f00_0000) === 0 && (low & (clusterBytes - 1)) === 0 && ((high & 0x00ff_ffff) !== 0 || low !== 0);
}

/** "Standard Cluster Descriptor". */
function standardEntry(high: number, low: number, format: EntryFormat): Entry {
  const at = offsetOf(high, low);
  const zero = (low & 1) !== 0;
  const copied = high >>> 31 === 1;
  const kind = zero ? 'zero' : at === 0 ? 'absent' : 'data';
  const problem = standardProblem({ at, high, low, zero }, format);
  return { kind, at, bytes: 0, copied, ...(problem && { problem }) };
}

function standardProblem(
  { at, high, low, zero }: { at: number; high: number; low: number; zero: boolean },
  format: EntryFormat,
): Problem | undefined {
  if (zero && format.version === 2) {
    return { code: 'qcow2-entry-reserved', expected: 'no zero clusters in version 2', found: 'the zero bit set' };
  }
  if (at % format.clusterBytes !== 0) {
    return {
      code: 'qcow2-cluster-misaligned',
      expected: `a cluster at a multiple of ${format.clusterBytes} bytes`,
      found: `byte ${at}`,
    };
  }
  return reservedProblem(high & 0x3f00_0000, low & 0x1fe);
}

function reservedProblem(high: number, low: number): Problem | undefined {
  if (high === 0 && low === 0) return undefined;
  const found = `${hex(high)}${hex(low)}`;
  return { code: 'qcow2-entry-reserved', doubtful: true, expected: 'reserved bits that are zero', found };
}

/** "Compressed Clusters Descriptor": the lower x bits are the place, x = 62 - (cluster_bits - 8). */
function compressedEntry(high: number, low: number, format: EntryFormat): Entry {
  const placeBits = 62 - (format.clusterBits - 8) - 32;
  const placeHigh = high & (2 ** placeBits - 1);
  const sectors = ((high & 0x3fff_ffff) >>> placeBits) + 1;
  const at = placeHigh * UNIT + (low >>> 0);
  const bytes = sectors * 512 - (low & 511);
  const entry = { kind: 'compressed', at, bytes, copied: false } as const;
  if (placeHigh > 0x00ff_ffff) {
    const problem = { code: 'qcow2-entry-reserved', expected: 'a place below 2^56', found: `${hex(high)}${hex(low)}` };
    return { ...entry, problem };
  }
  if (high >>> 31 === 0) return entry;
  const expected = 'a compressed cluster without the bit of a refcount of one';
  return { ...entry, problem: { code: 'qcow2-entry-reserved', doubtful: true, expected, found: 'the bit set' } };
}

/** "Subcluster Allocation Bitmap": the upper word says what reads as zero, the lower one what is allocated. */
function partedEntry(high: number, low: number, zeroes: number, allocated: number, format: EntryFormat): Entry {
  if (high === 0 && low === 0 && zeroes === 0 && allocated === 0) return ABSENT;
  const at = offsetOf(high, low);
  const entry = { kind: 'parted', at, bytes: 0, copied: high >>> 31 === 1 } as const;
  const problem =
    bitmapProblem(at, zeroes, allocated) ??
    standardProblem({ at, high, low, zero: false }, format) ??
    reservedProblem(0, low & 1);
  return problem ? { ...entry, problem } : entry;
}

function bitmapProblem(at: number, zeroes: number, allocated: number): Problem | undefined {
  const found = `zero ${hex(zeroes)}, allocated ${hex(allocated)}`;
  const code = 'qcow2-subclusters';
  if ((zeroes & allocated) !== 0) return { code, expected: 'no subcluster both zero and allocated', found };
  if (at === 0 && allocated !== 0) return { code, expected: 'no subcluster allocated without a place', found };
  return undefined;
}

/** What one of the 32 subclusters of a parted entry is. */
export function subclusterKind(table: Buffer, index: number, subcluster: number): 'data' | 'zero' | 'absent' {
  const at = index * 16 + 8;
  if ((table.readUInt32BE(at) >>> subcluster) & 1) return 'zero';
  return (table.readUInt32BE(at + 4) >>> subcluster) & 1 ? 'data' : 'absent';
}

const hex = (word: number): string => (word >>> 0).toString(16).padStart(8, '0');
