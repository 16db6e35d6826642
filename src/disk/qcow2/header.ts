/**
 * The header of a qcow2 image (QEMU, docs/interop/qcow2, "Header" and "Header extensions"), versions 2 and 3. What it
 * says is checked against the bounds that QEMU has too, and against the file. Numbers are big endian.
 */
import { MiB } from '../../core/units.js';
import { diskError, unsupportedImage } from '../disk-bytes.js';
import type { DiskBytes, ParentLink } from '../image.js';
import { type Extension, extensionsOf, featureName } from './extensions.js';
import { parentOf } from './parent.js';

/** Plain and cloneable. */
export interface Qcow2Header {
  readonly version: 2 | 3;
  /** Bytes that a guest sees. */
  readonly size: number;
  readonly clusterBits: number;
  readonly clusterBytes: number;
  readonly l1At: number;
  /** As many as the file says; those that the guest's bytes need may be fewer. */
  readonly l1Entries: number;
  readonly refcountsAt: number;
  readonly refcountClusters: number;
  readonly refcountBits: number;
  readonly snapshots: number;
  readonly snapshotsAt: number;
  readonly dirty: boolean;
  readonly corrupt: boolean;
  /** "Extended L2 Entries": 32 subclusters in each cluster. */
  readonly subclusters: boolean;
  readonly compression: 'zlib' | 'zstd';
  /** "autoclear_features", as eight bytes in hexadecimal. */
  readonly autoclear: string;
  readonly headerBytes: number;
  readonly extensions: readonly Extension[];
  /** Just after the last header extension, the end mark included. */
  readonly extensionsEnd: number;
  readonly parentAt: number;
  readonly parentBytes: number;
  readonly parent?: ParentLink;
}

const HEADER_BYTES_V2 = 72;
const HEADER_BYTES_V3 = 104;
const CLUSTER_BYTES_MAX = 2 * MiB;

/** Bits of "incompatible_features". */
const FEATURES = ['dirty', 'corrupt', 'external data file', 'compression type', 'extended L2 entries'] as const;

/** The first cluster of an image, or as much of it as there is. */
export async function readFirstCluster(bytes: DiskBytes): Promise<Buffer> {
  const fixed = await bytes.read({ offset: 0, length: Math.min(HEADER_BYTES_V2, bytes.size) }, 'qcow2 header');
  // The first version has a shorter header, and no cluster size in it.
  if (fixed.length < HEADER_BYTES_V2 || fixed.readUInt32BE(4) === 1) return fixed;
  const clusterBytes = 2 ** fixed.readUInt32BE(20);
  return bytes.read({ offset: 0, length: Math.min(bytes.size, clusterBytes, CLUSTER_BYTES_MAX) }, 'qcow2 header');
}

/** @throws TransferError E_DISK_FORMAT naming the field and its place */
export function parseHeader(bytes: Buffer, name: string): Qcow2Header {
  const demand: Demand = demandFor(name);
  demand(bytes.length >= 8, 'header', 0, `at least ${HEADER_BYTES_V2} bytes`, bytes.length);
  demand(bytes.toString('latin1', 0, 4) === 'QFI\xfb', 'magic', 0, '"QFI\\xfb"', bytes.toString('hex', 0, 4));
  const version = bytes.readUInt32BE(4);
  if (version === 1) throw unsupportedImage(name, 'version', 4, '2 or 3', '1');
  demand(bytes.length >= HEADER_BYTES_V2, 'header', 0, `at least ${HEADER_BYTES_V2} bytes`, bytes.length);
  demand(version === 2 || version === 3, 'version', 4, '2 or 3', version);
  const clusterBits = bytes.readUInt32BE(20);
  demand(clusterBits >= 9 && clusterBits <= 21, 'cluster bits', 20, '9 to 21', clusterBits);
  const clusterBytes = 2 ** clusterBits;
  const u64 = (at: number, what: string): number => {
    const value = bytes.readBigUInt64BE(at);
    demand(value <= Number.MAX_SAFE_INTEGER, what, at, 'at most 2^53-1', `${value}`);
    return Number(value);
  };
  const aligned = (at: number, what: string): number => {
    const offset = u64(at, what);
    demand(offset % clusterBytes === 0, what, at, `a multiple of the cluster of ${clusterBytes} bytes`, offset);
    return offset;
  };
  const encryption = bytes.readUInt32BE(32);
  const kind = ['none', 'AES', 'LUKS'][encryption];
  if (encryption > 0 && kind) throw unsupportedImage(name, 'encryption', 32, 'none', kind);
  demand(encryption === 0, 'encryption', 32, 'none', `method ${encryption}`);
  const parts = version === 3 ? partsOfV3(bytes, name) : V2;
  const area = extensionsOf(bytes, parts.headerBytes, name);
  demandKnown(bytes, parts.incompatible, area.extensions, name);
  const compression = compressionOf(bytes, parts, name);
  const subclusters = (parts.incompatible & 16n) !== 0n;
  demand(!subclusters || clusterBits >= 14, 'cluster bits', 20, '14 to 21 with extended L2 entries', clusterBits);
  return {
    version,
    size: u64(24, 'size'),
    clusterBits,
    clusterBytes,
    l1At: aligned(40, 'L1 table offset'),
    l1Entries: bytes.readUInt32BE(36),
    refcountsAt: aligned(48, 'refcount table offset'),
    refcountClusters: bytes.readUInt32BE(56),
    refcountBits: parts.refcountBits,
    snapshots: bytes.readUInt32BE(60),
    snapshotsAt: u64(64, 'snapshot table offset'),
    dirty: (parts.incompatible & 1n) !== 0n,
    corrupt: (parts.incompatible & 2n) !== 0n,
    subclusters,
    compression,
    autoclear: parts.autoclear,
    headerBytes: parts.headerBytes,
    ...area,
    ...parentOf(bytes, area.extensions, name),
  };
}

/** Guest bytes that one L2 table describes. */
export function l2Covers({ clusterBytes, subclusters }: Pick<Qcow2Header, 'clusterBytes' | 'subclusters'>): number {
  return (clusterBytes / (subclusters ? 16 : 8)) * clusterBytes;
}

/** Entries of the L1 table that the guest's bytes need. */
export function l1Needed(header: Pick<Qcow2Header, 'clusterBytes' | 'subclusters' | 'size'>): number {
  return Math.ceil(header.size / l2Covers(header));
}

interface VersionParts {
  readonly incompatible: bigint;
  readonly autoclear: string;
  readonly refcountBits: number;
  readonly headerBytes: number;
}

const V2: VersionParts = {
  incompatible: 0n,
  autoclear: '0000000000000000',
  refcountBits: 16,
  headerBytes: HEADER_BYTES_V2,
};

function partsOfV3(bytes: Buffer, name: string): VersionParts {
  const demand: Demand = demandFor(name);
  demand(bytes.length >= HEADER_BYTES_V3, 'header', 0, `at least ${HEADER_BYTES_V3} bytes`, bytes.length);
  const headerBytes = bytes.readUInt32BE(100);
  const fits = headerBytes >= HEADER_BYTES_V3 && headerBytes % 8 === 0 && headerBytes <= bytes.length;
  demand(fits, 'header length', 100, `a multiple of 8 from ${HEADER_BYTES_V3} to the first cluster's`, headerBytes);
  const order = bytes.readUInt32BE(96);
  demand(order <= 6, 'refcount order', 96, '0 to 6', order);
  return {
    incompatible: bytes.readBigUInt64BE(72),
    autoclear: bytes.toString('hex', 88, 96),
    refcountBits: 2 ** order,
    headerBytes,
  };
}

function compressionOf(bytes: Buffer, parts: VersionParts, name: string): Qcow2Header['compression'] {
  const type = parts.headerBytes > HEADER_BYTES_V3 ? (bytes[HEADER_BYTES_V3] ?? 0) : 0;
  const expected = (parts.incompatible & 8n) === 0n ? 0 : 1;
  const what = expected === 0 ? '0 (zlib), since the feature bit is not set' : '1 (zstd)';
  const demand: Demand = demandFor(name);
  demand(type === expected, 'compression type', HEADER_BYTES_V3, what, type);
  return type === 1 ? 'zstd' : 'zlib';
}

/** Refuses what this version does not know, by the name that the image itself has for it. */
function demandKnown(bytes: Buffer, incompatible: bigint, extensions: readonly Extension[], name: string): void {
  const known = incompatible & 27n;
  if (known === incompatible) return;
  const named: string[] = [];
  for (let bit = 0; bit < 64; bit++) {
    if (((incompatible & ~27n) >> BigInt(bit)) & 1n) {
      named.push(FEATURES[bit] ?? featureName(bytes, bit, extensions) ?? `bit ${bit}`);
    }
  }
  const expected = 'features that this version reads';
  if ((incompatible & ~31n) === 0n)
    throw unsupportedImage(name, 'incompatible features', 72, expected, named.join(', '));
  throw diskError(name, 'incompatible features', 72, expected, named.join(', '));
}

type Demand = (holds: boolean, what: string, at: number, expected: string, found: string | number) => asserts holds;

function demandFor(name: string): Demand {
  return (holds, what, at, expected, found) => {
    if (!holds) throw diskError(name, what, at, expected, String(found));
  };
}
