/**
 * A process of its own, this file, that does what databases do: it writes 4 KiB and flushes them, again and again, and
 * tells how long each flush took once its input ends.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';
import { argv, execPath } from 'node:process';
import { fileURLToPath } from 'node:url';
import { nowMs, systemClock } from '../src/core/clock.js';
import { KiB } from '../src/core/units.js';

const SELF = fileURLToPath(import.meta.url);
const RECORD_BYTES = 4 * KiB;
const RECORDS = 4096;
/** Between two flushes, as between two transactions. */
const PAUSE_MS = 5;

export interface FlushingNeighbour {
  /** Ends it, and answers the milliseconds of each flush. */
  stop(): Promise<readonly number[]>;
}

export async function startFlushing(path: string): Promise<FlushingNeighbour> {
  const child = spawn(execPath, [SELF, path], { stdio: ['pipe', 'pipe', 'inherit'] });
  const said = collect(child);
  await new Promise((resolve) => void child.stdout.once('data', resolve));
  return {
    stop: async () => {
      child.stdin.end();
      return JSON.parse((await said).replace('ready\n', '')) as number[];
    },
  };
}

async function collect(child: ChildProcess): Promise<string> {
  let text = '';
  for await (const piece of child.stdout ?? []) text += piece;
  return text;
}

async function flushAgainAndAgain(path: string): Promise<void> {
  let ended = false;
  process.stdin.resume().once('end', () => {
    ended = true;
  });
  const fd = openSync(path, 'w');
  const record = new Uint8Array(RECORD_BYTES).fill(1);
  const times: number[] = [];
  process.stdout.write('ready\n');
  for (let at = 0; !ended; at = (at + 1) % RECORDS) {
    writeSync(fd, record, 0, RECORD_BYTES, at * RECORD_BYTES);
    const before = nowMs(systemClock);
    fsyncSync(fd);
    times.push(nowMs(systemClock) - before);
    await systemClock.sleep(PAUSE_MS);
  }
  closeSync(fd);
  process.stdout.write(JSON.stringify(times));
}

if (argv[1] === SELF) await flushAgainAndAgain(argv[2] ?? '');
