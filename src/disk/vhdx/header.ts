/**
 * The header section of a VHDX ([MS-VHDX] 2.2.1 and 2.2.2): the file type identifier, and two headers of which the
 * valid one with the greater sequence number counts. Only one is overwritten at a time, so that a torn write leaves
 * the other.
 */
import { TransferError } from '../../core/errors.js';
import { KiB, MiB } from '../../core/units.js';
import { showPath } from '../../platform/path-bytes.js';
import { crc32cWithout } from '../crc32c.js';
import { notClosed } from '../disk-bytes.js';
import type { DiskBytes } from '../image.js';
import type { DiskFile } from '../image-writer.js';
import { demand, type Spot } from './demand.js';
import { GUID_NONE, guidBytes, newGuid, readGuid } from './guid.js';

export const HEADER_SECTION_BYTES = MiB;
export const IDENTIFIER_BYTES = 64 * KiB;
export const HEADER_BYTES = 4 * KiB;
export const HEADERS_AT = [64 * KiB, 128 * KiB] as const;

export const VHDX_VERSION = 1;

const SIGNATURE = 'vhdxfile';
const CREATOR_BYTES = 512;
const CHECKSUM_AT = 4;

export interface VhdxHeader {
  readonly sequenceNumber: bigint;
  readonly fileWriteGuid: string;
  /** Of the content that a guest sees: what a child names. */
  readonly dataWriteGuid: string;
  /** {@link GUID_NONE}: there is nothing to replay. */
  readonly logGuid: string;
  readonly logVersion: number;
  readonly version: number;
  readonly logBytes: number;
  readonly logAt: number;
}

/** A header that can be read, or why it cannot. */
export type HeaderSlot = VhdxHeader | TransferError;

export function encodeIdentifier(creator: string): Buffer {
  const bytes = Buffer.alloc(IDENTIFIER_BYTES);
  bytes.write(SIGNATURE, 0, 'latin1');
  bytes.write(creator, SIGNATURE.length, CREATOR_BYTES, 'utf16le');
  return bytes;
}

export async function assertIdentifier(bytes: DiskBytes): Promise<void> {
  const found = (await bytes.read({ offset: 0, length: SIGNATURE.length }, 'file type identifier')).toString('latin1');
  const spot = { name: bytes.name, what: 'file type identifier', at: 0 };
  demand(spot, found === SIGNATURE, JSON.stringify(SIGNATURE), JSON.stringify(found));
}

/** The program that made the file, as it calls itself. */
export async function readCreator(bytes: DiskBytes): Promise<string> {
  const text = await bytes.read({ offset: SIGNATURE.length, length: CREATOR_BYTES }, 'file type identifier');
  return showPath(text.toString('utf16le').split('\0', 1)[0]?.trim() ?? '');
}

export async function readHeaders(bytes: DiskBytes): Promise<readonly [HeaderSlot, HeaderSlot]> {
  return [await readSlot(bytes, HEADERS_AT[0]), await readSlot(bytes, HEADERS_AT[1])];
}

async function readSlot(bytes: DiskBytes, at: number): Promise<HeaderSlot> {
  const what = at === HEADERS_AT[0] ? 'header 1' : 'header 2';
  try {
    return decodeHeader(await bytes.read({ offset: at, length: HEADER_BYTES }, what), { name: bytes.name, what, at });
  } catch (thrown) {
    // What cannot be read at all is no matter of the format.
    if (thrown instanceof TransferError && thrown.code === 'E_DISK_FORMAT') return thrown;
    throw thrown;
  }
}

/** Which of the two is in use. @throws TransferError E_DISK_FORMAT when neither is */
function currentSlot([first, second]: readonly [HeaderSlot, HeaderSlot], name: string): 0 | 1 {
  if (second instanceof TransferError) {
    if (first instanceof TransferError) throw first;
    return 0;
  }
  if (first instanceof TransferError) return 1;
  const same = (Object.keys(first) as (keyof VhdxHeader)[]).every((field) => first[field] === second[field]);
  const spot = { name, what: 'headers', at: HEADERS_AT[0] };
  const { sequenceNumber } = first;
  const distinct = same || sequenceNumber !== second.sequenceNumber;
  demand(spot, distinct, 'two sequence numbers', `${sequenceNumber} in both, with different contents`);
  return second.sequenceNumber > sequenceNumber ? 1 : 0;
}

/** The header in use, and which of the two it is. */
export interface CurrentHeader {
  readonly header: VhdxHeader;
  readonly slot: 0 | 1;
}

export async function currentHeader(bytes: DiskBytes): Promise<CurrentHeader> {
  const slots = await readHeaders(bytes);
  const slot = currentSlot(slots, bytes.name);
  const header = slots[slot] as VhdxHeader;
  const spot = { name: bytes.name, what: 'version of the format', at: HEADERS_AT[slot] };
  demand(spot, header.version === VHDX_VERSION, String(VHDX_VERSION), header.version);
  return { header, slot };
}

export function encodeHeader(header: VhdxHeader): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  bytes.write('head', 0, 'latin1');
  bytes.writeBigUInt64LE(header.sequenceNumber, 8);
  bytes.set(guidBytes(header.fileWriteGuid), 16);
  bytes.set(guidBytes(header.dataWriteGuid), 32);
  bytes.set(guidBytes(header.logGuid), 48);
  bytes.writeUInt16LE(header.logVersion, 64);
  bytes.writeUInt16LE(header.version, 66);
  bytes.writeUInt32LE(header.logBytes, 68);
  bytes.writeBigUInt64LE(BigInt(header.logAt), 72);
  bytes.writeUInt32LE(crc32cWithout(bytes, CHECKSUM_AT), CHECKSUM_AT);
  return bytes;
}

export function decodeHeader(bytes: Buffer, spot: Spot): VhdxHeader {
  const part = (what: string): Spot => ({ ...spot, what: `${spot.what}, ${what}` });
  const signature = bytes.toString('latin1', 0, 4);
  demand(part('signature'), signature === 'head', '"head"', JSON.stringify(signature));
  const checksum = bytes.readUInt32LE(CHECKSUM_AT);
  const computed = crc32cWithout(bytes, CHECKSUM_AT);
  demand(part('checksum'), checksum === computed, `${computed}, by its other bytes`, checksum);
  return {
    sequenceNumber: bytes.readBigUInt64LE(8),
    fileWriteGuid: readGuid(bytes, 16),
    dataWriteGuid: readGuid(bytes, 32),
    logGuid: readGuid(bytes, 48),
    logVersion: bytes.readUInt16LE(64),
    version: bytes.readUInt16LE(66),
    logBytes: bytes.readUInt32LE(68),
    // Above 2^53 the last bits are lost, but not that it is above every file's end.
    logAt: Number(bytes.readBigUInt64LE(72)),
  };
}

/** Where the log is. @throws TransferError E_DISK_FORMAT when it is not whole in the file, after the header section */
export function assertLogPlace(
  { name, size }: Pick<DiskBytes, 'name' | 'size'>,
  { logAt, logBytes }: VhdxHeader,
): void {
  const spot = { name, what: 'log', at: logAt };
  const aligned = logAt % MiB === 0 && logBytes % MiB === 0 && logBytes > 0 && logAt >= HEADER_SECTION_BYTES;
  demand(spot, aligned, 'a place and a length in whole MiB after the first', `${logBytes} bytes`);
  demand(spot, logAt <= size - logBytes, `${logBytes} bytes inside the file`, `a file of ${size} bytes`);
}

/** @throws TransferError E_DISK_FORMAT when the log is nowhere, or has something to replay: only reading does that */
export function assertWritable(file: Pick<DiskBytes, 'name' | 'size'>, header: VhdxHeader): void {
  assertLogPlace(file, header);
  if (header.logGuid !== GUID_NONE) throw notClosed(file.name, 'log', header.logAt, 'changes to replay');
}

/** The last number that leaves room for an update. */
const SEQUENCE_NUMBER_MAX = 2n ** 64n - 3n;

/**
 * The update of 2.2.2.1: the header that is not in use gets the next sequence number and is made durable, then the
 * other one, so that both say the same. The file's own GUID is always new; `dataWriteGuid`: the content's, if any.
 */
export function updateHeaders(file: DiskFile, { header, slot }: CurrentHeader, dataWriteGuid?: string): CurrentHeader {
  const spot = { name: file.name, what: 'header', at: HEADERS_AT[slot] };
  const { sequenceNumber } = header;
  demand(spot, sequenceNumber <= SEQUENCE_NUMBER_MAX, 'a sequence number that can be counted on', sequenceNumber);
  const changed = { ...header, fileWriteGuid: newGuid(), ...(dataWriteGuid && { dataWriteGuid }) };
  const other = slot === 0 ? 1 : 0;
  file.write(HEADERS_AT[other], encodeHeader({ ...changed, sequenceNumber: sequenceNumber + 1n }));
  file.flush();
  const last = { ...changed, sequenceNumber: sequenceNumber + 2n };
  file.write(HEADERS_AT[slot], encodeHeader(last));
  file.flush();
  return { header: last, slot };
}
