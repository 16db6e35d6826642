/**
 * What one command cost: wall time, CPU seconds of all its threads and children, and peak memory. GNU time asks the
 * kernel for the last two; where it is missing, bash and /proc tell them, a little less exactly.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { nowMs, systemClock } from '../src/core/clock.js';
import { errnoOf, TransferError } from '../src/core/errors.js';
import { KiB } from '../src/core/units.js';

const GNU_TIME = '/usr/bin/time';
const RUN_MS_MAX = 30 * 60_000;
const POLL_MS = 20;
const ERROR_CHARACTERS_MAX = 4000;

export interface RunCost {
  readonly wallSeconds: number;
  readonly cpuSeconds: number;
  readonly peakRssBytes: number;
}

export interface RunOptions {
  /** Program and arguments. */
  readonly argv: readonly string[];
  /** A file that the measurement may write and remove. */
  readonly scratch: string;
  readonly signal: AbortSignal;
}

export function measuredBy(): string {
  return existsSync(GNU_TIME) ? GNU_TIME : 'bash times and /proc';
}

/** Runs a command to its end. It must succeed. @throws TransferError E_BUG with what it wrote to stderr */
export async function measuredRun(options: RunOptions): Promise<RunCost> {
  const meter = existsSync(GNU_TIME) ? gnuTime(options) : bashTimes(options);
  const signal = AbortSignal.any([options.signal, AbortSignal.timeout(RUN_MS_MAX)]);
  try {
    const wallSeconds = await runToEnd(meter.argv, signal, meter.watch);
    return { wallSeconds, ...meter.read() };
  } finally {
    rmSync(options.scratch, { force: true });
  }
}

interface Meter {
  readonly argv: readonly string[];
  /** Looks at the process while it runs. */
  readonly watch?: (child: ChildProcess) => Promise<void>;
  readonly read: () => Omit<RunCost, 'wallSeconds'>;
}

function gnuTime({ argv, scratch }: RunOptions): Meter {
  const read = (): Omit<RunCost, 'wallSeconds'> => {
    const [user, system, peakKiB] = lastLine(scratch).split(' ').map(Number);
    return { cpuSeconds: Number(user) + Number(system), peakRssBytes: Number(peakKiB) * KiB };
  };
  return { argv: [GNU_TIME, '-f', '%U %S %M', '-o', scratch, ...argv], read };
}

function bashTimes({ argv, scratch, signal }: RunOptions): Meter {
  let peakKiB = 0;
  const watch = async (child: ChildProcess): Promise<void> => {
    while (isRunning(child) && !signal.aborted) {
      peakKiB = Math.max(peakKiB, ...childrenOf(child.pid).map(peakKiBOf));
      await systemClock.sleep(POLL_MS, signal);
    }
  };
  const read = (): Omit<RunCost, 'wallSeconds'> => {
    const cpuSeconds = [...lastLine(scratch).matchAll(/(\d+)m([\d.]+)s/g)]
      .map(([, minutes, seconds]) => Number(minutes) * 60 + Number(seconds))
      .reduce((sum, seconds) => sum + seconds, 0);
    return { cpuSeconds, peakRssBytes: peakKiB * KiB };
  };
  const script = '"$@"; code=$?; times >"$0"; exit $code';
  return { argv: ['bash', '-c', script, scratch, ...argv], watch, read };
}

/** Wall seconds from the start to the exit. An abort kills the command with all its children. */
async function runToEnd(argv: readonly string[], signal: AbortSignal, watch?: Meter['watch']): Promise<number> {
  signal.throwIfAborted();
  const [program = '', ...args] = argv;
  const startMs = nowMs(systemClock);
  // A group of its own, so that it can be killed as one, and so that Ctrl-C reaches only us.
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'], detached: true });
  const kill = (): void => killGroup(child);
  signal.addEventListener('abort', kill, { once: true });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-ERROR_CHARACTERS_MAX);
  });
  try {
    const exited = once(child, 'exit').then(() => nowMs(systemClock));
    const [endMs] = await Promise.all([exited, once(child, 'close'), watch?.(child)]);
    signal.throwIfAborted();
    if (child.exitCode !== 0) {
      const end = child.exitCode ?? child.signalCode;
      throw new TransferError('E_BUG', `the command ended with ${end}: ${argv.join(' ')}\n${said.trim()}`);
    }
    return (endMs - startMs) / 1000;
  } finally {
    signal.removeEventListener('abort', kill);
    kill();
  }
}

/** Starts a command and kills it after `ms`, if it is still there. Tells how long it lived. */
export async function runAndKill(
  argv: readonly string[],
  ms: number,
  signal: AbortSignal,
): Promise<Pick<RunCost, 'wallSeconds'>> {
  signal.throwIfAborted();
  const startMs = nowMs(systemClock);
  const [program = '', ...args] = argv;
  const child = spawn(program, args, { stdio: 'ignore', detached: true });
  const exited = new AbortController();
  const exit = once(child, 'exit').finally(() => exited.abort());
  await systemClock.sleep(ms, AbortSignal.any([signal, exited.signal]));
  killGroup(child);
  await exit;
  const wallSeconds = (nowMs(systemClock) - startMs) / 1000;
  signal.throwIfAborted();
  return { wallSeconds };
}

function killGroup(child: ChildProcess): void {
  if (isRunning(child)) process.kill(-(child.pid as number), 'SIGKILL');
}

function isRunning(child: ChildProcess): boolean {
  return child.pid !== undefined && child.exitCode === null && child.signalCode === null;
}

function lastLine(path: string): string {
  return readFileSync(path, 'utf8').trimEnd().split('\n').at(-1) ?? '';
}

function childrenOf(pid: number | undefined): readonly string[] {
  return procText(`/proc/${pid}/task/${pid}/children`).split(' ').filter(Boolean);
}

function peakKiBOf(pid: string): number {
  return Number(/^VmHWM:\s*(\d+)/m.exec(procText(`/proc/${pid}/status`))?.[1] ?? 0);
}

/** Empty when the process is gone, which is how each of them ends. */
function procText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (thrown) {
    if (errnoOf(thrown) === 'ENOENT' || errnoOf(thrown) === 'ESRCH') return '';
    throw thrown;
  }
}
