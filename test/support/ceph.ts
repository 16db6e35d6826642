/**
 * A real S3 server for tests and the bench: the Ceph Object Gateway, with a monitor and a storage daemon that keeps all
 * of it in memory. The gateway can be killed and started again; what it has acknowledged stays in the storage daemon.
 */
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { AwsClient } from 'aws4fetch';
import { freePorts } from './free-ports.js';

const run = promisify(execFile);
const COMMANDS = ['setpriv', 'ceph-mon', 'ceph-osd', 'radosgw', 'radosgw-admin', 'ceph-authtool', 'monmaptool'];
const KEYS = { accessKeyId: 'TESTKEY', secretAccessKey: 'test/secret+key' };
const UP_MS = 60_000;

export interface Ceph {
  /** Such as `http://127.0.0.1:4711`. */
  readonly endpoint: string;
  /** What a process needs that is to use it. */
  readonly env: Readonly<Record<string, string>>;
  /** Signs what the tests ask themselves. */
  readonly client: AwsClient;
  makeBucket(name: string): Promise<void>;
  /** kill -9 of the gateway alone. */
  killGateway(): Promise<void>;
  startGateway(): Promise<void>;
  /** Ends all of it and removes its folder; harmless when called twice. */
  stop(): Promise<void>;
}

export function cephAvailable(): boolean {
  return COMMANDS.every((command) => spawnSync('which', [command]).status === 0);
}

/** Takes some ten seconds. */
export async function startCeph(): Promise<Ceph> {
  const folder = mkdtempSync(join(tmpdir(), 'ceph-'));
  const [v2 = 0, v1 = 0, port = 0] = await freePorts(3);
  const children: ChildProcess[] = [];
  const killAll = (): void => children.forEach((child) => void child.kill('SIGKILL'));
  process.once('exit', killAll);
  const stop = async (): Promise<void> => {
    process.off('exit', killAll);
    await Promise.all(children.map(kill));
    rmSync(folder, { recursive: true, force: true });
  };
  const start = (command: string, ...args: string[]): ChildProcess => {
    // They end with this process however it ends: a test that is killed runs no code any more.
    const bound = ['--pdeathsig', 'KILL', command, '-c', join(folder, 'ceph.conf'), '-f', ...args];
    const child = spawn('setpriv', bound, { stdio: 'ignore' });
    children.push(child);
    return child;
  };
  const client = new AwsClient({ ...KEYS, service: 's3', region: 'us-east-1', retries: 0 });
  const endpoint = `http://127.0.0.1:${port}`;
  let gateway: ChildProcess | undefined;
  const startGateway = async (): Promise<void> => {
    gateway = start('radosgw', '-n', 'client.rgw');
    await listening(port, gateway);
  };
  try {
    await makeCluster(folder, { v2, v1, port });
    start('ceph-mon', '-i', 'a');
    await startStorage(folder, start);
    await startGateway();
    await makeUser(folder);
  } catch (thrown) {
    await stop();
    throw thrown;
  }
  return {
    endpoint,
    env: {
      AWS_ACCESS_KEY_ID: KEYS.accessKeyId,
      AWS_SECRET_ACCESS_KEY: KEYS.secretAccessKey,
      AWS_ENDPOINT_URL: endpoint,
    },
    client,
    makeBucket: async (name) => {
      const answer = await client.fetch(`${endpoint}/${name}`, { method: 'PUT' });
      if (!answer.ok) throw new Error(`the bucket ${name} could not be made: ${await answer.text()}`);
    },
    killGateway: async () => {
      if (gateway) await kill(gateway);
    },
    startGateway,
    stop,
  };
}

/** The configuration, the keys, and the monitor's own store. */
async function makeCluster(folder: string, ports: Record<'v2' | 'v1' | 'port', number>): Promise<void> {
  for (const name of ['mon', 'osd', 'run', 'log']) mkdirSync(join(folder, name));
  writeFileSync(join(folder, 'ceph.conf'), configuration(folder, ports));
  const keyring = join(folder, 'keyring');
  const all = ['--cap', 'mon', 'allow *', '--cap', 'osd', 'allow *'];
  const keys: readonly (readonly [name: string, ...caps: string[]])[] = [
    ['mon.', '--cap', 'mon', 'allow *'],
    ['client.admin', ...all],
    ['osd.0', ...all],
    ['client.rgw', ...all],
  ];
  await run('ceph-authtool', ['-C', keyring]);
  for (const [name, ...caps] of keys) await run('ceph-authtool', [keyring, '--gen-key', '-n', name, ...caps]);
  const monmap = join(folder, 'monmap');
  const place = `[v2:127.0.0.1:${ports.v2},v1:127.0.0.1:${ports.v1}]`;
  await run('monmaptool', ['--create', '--addv', 'a', place, '--fsid', randomUUID(), monmap]);
  const store = ['--mkfs', '-i', 'a', '--monmap', monmap, '--keyring', keyring];
  await run('ceph-mon', ['-c', join(folder, 'ceph.conf'), ...store]);
}

/** One copy of everything, in memory. */
function configuration(folder: string, { v2, v1, port }: Record<'v2' | 'v1' | 'port', number>): string {
  const settings = {
    'mon host': `[v2:127.0.0.1:${v2}/0,v1:127.0.0.1:${v1}/0]`,
    'mon initial members': 'a',
    'public addr': '127.0.0.1',
    'osd pool default size': 1,
    'osd pool default min size': 1,
    'osd pool default pg num': 4,
    'osd crush chooseleaf type': 0,
    'mon allow pool size one': true,
    'mon data': join(folder, 'mon'),
    'osd data': join(folder, 'osd'),
    'osd objectstore': 'memstore',
    'memstore device bytes': 6 * 2 ** 30,
    // What was replaced or thrown away takes memory until it is collected.
    'rgw gc obj min wait': 1,
    'rgw gc processor period': 2,
    'rgw gc processor max time': 2,
    'run dir': join(folder, 'run'),
    'admin socket': join(folder, 'run', '$name.asok'),
    'log file': join(folder, 'log', '$name.log'),
    'pid file': join(folder, 'run', '$name.pid'),
    keyring: join(folder, 'keyring'),
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}`);
  const gateway = `rgw frontends = beast endpoint=127.0.0.1:${port}\nrgw dns name = s3.test`;
  return `[global]\n${lines.join('\n')}\n[client.rgw]\n${gateway}\n`;
}

async function startStorage(folder: string, start: (command: string, ...args: string[]) => unknown): Promise<void> {
  const ceph = (...args: string[]) =>
    run('ceph', ['-c', join(folder, 'ceph.conf'), '--connect-timeout', '20', ...args]);
  const uuid = randomUUID();
  await ceph('osd', 'new', uuid, '0');
  await run('ceph-osd', ['-c', join(folder, 'ceph.conf'), '-i', '0', '--mkfs', '--osd-uuid', uuid]);
  start('ceph-osd', '-i', '0');
  for (let waitedMs = 0; waitedMs < UP_MS; waitedMs += 200) {
    if ((await ceph('osd', 'stat')).stdout.includes('1 up')) return;
    await sleep(200);
  }
  throw new Error('the storage daemon did not come up');
}

async function makeUser(folder: string): Promise<void> {
  const keys = ['--access-key', KEYS.accessKeyId, '--secret-key', KEYS.secretAccessKey];
  const user = ['user', 'create', '--uid', 'tester', '--display-name', 'tester', ...keys];
  await run('radosgw-admin', ['-c', join(folder, 'ceph.conf'), ...user]);
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

/** Polls until the port accepts a connection. */
async function listening(port: number, child: ChildProcess): Promise<void> {
  for (let waitedMs = 0; waitedMs < UP_MS && child.exitCode === null; waitedMs += 50) {
    const socket = connect(port, '127.0.0.1');
    const connected = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (connected) return;
    await sleep(50);
  }
  throw new Error('the gateway did not come up');
}
