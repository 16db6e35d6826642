/**
 * The form of the database, by version: a new database goes through all steps, an older one through those it lacks.
 * A step that was ever released is never changed; what is new is a new step.
 */
import type Database from 'libsql';
import { inTransaction, pragma } from './sqlite.js';

/**
 * A job's files are rows of their own, so that the progress of one does not write all of them again. What does not
 * parse any more is moved to `aside`, for people to look at.
 */
export const STEPS: readonly string[] = [
  `CREATE TABLE jobs (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, body TEXT NOT NULL) STRICT;
   CREATE TABLE files (job TEXT NOT NULL, number INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (job, number))
     STRICT, WITHOUT ROWID;`,
  `CREATE TABLE told (id INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;
   CREATE TABLE aside (number INTEGER PRIMARY KEY, at INTEGER NOT NULL, what TEXT NOT NULL, body TEXT NOT NULL,
     why TEXT NOT NULL) STRICT;`,
];

/** Marks the file as ours (file(1) shows it): "BLKF". */
const APPLICATION_ID = 0x424c_4b46;

/** What kind of file it is: one of ours in some version, or what has no mark at all. */
export function versionOf(database: Database.Database): number | 'not ours' {
  if (pragma(database, 'application_id') !== APPLICATION_ID) return 'not ours';
  return Number(pragma(database, 'user_version'));
}

/** Brings it to the newest version, at once or not at all. */
export function migrate(database: Database.Database, from: number): void {
  const marks = `PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${STEPS.length};`;
  inTransaction(database, () => database.exec(`${STEPS.slice(from).join('\n')} ${marks}`));
}
