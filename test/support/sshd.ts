/**
 * A real OpenSSH server for tests and the bench, on a free port of 127.0.0.1, with keys of its own and a home folder
 * for its user's settings. Relative paths in its configuration would make every connection fail, so there are none.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { freePorts } from './free-ports.js';
import { isRunning, portAnswers } from './servers.js';

const SSHD = '/usr/sbin/sshd';

export interface SshdOptions {
  /** More lines of sshd_config. */
  readonly config?: readonly string[];
  /** For internal-sftp, such as `-P fsync`; the folder in which a session begins is said already. */
  readonly sftpOptions?: string;
  readonly port?: number;
  /** Of an earlier one: the same keys, the same home. */
  readonly scratch?: string;
}

export interface Sshd {
  readonly port: number;
  readonly pid: number;
  readonly scratch: string;
  /** HOME for whoever connects: it knows the server and has a key that the server takes. */
  readonly home: string;
  /** Where sessions begin. */
  readonly start: string;
  /** `sftp://127.0.0.1:PORT` and the path, which is absolute. */
  url(path: string): string;
  /** The processes of its sessions. */
  sessions(): number[];
  /** What it has said. */
  log(): string;
  /** Ends it and all its sessions; with `keep` its folder stays. Harmless when called twice. */
  stop(keep?: boolean): Promise<void>;
}

/** What the machine lacks. */
export function sshdMissing(): string {
  if (!existsSync(SSHD)) return 'needs sshd (Debian: openssh-server)';
  return spawnSync('ssh-keygen', ['-?']).error ? 'needs ssh-keygen (Debian: openssh-client)' : '';
}

export async function startSshd(options: SshdOptions = {}): Promise<Sshd> {
  const scratch = options.scratch ?? (await mkdtemp(join(tmpdir(), 'sshd-')));
  const port = options.port ?? (await freePorts(1))[0] ?? 0;
  const paths = { home: join(scratch, 'home'), start: join(scratch, 'start'), log: join(scratch, 'log') };
  if (options.scratch === undefined) makeHome(scratch, paths);
  writeKnownHosts(scratch, paths.home, port);
  const config = join(scratch, 'sshd_config');
  writeFileSync(config, configOf(scratch, port, paths.start, options));
  // Debian makes it where its service starts.
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true });
  const child = spawn(SSHD, ['-D', '-f', config, '-E', paths.log], { stdio: 'ignore' });
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  const log = (): string => (existsSync(paths.log) ? readFileSync(paths.log, 'utf8') : '');
  const stop = async (keep = false): Promise<void> => {
    process.off('exit', kill);
    const sessions = isRunning(child) ? descendants(child.pid as number) : [];
    if (isRunning(child)) {
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    }
    for (const pid of sessions) killHard(pid);
    if (!keep) rmSync(scratch, { recursive: true, force: true });
  };
  try {
    await once(child, 'spawn');
    await portAnswers(port, child, log);
  } catch (error) {
    await stop();
    throw error;
  }
  const url = (path: string): string => `sftp://127.0.0.1:${port}${path}`;
  const pid = child.pid as number;
  return { port, pid, scratch, ...paths, log, url, sessions: () => descendants(pid), stop };
}

/** A key of the type, without a passphrase unless one is given. */
export function makeKey(path: string, { type = 'ed25519', passphrase = '' } = {}): void {
  const made = spawnSync('ssh-keygen', ['-q', '-t', type, '-N', passphrase, '-C', 'test', '-f', path]);
  if (made.status !== 0) throw new Error(`ssh-keygen: ${made.stderr}`);
}

export function killHard(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself meanwhile, which is what was wanted.
  }
}

function makeHome(scratch: string, { home, start }: { home: string; start: string }): void {
  const folder = join(home, '.ssh');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  mkdirSync(start);
  for (const type of ['ed25519', 'ecdsa']) makeKey(join(scratch, `host_${type}`), { type });
  makeKey(join(folder, 'id_ed25519'));
  writeFileSync(join(scratch, 'authorized_keys'), readFileSync(join(folder, 'id_ed25519.pub')));
}

function writeKnownHosts(scratch: string, home: string, port: number): void {
  const key = readFileSync(join(scratch, 'host_ed25519.pub'), 'utf8');
  const path = join(home, '.ssh', 'known_hosts');
  writeFileSync(path, `[127.0.0.1]:${port} ${key}`);
  chmodSync(path, 0o600);
}

function configOf(
  scratch: string,
  port: number,
  start: string,
  { config = [], sftpOptions = '' }: SshdOptions,
): string {
  return [
    ...config,
    `Port ${port}`,
    'ListenAddress 127.0.0.1',
    `HostKey ${join(scratch, 'host_ed25519')}`,
    `HostKey ${join(scratch, 'host_ecdsa')}`,
    `PidFile ${join(scratch, 'pid')}`,
    `AuthorizedKeysFile ${join(scratch, 'authorized_keys')}`,
    'StrictModes no',
    'UsePAM no',
    'PermitRootLogin yes',
    'PasswordAuthentication no',
    'MaxStartups 100',
    `AllowUsers ${userInfo().username}`,
    `Subsystem sftp internal-sftp -d ${start} ${sftpOptions}`,
    '',
  ].join('\n');
}

/** Children, and theirs. */
function descendants(pid: number): number[] {
  const tasks = `/proc/${pid}/task`;
  if (!existsSync(tasks)) return [];
  const children = readdirSync(tasks).flatMap((task) => {
    const file = join(tasks, task, 'children');
    return existsSync(file) ? readFileSync(file, 'utf8').split(' ').filter(Boolean).map(Number) : [];
  });
  return children.flatMap((child) => [child, ...descendants(child)]);
}
