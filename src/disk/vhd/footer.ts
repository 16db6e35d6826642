/**
 * The hard disk footer of a VHD (Virtual Hard Disk Image Format Specification, Microsoft, October 2006): the 512 bytes
 * that end every VHD, and for a fixed disk all that the format adds to the raw bytes. What is refused when read is
 * refused when written, so that every footer of ours can be read back. Numbers are big endian.
 */
import { TransferError } from '../../core/errors.js';
import { GiB } from '../../core/units.js';

export const VHD_FOOTER_BYTES = 512;
export const VHD_SECTOR_BYTES = 512;
/** The largest disk that Hyper-V, Azure and QEMU take. */
export const VHD_SIZE_BYTES_MAX = 2040 * GiB;
/** "Data Offset" of a fixed disk, which has no further header to point to. */
export const VHD_NO_DATA_OFFSET = 0xffff_ffff_ffff_ffffn;

const COOKIE = 'conectix';
/** "Time Stamp": seconds since January 1, 2000 12:00:00 AM in UTC. */
const EPOCH_MS = Date.UTC(2000, 0, 1);
/** "Features": no bit of meaning is set; bit 1 is reserved and must always be set. */
const FEATURES_NONE = 0x0000_0002;
const FORMAT_VERSION = 0x0001_0000;
export const VHD_FOOTER_CHECKSUM_AT = 64;
const UINT32_MAX = 0xffff_ffff;

/** "Disk Type": 0 is none, 1, 5 and 6 are reserved and deprecated. */
const DISK_TYPES = { fixed: 2, dynamic: 3, differencing: 4 } as const;
export type VhdDiskType = keyof typeof DISK_TYPES;

/** "Disk Geometry": what an ATA controller tells an old guest; it may say less than the current size. */
export interface VhdGeometry {
  readonly cylinders: number;
  readonly heads: number;
  readonly sectorsPerTrack: number;
}

/** "Hard Disk Footer Format", without the cookie, which is always `conectix`, and the checksum, which follows. */
export interface VhdFooterFields {
  readonly features: number;
  /** The major version in the upper 16 bits, the minor in the lower. */
  readonly formatVersion: number;
  /** Where the dynamic disk header is, in bytes; {@link VHD_NO_DATA_OFFSET} for fixed disks. */
  readonly dataOffset: bigint;
  /** Seconds since 2000-01-01 UTC. */
  readonly timestamp: number;
  /** Four characters, one byte each, padded as the creator padded them. */
  readonly creatorApplication: string;
  readonly creatorVersion: number;
  /** Four characters: `Wi2k` or `Mac `. */
  readonly creatorHostOs: string;
  /** Bytes, when the disk was made. */
  readonly originalBytes: number;
  /** Bytes of the disk that a guest sees. */
  readonly currentBytes: number;
  readonly geometry: VhdGeometry;
  readonly diskType: VhdDiskType;
  /** 16 bytes; a differencing disk names its parent by it. */
  readonly uniqueId: Uint8Array;
  readonly savedState: boolean;
}

export interface VhdFooter extends VhdFooterFields {
  /** One's complement of the sum of all bytes of the footer but these four. */
  readonly checksum: number;
}

export interface FixedVhdOptions {
  /** Bytes of the disk, without the footer: a multiple of 512. */
  readonly sizeBytes: number;
  /** 16 bytes. */
  readonly uniqueId: Uint8Array;
  /** Milliseconds since 1970. */
  readonly createdAtMs: number;
}

/** "Time Stamp" of a moment; one before 2000, from a clock that was never set, is 0. */
export function vhdTime(ms: number): number {
  return Math.min(Math.max(0, Math.floor((ms - EPOCH_MS) / 1000)), UINT32_MAX);
}

export const vhdTimeMs = (seconds: number): number => EPOCH_MS + seconds * 1000;

/**
 * The footer of a fixed disk, to be written right after its last byte.
 *
 * The creator application is Hyper-V's `win `. Readers that know Virtual PC, such as QEMU, take a disk's size from its
 * geometry, which rounds down, unless the creator is known to mean the current size. `win ` is the value that all of
 * them know; a name of our own would cut the end off every disk whose size is not a whole number of cylinders.
 */
export function fixedVhdFooter(options: FixedVhdOptions): VhdFooterFields {
  return {
    features: FEATURES_NONE,
    formatVersion: FORMAT_VERSION,
    dataOffset: VHD_NO_DATA_OFFSET,
    timestamp: vhdTime(options.createdAtMs),
    creatorApplication: 'win ',
    creatorVersion: 0x0006_0001,
    creatorHostOs: 'Wi2k',
    originalBytes: options.sizeBytes,
    currentBytes: options.sizeBytes,
    geometry: chsGeometry(options.sizeBytes),
    diskType: 'fixed',
    uniqueId: options.uniqueId,
    savedState: false,
  };
}

/**
 * The 512 bytes of a footer; the checksum is computed.
 * @throws TransferError E_DISK_FORMAT when a field is out of bounds
 */
export function encodeVhdFooter(footer: VhdFooterFields): Buffer {
  assertFields(footer);
  const bytes = Buffer.alloc(VHD_FOOTER_BYTES);
  bytes.write(COOKIE, 0, 'latin1');
  bytes.writeUInt32BE(footer.features, 8);
  bytes.writeUInt32BE(footer.formatVersion, 12);
  bytes.writeBigUInt64BE(footer.dataOffset, 16);
  bytes.writeUInt32BE(footer.timestamp, 24);
  bytes.write(footer.creatorApplication, 28, 'latin1');
  bytes.writeUInt32BE(footer.creatorVersion, 32);
  bytes.write(footer.creatorHostOs, 36, 'latin1');
  bytes.writeBigUInt64BE(BigInt(footer.originalBytes), 40);
  bytes.writeBigUInt64BE(BigInt(footer.currentBytes), 48);
  bytes.writeUInt16BE(footer.geometry.cylinders, 56);
  bytes.writeUInt8(footer.geometry.heads, 58);
  bytes.writeUInt8(footer.geometry.sectorsPerTrack, 59);
  bytes.writeUInt32BE(DISK_TYPES[footer.diskType], 60);
  bytes.set(footer.uniqueId, 68);
  bytes.writeUInt8(footer.savedState ? 1 : 0, 84);
  bytes.writeUInt32BE(vhdChecksum(bytes, VHD_FOOTER_CHECKSUM_AT), VHD_FOOTER_CHECKSUM_AT);
  return bytes;
}

/** The same footer with another id or header; whatever else it says stays, reserved bytes included. */
export function changedVhdFooter(
  footer: Uint8Array,
  change: { readonly uniqueId?: Uint8Array; readonly dataOffset?: number },
): Buffer {
  const bytes = Buffer.from(footer);
  if (change.uniqueId) bytes.set(change.uniqueId, 68);
  if (change.dataOffset !== undefined) bytes.writeBigUInt64BE(BigInt(change.dataOffset), 16);
  bytes.writeUInt32BE(vhdChecksum(bytes, VHD_FOOTER_CHECKSUM_AT), VHD_FOOTER_CHECKSUM_AT);
  return bytes;
}

/**
 * Reads the last 512 bytes of a VHD.
 * @throws TransferError E_DISK_FORMAT saying what was expected and what was found
 */
export function decodeVhdFooter(input: Uint8Array): VhdFooter {
  const bytes = Buffer.from(input.buffer, input.byteOffset, input.byteLength);
  demand(bytes.length === VHD_FOOTER_BYTES, 'length', `${VHD_FOOTER_BYTES} bytes`, `${bytes.length} bytes`);
  const cookie = bytes.toString('latin1', 0, 8);
  demand(cookie === COOKIE, 'cookie', quoted(COOKIE), quoted(cookie));
  const checksum = bytes.readUInt32BE(VHD_FOOTER_CHECKSUM_AT);
  const computed = vhdChecksum(bytes, VHD_FOOTER_CHECKSUM_AT);
  demand(checksum === computed, 'checksum', `${hex(computed)}, by its other bytes`, hex(checksum));
  const footer: VhdFooter = {
    features: bytes.readUInt32BE(8),
    formatVersion: bytes.readUInt32BE(12),
    dataOffset: bytes.readBigUInt64BE(16),
    timestamp: bytes.readUInt32BE(24),
    creatorApplication: bytes.toString('latin1', 28, 32),
    creatorVersion: bytes.readUInt32BE(32),
    creatorHostOs: bytes.toString('latin1', 36, 40),
    originalBytes: Number(bytes.readBigUInt64BE(40)),
    currentBytes: Number(bytes.readBigUInt64BE(48)),
    geometry: { cylinders: bytes.readUInt16BE(56), heads: bytes[58] ?? 0, sectorsPerTrack: bytes[59] ?? 0 },
    diskType: diskTypeOf(bytes.readUInt32BE(60)),
    checksum,
    uniqueId: Uint8Array.from(bytes.subarray(68, 84)),
    savedState: bytes[84] !== 0,
  };
  assertFields(footer);
  return footer;
}

/** Appendix "CHS Calculation": the geometry of a disk of `sizeBytes`, the largest one for disks above some 127 GiB. */
export function chsGeometry(sizeBytes: number): VhdGeometry {
  const sectors = Math.min(Math.floor(sizeBytes / VHD_SECTOR_BYTES), 65535 * 16 * 255);
  const withTracks = (sectorsPerTrack: number, heads: number): VhdGeometry => ({
    cylinders: Math.floor(Math.floor(sectors / sectorsPerTrack) / heads),
    heads,
    sectorsPerTrack,
  });
  if (sectors >= 65535 * 16 * 63) return withTracks(255, 16);
  const tracks17 = Math.floor(sectors / 17);
  const heads = Math.max(4, Math.ceil(tracks17 / 1024));
  if (heads <= 16 && tracks17 < heads * 1024) return withTracks(17, heads);
  return Math.floor(sectors / 31) < 16 * 1024 ? withTracks(31, 16) : withTracks(63, 16);
}

/** "Checksum": one's complement of the sum of the structure's bytes, taken without the checksum field. */
export function vhdChecksum(bytes: Uint8Array, checksumAt: number): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at++) {
    if (at < checksumAt || at >= checksumAt + 4) sum += bytes[at] ?? 0;
  }
  return ~sum >>> 0;
}

function diskTypeOf(value: number): VhdDiskType {
  const types = Object.keys(DISK_TYPES) as VhdDiskType[];
  const type = types.find((name) => DISK_TYPES[name] === value);
  const known = types.map((name) => `${DISK_TYPES[name]} (${name})`).join(', ');
  demand(type !== undefined, 'disk type', `one of ${known}`, String(value));
  return type;
}

/** The bounds of every field, the same for what is read and for what is to be written. */
function assertFields(footer: VhdFooterFields): void {
  const { geometry, currentBytes, originalBytes, dataOffset } = footer;
  const whole = (what: string, value: number, max: number): void =>
    demand(Number.isInteger(value) && value >= 0 && value <= max, what, `a whole number up to ${max}`, String(value));
  whole('features', footer.features, UINT32_MAX);
  whole('file format version', footer.formatVersion, UINT32_MAX);
  demand(footer.formatVersion >>> 16 === 1, 'file format version', 'major version 1', hex(footer.formatVersion));
  whole('time stamp', footer.timestamp, UINT32_MAX);
  whole('creator version', footer.creatorVersion, UINT32_MAX);
  for (const [what, text] of [
    ['creator application', footer.creatorApplication],
    ['creator host OS', footer.creatorHostOs],
  ] as const) {
    const oneByteEach = [...text].every((character) => character.charCodeAt(0) <= 0xff);
    demand(text.length === 4 && oneByteEach, what, 'four one-byte characters', quoted(text));
  }
  whole('original size', originalBytes, Number.MAX_SAFE_INTEGER);
  demand(
    currentBytes > 0 && currentBytes <= VHD_SIZE_BYTES_MAX && currentBytes % VHD_SECTOR_BYTES === 0,
    'current size',
    `a multiple of ${VHD_SECTOR_BYTES} from ${VHD_SECTOR_BYTES} to ${VHD_SIZE_BYTES_MAX} bytes (2040 GiB)`,
    `${currentBytes} bytes`,
  );
  whole('cylinders', geometry.cylinders, 0xffff);
  whole('heads', geometry.heads, 0xff);
  whole('sectors per track', geometry.sectorsPerTrack, 0xff);
  demand(footer.uniqueId.length === 16, 'unique id', '16 bytes', `${footer.uniqueId.length} bytes`);
  demand(
    dataOffset >= 0n && dataOffset <= VHD_NO_DATA_OFFSET,
    'data offset',
    'an unsigned 64-bit number',
    `${dataOffset}`,
  );
  demand(
    footer.diskType === 'fixed' || (dataOffset >= 512n && dataOffset <= BigInt(Number.MAX_SAFE_INTEGER)),
    'data offset',
    `the byte offset of a ${footer.diskType} disk's header, after the first 512 bytes`,
    `${dataOffset}`,
  );
}

function demand(holds: boolean, what: string, expected: string, found: string): asserts holds {
  if (holds) return;
  throw new TransferError('E_DISK_FORMAT', `VHD footer: ${what}: expected ${expected}, found ${found}`, {
    hint: 'A VHD ends with a footer of 512 bytes: the file is no VHD, was cut short, or is damaged at its end.',
  });
}

const hex = (value: number): string => `0x${(value >>> 0).toString(16).padStart(8, '0')}`;
const quoted = (text: string): string => JSON.stringify(text);
