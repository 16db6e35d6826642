/**
 * A notify command: a program and its arguments, never a shell. What it is told comes in its environment, which has
 * nothing else of ours: the service's own may hold credentials.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { errnoOf, TransferError } from '../../core/errors.js';
import type { StateEvent } from '../../core/events.js';
import type { Job } from '../job.js';
import { type Limits, within } from './within.js';

export const COMMAND_MS_MAX = 60_000;
/** From SIGTERM to SIGKILL; and from its end to that of whoever holds its output open. */
export const GRACE_MS = 2_000;
/** Of its output, the end is kept for the note when it fails. */
const OUTPUT_CHARS_MAX = 2_000;
/** One variable may not fill what the kernel gives to all. */
const VALUE_CHARS_MAX = 8_000;
const INHERITED = /^(PATH|HOME|USER|LOGNAME|SHELL|TMPDIR|TZ|LANG|LC_\w+)$/;

/** What the machine may have again in a moment. */
const SHORT_OF = /^(EAGAIN|EMFILE|ENFILE|ENOMEM)$/;

type Child = ChildProcessByStdio<null, Readable, Readable>;

/** The facts of the job, at the moment of the event. */
export function commandEnvironment(job: Job, event: StateEvent): NodeJS.ProcessEnv {
  const { error } = event;
  const bytes = job.files.reduce((sum, { size = 0 }) => sum + size, 0);
  const facts = {
    ...{ ID: job.id, NAME: job.name, OWNER: job.owner, KIND: job.kind, PRIORITY: job.priority },
    ...{ STATE: event.state, REASON: event.reason, AT: new Date(event.at).toISOString() },
    ...{ FILES: String(job.files.length), BYTES: String(bytes), SOURCE: event.source, TARGET: event.target },
    ...(error && { ERROR_CODE: error.code, ERROR_MESSAGE: error.message, ERROR_HINT: error.hint ?? '' }),
  };
  const named = Object.entries(facts).map(([name, value]) => {
    // A zero ends a variable.
    return [`BLOCKFERRY_JOB_${name}`, value.replaceAll('\0', '').slice(0, VALUE_CHARS_MAX)];
  });
  const inherited = Object.entries(process.env).filter(([name]) => INHERITED.test(name));
  return Object.fromEntries([...inherited, ...named]);
}

/**
 * Runs it to its end, in a process group of its own, which ends with the time limit.
 * @throws TransferError E_UNAVAILABLE or E_TIMEOUT when it failed and may be tried again, E_USAGE when it cannot run
 */
export async function runCommand(argv: readonly string[], env: NodeJS.ProcessEnv, limits: Limits): Promise<void> {
  const [program = '', ...args] = argv;
  await within(COMMAND_MS_MAX, limits, async (signal, late) => {
    const child = started(program, args, env);
    const said = lastOutput(child);
    const end = () => void endGroup(child, limits);
    if (signal.aborted) end();
    signal.addEventListener('abort', end, { once: true });
    try {
      const [code, killedBy] = await exitOf(child, program);
      await closing(child, limits);
      if (code === 0) return;
      throw failed(program, { code, killedBy, late: late() }, said());
    } finally {
      signal.removeEventListener('abort', end);
    }
  });
}

function started(program: string, args: readonly string[], env: NodeJS.ProcessEnv): Child {
  try {
    return spawn(program, args, { env, cwd: '/', detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (thrown) {
    throw notStarted(program, thrown);
  }
}

async function exitOf(child: Child, program: string): Promise<readonly [number | null, string | null]> {
  try {
    return (await once(child, 'exit')) as [number | null, string | null];
  } catch (thrown) {
    throw notStarted(program, thrown);
  }
}

function notStarted(program: string, thrown: unknown): TransferError {
  const code = errnoOf(thrown) ?? String(thrown);
  const message = `the notify command ${program} cannot be run (${code})`;
  if (SHORT_OF.test(code)) return new TransferError('E_UNAVAILABLE', message, { cause: thrown });
  return new TransferError('E_USAGE', message, {
    hint: 'Name an executable file by its full path; it runs as the user of the service, without a shell.',
    cause: thrown,
  });
}

/** What it left running may keep its output open; that is not waited for. */
async function closing(child: Child, { clock }: Limits): Promise<void> {
  const closed = new AbortController();
  const ends = [child.stdout, child.stderr].map((stream) => stream.closed || once(stream, 'close'));
  await Promise.race([Promise.all(ends), clock.sleep(GRACE_MS, closed.signal)]);
  closed.abort();
  child.stdout.destroy();
  child.stderr.destroy();
}

async function endGroup(child: Child, { clock }: Limits): Promise<void> {
  killGroup(child, 'SIGTERM');
  await clock.sleep(GRACE_MS);
  killGroup(child, 'SIGKILL');
}

function killGroup({ pid }: Child, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch (thrown) {
    // All of them have ended.
    if (errnoOf(thrown) !== 'ESRCH') throw thrown;
  }
}

/** Reads all it says, so that it never waits for us, and keeps the end. */
function lastOutput({ stdout, stderr }: Child): () => string {
  let kept = '';
  for (const stream of [stdout, stderr]) {
    stream.setEncoding('utf8');
    stream.on('data', (text: string) => {
      kept = (kept + text).slice(-OUTPUT_CHARS_MAX);
    });
    stream.on('error', () => undefined);
  }
  return () => kept.trim();
}

interface Failure {
  readonly code: number | null;
  readonly killedBy: string | null;
  readonly late: boolean;
}

function failed(program: string, { code, killedBy, late }: Failure, said: string): TransferError {
  const how = code === null ? `was ended by ${killedBy}` : `ended with exit code ${code}`;
  const what = late ? `did not end within ${COMMAND_MS_MAX / 1000} seconds` : how;
  const output = said === '' ? '' : `; it said: ${said}`;
  return new TransferError(late ? 'E_TIMEOUT' : 'E_UNAVAILABLE', `the notify command ${program} ${what}${output}`);
}
