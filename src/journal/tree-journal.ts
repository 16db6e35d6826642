/**
 * The journal of a tree copy: which files are finished, told before they get their names, and where partial files may
 * be left. A record names both versions, so that it proves itself: what does not agree any more is not finished.
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { systemClock } from '../core/clock.js';
import { type Algorithm, loadHash64 } from '../core/digest.js';
import { TransferError } from '../core/errors.js';
import type { FinishedFile } from '../core/tree.js';
import { type FileLayer, writeFully } from '../platform/file-layer.js';
import { encodePath, showPath } from '../platform/path-bytes.js';
import { DoneTable } from './done-table.js';
import type { JournalRef, Journals } from './journal.js';
import { linesOf } from './read-journal.js';
import {
  bootId,
  FIRST_TREE_LINE,
  type FoundInTreeJournal,
  NOTHING_FOUND,
  readTreeJournal,
} from './read-tree-journal.js';
import {
  decode,
  encode,
  keyOf,
  type Opened,
  TREE_LINE_BYTES_MAX,
  type TreeRecord,
  versionsIn,
  versionsOf,
} from './tree-record.js';

const { O_NOFOLLOW, O_RDONLY } = constants;
/** A record of a file with a short path. */
const FILE_BYTES_USUAL = 160;

type Hash64 = (bytes: Uint8Array) => bigint;

/** Plain data: any thread appends and looks with it. */
export interface TreeJournalRef {
  readonly journal: JournalRef;
  readonly known: SharedArrayBuffer;
}

export interface OpenedTreeJournal extends Omit<FoundInTreeJournal, 'goodBytes'> {
  readonly tag: string;
  readonly ref: TreeJournalRef;
  /** Where the records of this run begin, in bytes. */
  readonly from: number;
}

export interface TreeJournalRequest {
  readonly path: string;
  /** A journal that cannot be read is begun anew. */
  readonly discard: boolean;
  /** What earlier runs finished counts for nothing; what they left half done is tidied up all the same. */
  readonly forget: boolean;
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
    const ref = request.dryRun ? this.#peek(request.path) : await this.#open(request.path);
    try {
      const size = ref.fd < 0 ? 0 : Number(this.#files.fstat(ref.fd).size);
      const table = DoneTable.create(size / FILE_BYTES_USUAL + 64);
      const read = request.forget ? DoneTable.create(size / FILE_BYTES_USUAL + 64) : table;
      const all = this.#readOrDiscard(ref, size, read, hash, request.discard);
      const found = request.forget ? { ...all, goodBytes: 0, damagedRecords: 0 } : all;
      const opened = {
        ref: { journal: ref, known: table.shared },
        ...found,
        tag: found.tag ?? randomBytes(4).toString('hex'),
        from: found.goodBytes,
      };
      if (!request.dryRun) this.#signIn(opened, table, request, hash);
      return opened;
    } catch (thrown) {
      if (ref.fd >= 0) this.#journals.close(ref);
      throw thrown;
    }
  }

  #read(ref: JournalRef, size: number, table: DoneTable, hash: Hash64): FoundInTreeJournal {
    return size > 0 ? readTreeJournal(this.#files, ref, table, hash) : NOTHING_FOUND;
  }

  /** Partial copies are thrown away elsewhere, and what is finished stays so; only what cannot be read is forgotten. */
  #readOrDiscard(ref: JournalRef, size: number, table: DoneTable, hash: Hash64, discard: boolean): FoundInTreeJournal {
    try {
      return this.#read(ref, size, table, hash);
    } catch (thrown) {
      if (!discard || !(thrown instanceof TransferError)) throw thrown;
      return NOTHING_FOUND;
    }
  }

  async #open(path: string): Promise<JournalRef> {
    try {
      return (await this.#journals.open(path, true)).ref;
    } catch (thrown) {
      const error = TransferError.from(thrown);
      if (error.code !== 'E_TARGET_ACCESS') throw error;
      throw new TransferError('E_JOURNAL_WRITE', `cannot open the journal ${showPath(path)}`, {
        hint: 'Make its folder writable, or name another one by BLOCKFERRY_STATE. No file was copied.',
        cause: error.cause,
      });
    }
  }

  #peek(path: string): JournalRef {
    const there = path !== '' && this.#files.lstat(encodePath(path));
    return { path, fd: there ? this.#files.openSync(encodePath(path), O_RDONLY | O_NOFOLLOW) : -1 };
  }

  #signIn(
    { ref, tag, from }: OpenedTreeJournal,
    table: DoneTable,
    { sync, algorithm, chunkBytes }: TreeJournalRequest,
    hash: Hash64,
  ): void {
    this.#files.ftruncateSync(ref.journal.fd, from);
    table.reserve(from);
    const opened = { ...signature(), sync, tag, algorithm, chunkBytes };
    const journal = new TreeJournal(this.#files, ref, hash);
    journal.append([{ type: 'opened', opened }], sync, from === 0 ? FIRST_TREE_LINE : '');
    // Or a power cut could take the whole journal, with files in place that nothing knows of.
    if (sync && from === 0) this.#files.syncFolder(encodePath(dirname(ref.journal.path)));
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
    const last = this.#lastOf(ref.journal, from, hash);
    let opened: Opened | undefined;
    let digests = '';
    for (const { text, end } of linesOf(this.#files, ref.journal.fd, TREE_LINE_BYTES_MAX)) {
      const record = decode(text);
      if (record?.type === 'opened') opened = record.opened;
      if (record?.type === 'digests') digests += record.digests;
      if (record?.type !== 'file' || !opened) continue;
      const file = { ...record.file, digests: record.file.digests || digests };
      digests = '';
      const value = versionsOf(hash, file.sourceVersion, file.targetVersion);
      const key = keyOf(hash, file.path);
      const counts = last.has(key) ? last.get(key)?.value === BigInt(end) : table.takeSeen(key, value);
      if (counts) yield { algorithm: opened.algorithm, chunkBytes: opened.chunkBytes, ...file };
    }
  }

  /** Where the last record of this run about each path ends, of those that count: two sources may have one path. */
  #lastOf(ref: JournalRef, from: number, hash: Hash64): DoneTable {
    const voided = this.#voided(ref, from);
    const size = Number(this.#files.fstat(ref.fd).size);
    const last = DoneTable.create((size - from) / FILE_BYTES_USUAL + 64);
    for (const { text, end } of linesOf(this.#files, ref.fd, TREE_LINE_BYTES_MAX)) {
      const record = end > from ? decode(text) : undefined;
      if (record?.type !== 'file' || voided.has(JSON.stringify(versionsIn(record.file)))) continue;
      last.set(keyOf(hash, record.file.path), BigInt(end), false);
    }
    return last;
  }

  #voided(ref: JournalRef, from: number): Set<string> {
    const voided = new Set<string>();
    for (const { text, end } of linesOf(this.#files, ref.fd, TREE_LINE_BYTES_MAX)) {
      const record = end > from ? decode(text) : undefined;
      if (record?.type === 'void') voided.add(JSON.stringify(versionsIn(record)));
    }
    return voided;
  }
}

export class TreeJournal {
  readonly #files: FileLayer;
  readonly #ref: JournalRef;
  readonly #table: DoneTable;
  readonly #hash: Hash64;

  constructor(files: FileLayer, ref: TreeJournalRef, hash: Hash64) {
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

  /** To be told before they get their names, and, with `sync`, after they were flushed. */
  finished(files: readonly FinishedFile[], sync: boolean): void {
    const unsure = sync ? {} : { boot: bootId() };
    const records = files.map((file) => ({ type: 'file', file, ...unsure }) as const);
    this.append(records, sync);
  }

  sure(path: string, sourceVersion: string, targetVersion: string, sync: boolean): void {
    const unsure = sync ? {} : { boot: bootId() };
    this.append([{ type: 'sure', path, sourceVersion, targetVersion, ...unsure }], false);
  }

  /** To be told after a flush of everything. */
  synced(): void {
    this.append([{ type: 'synced', boot: bootId() }], true);
  }

  /** Each thread at a place of its own, so that none waits for another. @throws TransferError E_JOURNAL_WRITE */
  append(records: readonly TreeRecord[], sync: boolean, before = '\n'): void {
    const bytes = Buffer.from(`${before}${records.map(encode).join('')}`);
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

function signature(): { pid: number; host: string; at: number } {
  return { pid: process.pid, host: hostname(), at: systemClock.wallMs() };
}
