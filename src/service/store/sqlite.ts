/**
 * What the rest of the store needs of SQLite, and what its errors mean to a user. libsql keeps a connection open behind
 * a closed one until its statements are collected (libsql-js issue 228); SQLite leaves files alone that were moved
 * under such a connection, so that a database can be set aside while one lingers. And it ends the process on text that
 * is no UTF-8, as damage makes it: so text is read as bytes.
 */
import { closeSync, fsyncSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import type Database from 'libsql';
import { errnoOf, TransferError } from '../../core/errors.js';

/** The only or first value that a pragma answers with. */
export function pragma(database: Database.Database, text: string): unknown {
  const [row] = database.pragma(text) as readonly Readonly<Record<string, unknown>>[];
  return row && Object.values(row)[0];
}

/** Whether SQLite finds nothing wrong. It is counted, since what it finds may quote bytes that are no text. */
export function isSound(database: Database.Database): boolean {
  const sql = "SELECT count(*) FROM pragma_integrity_check WHERE CAST(integrity_check AS BLOB) <> CAST('ok' AS BLOB)";
  const [row] = database.prepare(sql).raw().all() as readonly (readonly number[])[];
  return row?.[0] === 0;
}

/** All of it or nothing. */
export function inTransaction(database: Database.Database, work: () => void): void {
  database.exec('BEGIN IMMEDIATE');
  try {
    work();
    database.exec('COMMIT');
  } catch (thrown) {
    // SQLite has rolled some failures back by itself.
    if (database.inTransaction) database.exec('ROLLBACK');
    throw thrown;
  }
}

/** Whether the file is at fault: our own statements are wrong only where the tables are not ours any more. */
export function isDamage(thrown: unknown): boolean {
  return /^SQLITE_(CORRUPT|NOTADB|ERROR$)/.test(errnoOf(thrown) ?? '');
}

/** After a failed write or flush nobody knows what of the log is on the disk. */
export function isStorageError(thrown: unknown): boolean {
  return /^SQLITE_(IOERR|FULL)/.test(errnoOf(thrown) ?? '');
}

const MEANINGS: readonly (readonly [code: RegExp, message: string, hint: string])[] = [
  [/^(SQLITE_FULL|ENOSPC|EDQUOT)/, 'the disk is full', 'Free some space there. '],
  [/^(SQLITE_IOERR|EIO)/, 'the storage answered with an error', 'See the kernel log about that storage. '],
  [/^(SQLITE_(CORRUPT|NOTADB))/, 'the database is damaged', 'At its next start the service restores a backup. '],
  [/^(SQLITE_READONLY|EROFS|EACCES|EPERM)/, 'it cannot be written to', 'See who may write there. '],
  [/^SQLITE_BUSY/, 'another program has it open', 'End whatever else reads that database. '],
];
const KEPT = 'What was stored before is kept.';

/** As what is told, after what could not be done: what is wrong, and what to do. */
export function storeError(thrown: unknown, message: string): TransferError {
  if (thrown instanceof TransferError) return thrown;
  const code = errnoOf(thrown);
  if (code === undefined) return TransferError.from(thrown);
  const [, meaning, hint = ''] = MEANINGS.find(([pattern]) => pattern.test(code)) ?? [];
  const what = meaning === undefined ? (thrown as Error).message : `${meaning} (${code})`;
  return new TransferError('E_STORE', `${message}: ${what}`, { hint: `${hint}${KEPT}`, cause: thrown });
}

/** What was written into the file, or the names in the folder, is durable after. */
export function syncPath(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

export function syncFolderOf(path: string): void {
  syncPath(dirname(path));
}
