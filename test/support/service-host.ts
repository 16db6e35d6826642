/** A real `blockferry serve` that holds the jobs of a state folder, and can be killed and started again. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { ServiceClient } from '../../src/daemon/client.js';

/** The bench is compiled, and with it this file. */
const built = import.meta.url.endsWith('.ts') ? '../../dist/src/cli/main.js' : '../../src/cli/main.js';
const MAIN = fileURLToPath(new URL(built, import.meta.url));

export interface ServiceHost {
  readonly state: string;
  readonly socketPath: string;
  readonly pid: number;
  readonly client: ServiceClient;
  /** kill -9, and waits until it is gone. */
  kill(): Promise<void>;
  /** After a kill; with the same jobs. */
  start(): Promise<void>;
  /** Ends it and removes what it had. */
  stop(): Promise<void>;
}

export async function startServiceHost(args: readonly string[] = []): Promise<ServiceHost> {
  const folder = mkdtempSync(join(tmpdir(), 'service-host-'));
  const state = join(folder, 'state');
  const socketPath = join(state, 'control.sock');
  const client = new ServiceClient({ socketPath });
  let child: ChildProcess | undefined;
  const kill = async (): Promise<void> => {
    const running = child;
    child = undefined;
    if (!running || running.exitCode !== null || running.signalCode !== null) return;
    const exited = once(running, 'exit');
    running.kill('SIGKILL');
    await exited;
  };
  const onExit = (): void => void child?.kill('SIGKILL');
  process.once('exit', onExit);
  const start = async (): Promise<void> => {
    const program = [MAIN, 'serve', '--json', '--state', state, ...args];
    child = spawn(process.execPath, program, { stdio: ['ignore', 'pipe', 'inherit'] });
    await serving(child);
  };
  await start();
  return {
    ...{ state, socketPath, client, kill, start },
    get pid() {
      return child?.pid ?? 0;
    },
    stop: async () => {
      await client.close();
      await kill();
      process.off('exit', onExit);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** It says where it is when it can be called. */
async function serving(child: ChildProcess): Promise<void> {
  if (!child.stdout) throw new Error('the output of the service is not read');
  const lines = createInterface({ input: child.stdout });
  const said = once(lines, 'line');
  const ended = once(child, 'exit').then(([code]) => Promise.reject(new Error(`the service ended with ${code}`)));
  await Promise.race([said, ended]);
  ended.catch(() => undefined);
}
