/**
 * The log of a VHDX ([MS-VHDX] 2.3): changes of metadata that may not have reached their places. Reading a disk whose
 * log is not empty means to replay the newest whole sequence in memory; where there is none the file is refused.
 *
 * An entry is looked at sector by sector and left at the first that does not belong to it. No sector can be both the
 * beginning of an entry and a part of another, so entries never overlap and the whole log is looked at about once,
 * whatever is written in it.
 */
import { KiB, MiB } from '../../core/units.js';
import { crc32c, crc32cWithout } from '../crc32c.js';
import type { DiskBytes } from '../image.js';
import { demand, exactNumber, type Spot } from './demand.js';
import { GUID_NONE, readGuid } from './guid.js';
import { assertLogPlace, type VhdxHeader } from './header.js';
import { type Segment, Segments } from './segments.js';

export const LOG_SECTOR_BYTES = 4 * KiB;
/** What a replay keeps in memory is the log itself. */
const LOG_BYTES_MAX = 64 * MiB;
const READ_BYTES = 4 * MiB;
const HEADER_BYTES = 64;
const DESCRIPTOR_BYTES = 32;
const CHECKSUM_AT = 4;
/** Neither the identifier nor the headers are ever changed through the log (2.2.1, 2.3). */
const REPLAY_FROM = 192 * KiB;

/** A log that was replayed: plain, cloneable, its bytes in shared memory. */
export interface LogReplay {
  /** Bytes of the file as the replay leaves it. */
  readonly fileBytes: number;
  /** What stands in the file otherwise than its bytes say: in order, apart from one another. */
  readonly segments: readonly Segment[];
  /** The log, with all sectors that segments point to made whole again. */
  readonly sectors: SharedArrayBuffer;
}

interface LogEntry {
  /** From the log's beginning. */
  readonly at: number;
  readonly length: number;
  readonly tail: number;
  readonly sequenceNumber: bigint;
  readonly descriptors: number;
  readonly descriptorSectors: number;
  readonly flushedBytes: bigint;
  readonly lastBytes: bigint;
}

/** Undefined: the log is empty. @throws TransferError E_DISK_FORMAT when it is not, and cannot be replayed */
export async function replayLog(bytes: DiskBytes, header: VhdxHeader): Promise<LogReplay | undefined> {
  if (header.logGuid === GUID_NONE) return undefined;
  const spot = { name: bytes.name, what: 'log', at: header.logAt };
  demand(spot, header.logVersion === 0, 'version 0', header.logVersion);
  assertLogPlace(bytes, header);
  demand(spot, header.logBytes <= LOG_BYTES_MAX, 'at most 64 MiB to replay in memory', `${header.logBytes} bytes`);
  const sectors = new SharedArrayBuffer(header.logBytes);
  const log = Buffer.from(sectors);
  for (let at = 0; at < log.length; at += READ_BYTES) {
    const length = Math.min(READ_BYTES, log.length - at);
    log.set(await bytes.read({ offset: header.logAt + at, length }, 'log'), at);
  }
  const sequence = activeSequence(validEntries(log, header.logGuid), log.length);
  const head = sequence[0];
  const none = 'none: the writer was stopped before its first entry was whole, or the log is damaged';
  demand(spot, head !== undefined, 'a whole sequence of entries', none);
  const flushed = exactNumber(spot, head.flushedBytes);
  demand(spot, bytes.size >= flushed, `a file of at least ${flushed} bytes`, `${bytes.size} bytes: it was cut short`);
  const segments = new Segments();
  for (const entry of sequence) replayEntry(log, entry, segments, spot);
  const last = exactNumber(spot, head.lastBytes);
  return { fileBytes: Math.max(bytes.size, last, segments.end), segments: segments.list, sectors };
}

function validEntries(log: Buffer, guid: string): ReadonlyMap<number, LogEntry> {
  const entries = new Map<number, LogEntry>();
  for (let at = 0; at < log.length; at += LOG_SECTOR_BYTES) {
    const entry = decodeEntry(log, at, guid);
    if (entry) entries.set(at, entry);
  }
  return entries;
}

/**
 * The entries of the newest whole sequence, the newest first (2.3.2 and 2.3.3). A sequence is whole when its last
 * entry's tail, the oldest that may not have reached its place, is part of it. What is older has reached its place:
 * it may have been moved since, and is not replayed.
 */
function activeSequence(entries: ReadonlyMap<number, LogEntry>, logBytes: number): readonly LogEntry[] {
  const before = new Map<LogEntry, LogEntry>();
  const heads = new Set(entries.values());
  for (const entry of entries.values()) {
    const next = entries.get((entry.at + entry.length) % logBytes);
    if (next?.sequenceNumber !== entry.sequenceNumber + 1n) continue;
    before.set(next, entry);
    heads.delete(entry);
  }
  let active: readonly LogEntry[] = [];
  for (const head of heads) {
    if (active[0] && active[0].sequenceNumber >= head.sequenceNumber) continue;
    const sequence: LogEntry[] = [];
    for (let entry: LogEntry | undefined = head; entry; entry = before.get(entry)) {
      sequence.push(entry);
      if (entry.at !== head.tail) continue;
      active = sequence;
      break;
    }
  }
  return active;
}

/** Undefined: no valid entry begins there. */
function decodeEntry(log: Buffer, at: number, guid: string): LogEntry | undefined {
  if (log.toString('latin1', at, at + 4) !== 'loge' || readGuid(log, at + 32) !== guid) return undefined;
  const length = log.readUInt32LE(at + 8);
  const descriptors = log.readUInt32LE(at + 24);
  const entry: LogEntry = {
    at,
    length,
    tail: log.readUInt32LE(at + 12),
    sequenceNumber: log.readBigUInt64LE(at + 16),
    descriptors,
    descriptorSectors: Math.ceil((HEADER_BYTES + descriptors * DESCRIPTOR_BYTES) / LOG_SECTOR_BYTES),
    flushedBytes: log.readBigUInt64LE(at + 48),
    lastBytes: log.readBigUInt64LE(at + 56),
  };
  const sound =
    length > 0 &&
    length % LOG_SECTOR_BYTES === 0 &&
    length <= log.length &&
    entry.descriptorSectors * LOG_SECTOR_BYTES <= length &&
    entry.tail % LOG_SECTOR_BYTES === 0 &&
    entry.sequenceNumber > 0n;
  return sound && sectorsBelong(log, entry) && checksumHolds(log, entry) ? entry : undefined;
}

function sectorsBelong(log: Buffer, entry: LogEntry): boolean {
  const { at, length, sequenceNumber, descriptors, descriptorSectors } = entry;
  let sector = descriptorSectors;
  for (let index = 0; index < descriptors; index++) {
    const place = (at + HEADER_BYTES + index * DESCRIPTOR_BYTES) % log.length;
    const kind = log.toString('latin1', place, place + 4);
    if ((kind !== 'desc' && kind !== 'zero') || log.readBigUInt64LE(place + 24) !== sequenceNumber) return false;
    if (kind === 'desc') sector++;
  }
  if (sector * LOG_SECTOR_BYTES !== length) return false;
  for (let data = descriptorSectors; data < sector; data++) {
    const place = (at + data * LOG_SECTOR_BYTES) % log.length;
    const high = BigInt(log.readUInt32LE(place + 4));
    const low = BigInt(log.readUInt32LE(place + LOG_SECTOR_BYTES - 4));
    if (log.toString('latin1', place, place + 4) !== 'data' || ((high << 32n) | low) !== sequenceNumber) return false;
  }
  return true;
}

/** Over the whole entry, which may go on at the log's beginning. */
function checksumHolds(log: Buffer, { at, length }: LogEntry): boolean {
  const first = log.subarray(at, Math.min(at + length, log.length));
  const rest = log.subarray(0, length - first.length);
  return crc32c(rest, crc32cWithout(first, CHECKSUM_AT)) === log.readUInt32LE(at + CHECKSUM_AT);
}

/** Entries come from the newest to the oldest, and so do the descriptors of each: what is newer stays. */
function replayEntry(log: Buffer, entry: LogEntry, segments: Segments, spot: Spot): void {
  let sector = entry.length / LOG_SECTOR_BYTES;
  for (let index = entry.descriptors - 1; index >= 0; index--) {
    const place = (entry.at + HEADER_BYTES + index * DESCRIPTOR_BYTES) % log.length;
    const descriptor = { ...spot, what: 'log descriptor', at: spot.at + place };
    const offset = exactNumber(descriptor, log.readBigUInt64LE(place + 16));
    const isData = log.toString('latin1', place, place + 4) === 'desc';
    const length = isData ? LOG_SECTOR_BYTES : exactNumber(descriptor, log.readBigUInt64LE(place + 8));
    const sound = offset % LOG_SECTOR_BYTES === 0 && length % LOG_SECTOR_BYTES === 0 && offset >= REPLAY_FROM;
    demand(descriptor, sound, 'whole sectors of 4 KiB after the headers', `${length} bytes at ${offset}`);
    demand(descriptor, Number.isSafeInteger(offset + length), 'an end below 2^53', `${length} bytes at ${offset}`);
    if (!isData) {
      segments.add({ offset, length }, spot);
      continue;
    }
    const at = (entry.at + --sector * LOG_SECTOR_BYTES) % log.length;
    // 2.3.1.3: the first eight bytes and the last four stand in the descriptor.
    log.copy(log, at, place + 8, place + 16);
    log.copy(log, at + LOG_SECTOR_BYTES - 4, place + 4, place + 8);
    segments.add({ offset, length, at }, spot);
  }
}
