/**
 * A real server for tests, as a process of its own: started on a free port of 127.0.0.1 in a scratch folder, killed and
 * started again where a test says so, and gone with the test in any case.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { searchPath } from './debian-packages.mjs';
import { freePorts } from './free-ports.js';
import { isRunning, portAnswers } from './servers.js';

/** What the server's command line is made of; `scratch` is a folder of its own, which anybody may read. */
export interface ServerPlace {
  readonly scratch: string;
  readonly port: number;
}

export interface ServerCommand {
  readonly command: string;
  readonly args: readonly string[];
  readonly log?: string;
}

export interface ServerProcess {
  readonly port: number;
  readonly scratch: string;
  readonly pid: number;
  /** kill -9 of the server and of all that it started. */
  kill(): Promise<void>;
  /** Starts it anew on its port, after a kill. */
  start(): Promise<void>;
  /** Stops it and removes its scratch folder; harmless when called twice. */
  stop(): Promise<void>;
}

const env = { ...process.env, PATH: searchPath };

export function hasProgram(command: string, ...args: string[]): boolean {
  return spawnSync(command, args, { env }).status === 0;
}

export async function startServer(
  name: string,
  commandAt: (place: ServerPlace) => ServerCommand,
): Promise<ServerProcess> {
  const scratch = mkdtempSync(join(tmpdir(), `${name}-`));
  chmodSync(scratch, 0o755);
  const [port = 0] = await freePorts(1);
  const { command, args, log } = commandAt({ scratch, port });
  let child: ChildProcess;
  // What it started is in its group, and goes with it.
  const killGroup = (): void => {
    if (child.pid !== undefined && isRunning(child)) process.kill(-child.pid, 'SIGKILL');
  };
  const kill = async (): Promise<void> => {
    if (!isRunning(child)) return;
    const exited = once(child, 'exit');
    killGroup();
    await exited;
  };
  const start = async (): Promise<void> => {
    child = spawn(command, [...args], { env, stdio: 'ignore', detached: true });
    await once(child, 'spawn');
    await portAnswers(port, child, () => (log !== undefined && existsSync(log) ? readFileSync(log, 'utf8') : ''));
  };
  const stop = async (): Promise<void> => {
    process.off('exit', killGroup);
    await kill();
    rmSync(scratch, { recursive: true, force: true });
  };
  process.once('exit', killGroup);
  try {
    await start();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    port,
    scratch,
    kill,
    start,
    stop,
    get pid() {
      return child.pid as number;
    },
  };
}
