/**
 * The open database takes batches, each as a whole or not at all. A durable batch is on the disk when `write` returns,
 * and all batches before it.
 */
import type Database from 'libsql';
import type { StoredState } from '../job-store.js';
import { readAll, TOLD_MAX } from './read-all.js';
import { inTransaction, isStorageError, pragma, syncPath } from './sqlite.js';

/** Rows as they are stored. */
export interface Batch {
  readonly jobs: readonly JobRows[];
  readonly told: readonly { readonly id: number; readonly body: string }[];
  readonly removed: readonly string[];
  /** False: a power cut may lose it. */
  readonly durable: boolean;
}

export interface JobRows {
  readonly id: string;
  readonly body: string;
  /** Those of its files that changed; the others stay as they are. */
  readonly files: readonly { readonly number: number; readonly body: string }[];
  readonly fileCount: number;
}

/** Somebody may look at it with a program that locks it for a moment. */
const BUSY_MS_MAX = 2_000;
/** So many more events than are kept are deleted at once. */
const TOLD_SLACK = 1000;

export class JobDatabase {
  readonly #database: Database.Database;
  readonly #statements: ReturnType<typeof statementsOf>;
  #toldCount = TOLD_MAX;
  /** A write failed since the log was last emptied. */
  #doubtful = false;

  /** @param database with our newest schema */
  constructor(database: Database.Database) {
    this.#database = database;
    pragma(database, `busy_timeout = ${BUSY_MS_MAX}`);
    pragma(database, 'journal_mode = WAL');
    this.#statements = statementsOf(database);
  }

  /** @param at milliseconds since 1970 */
  read(at: number): StoredState {
    return readAll(this.#database, at);
  }

  write(batch: Batch): void {
    if (this.#doubtful) this.#emptyLog();
    this.#database.exec(`PRAGMA synchronous = ${batch.durable ? 'FULL' : 'NORMAL'}`);
    try {
      inTransaction(this.#database, () => this.#writeRows(batch));
    } catch (thrown) {
      if (isStorageError(thrown)) this.#doubt();
      throw thrown;
    }
    this.#toldCount += batch.told.length;
    if (this.#toldCount > TOLD_MAX + TOLD_SLACK) this.#forgetOldest();
  }

  /** A whole copy, durable, into an empty file. The database itself is never older than that, even without its log. */
  copyTo(path: string): void {
    this.#emptyLog();
    this.#database.exec(`VACUUM INTO '${path.replaceAll("'", "''")}'`);
    syncPath(path);
  }

  /** Leaves all that was written in the one file. */
  close(): void {
    try {
      this.#emptyLog();
    } finally {
      this.#database.close();
    }
  }

  #writeRows({ jobs, told, removed }: Batch): void {
    const { putJob, putFile, cutFiles, putTold, dropJob } = this.#statements;
    for (const { id, body, files, fileCount } of jobs) {
      putJob.run(id, body);
      for (const file of files) putFile.run(id, file.number, file.body);
      cutFiles.run(id, fileCount);
    }
    for (const id of removed) {
      dropJob.run(id);
      cutFiles.run(id, 0);
    }
    for (const { id, body } of told) putTold.run(id, body);
  }

  #forgetOldest(): void {
    this.#statements.cutTold.run(TOLD_MAX);
    this.#toldCount = TOLD_MAX;
  }

  /**
   * After a failed flush Linux takes the pages of the log for clean, and a later flush would vouch for what is not on
   * the disk: so what the log holds goes into the database, and the log begins anew.
   */
  #emptyLog(): void {
    this.#database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    this.#doubtful = false;
  }

  /** At once, while the cache has the pages yet. */
  #doubt(): void {
    this.#doubtful = true;
    try {
      this.#emptyLog();
    } catch {
      // The storage is still in trouble, whose first error is told; the next write tries this again.
    }
  }
}

function statementsOf(database: Database.Database) {
  const prepare = (sql: string) => database.prepare(sql);
  return {
    putJob: prepare('INSERT INTO jobs (id, body) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body'),
    putFile: prepare('INSERT OR REPLACE INTO files (job, number, body) VALUES (?, ?, ?)'),
    cutFiles: prepare('DELETE FROM files WHERE job = ? AND number >= ?'),
    putTold: prepare('INSERT OR REPLACE INTO told (id, body) VALUES (?, ?)'),
    dropJob: prepare('DELETE FROM jobs WHERE id = ?'),
    cutTold: prepare('DELETE FROM told WHERE id <= (SELECT id FROM told ORDER BY id DESC LIMIT 1 OFFSET ?)'),
  };
}
