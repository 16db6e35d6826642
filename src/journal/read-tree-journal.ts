/** Reads the journal of a tree: what is finished goes into the table, and what a run left half done is answered. */
import { readFileSync } from 'node:fs';
import { errnoOf, TransferError } from '../core/errors.js';
import type { FilesOutcome } from '../core/tree.js';
import type { FileLayer } from '../platform/file-layer.js';
import { showPath } from '../platform/path-bytes.js';
import type { DoneTable } from './done-table.js';
import type { JournalRef } from './journal.js';
import { linesOf } from './read-journal.js';
import { decode, keyOf, TREE_LINE_BYTES_MAX, type TreeRecord, type Versions, versionsOf } from './tree-record.js';

const FORMAT = 1;
/** Some MiB; what is beyond is copied again when it has to be. */
const REPLACED_MAX = 65_536;
const MAGIC = 'blockferry-tree';
export const FIRST_TREE_LINE = `${MAGIC} ${FORMAT}\n`;

export interface FoundInTreeJournal {
  /** Where the last whole line ends. */
  readonly goodBytes: number;
  /** Folders in which an earlier run may have left partial files. */
  readonly leftIn: readonly string[];
  /** Folders that an earlier run made and left writable. */
  readonly restrict: FilesOutcome['restrict'];
  readonly damagedRecords: number;
  /** As {@link Opened} says; undefined before the first run. */
  readonly tag?: string | undefined;
}

export const NOTHING_FOUND: FoundInTreeJournal = { goodBytes: 0, leftIn: [], restrict: [], damagedRecords: 0 };

/** Fills the table. @throws TransferError E_JOURNAL_DAMAGED, E_JOURNAL_VERSION */
export function readTreeJournal(
  files: FileLayer,
  ref: JournalRef,
  table: DoneTable,
  hash: (bytes: Uint8Array) => bigint,
): FoundInTreeJournal {
  const lines = linesOf(files, ref.fd, TREE_LINE_BYTES_MAX);
  const first = lines.next();
  // A power cut may have torn the beginning; nothing was on record by then.
  if (first.done || first.value.text.startsWith('\0')) return NOTHING_FOUND;
  assertFormat(first.value.text, ref.path);
  const found = new Found(table, hash);
  let [goodBytes, damagedRecords] = [first.value.end, 0];
  for (const { text, end } of lines) {
    goodBytes = end;
    // A stop in the middle of an append leaves a gap, and every append begins with an end of line.
    if (/^\0*$/.test(text)) continue;
    const record = decode(text);
    if (record) found.take(record);
    else damagedRecords++;
  }
  return { goodBytes, damagedRecords, leftIn: found.leftIn, restrict: found.restrict, tag: found.tag };
}

/** What the records say, one after the other. */
class Found {
  readonly #table: DoneTable;
  readonly #hash: (bytes: Uint8Array) => bigint;
  tag: string | undefined;
  readonly #boot = bootId();
  readonly #left = new Map<string, readonly string[]>();
  readonly #restrict = new Map<string, number>();
  /** What records of one run took the place of: a record may turn out to be void. */
  readonly #replaced = new Map<bigint, { readonly value: bigint; readonly unsure: boolean }>();
  #unsynced: (readonly [key: bigint, value: bigint, boot: string])[] = [];

  constructor(table: DoneTable, hash: (bytes: Uint8Array) => bigint) {
    this.#table = table;
    this.#hash = hash;
  }

  get leftIn(): string[] {
    return [...new Set([...this.#left.values()].flat())];
  }

  get restrict(): FilesOutcome['restrict'] {
    return [...this.#restrict].map(([folder, mode]) => ({ folder, mode }));
  }

  take(record: TreeRecord): void {
    if (record.type === 'opened') this.#opened(record.opened.tag);
    else if (record.type === 'begin') this.#left.set(record.batch, record.folders);
    else if (record.type === 'end') this.#left.delete(record.batch);
    else if (record.type === 'restrict') this.#restrict.set(record.folder, record.mode);
    else if (record.type === 'restricted') this.#restrict.clear();
    else if (record.type === 'void') this.#void(record);
    else if (record.type === 'doubt') this.#table.doubt();
    else if (record.type === 'synced') this.#synced(record.boot);
    else if (record.type === 'file') this.#finished(record.file, record.boot);
    else if (record.type === 'sure') this.#finished(record, record.boot);
  }

  #opened(tag: string): void {
    this.tag = tag;
    this.#replaced.clear();
  }

  /** Only the record that it speaks of: another file of that name may be finished. */
  #void({ path, sourceVersion, targetVersion }: Versions): void {
    const key = keyOf(this.#hash, path);
    const value = versionsOf(this.#hash, sourceVersion, targetVersion);
    if (this.#table.look(key, value) === 'other') return;
    const before = this.#replaced.get(key);
    this.#table.set(key, before?.value ?? 0n, before?.unsure ?? false);
  }

  /** A later flush says nothing of what a power cut has taken before. */
  #synced(boot: string): void {
    for (const [key, value, recordedIn] of this.#unsynced) {
      if (recordedIn === boot && this.#table.look(key, value) === 'unsure') this.#table.set(key, value, false);
    }
    this.#unsynced = [];
    if (boot === this.#boot) this.#table.flushed();
  }

  /** Each record says by itself whether it is sure, since any other may have been lost. */
  #finished({ path, sourceVersion, targetVersion }: Versions, boot: string | undefined): void {
    const key = keyOf(this.#hash, path);
    const value = versionsOf(this.#hash, sourceVersion, targetVersion);
    const unsure = boot !== undefined && (boot === '' || boot !== this.#boot);
    const before = this.#table.get(key);
    if (before && this.#replaced.size < REPLACED_MAX) this.#replaced.set(key, before);
    this.#table.set(key, value, unsure, boot !== undefined);
    if (unsure) this.#unsynced.push([key, value, boot]);
  }
}

function assertFormat(line: string, path: string): void {
  if (line === FIRST_TREE_LINE.trimEnd()) return;
  const format = new RegExp(`^${MAGIC} (\\d+)$`).exec(line)?.[1];
  const hint = 'Run again with --discard to forget what earlier runs finished; no file of the target is removed.';
  if (format === undefined) {
    throw new TransferError('E_JOURNAL_DAMAGED', `${showPath(path)} is not the journal of a tree`, { hint });
  }
  const message = `the journal ${showPath(path)} has format ${format}; this version reads ${FORMAT}`;
  throw new TransferError('E_JOURNAL_VERSION', message, { hint });
}

/** Empty where the system does not tell. */
export function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'ascii').trim();
  } catch (thrown) {
    if (errnoOf(thrown) === 'ENOENT' || errnoOf(thrown) === 'EACCES') return '';
    throw thrown;
  }
}
