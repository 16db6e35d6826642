/**
 * "Dynamic Disk Header Format" of a VHD (Virtual Hard Disk Image Format Specification, Microsoft, October 2006): where
 * the block allocation table is, how large a block is, and how a differencing disk names its parent. Numbers are big
 * endian.
 */
import { diskError } from '../disk-bytes.js';
import { vhdChecksum } from './footer.js';

export const VHD_HEADER_BYTES = 1024;

const COOKIE = 'cxsparse';
export const VHD_HEADER_CHECKSUM_AT = 36;
const PARENT_ID_AT = 40;
const PARENT_TIME_AT = 56;
const PARENT_NAME_AT = 64;
const PARENT_NAME_BYTES = 512;
const LOCATORS_AT = 576;
const LOCATOR_BYTES = 24;
const LOCATORS = 8;
const HEADER_VERSION = 0x0001_0000;
const BLOCK_BYTES_MIN = 512;

/** "Parent Locator Entry": where the name of the parent is for one kind of host. */
export interface VhdLocator {
  /** "Platform Code", four characters such as `W2ru`. */
  readonly code: string;
  /** "Platform Data Length" in bytes, and where the data begins in the file. */
  readonly length: number;
  readonly at: number;
}

export interface VhdParentFields {
  /** "Parent Unique ID": 16 bytes, the unique id of the parent's footer. */
  readonly parentId: Uint8Array;
  /** "Parent Time Stamp": when the parent was last modified, in seconds since 2000-01-01 UTC. */
  readonly parentTime: number;
  /** "Parent Unicode Name", up to its first NUL. */
  readonly parentName: string;
  readonly locators: readonly VhdLocator[];
}

export interface VhdHeader extends VhdParentFields {
  /** "Table Offset": where the block allocation table begins. */
  readonly tableAt: number;
  /** "Max Table Entries". */
  readonly tableEntries: number;
  readonly blockBytes: number;
}

/**
 * What a header says, checked field by field.
 * @throws TransferError E_DISK_FORMAT naming the field and its offset: the header begins at byte `at` of the file
 */
export function decodeVhdHeader(bytes: Buffer, name: string, at: number): VhdHeader {
  const demand = (holds: boolean, field: string, offset: number, expected: string, found: string): void => {
    if (!holds) throw diskError(name, `${field} of the VHD's dynamic disk header`, at + offset, expected, found);
  };
  const cookie = bytes.toString('latin1', 0, 8);
  demand(cookie === COOKIE, 'cookie', 0, JSON.stringify(COOKIE), JSON.stringify(cookie));
  const checksum = bytes.readUInt32BE(VHD_HEADER_CHECKSUM_AT);
  const computed = vhdChecksum(bytes, VHD_HEADER_CHECKSUM_AT);
  demand(
    checksum === computed,
    'checksum',
    VHD_HEADER_CHECKSUM_AT,
    `${computed}, by its other bytes`,
    String(checksum),
  );
  const version = bytes.readUInt32BE(24);
  demand(version >>> 16 === 1, 'version', 24, 'major version 1', `0x${version.toString(16)}`);
  const tableAt = Number(bytes.readBigUInt64BE(16));
  demand(Number.isSafeInteger(tableAt) && tableAt >= 512, 'table offset', 16, 'a place in the file', String(tableAt));
  const blockBytes = bytes.readUInt32BE(32);
  const isPower = blockBytes >= BLOCK_BYTES_MIN && Number.isInteger(Math.log2(blockBytes));
  demand(isPower, 'block size', 32, 'a power of two of at least 512 bytes', `${blockBytes} bytes`);
  const tableEntries = bytes.readUInt32BE(28);
  const apart = tableAt >= at + VHD_HEADER_BYTES || tableAt + tableEntries * 4 <= at;
  demand(apart, 'table offset', 16, 'a place outside of the header', String(tableAt));
  return { tableAt, tableEntries, blockBytes, ...decodeParent(bytes) };
}

function decodeParent(bytes: Buffer): VhdParentFields {
  const name = Buffer.from(bytes.subarray(PARENT_NAME_AT, PARENT_NAME_AT + PARENT_NAME_BYTES)).swap16();
  const locators = Array.from({ length: LOCATORS }, (_, index): VhdLocator => {
    const entry = bytes.subarray(LOCATORS_AT + index * LOCATOR_BYTES);
    // An offset beyond 2^53 loses its last bits here, and is outside of every file all the same.
    const at = Number(entry.readBigUInt64BE(16));
    return { code: entry.toString('latin1', 0, 4), length: entry.readUInt32BE(8), at };
  });
  return {
    parentId: Uint8Array.from(bytes.subarray(PARENT_ID_AT, PARENT_ID_AT + 16)),
    parentTime: bytes.readUInt32BE(PARENT_TIME_AT),
    parentName: upToNul(name.toString('utf16le')),
    locators: locators.filter(({ code }) => code !== '\0\0\0\0'),
  };
}

export function encodeVhdHeader(header: VhdHeader): Buffer {
  const bytes = Buffer.alloc(VHD_HEADER_BYTES);
  bytes.write(COOKIE, 0, 'latin1');
  // "Data Offset": there is no further structure.
  bytes.fill(0xff, 8, 16);
  bytes.writeBigUInt64BE(BigInt(header.tableAt), 16);
  bytes.writeUInt32BE(HEADER_VERSION, 24);
  bytes.writeUInt32BE(header.tableEntries, 28);
  bytes.writeUInt32BE(header.blockBytes, 32);
  return withParent(bytes, header);
}

/** The same header with another parent; whatever else it says stays, reserved bytes included. */
export function withParent(header: Uint8Array, parent: VhdParentFields): Buffer {
  const bytes = Buffer.from(header);
  bytes.set(parent.parentId, PARENT_ID_AT);
  bytes.writeUInt32BE(parent.parentTime, PARENT_TIME_AT);
  bytes.fill(0, PARENT_NAME_AT, LOCATORS_AT + LOCATORS * LOCATOR_BYTES);
  const name = Buffer.from(parent.parentName, 'utf16le').swap16();
  bytes.set(name.subarray(0, PARENT_NAME_BYTES - 2), PARENT_NAME_AT);
  for (const [index, { code, length, at }] of parent.locators.slice(0, LOCATORS).entries()) {
    const entry = bytes.subarray(LOCATORS_AT + index * LOCATOR_BYTES);
    entry.write(code, 0, 'latin1');
    // "Platform Data Space": sectors that are set aside for the data.
    entry.writeUInt32BE(Math.ceil(length / 512), 4);
    entry.writeUInt32BE(length, 8);
    entry.writeBigUInt64BE(BigInt(at), 16);
  }
  bytes.writeUInt32BE(vhdChecksum(bytes, VHD_HEADER_CHECKSUM_AT), VHD_HEADER_CHECKSUM_AT);
  return bytes;
}

export const upToNul = (text: string): string => text.split('\0', 1)[0] ?? '';
