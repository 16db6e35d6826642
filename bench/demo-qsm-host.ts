/** The host of the demo: its packages, its images, its service, and the commands that it is given. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../src/core/clock.js';
import { TransferError } from '../src/core/errors.js';
import type { DiskFormat } from '../src/migrate/vm.js';
import type { Printer } from './demo-print.js';

const MAIN = fileURLToPath(new URL('../src/cli/main.js', import.meta.url));
const LISTENS_MS_MAX = 30_000;
const LOOK_MS = 50;

/** What shows that each is there. */
const PACKAGES: readonly (readonly [name: string, command: string])[] = [
  ['qemu-system-x86', 'qemu-system-x86_64'],
  ['qemu-utils', 'qemu-img'],
  ['gcc', 'gcc'],
  ['libc6-dev', '/usr/lib/x86_64-linux-gnu/libc.a'],
];

/** @throws TransferError E_USAGE where they cannot be installed */
export function installMissing(print: Printer): void {
  const missing = PACKAGES.filter(([, command]) => !isThere(command)).map(([name]) => name);
  if (missing.length === 0) {
    print.good('QEMU and a compiler are installed');
    return;
  }
  const install = ['apt-get', 'install', '-y', '--no-install-recommends', ...missing];
  if (process.getuid?.() !== 0 || !existsSync('/etc/debian_version')) {
    throw new TransferError('E_USAGE', `${missing.join(', ')} are missing, and only root on Debian can install them`, {
      hint: `Install them, or run the demo as root: ${install.join(' ')}`,
    });
  }
  print.note(`installs, as Debian packages: ${missing.join(', ')}`);
  for (const [command = '', ...args] of [['apt-get', 'update', '-q'], install]) {
    const { status, stderr } = spawnSync(command, args, {
      encoding: 'utf8',
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    });
    if (status !== 0) throw new TransferError('E_USAGE', `${command} ${args.join(' ')} failed: ${stderr.slice(-500)}`);
  }
  print.good(`installed: ${missing.join(', ')}`);
}

function isThere(command: string): boolean {
  return command.startsWith('/') ? existsSync(command) : spawnSync('which', [command]).status === 0;
}

/** How qemu-img makes each. */
const MAKE: Readonly<Record<Exclude<DiskFormat, 'raw' | 'qcow2' | 'vhd-fixed'>, readonly string[]>> = {
  'vhd-dynamic': ['-f', 'vpc', '-o', 'subformat=dynamic,force_size=on'],
  vhdx: ['-f', 'vhdx'],
};

/** A new disk of so many bytes; a raw one with what another holds. */
export function make(format: 'raw' | keyof typeof MAKE, path: string, of: number | string): void {
  if (format !== 'raw') execFileSync('qemu-img', ['create', '-q', ...MAKE[format], path, `${of}`]);
  else execFileSync('qemu-img', ['convert', '-O', 'raw', `${of}`, path]);
}

export interface Served {
  readonly state: string;
  close(): Promise<void>;
}

/** The service, on a state folder of the demo. */
export async function serve(folder: string): Promise<Served> {
  const state = stateOf(folder);
  const child = spawn(process.execPath, [MAIN, 'serve'], {
    cwd: folder,
    env: environment(folder),
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  for (let waitedMs = 0; !existsSync(join(state, 'control.sock')); waitedMs += LOOK_MS) {
    if (child.exitCode !== null || waitedMs > LISTENS_MS_MAX) {
      await end(child);
      throw new TransferError('E_NO_SERVICE', `the service did not start: ${said}`);
    }
    await systemClock.sleep(LOOK_MS);
  }
  return { state, close: () => end(child) };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  await ended;
}

const stateOf = (folder: string): string => join(folder, 'state');

function environment(folder: string): NodeJS.ProcessEnv {
  return { ...process.env, BLOCKFERRY_STATE: stateOf(folder) };
}

/** Answers what it prints; errors, and what is told on the way, go to the listener. @throws when it fails */
export async function runBlockferry(
  folder: string,
  args: readonly string[],
  onLine: (line: string) => void = () => undefined,
): Promise<string> {
  const child = spawn(process.execPath, [MAIN, ...args], {
    cwd: folder,
    env: environment(folder),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  const errors: string[] = [];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  createInterface({ input: child.stderr }).on('line', (line) => {
    errors.push(line);
    onLine(line);
  });
  const [exitCode] = await once(child, 'close');
  if (exitCode === 0) {
    if (out !== '' && errors.length > 0) for (const line of out.trimEnd().split('\n')) onLine(line);
    return out;
  }
  throw new TransferError('E_HYPERVISOR', `blockferry ${args.join(' ')} ended with ${exitCode}`, {
    hint: [...errors, out].join('\n').trim(),
  });
}
