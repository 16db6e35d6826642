/**
 * SQLite reads its log up to the first frame that is not right, and takes what follows for never finished. After a
 * killed process that is so; where a whole transaction follows it may be damage, which must not go unsaid
 * (sqlite.org/fileformat2.html, "The Write-Ahead Log").
 */
import { readFileSync } from 'node:fs';
import type Database from 'libsql';

const HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;
const MAGIC = 0x377f0682;

/** How many frames the log has up to the end of its last transaction; 'unreadable': it does not say what it is. */
export function framesOf(path: string): number | 'unreadable' {
  const log = readFileSync(path);
  if (log.length < HEADER_BYTES) return log.length === 0 ? 0 : 'unreadable';
  const pageBytes = log.readUInt32BE(8);
  // Its last bit says how the checksums are computed.
  if ((log.readUInt32BE(0) & ~1) !== MAGIC || pageBytes < 512 || pageBytes > 65_536) return 'unreadable';
  // Frames of an earlier round have other salts.
  const salts = log.subarray(16, 24);
  const frameBytes = FRAME_HEADER_BYTES + pageBytes;
  let frames = 0;
  for (let at = HEADER_BYTES, n = 1; at + frameBytes <= log.length; at += frameBytes, n++) {
    const isLastOfTransaction = log.readUInt32BE(at + 4) > 0;
    if (isLastOfTransaction && log.subarray(at + 8, at + 16).equals(salts)) frames = n;
  }
  return frames;
}

/** How many of them SQLite took. */
export function framesRead(database: Database.Database): number {
  const [row] = database.prepare('PRAGMA wal_checkpoint(PASSIVE)').raw().all() as readonly (readonly number[])[];
  return Math.max(0, row?.[1] ?? 0);
}
