/** A real `blockferry serve` in a process and with a state folder of its own, that can be killed and started again. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MAIN, serveProcess } from './serve-process.js';

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
  const served = serveProcess(environment);
  let [port, pin] = [0, ''];
  const start = async (): Promise<void> => {
    await served.start(['--root', `images=${root}`, '--listen', `127.0.0.1:${port}`, ...args]);
    ({ port, pin } = served.said as { port: number; pin: string });
  };
  await start();
  return {
    ...{ root, state, token, tokens, start },
    kill: () => served.kill(),
    get port() {
      return port;
    },
    get pin() {
      return pin;
    },
    get pid() {
      return served.pid;
    },
    at: (path) => `peer://127.0.0.1:${port}/images/${path}?pin=${pin}`,
    stop: async () => {
      await served.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
