/** Victims and movers on a throttled disk: who works there, who copies beside, and what each of them gets. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { nowMs, systemClock } from '../src/core/clock.js';
import { TransferError } from '../src/core/errors.js';
import { MiB } from '../src/core/units.js';
import { sqliteCommand } from './sqlite-child.js';
import type { ThrottledDisk } from './throttled-disk.js';

export const SOURCE = 'source.img';
const VICTIM_FILE = 'victim.img';
const DATABASE = 'machines.db';
const VICTIM_BYTES = 256 * MiB;
const SAMPLE_MS = 100;

export interface Victim {
  readonly name: string;
  readonly make: (disk: ThrottledDisk) => void;
  readonly files: readonly string[];
  readonly argv: (disk: ThrottledDisk, seconds: number) => readonly string[];
  /** Milliseconds that each of its requests took, of what it printed. */
  readonly times: (output: string) => readonly number[];
}

/** 4 KiB at random places, past the cache, with a rest of 5 ms after each. */
export const fioVictim: Victim = {
  name: 'fio',
  files: [VICTIM_FILE],
  make: (disk) => void execFileSync('dd', filled(disk.path(VICTIM_FILE))),
  argv: (disk, seconds) => [
    ...['fio', '--name=victim', `--filename=${disk.path(VICTIM_FILE)}`, '--rw=randread', '--bs=4k', '--direct=1'],
    ...['--ioengine=psync', '--thinktime=5ms', '--time_based', `--runtime=${seconds}`, '--output-format=json+'],
  ],
  times: (output) => {
    const { bins } = (JSON.parse(output) as FioOutput).jobs[0].read.clat_ns;
    return Object.entries(bins).flatMap(([ns, count]) => Array.from({ length: count }, () => Number(ns) / 1e6));
  },
};

interface FioOutput {
  readonly jobs: readonly [
    { readonly read: { readonly clat_ns: { readonly bins: Readonly<Record<string, number>> } } },
  ];
}

export const sqliteVictim: Victim = {
  name: 'SQLite',
  files: [DATABASE],
  make: (disk) => void execFileSync(process.execPath, sqliteCommand(disk.path(DATABASE), 0).slice(1)),
  argv: (disk, seconds) => sqliteCommand(disk.path(DATABASE), seconds),
  times: (output) => (JSON.parse(output) as { readonly times: readonly number[] }).times,
};

function filled(path: string): readonly string[] {
  return ['if=/dev/urandom', `of=${path}`, 'bs=1M', `count=${VICTIM_BYTES / MiB}`, 'status=none'];
}

export interface Beside {
  /** Milliseconds, of all requests of the victim. */
  readonly p50: number;
  readonly p99: number;
  readonly requestsPerSecond: number;
  /** What the mover read: before the victim came, beside it, and after it had gone. Bytes per second. */
  readonly before: number;
  readonly during: number;
  readonly after: number;
  /** Until the mover had given way, and until it was back. */
  readonly gaveWayMs: number;
  readonly backMs: number;
  /** How fast the mover read, over the whole run. */
  readonly line: Line;
}

export interface Line {
  /** Seconds since the start, and bytes per second. */
  readonly points: readonly (readonly [seconds: number, rate: number])[];
  /** When the victim came, and went. */
  readonly victim: readonly [number, number];
}

interface Reading {
  readonly atMs: number;
  readonly readBytes: number;
}

export interface Times {
  readonly leadMs: number;
  readonly victimSeconds: number;
  readonly tailMs: number;
}

/** Runs the mover, the victim beside it for some time, and the mover alone again. `mover` absent: the victim alone. */
export async function beside(
  disk: ThrottledDisk,
  victim: Victim,
  mover: readonly string[] | undefined,
  { leadMs, victimSeconds, tailMs }: Times,
  signal: AbortSignal,
): Promise<Beside> {
  disk.forget(SOURCE, ...victim.files);
  const readings: Reading[] = [];
  const watching = new AbortController();
  const watch = watched(disk, readings, watching.signal);
  const moving = mover && startIn(disk, mover, 'ignore');
  try {
    if (moving) await systemClock.sleep(leadMs, signal);
    const fromMs = nowMs(systemClock);
    const times = await victimTimes(disk, victim, victimSeconds, signal);
    const toMs = nowMs(systemClock);
    if (moving) await systemClock.sleep(tailMs, signal);
    signal.throwIfAborted();
    if (moving?.exitCode) throw new TransferError('E_BUG', `${mover?.join(' ')} ended with ${moving.exitCode}`);
    return { ...percentiles(times, victimSeconds), ...moved(readings, fromMs, toMs) };
  } finally {
    watching.abort();
    await watch;
    if (moving) await end(moving);
  }
}

async function victimTimes(
  disk: ThrottledDisk,
  victim: Victim,
  seconds: number,
  signal: AbortSignal,
): Promise<readonly number[]> {
  const child = startIn(disk, victim.argv(disk, seconds), 'pipe');
  const kill = (): void => void child.kill('SIGKILL');
  signal.addEventListener('abort', kill, { once: true });
  let output = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  const [status] = await once(child, 'close');
  signal.removeEventListener('abort', kill);
  signal.throwIfAborted();
  if (status !== 0) throw new TransferError('E_BUG', `${victim.name} ended with ${status}`);
  return victim.times(output);
}

function startIn(disk: ThrottledDisk, argv: readonly string[], stdout: 'pipe' | 'ignore'): ChildProcess {
  const [program = '', ...args] = disk.inGroup(argv);
  return spawn(program, args, { stdio: ['ignore', stdout, 'ignore'], detached: true });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const closed = once(child, 'close');
  // With all that it started: rsync is three processes.
  if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  await closed;
}

async function watched(disk: ThrottledDisk, readings: Reading[], signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    readings.push({ atMs: nowMs(systemClock), readBytes: disk.counters().readBytes });
    await systemClock.sleep(SAMPLE_MS, signal);
  }
}

function percentiles(times: readonly number[], seconds: number): Pick<Beside, 'p50' | 'p99' | 'requestsPerSecond'> {
  const sorted = times.toSorted((one, other) => one - other);
  const at = (share: number): number => sorted[Math.floor((sorted.length - 1) * share)] ?? Number.NaN;
  return { p50: at(0.5), p99: at(0.99), requestsPerSecond: times.length / seconds };
}

/** What a second needs to count as slower, or as fast again. */
const SLOWER = 0.92;
const BACK = 0.92;
const WINDOW_MS = 300;
/** The mover begins with its processes and its first look. */
const BEGIN_MS = 1500;

function moved(
  readings: readonly Reading[],
  fromMs: number,
  toMs: number,
): Omit<Beside, 'p50' | 'p99' | 'requestsPerSecond'> {
  const rate = (from: number, to: number): number => {
    const within = readings.filter(({ atMs }) => atMs >= from && atMs <= to);
    const [first, last] = [within[0], within.at(-1)];
    if (!first || !last || last.atMs === first.atMs) return 0;
    return ((last.readBytes - first.readBytes) * 1000) / (last.atMs - first.atMs);
  };
  const startMs = readings[0]?.atMs ?? fromMs;
  const before = rate(startMs + BEGIN_MS, fromMs);
  const first = (since: number, suits: (rate: number) => boolean): number =>
    (readings.find(({ atMs }) => atMs >= since + WINDOW_MS && suits(rate(atMs - WINDOW_MS, atMs)))?.atMs ?? Infinity) -
    since;
  return {
    before,
    during: rate(fromMs, toMs),
    after: rate(toMs + 1000, Number.POSITIVE_INFINITY),
    gaveWayMs: first(fromMs, (now) => now < SLOWER * before),
    backMs: first(toMs, (now) => now > BACK * before),
    line: {
      points: readings.flatMap(({ atMs }) => {
        const seconds = (atMs - startMs) / 1000;
        return atMs - startMs < WINDOW_MS ? [] : [[seconds, rate(atMs - WINDOW_MS, atMs)] as const];
      }),
      victim: [(fromMs - startMs) / 1000, (toMs - startMs) / 1000],
    },
  };
}
