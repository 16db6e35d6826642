/**
 * A process of its own, this file, that works on a SQLite database as a small server does: it reads two rows and
 * changes one in a transaction that is durable, rests for 5 ms, and so on. It prints how long each transaction took.
 */
import { argv, execPath } from 'node:process';
import { fileURLToPath } from 'node:url';
import Database from 'libsql';
import { nowMs, systemClock } from '../src/core/clock.js';
import { Seeded } from '../test/support/seeded.js';

const SELF = fileURLToPath(import.meta.url);
const ROWS = 100_000;
const THINK_MS = 5;

/** Makes the database, or works on it for so many seconds. */
export function sqliteCommand(path: string, seconds: number): readonly string[] {
  return [execPath, SELF, path, String(seconds)];
}

function make(path: string): void {
  const database = new Database(path);
  database.exec('PRAGMA journal_mode = WAL; CREATE TABLE machine (id INTEGER PRIMARY KEY, state TEXT, about TEXT)');
  database.exec('BEGIN');
  const insert = database.prepare('INSERT INTO machine VALUES (?, ?, ?)');
  for (let id = 0; id < ROWS; id++) insert.run(id, 'off', `machine ${id} `.repeat(60));
  database.exec('COMMIT; PRAGMA wal_checkpoint(TRUNCATE)');
  database.close();
}

async function work(path: string, seconds: number): Promise<void> {
  const database = new Database(path);
  // Little of it is kept in memory, so that it is read from the disk.
  database.exec('PRAGMA synchronous = FULL; PRAGMA cache_size = -256');
  const read = database.prepare('SELECT about FROM machine WHERE id = ?');
  const write = database.prepare('UPDATE machine SET state = ? WHERE id = ?');
  const seeded = new Seeded(5);
  const anyRow = (): number => seeded.int(0, ROWS - 1);
  const times: number[] = [];
  const startMs = nowMs(systemClock);
  while (nowMs(systemClock) - startMs < seconds * 1000) {
    const before = nowMs(systemClock);
    database.exec('BEGIN IMMEDIATE');
    read.get(anyRow());
    read.get(anyRow());
    write.run(`running ${times.length}`, anyRow());
    database.exec('COMMIT');
    times.push(nowMs(systemClock) - before);
    await systemClock.sleep(THINK_MS);
  }
  database.close();
  process.stdout.write(JSON.stringify({ times, seconds }));
}

if (argv[1] === SELF) {
  const [path = '', seconds = '0'] = argv.slice(2);
  if (seconds === '0') make(path);
  else await work(path, Number(seconds));
}
