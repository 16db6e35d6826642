/**
 * Runs the blockferry command as a child process and reads the events of its `--json` output. No child outlives the
 * call that started it, whatever happens.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { nowMs, systemClock } from '../src/core/clock.js';
import { TransferError } from '../src/core/errors.js';
import type { ProgressEvent, TransferEvent } from '../src/core/events.js';

type Child = ChildProcessByStdio<null, Readable, Readable>;

const MAIN = fileURLToPath(new URL('../src/cli/main.js', import.meta.url));

export interface CommandResult {
  readonly exitCode: number | null;
  readonly output: string;
  readonly elapsedMs: number;
}

export interface CopyResult {
  readonly exitCode: number | null;
  /** We killed it. */
  readonly killed: boolean;
  readonly errorOutput: string;
  readonly elapsedMs: number;
  /** The last progress that was seen. */
  readonly progress: ProgressEvent | undefined;
  /** The copy says that the target is complete and in place. */
  readonly acknowledged: boolean;
  /** Bytes that were durable in the target and recorded in the journal, as far as its checkpoints told. */
  readonly recordedBytes: number;
}

/** Runs `blockferry <args>` in the folder and gathers what it prints. */
export async function runCommand(folder: string, args: readonly string[], signal: AbortSignal): Promise<CommandResult> {
  let output = '';
  const read = async (child: Child): Promise<void> => {
    output = await textOf(child.stdout);
  };
  const end = await runChild(folder, args, read, signal);
  return { exitCode: end.exitCode, output: output + end.errorOutput, elapsedMs: end.elapsedMs };
}

/** Runs `blockferry copy --json <args>` and kills it with SIGKILL as soon as `watch` answers 'kill'. */
export async function runCopy(
  folder: string,
  args: readonly string[],
  watch: (progress: ProgressEvent) => 'kill' | 'go on',
  signal: AbortSignal,
): Promise<CopyResult> {
  const seen = {
    progress: undefined as ProgressEvent | undefined,
    acknowledged: false,
    recordedBytes: 0,
    killed: false,
  };
  const read = async (child: Child): Promise<void> => {
    for await (const line of createInterface({ input: child.stdout })) {
      // What comes after the kill may be torn in the middle.
      if (seen.killed) continue;
      const event = parseEvent(line);
      if (event.type === 'checkpoint') seen.recordedBytes += event.bytes;
      if (event.type === 'state' && event.state === 'acknowledged') seen.acknowledged = true;
      if (event.type !== 'progress') continue;
      seen.progress = event;
      if (watch(event) === 'kill') seen.killed = child.kill('SIGKILL');
    }
  };
  return { ...(await runChild(folder, ['copy', '--json', ...args], read, signal)), ...seen };
}

async function runChild(
  folder: string,
  args: readonly string[],
  read: (child: Child) => Promise<void>,
  signal: AbortSignal,
): Promise<Pick<CopyResult, 'exitCode' | 'errorOutput' | 'elapsedMs'>> {
  signal.throwIfAborted();
  const startMs = nowMs(systemClock);
  const child = spawn(process.execPath, [MAIN, ...args], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  const kill = (): void => void child.kill('SIGKILL');
  signal.addEventListener('abort', kill, { once: true });
  const closed = once(child, 'close');
  try {
    const [errorOutput] = await Promise.all([textOf(child.stderr), read(child), closed]);
    signal.throwIfAborted();
    return { exitCode: child.exitCode, errorOutput, elapsedMs: nowMs(systemClock) - startMs };
  } finally {
    signal.removeEventListener('abort', kill);
    kill();
    await closed;
  }
}

function parseEvent(line: string): TransferEvent {
  try {
    return JSON.parse(line) as TransferEvent;
  } catch (cause) {
    throw new TransferError('E_BUG', `blockferry copy --json: expected an event, found ${JSON.stringify(line)}`, {
      cause,
    });
  }
}

async function textOf(stream: Readable): Promise<string> {
  let text = '';
  for await (const piece of stream.setEncoding('utf8')) text += String(piece);
  return text;
}
