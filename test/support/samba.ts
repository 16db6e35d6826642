/** A real Samba server for tests, on a free port of 127.0.0.1 with all that it keeps in a scratch folder. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from './free-ports.js';
import { commandAvailable, killGroup, portAnswers } from './servers.js';

export interface Samba {
  readonly port: number;
  /** What the share `share` shows. */
  readonly folder: string;
  /** kill -9 of it and of all that serve its connections. */
  kill(): Promise<void>;
  /** Serves the same folder at the same port again. */
  start(): Promise<void>;
  /** It is there and does not answer. */
  freeze(): void;
  thaw(): void;
  /** Ends it and removes its scratch folder; harmless when called twice. */
  stop(): Promise<void>;
}

export function sambaAvailable(): boolean {
  return commandAvailable('smbd');
}

export async function startSamba(folder: string): Promise<Samba> {
  const scratch = mkdtempSync(join(tmpdir(), 'samba-'));
  const [port = 0] = await freePorts(1);
  const config = join(scratch, 'smb.conf');
  writeFileSync(config, configOf(scratch, folder, port));
  let child: ChildProcess | undefined;
  const start = async (): Promise<void> => {
    child = spawn('smbd', ['--foreground', '--no-process-group', '-s', config, '-l', scratch], {
      detached: true,
      stdio: 'ignore',
      env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` },
    });
    await once(child, 'spawn');
    await portAnswers(port, child, () => readFileSync(join(scratch, 'log.smbd'), 'utf8'));
  };
  const kill = async (): Promise<void> => {
    await killGroup(child);
    child = undefined;
  };
  const onExit = (): void => void killGroup(child);
  process.once('exit', onExit);
  const stop = async (): Promise<void> => {
    process.off('exit', onExit);
    await kill();
    rmSync(scratch, { recursive: true, force: true });
  };
  const signal = (name: NodeJS.Signals) => () => void (child?.pid && process.kill(-child.pid, name));
  try {
    await start();
  } catch (thrown) {
    await stop();
    throw thrown;
  }
  return { port, folder, kill, start, freeze: signal('SIGSTOP'), thaw: signal('SIGCONT'), stop };
}

function configOf(scratch: string, folder: string, port: number): string {
  const own = ['private dir', 'lock directory', 'state directory', 'cache directory', 'pid directory', 'ncalrpc dir'];
  const folders = own.map((name) => {
    const path = join(scratch, name.replaceAll(' ', '-'));
    mkdirSync(path);
    return `${name} = ${path}`;
  });
  const user = execFileSync('id', ['-un'], { encoding: 'utf8' }).trim();
  return `[global]
server role = standalone server
smb ports = ${port}
interfaces = 127.0.0.1/8
bind interfaces only = yes
map to guest = Bad User
guest account = ${user}
load printers = no
printing = bsd
printcap name = /dev/null
disable spoolss = yes
${folders.join('\n')}
[share]
path = ${folder}
guest ok = yes
read only = no
force user = ${user}
`;
}
