/**
 * Finds, makes or restores the database of a folder. A damaged one is never written to and never deleted: it is moved
 * aside under a name with its date, and the last backup takes its place. A file gets its name only when it is whole, so
 * that one that is there and empty has lost its content.
 */
import { closeSync, copyFileSync, existsSync, openSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'libsql';
import { TransferError } from '../../core/errors.js';
import { assertOnlyOurs } from '../../platform/private-file.js';
import type { StoredState } from '../job-store.js';
import { JobDatabase } from './job-database.js';
import { framesOf, framesRead } from './log-check.js';
import { migrate, STEPS, versionOf } from './schema.js';
import { isDamage, isSound, pragma, syncFolderOf, syncPath } from './sqlite.js';

export interface Places {
  readonly database: string;
  readonly backup: string;
  readonly lock: string;
}

export function placesIn(folder: string): Places {
  return {
    database: join(folder, 'jobs.sqlite'),
    backup: join(folder, 'jobs.backup.sqlite'),
    lock: join(folder, 'jobs.lock'),
  };
}

interface Opened {
  readonly database: JobDatabase;
  /** All that is in it. */
  readonly state: StoredState;
}

const LOG_CUT =
  'The last changes to the jobs could not be read: the log of their database is damaged, or the power was lost. ' +
  'See whether all jobs are there, and in the state in which you left them.';
const NONE_LEFT =
  'There is no backup, so the service begins with no jobs. What a job had copied is kept beside its target, ' +
  'and a job that is created anew goes on from there.';

/** @param at milliseconds since 1970 */
export function openDatabase(places: Places, at: number): Opened {
  const { database: path } = places;
  const notes: string[] = [];
  if (existsSync(path)) {
    const opened = openWhole(path, at, notes);
    if (opened !== 'damaged') return opened;
    notes.push(`The database of the jobs was damaged. It is kept as ${moveAside(path, at)}.`);
  } else if (existsSync(`${path}-wal`)) {
    notes.push(`The database of the jobs was missing. Its log is kept beside ${moveAside(path, at)}.`);
  }
  restore(places, at, notes);
  if (!existsSync(path)) make(path);
  const opened = openWhole(path, at, notes);
  if (opened !== 'damaged') return opened;
  throw new TransferError('E_STORE', `${path}: what was just written there reads differently`, {
    hint: 'Check that storage, or name a state folder elsewhere with --state.',
  });
}

/** Replaces the last backup when the new one is whole. */
export function backUp(database: JobDatabase, { backup }: Places): void {
  const hidden = newFile(backup);
  database.copyTo(hidden);
  const copy = openSound(hidden);
  if (copy === 'damaged') throw new TransferError('E_STORE', `${hidden}: the backup of the jobs reads differently`);
  copy.close();
  giveName(hidden, backup);
}

/** Puts a copy of the backup into the place of the database, if there is one. */
function restore({ database: path, backup }: Places, at: number, notes: string[]): void {
  if (!existsSync(backup)) {
    if (notes.length > 0) notes.push(NONE_LEFT);
    return;
  }
  const hidden = newFile(path);
  copyFileSync(backup, hidden);
  syncPath(hidden);
  const copy = openSound(hidden);
  if (copy === 'damaged') {
    notes.push(`The backup was damaged too. It is kept as ${moveAside(backup, at)}. ${NONE_LEFT}`);
    return;
  }
  copy.close();
  giveName(hidden, path);
  const made = statSync(backup).mtime.toISOString();
  notes.push(
    `The jobs were restored from the backup of ${made}: they are as they were then. ` +
      'What was copied since is kept beside its target, and found there.',
  );
}

function make(path: string): void {
  const hidden = newFile(path);
  const database = new Database(hidden);
  migrate(database, 0);
  database.close();
  syncPath(hidden);
  giveName(hidden, path);
}

/** Opens what is there and reads all of it. @param notes told before its own */
function openWhole(path: string, at: number, notes: readonly string[]): Opened | 'damaged' {
  const log = existsSync(`${path}-wal`) ? framesOf(`${path}-wal`) : 0;
  const database = openSound(path);
  if (database === 'damaged') return database;
  try {
    const version = ourVersion(database, path);
    const more: string[] = [];
    if (log === 'unreadable' || framesRead(database) < log) more.push(LOG_CUT);
    if (version < STEPS.length) {
      migrate(database, version);
      more.push(`${path} was brought from format ${version} to ${STEPS.length}.`);
    }
    const opened = new JobDatabase(database);
    const state = opened.read(at);
    return { database: opened, state: { ...state, notes: [...notes, ...more, ...state.notes] } };
  } catch (thrown) {
    database.close();
    if (isDamage(thrown)) return 'damaged';
    throw thrown;
  }
}

/**
 * Opens what is there, when SQLite can read all of it. An empty log tells that the file alone is the whole database,
 * and then it has exactly the pages that it says.
 */
function openSound(path: string): Database.Database | 'damaged' {
  const stat = statSync(path);
  assertOnlyOurs(path, stat);
  const hasLog = (statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0) > 0;
  if (stat.size === 0) return 'damaged';
  const database = new Database(path);
  try {
    const bytes = Number(pragma(database, 'page_count')) * Number(pragma(database, 'page_size'));
    if (isSound(database) && (hasLog || bytes === stat.size)) return database;
  } catch (thrown) {
    if (!isDamage(thrown)) throw thrown;
  }
  database.close();
  return 'damaged';
}

/** @throws TransferError E_STORE for what is not for us to touch */
function ourVersion(database: Database.Database, path: string): number {
  const version = versionOf(database);
  if (version === 'not ours') {
    throw new TransferError('E_STORE', `${path} is a database, but not one of Blockferry's jobs`, {
      hint: 'Move it away, or name another state folder with --state.',
    });
  }
  if (version > STEPS.length) {
    throw new TransferError('E_STORE', `${path} was written by a newer Blockferry (format ${version})`, {
      hint: `This one knows formats up to ${STEPS.length}. Update it, or name another state folder with --state.`,
    });
  }
  return version;
}

/** With its log, which belongs to it. The database goes first: it must never stand there without its log. */
function moveAside(path: string, at: number): string {
  const date = new Date(at).toISOString().replaceAll(':', '-');
  const place = (n: number) => path.replace(/\.sqlite$/, `.damaged-${date}${n > 0 ? `-${n}` : ''}.sqlite`);
  let n = 0;
  while (['', '-wal'].some((end) => existsSync(place(n) + end))) n++;
  for (const end of ['', '-wal', '-shm']) {
    if (existsSync(path + end)) renameSync(path + end, place(n) + end);
  }
  syncFolderOf(path);
  return place(n);
}

/** An empty file beside that path, for us alone. */
function newFile(path: string): string {
  const hidden = `${path}.new`;
  for (const end of ['', '-wal', '-shm', '-journal']) rmSync(hidden + end, { force: true });
  closeSync(openSync(hidden, 'wx', 0o600));
  return hidden;
}

function giveName(hidden: string, path: string): void {
  renameSync(hidden, path);
  syncFolderOf(path);
}
