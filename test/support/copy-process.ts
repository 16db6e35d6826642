/** A copy in a process of its own, so that it can be killed, be another user, or hold what this process then meets. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { onTestFinished, type TestContext } from 'vitest';
import { KiB } from '../../src/core/units.js';
import type { CopyOptions, ErrorJson, TransferEvent, TransferResult } from '../../src/index.js';

export const NOBODY = 65534;
/** Starts a copy as that user. */
export const AS_NOBODY = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'] as const;

export function needRoot(context: TestContext): void {
  context.skip(process.getuid?.() !== 0 || !existsSync('/usr/bin/setpriv'), 'needs root and setpriv');
}

export const CRAWL_BYTES_PER_SECOND = 256 * KiB;
const built = new URL('../../dist/src/index.js', import.meta.url);

/**
 * Says every event, then how it ended, one JSON a line; ends with the exit code of the error. From so many bytes on it
 * crawls, until it is told to go on.
 */
const PROGRAM = `
import { copy, TransferError } from ${JSON.stringify(built.href)};
const [, options, crawlAtBytes, crawlBytesPerSecond] = process.argv;
const say = (what) => process.stdout.write(JSON.stringify(what) + '\\n');
try {
  const run = copy(JSON.parse(options));
  let crawls = false;
  process.stdin.on('data', () => void run.setLimit(0));
  process.stdin.unref?.();
  for await (const event of run) {
    say({ event });
    if (crawls || event.type !== 'progress' || event.bytesDone < Number(crawlAtBytes)) continue;
    crawls = true;
    await run.setLimit(Number(crawlBytesPerSecond));
  }
  say({ result: await run.result });
} catch (thrown) {
  const error = TransferError.from(thrown);
  say({ error: error.toJSON() });
  process.exitCode = error.exitCode;
}
`;

export interface Ended {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly result?: TransferResult;
  readonly error?: ErrorJson;
}

export interface CopyProcess {
  readonly child: ChildProcess;
  /** What it has told so far. */
  readonly events: readonly TransferEvent[];
  /** Resolves when that many bytes are done. @throws Error when the copy ends first */
  reached(bytes: number): Promise<void>;
  /** Resolves when an event suits, from the first one on. @throws Error when the copy ends first */
  event(suits: (event: TransferEvent) => boolean): Promise<TransferEvent>;
  /** Ends crawling, and every limit. */
  goOn(): void;
  readonly ended: Promise<Ended>;
  /** kill -9, and waits until it is gone. */
  kill(): Promise<void>;
}

export interface CopyProcessOptions {
  /** A command that starts the copy, such as `['setpriv', '--reuid', '65534']`. */
  readonly through?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** From so many bytes on it goes slowly enough that a slow test is in time for what it is to meet. */
  readonly crawlAtBytes?: number;
  /** How slowly. Chunks that several lanes have begun end none the sooner for it. */
  readonly crawlBytesPerSecond?: number;
  /** That of the test itself, where several run at the same time. */
  readonly onFinished?: (end: () => void) => void;
}

export function startCopy(
  options: CopyOptions,
  { through = [], env = {}, crawlAtBytes = Infinity, ...more }: CopyProcessOptions = {},
): CopyProcess {
  const { crawlBytesPerSecond = CRAWL_BYTES_PER_SECOND, onFinished = onTestFinished } = more;
  const node = [
    process.execPath,
    '--input-type=module',
    '-e',
    PROGRAM,
    '--',
    JSON.stringify(options),
    String(crawlAtBytes),
    String(crawlBytesPerSecond),
  ];
  const [command, ...args] = [...through, ...node];
  const child = spawn(command as string, args, {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  });
  onFinished(() => void child.kill('SIGKILL'));
  // Whom nobody listens to any more has ended.
  child.stdin?.on('error', () => undefined);
  const events: TransferEvent[] = [];
  const looks = new Set<() => void>();
  let last: Pick<Ended, 'result' | 'error'> = {};
  createInterface({ input: child.stdout as NonNullable<typeof child.stdout> }).on('line', (line) => {
    const said = JSON.parse(line) as { event?: TransferEvent; result?: TransferResult; error?: ErrorJson };
    if (!said.event) last = said;
    else events.push(said.event);
    for (const look of looks) look();
  });
  const ended = once(child, 'close').then(([exitCode, signal]): Ended => ({ exitCode, signal, ...last }));
  const event: CopyProcess['event'] = (suits) => {
    const seen = new Promise<TransferEvent>((resolve) => {
      const look = (): void => {
        const found = events.find(suits);
        if (!found) return;
        looks.delete(look);
        resolve(found);
      };
      looks.add(look);
      look();
    });
    const tooLate = ended.then(({ exitCode }): never => {
      throw new Error(`the copy ended first, with ${exitCode}: ${JSON.stringify(last)}`);
    });
    return Promise.race([seen, tooLate]);
  };
  return {
    child,
    events,
    event,
    reached: async (bytes) => void (await event((told) => told.type === 'progress' && told.bytesDone >= bytes)),
    goOn: () => void child.stdin?.write('go on\n'),
    ended,
    kill: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
