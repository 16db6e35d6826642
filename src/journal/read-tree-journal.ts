/** Reads the journal of a tree: what is finished goes into the table, and what a run left half done is answered. */
import { readFileSync } from 'node:fs';
import { errnoOf, TransferError } from '../core/errors.js';
import type { FilesOutcome } from '../core/tree.js';
import type { FileLayer } from '../platform/file-layer.js';
import { showPath } from '../platform/path-bytes.js';
import type { DoneTable } from './done-table.js';
import type { JournalRef } from './journal.js';
import { linesOf } from './read-journal.js';
import { decode, keyOf, TREE_LINE_BYTES_MAX, versionsOf } from './tree-record.js';

const FORMAT = 1;
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
  const boot = bootId();
  const restrict = new Map<string, number>();
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
    else if (record.type === 'restrict') restrict.set(record.folder, record.mode);
    else if (record.type === 'restricted') restrict.clear();
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
  return {
    ...{ goodBytes, damagedRecords },
    leftIn: [...new Set([...left.values()].flat())],
    restrict: [...restrict].map(([folder, mode]) => ({ folder, mode })),
  };
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
