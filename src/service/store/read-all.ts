/**
 * All that is stored, read once at the start. A row that does not parse never stops the service: it is moved to the
 * table `aside`, for people to look at, and told.
 */
import type Database from 'libsql';
import type { Job } from '../job.js';
import type { StoredState } from '../job-store.js';
import type { Told } from '../told.js';
import { parseJob, parseTold, reasonOf } from './rows.js';
import { inTransaction } from './sqlite.js';

/** The newest of them; older ones are forgotten. */
export const TOLD_MAX = 10_000;
/** How many of those that do not parse are told by name. */
const NAMED_MAX = 5;

interface Row {
  readonly id: string;
  readonly body: string;
}

interface Broken extends Row {
  readonly what: 'job' | 'event';
  readonly why: string;
}

/** @param at milliseconds since 1970 */
export function readAll(database: Database.Database, at: number): StoredState {
  const rows = (sql: string): readonly Row[] => database.prepare(sql).all() as readonly Row[];
  const broken: Broken[] = [];
  const filesOf = grouped(rows('SELECT job AS id, body FROM files ORDER BY job, number'));
  const jobs = parsed(rows('SELECT id, body FROM jobs ORDER BY number'), 'job', broken, ({ id, body }): Job => {
    return parseJob(id, body, filesOf.get(id) ?? []);
  });
  const newest = `SELECT id, body FROM told ORDER BY id DESC LIMIT ${TOLD_MAX}`;
  const told = parsed(rows(newest), 'event', broken, ({ body }): Told => parseTold(body)).reverse();
  if (broken.length > 0) inTransaction(database, () => setAside(database, broken, at));
  return { jobs, told, notes: notesOn(broken) };
}

function grouped(rows: readonly Row[]): Map<string, string[]> {
  const groups = new Map<string, string[]>();
  for (const { id, body } of rows) {
    const known = groups.get(id);
    if (known) known.push(body);
    else groups.set(id, [body]);
  }
  return groups;
}

function parsed<T>(rows: readonly Row[], what: Broken['what'], broken: Broken[], parse: (row: Row) => T): T[] {
  return rows.flatMap((row) => {
    try {
      return [parse(row)];
    } catch (thrown) {
      broken.push({ ...row, what, why: reasonOf(thrown) });
      return [];
    }
  });
}

function setAside(database: Database.Database, broken: readonly Broken[], at: number): void {
  const keep = database.prepare('INSERT INTO aside (at, what, body, why) VALUES (?, ?, ?, ?)');
  const keepFiles = database.prepare(
    "INSERT INTO aside (at, what, body, why) SELECT ?, 'file', body, ? FROM files WHERE job = ? ORDER BY number",
  );
  const dropFiles = database.prepare('DELETE FROM files WHERE job = ?');
  for (const { id, body, what, why } of broken) {
    keep.run(at, what, body, why);
    if (what === 'job') {
      keepFiles.run(at, `of the job ${id}`, id);
      dropFiles.run(id);
    }
    database.prepare(`DELETE FROM ${what === 'job' ? 'jobs' : 'told'} WHERE id = ?`).run(id);
  }
}

function notesOn(broken: readonly Broken[]): readonly string[] {
  const jobs = broken.filter(({ what }) => what === 'job');
  const events = broken.length - jobs.length;
  const kept = 'It is kept in the table "aside" of the database.';
  const notes = jobs.slice(0, NAMED_MAX).map(({ id, why }) => {
    return `The stored job ${id} does not make sense (${why}) and is left out. ${kept}`;
  });
  const more = jobs.length - notes.length;
  if (more > 0) notes.push(`${more} more stored jobs do not make sense and are left out, and kept in that table.`);
  if (events > 0) notes.push(`${events} stored events do not make sense and are left out, and kept in that table.`);
  return notes;
}
