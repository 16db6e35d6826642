/** Where the numbers were measured: without it they mean nothing. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, machine, release, totalmem } from 'node:os';
import { measuredBy } from './resource-use.js';

export interface Machine {
  readonly cores: number;
  readonly cpu: string;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly fileSystem: string;
  readonly node: string;
  readonly blockferry: string;
  readonly measuredBy: string;
  /** First line of what each says of itself; those that are missing are absent. */
  readonly tools: Readonly<Record<string, string>>;
}

const VERSION_CHARACTERS_MAX = 60;

const VERSION_COMMANDS: Readonly<Record<string, readonly string[]>> = {
  'cp, dd, sha256sum': ['cp', '--version'],
  rsync: ['rsync', '--version'],
  rclone: ['rclone', '--config', '', 'version'],
  curl: ['curl', '--version'],
  aria2c: ['aria2c', '--version'],
  nginx: ['nginx', '-v'],
  'qemu-img': ['qemu-img', '--version'],
  nbdcopy: ['nbdcopy', '--version'],
  xxh64sum: ['xxh64sum', '--version'],
};

export function describeMachine(folder: string): Machine {
  const tools = Object.entries(VERSION_COMMANDS).flatMap(([name, argv]) => {
    const line = firstLine(argv);
    return line === undefined ? [] : [[name, line] as const];
  });
  const manifest = new URL('../../package.json', import.meta.url);
  return {
    cores: availableParallelism(),
    cpu: cpus()[0]?.model ?? 'unknown',
    memoryBytes: totalmem(),
    kernel: `${release()} ${machine()}`,
    fileSystem: firstLine(['findmnt', '-n', '-o', 'FSTYPE', '-T', folder]) ?? 'unknown',
    node: process.version,
    blockferry: String((JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version),
    measuredBy: measuredBy(),
    tools: Object.fromEntries(tools),
  };
}

function firstLine([program = '', ...args]: readonly string[]): string | undefined {
  const path = `${process.env.PATH ?? ''}:/usr/sbin`;
  const said = spawnSync(program, args, { encoding: 'utf8', env: { ...process.env, PATH: path } });
  // nginx tells its version on stderr.
  return said.status === 0
    ? `${said.stdout}${said.stderr}`.trim().split('\n')[0]?.slice(0, VERSION_CHARACTERS_MAX)
    : undefined;
}
