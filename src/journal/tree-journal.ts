/**
 * The journal of a tree copy: which files are finished, told before they get their names, and where partial files may
 * be left. A record names both versions, so that it proves itself: what does not agree any more is not finished.
 */
import { constants, readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { crc32 } from 'node:zlib';
import { systemClock } from '../core/clock.js';
import { type Algorithm, loadHash64 } from '../core/digest.js';
import { errnoOf, TransferError } from '../core/errors.js';
import type { FinishedFile } from '../core/tree.js';
import { type FileLayer, writeFully } from '../platform/file-layer.js';
import { encodePath, showPath } from '../platform/path-bytes.js';
import { DoneTable } from './done-table.js';
import type { JournalRef, Journals } from './journal.js';
import { linesOf } from './read-journal.js';

const { O_NOFOLLOW, O_RDONLY } = constants;
const FORMAT = 1;
const MAGIC = 'blockferry-tree';
const FIRST_LINE = `${MAGIC} ${FORMAT}\n`;
/** A record of a file with the longest path there is, and a little more. */
const FILE_BYTES_USUAL = 160;
const DIGEST_TEXT_MAX = 32 * 1024;

interface Opened {
  readonly pid: number;
  readonly host: string;
  readonly at: number;
  readonly sync: boolean;
  /** Which start of the machine: what was never flushed does not outlive it. */
  readonly boot: string;
  readonly algorithm: Algorithm;
  readonly chunkBytes: number;
}

type TreeRecord =
  | { readonly type: 'opened'; readonly opened: Opened }
  | { readonly type: 'begin'; readonly batch: string; readonly folders: readonly string[] }
  | { readonly type: 'end'; readonly batch: string }
  | { readonly type: 'file'; readonly file: FinishedFile }
  /** The digests of a large file, before its record. */
  | { readonly type: 'digests'; readonly path: string; readonly digests: string }
  /** The file did not get its name after all. */
  | { readonly type: 'void'; readonly path: string }
  /** All that was recorded before is durable. */
  | { readonly type: 'synced' };

/** Plain data: any thread appends and looks with it. */
export interface TreeJournalRef {
  readonly journal: JournalRef;
  readonly known: SharedArrayBuffer;
}

export interface OpenedTreeJournal {
  readonly ref: TreeJournalRef;
  /** Folders in which an earlier run may have left partial files. */
  readonly leftIn: readonly string[];
  readonly damagedRecords: number;
  /** Where the records of this run begin, in bytes. */
  readonly from: number;
}

export interface TreeJournalRequest {
  readonly path: string;
  /** What earlier runs finished counts for nothing. */
  readonly discard: boolean;
  /** Look and change nothing: without the lock, and harmless when there is no journal. */
  readonly dryRun: boolean;
  readonly sync: boolean;
  readonly algorithm: Algorithm;
  readonly chunkBytes: number;
}

export class TreeJournals {
  readonly #files: FileLayer;
  readonly #journals: Journals;

  constructor(files: FileLayer, journals: Journals) {
    this.#files = files;
    this.#journals = journals;
  }

  /**
   * Opens or creates the journal, and locks it. @throws TransferError E_LOCKED, E_JOURNAL_DAMAGED, E_JOURNAL_VERSION
   */
  async open(request: TreeJournalRequest): Promise<OpenedTreeJournal> {
    const hash = await loadHash64();
    const ref = request.dryRun ? this.#peek(request.path) : (await this.#journals.open(request.path, true)).ref;
    try {
      const size = request.discard || ref.fd < 0 ? 0 : Number(this.#files.fstat(ref.fd).size);
      const table = DoneTable.create(size / FILE_BYTES_USUAL + 64);
      const found = size > 0 ? this.#read(ref, table, hash) : { goodBytes: 0, leftIn: [], damagedRecords: 0 };
      const opened = { ref: { journal: ref, known: table.shared }, ...found, from: found.goodBytes };
      if (!request.dryRun) this.#signIn(opened, table, request, hash);
      return opened;
    } catch (thrown) {
      this.#journals.close(ref);
      throw thrown;
    }
  }

  #peek(path: string): JournalRef {
    const there = path !== '' && this.#files.lstat(encodePath(path));
    return { path, fd: there ? this.#files.openSync(encodePath(path), O_RDONLY | O_NOFOLLOW) : -1 };
  }

  #signIn(
    { ref, from }: OpenedTreeJournal,
    table: DoneTable,
    { sync, algorithm, chunkBytes }: TreeJournalRequest,
    hash: (bytes: Uint8Array) => bigint,
  ): void {
    this.#files.ftruncateSync(ref.journal.fd, from);
    table.reserve(from);
    const opened = { ...signature(), sync, algorithm, chunkBytes };
    const journal = new TreeJournal(this.#files, ref, hash);
    journal.append([{ type: 'opened', opened }], sync, from === 0 ? FIRST_LINE : '');
  }

  async attach(ref: TreeJournalRef): Promise<TreeJournal> {
    return new TreeJournal(this.#files, ref, await loadHash64());
  }

  /**
   * Files that this run finished or found finished, once each: of every path the last record, and only where it is one
   * of this run's or was seen in it.
   */
  async *filesOf({
    ref,
    from,
  }: OpenedTreeJournal): AsyncGenerator<FinishedFile & Pick<Opened, 'algorithm' | 'chunkBytes'>> {
    const hash = await loadHash64();
    const table = DoneTable.attach(ref.known);
    const voided = this.#voided(ref.journal, from);
    let opened: Opened | undefined;
    let digests = '';
    for (const { text, end } of linesOf(this.#files, ref.journal.fd)) {
      const record = decode(text);
      if (record?.type === 'opened') opened = record.opened;
      if (record?.type === 'digests') digests += record.digests;
      if (record?.type !== 'file' || !opened) continue;
      const file = { ...record.file, digests: record.file.digests || digests };
      digests = '';
      const value = versionsOf(hash, file.sourceVersion, file.targetVersion);
      if (end > from ? !voided.has(file.path) : table.takeSeen(keyOf(hash, file.path), value))
        yield { ...file, algorithm: opened.algorithm, chunkBytes: opened.chunkBytes };
    }
  }

  #voided(ref: JournalRef, from: number): Set<string> {
    const voided = new Set<string>();
    for (const { text, end } of linesOf(this.#files, ref.fd)) {
      const record = end > from ? decode(text) : undefined;
      if (record?.type === 'void') voided.add(record.path);
    }
    return voided;
  }

  #read(
    ref: JournalRef,
    table: DoneTable,
    hash: (bytes: Uint8Array) => bigint,
  ): { goodBytes: number; leftIn: string[]; damagedRecords: number } {
    const lines = linesOf(this.#files, ref.fd);
    const first = lines.next();
    if (first.done) return { goodBytes: 0, leftIn: [], damagedRecords: 0 };
    assertFormat(first.value.text, ref.path);
    const { boot } = signature();
    const left = new Map<string, readonly string[]>();
    let [goodBytes, damagedRecords, unsure] = [first.value.end, 0, false];
    let unsynced: (readonly [key: bigint, value: bigint])[] = [];
    for (const { text, end } of lines) {
      goodBytes = end;
      // A stop in the middle of an append leaves a gap, and every append begins with an end of line.
      if (/^\0*$/.test(text)) continue;
      const record = decode(text);
      if (!record) damagedRecords++;
      else if (record.type === 'opened') unsure = !record.opened.sync && (boot === '' || record.opened.boot !== boot);
      else if (record.type === 'begin') left.set(record.batch, record.folders);
      else if (record.type === 'end') left.delete(record.batch);
      else if (record.type === 'void') table.set(keyOf(hash, record.path), 0n, false);
      else if (record.type === 'synced') {
        for (const [key, value] of unsynced) if (table.look(key, value) === 'unsure') table.set(key, value, false);
        unsynced = [];
      } else if (record.type === 'file') {
        const key = keyOf(hash, record.file.path);
        const value = versionsOf(hash, record.file.sourceVersion, record.file.targetVersion);
        table.set(key, value, unsure);
        if (unsure) unsynced.push([key, value]);
      }
    }
    return { goodBytes, leftIn: [...new Set([...left.values()].flat())], damagedRecords };
  }
}

export class TreeJournal {
  readonly #files: FileLayer;
  readonly #ref: JournalRef;
  readonly #table: DoneTable;
  readonly #hash: (bytes: Uint8Array) => bigint;

  constructor(files: FileLayer, ref: TreeJournalRef, hash: (bytes: Uint8Array) => bigint) {
    this.#files = files;
    this.#ref = ref.journal;
    this.#table = DoneTable.attach(ref.known);
    this.#hash = hash;
  }

  /** Whether any earlier run finished a file of this path, whatever became of it. */
  knows(path: string): boolean {
    return !this.#table.isEmpty && this.#table.has(keyOf(this.#hash, path));
  }

  look(path: string, sourceVersion: string, targetVersion: string): 'finished' | 'unsure' | 'other' {
    return this.#table.look(keyOf(this.#hash, path), versionsOf(this.#hash, sourceVersion, targetVersion));
  }

  markSeen(path: string): void {
    this.#table.markSeen(keyOf(this.#hash, path));
  }

  /** Each thread at a place of its own, so that none waits for another. @throws TransferError E_JOURNAL_WRITE */
  append(records: readonly TreeRecord[], sync: boolean, before = '\n'): void {
    const bytes = Buffer.from(`${before}${records.flatMap(split).map(encode).join('')}`);
    try {
      writeFully(this.#files, this.#ref.fd, bytes, this.#table.reserve(bytes.length));
      if (sync) this.#files.fdatasyncSync(this.#ref.fd);
    } catch (thrown) {
      throw new TransferError('E_JOURNAL_WRITE', `cannot write the journal ${showPath(this.#ref.path)}`, {
        hint: 'Files with their names are whole. Free some space there, or name another folder by BLOCKFERRY_STATE.',
        cause: thrown,
      });
    }
  }
}

function keyOf(hash: (bytes: Uint8Array) => bigint, path: string): bigint {
  const bytes = encodePath(path);
  return hash(typeof bytes === 'string' ? Buffer.from(bytes) : bytes);
}

function versionsOf(hash: (bytes: Uint8Array) => bigint, sourceVersion: string, targetVersion: string): bigint {
  return hash(Buffer.from(`${sourceVersion}\n${targetVersion}`));
}

/** A line has to stay short enough to be read back. */
function split(record: TreeRecord): TreeRecord[] {
  if (record.type !== 'file' || record.file.digests.length <= DIGEST_TEXT_MAX) return [record];
  const { path, digests } = record.file;
  const pieces: TreeRecord[] = [];
  for (let at = 0; at < digests.length; at += DIGEST_TEXT_MAX) {
    pieces.push({ type: 'digests', path, digests: digests.slice(at, at + DIGEST_TEXT_MAX) });
  }
  return [...pieces, { type: 'file', file: { ...record.file, digests: '' } }];
}

function encode(record: TreeRecord): string {
  const { type, ...fields } = record;
  const body = `${type} ${JSON.stringify(fields)}`;
  return `${crc32(body).toString(16).padStart(8, '0')} ${body}\n`;
}

/** Undefined for a damaged line. */
function decode(text: string): TreeRecord | undefined {
  const line = text.replace(/^\0+/, '');
  const body = line.slice(9);
  if (line[8] !== ' ' || crc32(body) !== Number.parseInt(line.slice(0, 8), 16)) return undefined;
  const space = body.indexOf(' ');
  return { type: body.slice(0, space), ...JSON.parse(body.slice(space + 1)) } as TreeRecord;
}

function assertFormat(line: string, path: string): void {
  if (line === FIRST_LINE.trimEnd()) return;
  const format = new RegExp(`^${MAGIC} (\\d+)$`).exec(line)?.[1];
  const hint = 'Run again with --discard to forget what earlier runs finished; no file of the target is removed.';
  if (format === undefined) {
    throw new TransferError('E_JOURNAL_DAMAGED', `${showPath(path)} is not the journal of a tree`, { hint });
  }
  const message = `the journal ${showPath(path)} has format ${format}; this version reads ${FORMAT}`;
  throw new TransferError('E_JOURNAL_VERSION', message, { hint });
}

function signature(): { pid: number; host: string; at: number; boot: string } {
  return { pid: process.pid, host: hostname(), at: systemClock.wallMs(), boot: bootId() };
}

/** Empty where the system does not tell. */
function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'ascii').trim();
  } catch (thrown) {
    if (errnoOf(thrown) === 'ENOENT' || errnoOf(thrown) === 'EACCES') return '';
    throw thrown;
  }
}
