/**
 * What a journal says: a header, then records, each of which is true once it is there. A later record for a chunk
 * replaces an earlier one. The text form is one line a record, `CRC32 TYPE FIELDS`, so that people can read it and
 * damage stays in its line.
 */
import { crc32 } from 'node:zlib';
import type { ChunkGrid } from '../core/chunk.js';
import { type Algorithm, DIGEST_BYTES } from '../core/digest.js';
import type { Version } from '../core/endpoint.js';
import type { PartMark, TargetLayout, Token } from '../core/target.js';

export const JOURNAL_FORMAT = 1;
/** The first line: what the file is, and which format, readable by every version there will ever be. */
export const JOURNAL_MAGIC = 'blockferry-journal';
/** Longer lines are damage: it bounds what a hostile journal can make us hold. */
export const RECORD_BYTES_MAX = 64 * 1024;
/** The layout of a large disk takes most of it. */
export const HEADER_BYTES_MAX = 1024 * 1024;

export interface JournalHeader {
  readonly size: number;
  readonly chunkBytes: number;
  readonly algorithm: Algorithm;
  readonly sourceVersion: Version;
  /** For people; without secrets. */
  readonly sourceName: string;
  readonly targetName: string;
  readonly createdAt: number;
  /** How the target lays out what it gets; a resume keeps to it. Absent: byte for byte. */
  readonly layout?: TargetLayout;
}

export type JournalRecord =
  | { readonly type: 'header'; readonly header: JournalHeader }
  /** The chunk is durable at the target, with this digest. */
  | { readonly type: 'chunk'; readonly chunk: number; readonly digest: string; readonly token?: Token }
  /** These chunks are zero at the source, and read as zero at the target. */
  | { readonly type: 'zero'; readonly chunk: number; readonly count: number }
  /** A process took the job up, and flushes before it claims (`sync`) or does not. */
  | {
      readonly type: 'opened';
      readonly pid: number;
      readonly host: string;
      readonly at: number;
      readonly sync: boolean;
    }
  /** All that was claimed before has been flushed, whoever claimed it. */
  | { readonly type: 'synced' }
  /** Nothing that was claimed before may be trusted: a flush failed that covered claims made without one. */
  | { readonly type: 'void' }
  /** A process put it down, and why. */
  | { readonly type: 'stopped'; readonly at: number; readonly code: string; readonly message: string }
  /** Everything is proven, and this part may be published now. */
  | { readonly type: 'committing'; readonly part: PartMark; readonly root: string };

export const CLAIM = { none: 0, chunk: 1, zero: 2 } as const;

/** What the records add up to; typed arrays, so that 5 TiB costs some megabytes. */
export interface Claims {
  /** One of {@link CLAIM} for each chunk. */
  readonly kinds: Uint8Array;
  /** The digests of all chunks, one behind the other. */
  readonly digests: Uint8Array;
  readonly tokens: Map<number, Token>;
}

/** The last word of each kind, for people and for the finishing of a commit. */
export interface JournalNews {
  opened?: JournalRecord & { type: 'opened' };
  stopped?: JournalRecord & { type: 'stopped' };
  committing?: JournalRecord & { type: 'committing' };
  /** Some claims may never have been flushed. */
  unsynced: boolean;
  damagedRecords: number;
}

/** An open, locked journal as plain data: descriptors belong to the process, so every thread may use it. */
export interface JournalRef {
  readonly path: string;
  readonly fd: number;
}

export interface JournalContent {
  readonly header: JournalHeader;
  readonly claims: Claims;
  readonly news: JournalNews;
  /** Bytes up to the end of the last whole line. */
  readonly goodBytes: number;
}

export interface OpenedJournal {
  readonly ref: JournalRef;
  /** There was none before. */
  readonly created: boolean;
  /** Absent when the journal is new or never got its header. */
  readonly content?: JournalContent;
}

/** Where journals are kept. Every method throws TransferError, and may be called from any thread with the same ref. */
export interface Journals {
  /**
   * Opens the journal or creates an empty one, and locks it. With `forget` it does not matter what it says.
   * @throws TransferError E_LOCKED, E_PART_UNSAFE, E_JOURNAL_DAMAGED, E_JOURNAL_VERSION
   */
  open(path: string, forget: boolean): Promise<OpenedJournal>;
  /** Reads a journal without locking it, for a status; undefined when there is none. */
  peek(path: string): JournalContent | undefined;
  /**
   * Makes the journal one of a new job; all that it said before is gone. Sets space aside for its records, so that a
   * full disk does not keep finished chunks off the record. Answers its length in bytes.
   */
  begin(ref: JournalRef, header: JournalHeader, sync: boolean): number;
  /**
   * Takes up the job of a journal: cuts a torn tail off, sets space aside and signs in. Answers its length in bytes.
   */
  takeUp(ref: JournalRef, content: Pick<JournalContent, 'goodBytes' | 'header'>, sync: boolean): number;
  /** Appends whole lines at `position` and answers the new length; after a failure the journal is as it was. */
  append(ref: JournalRef, position: number, lines: string, sync: boolean): number;
  /** Removes the journal: its job is done. */
  drop(ref: JournalRef, sync: boolean): void;
  /** Lets the lock go and keeps the journal. */
  close(ref: JournalRef): void;
}

export function emptyClaims(grid: ChunkGrid, algorithm: Algorithm): Claims {
  const digests = new Uint8Array(grid.count * DIGEST_BYTES[algorithm]);
  return { kinds: new Uint8Array(grid.count), digests, tokens: new Map() };
}

/** What was zero at the source once may be anything now, and what is, its map tells as well. */
export function forgetZeroes({ kinds }: Claims): void {
  for (let chunk = 0; chunk < kinds.length; chunk++) if (kinds[chunk] === CLAIM.zero) kinds[chunk] = CLAIM.none;
}

export function encodeRecord(record: JournalRecord): string {
  const body = recordBody(record);
  return `${crc32(body).toString(16).padStart(8, '0')} ${body}\n`;
}

function recordBody(record: JournalRecord): string {
  if (record.type === 'zero') return `zero ${record.chunk} ${record.count}`;
  if (record.type === 'chunk') {
    const token = record.token === undefined ? '' : ` ${encodeURIComponent(record.token)}`;
    return `chunk ${record.chunk} ${record.digest}${token}`;
  }
  const { type, ...fields } = record;
  return `${type} ${JSON.stringify(fields)}`;
}

/** One line without its newline; undefined when it is damaged. */
export function decodeRecord(line: string): JournalRecord | undefined {
  const body = line.slice(9);
  if (line[8] !== ' ' || crc32(body) !== Number.parseInt(line.slice(0, 8), 16)) return undefined;
  const space = body.indexOf(' ');
  const type = body.slice(0, space);
  const fields = body.slice(space + 1);
  if (type === 'chunk') {
    const [chunk, digest, token] = fields.split(' ');
    const decoded = token === undefined ? {} : { token: decodeURIComponent(token) };
    return digest === undefined ? undefined : { type, chunk: Number(chunk), digest, ...decoded };
  }
  if (type === 'zero') {
    const [chunk, count] = fields.split(' ').map(Number);
    return chunk === undefined || count === undefined ? undefined : { type, chunk, count };
  }
  return ['header', 'opened', 'synced', 'void', 'stopped', 'committing'].includes(type)
    ? { type, ...JSON.parse(fields) }
    : undefined;
}

/** Milliseconds since 1970 that a Date can show (ECMA-262, section "Time Values and Time Range"). */
export function isTime(at: unknown): boolean {
  return typeof at === 'number' && Math.abs(at) <= 8.64e15;
}

/** Adds one record to the claims; false when it does not fit this file, which is damage too. */
export function applyRecord(record: JournalRecord, claims: Claims, news: JournalNews): boolean {
  const digestBytes = claims.digests.length / (claims.kinds.length || 1);
  if (record.type === 'chunk') {
    const fits = record.chunk >= 0 && record.chunk < claims.kinds.length && Number.isInteger(record.chunk);
    if (!fits || record.digest.length !== digestBytes * 2 || !/^[0-9a-f]+$/.test(record.digest)) return false;
    claims.kinds[record.chunk] = CLAIM.chunk;
    claims.digests.set(Buffer.from(record.digest, 'hex'), record.chunk * digestBytes);
    if (record.token !== undefined) claims.tokens.set(record.chunk, record.token);
    return true;
  }
  if (record.type === 'zero') {
    const { chunk, count } = record;
    const whole = Number.isInteger(chunk) && Number.isInteger(count);
    if (!whole || chunk < 0 || count < 1 || chunk + count > claims.kinds.length) return false;
    claims.kinds.fill(CLAIM.zero, chunk, chunk + count);
    return true;
  }
  if (record.type === 'opened' && !(isTime(record.at) && record.pid > 0 && Number.isInteger(record.pid))) return false;
  if (record.type === 'stopped' && !(isTime(record.at) && typeof record.message === 'string')) return false;
  if (record.type === 'void') {
    claims.kinds.fill(CLAIM.none);
    delete news.committing;
  }
  if (record.type === 'synced' || record.type === 'void') news.unsynced = false;
  else if (record.type === 'stopped') news.stopped = record;
  else if (record.type === 'committing') news.committing = record;
  else if (record.type === 'opened') {
    news.opened = record;
    // What an earlier run stopped for is no longer news.
    delete news.stopped;
    news.unsynced ||= !record.sync;
  }
  return record.type !== 'header';
}
