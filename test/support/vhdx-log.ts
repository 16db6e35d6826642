/** A VHDX as a writer leaves it that was stopped: changes stand in its log and have not reached their places. */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { KiB, MiB } from '../../src/core/units.js';
import { crc32cWithout } from '../../src/disk/crc32c.js';
import { guidBytes } from '../../src/disk/vhdx/guid.js';
import { decodeHeader, encodeHeader } from '../../src/disk/vhdx/header.js';

const SECTOR = 4 * KiB;
const LOG_AT = MiB;
export const LOG_GUID = '77777777-8888-9999-aaaa-bbbbbbbbbbbb';

/** A change of the file: 4 KiB of data, or a range of zeroes. */
export type Change =
  | { readonly at: number; readonly data: Buffer }
  | { readonly at: number; readonly zeroBytes: number };

export interface TestEntry {
  /** Where in the log; a multiple of 4 KiB. */
  readonly at: number;
  readonly tail: number;
  readonly sequenceNumber: bigint;
  readonly changes: readonly Change[];
  readonly fileBytes: number;
  readonly lastBytes?: number;
  readonly guid?: string;
}

export function encodeLogEntry(entry: TestEntry): Buffer {
  const { changes, sequenceNumber } = entry;
  const head = Buffer.alloc(Math.ceil((64 + changes.length * 32) / SECTOR) * SECTOR);
  const data = changes.flatMap((change) => ('data' in change ? [change.data] : []));
  head.write('loge');
  head.writeUInt32LE(head.length + data.length * SECTOR, 8);
  head.writeUInt32LE(entry.tail, 12);
  head.writeBigUInt64LE(sequenceNumber, 16);
  head.writeUInt32LE(changes.length, 24);
  head.set(guidBytes(entry.guid ?? LOG_GUID), 32);
  head.writeBigUInt64LE(BigInt(entry.fileBytes), 48);
  head.writeBigUInt64LE(BigInt(entry.lastBytes ?? entry.fileBytes), 56);
  changes.forEach((change, index) => {
    const at = 64 + index * 32;
    if ('data' in change) {
      head.write('desc', at);
      change.data.copy(head, at + 4, SECTOR - 4);
      change.data.copy(head, at + 8, 0, 8);
    } else {
      head.write('zero', at);
      head.writeBigUInt64LE(BigInt(change.zeroBytes), at + 8);
    }
    head.writeBigUInt64LE(BigInt(change.at), at + 16);
    head.writeBigUInt64LE(sequenceNumber, at + 24);
  });
  const sectors = data.map((bytes) => {
    const sector = Buffer.from(bytes);
    sector.write('data');
    sector.writeUInt32LE(Number(sequenceNumber >> 32n), 4);
    sector.writeUInt32LE(Number(sequenceNumber & 0xffff_ffffn), SECTOR - 4);
    return sector;
  });
  const whole = Buffer.concat([head, ...sectors]);
  whole.writeUInt32LE(crc32cWithout(whole, 4), 4);
  return whole;
}

/** Writes entries into the log of 1 MiB, around its end where need be, and marks it in the headers as used. */
export function writeLog(path: string, entries: readonly TestEntry[], guid = LOG_GUID): void {
  const fd = openSync(path, 'r+');
  for (const entry of entries) {
    const bytes = encodeLogEntry(entry);
    const first = Math.min(bytes.length, MiB - entry.at);
    writeSync(fd, bytes, 0, first, LOG_AT + entry.at);
    if (first < bytes.length) writeSync(fd, bytes, first, bytes.length - first, LOG_AT);
  }
  for (const at of [64 * KiB, 128 * KiB]) {
    const bytes = Buffer.alloc(SECTOR);
    readSync(fd, bytes, 0, SECTOR, at);
    const header = decodeHeader(bytes, { name: path, what: 'header', at });
    writeSync(fd, encodeHeader({ ...header, logGuid: guid }), 0, SECTOR, at);
  }
  closeSync(fd);
}
