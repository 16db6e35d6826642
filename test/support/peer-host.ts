/** A real `blockferry serve` in a process and with a state folder of its own, that can be killed and started again. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** The bench is compiled, and with it this file. */
const built = import.meta.url.endsWith('.ts') ? '../../dist/src/cli/main.js' : '../../src/cli/main.js';
const MAIN = fileURLToPath(new URL(built, import.meta.url));

export interface PeerHost {
  /** What it offers, as `images`. */
  readonly root: string;
  readonly state: string;
  readonly port: number;
  /** Reads and writes. */
  readonly token: string;
  /** `sha256:…` */
  readonly pin: string;
  readonly pid: number;
  /** `peer://…` of a path below the root, with the pin. */
  at(path: string): string;
  /** Runs `blockferry serve token …` there and answers what it prints. */
  tokens(...args: readonly string[]): string;
  /** kill -9, and waits until it is gone. */
  kill(): Promise<void>;
  /** On the same port, after a kill. */
  start(): Promise<void>;
  /** Ends it and removes what it had. */
  stop(): Promise<void>;
}

export interface PeerHostOptions {
  /** An existing folder; absent: one of its own, which goes with it. */
  readonly root?: string;
  readonly args?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

interface Serving {
  readonly port: number;
  readonly pin: string;
}

export async function startPeerHost(options: PeerHostOptions = {}): Promise<PeerHost> {
  const folder = mkdtempSync(join(tmpdir(), 'peer-host-'));
  const { args = [], env = {}, root = join(folder, 'images') } = options;
  const state = join(folder, 'state');
  for (const made of [root, state]) mkdirSync(made, { recursive: true });
  const environment = { ...process.env, ...env, BLOCKFERRY_STATE: state };
  const tokens = (...rest: readonly string[]): string =>
    execFileSync(process.execPath, [MAIN, 'serve', 'token', ...rest], {
      env: environment,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  const token = tokens('add', 'tests', '--rights', 'read,write');
  let child: ChildProcess | undefined;
  let serving: Serving = { port: 0, pin: '' };
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
    const listen = ['--listen', `127.0.0.1:${serving.port}`];
    const program = [MAIN, 'serve', '--json', '--root', `images=${root}`, ...listen, ...args];
    child = spawn(process.execPath, program, { env: environment, stdio: ['ignore', 'pipe', 'inherit'] });
    serving = await listening(child);
  };
  await start();
  return {
    ...{ root, state, token, tokens, kill, start },
    get port() {
      return serving.port;
    },
    get pin() {
      return serving.pin;
    },
    get pid() {
      return child?.pid ?? 0;
    },
    at: (path) => `peer://127.0.0.1:${serving.port}/images/${path}?pin=${serving.pin}`,
    stop: async () => {
      process.off('exit', onExit);
      await kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function listening(child: ChildProcess): Promise<Serving> {
  const lines = createInterface({ input: child.stdout as NonNullable<typeof child.stdout> });
  const said = new Promise<Serving>((resolve) => {
    lines.once('line', (line) => resolve(JSON.parse(line) as Serving));
  });
  const ended = once(child, 'exit').then(([code]) => Promise.reject(new Error(`blockferry serve ended with ${code}`)));
  ended.catch(() => undefined);
  return Promise.race([said, ended]);
}
