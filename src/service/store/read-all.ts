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
  /** Of the row itself. */
  readonly number: number;
  /** Of the job. */
  readonly id: string;
  readonly body: Uint8Array;
}

interface Broken extends Row {
  readonly what: 'job' | 'event';
  readonly why: string;
}

/** @param at milliseconds since 1970 */
export function readAll(database: Database.Database, at: number): StoredState {
  const broken: Broken[] = [];
  const filesOf = grouped(rowsOf(database, 'files ORDER BY job, number', 'job'));
  const jobs = parsed(rowsOf(database, 'jobs ORDER BY number', 'id'), 'job', broken, ({ id, body }): Job => {
    return parseJob(id, textOf(body), (filesOf.get(id) ?? []).map(textOf));
  });
  const newest = `(SELECT id AS number, body FROM told ORDER BY id DESC LIMIT ${TOLD_MAX})`;
  const told = parsed(rowsOf(database, newest, "''"), 'event', broken, ({ body }): Told => parseTold(textOf(body)));
  if (broken.length > 0) inTransaction(database, () => setAside(database, broken, at));
  return { jobs, told: told.reverse(), notes: notesOn(broken) };
}

/** As bytes: what is damaged may be no text. */
function rowsOf(database: Database.Database, from: string, id: string): readonly Row[] {
  const sql = `SELECT number, CAST(${id} AS BLOB), CAST(body AS BLOB) FROM ${from}`;
  const rows = database.prepare(sql).raw().all() as readonly (readonly [number, ArrayBuffer, ArrayBuffer])[];
  return rows.map(([number, of, body]) => {
    return { number, id: Buffer.from(of).toString('latin1'), body: new Uint8Array(body) };
  });
}

const utf8 = new TextDecoder('utf-8', { fatal: true });
const textOf = (bytes: Uint8Array): string => utf8.decode(bytes);

function grouped(rows: readonly Row[]): Map<string, Uint8Array[]> {
  const groups = new Map<string, Uint8Array[]>();
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
  const keep = (what: string, from: string) =>
    database.prepare(`INSERT INTO aside (at, what, body, why) SELECT ?, '${what}', body, ? FROM ${from}`);
  const theirs = 'files WHERE job = (SELECT id FROM jobs WHERE number = ?)';
  const job = {
    keep: keep('job', 'jobs WHERE number = ?'),
    keepFiles: keep('file', `${theirs} ORDER BY number`),
    dropFiles: database.prepare(`DELETE FROM ${theirs}`),
    drop: database.prepare('DELETE FROM jobs WHERE number = ?'),
  };
  const event = {
    keep: keep('event', 'told WHERE id = ?'),
    drop: database.prepare('DELETE FROM told WHERE id = ?'),
  };
  for (const { number, id, what, why } of broken) {
    (what === 'job' ? job : event).keep.run(at, why, number);
    if (what === 'job') {
      job.keepFiles.run(at, `of the job ${id}`, number);
      job.dropFiles.run(number);
    }
    (what === 'job' ? job : event).drop.run(number);
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
