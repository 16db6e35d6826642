/** A real `blockferry serve` as a process: killed and started again where a test says so, and gone in any case. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { isRunning } from './servers.js';

/** The bench is compiled, and with it this file. */
const built = import.meta.url.endsWith('.ts') ? '../../dist/src/cli/main.js' : '../../src/cli/main.js';
export const MAIN = fileURLToPath(new URL(built, import.meta.url));

export interface ServeProcess {
  readonly pid: number;
  /** What it said of itself when it could be called. */
  readonly said: Readonly<Record<string, unknown>>;
  /** Starts it, or starts it again after a kill. */
  start(args: readonly string[]): Promise<void>;
  /** kill -9, and waits until it is gone. */
  kill(): Promise<void>;
  /** For good. */
  stop(): Promise<void>;
}

export function serveProcess(env: NodeJS.ProcessEnv = process.env): ServeProcess {
  let child: ChildProcess | undefined;
  let said: Readonly<Record<string, unknown>> = {};
  const kill = async (): Promise<void> => {
    const running = child;
    child = undefined;
    if (!running || !isRunning(running)) return;
    const exited = once(running, 'exit');
    running.kill('SIGKILL');
    await exited;
  };
  const onExit = (): void => void child?.kill('SIGKILL');
  process.once('exit', onExit);
  return {
    kill,
    get pid() {
      return child?.pid ?? 0;
    },
    get said() {
      return said;
    },
    start: async (args) => {
      const started = spawn(process.execPath, [MAIN, 'serve', '--json', ...args], {
        env,
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      child = started;
      const line = once(createInterface({ input: started.stdout }), 'line');
      const ended = once(started, 'exit').then(([code]) => {
        throw new Error(`blockferry serve ended with ${code}`);
      });
      ended.catch(() => undefined);
      const [text] = await Promise.race([line, ended]);
      said = JSON.parse(text) as typeof said;
    },
    stop: async () => {
      process.off('exit', onExit);
      await kill();
    },
  };
}
