/**
 * The bare sequence of a move, by hand over QMP: save, copy delta and memory, load, and nothing else. Nothing is
 * hashed, flushed, proven or on record, so it is what a blackout is measured by; no one should move machines so.
 */
import { createWriteStream, existsSync, mkdirSync } from 'node:fs';
import { copyFile, type FileHandle, open } from 'node:fs/promises';
import { createServer } from 'node:net';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { systemClock } from '../src/core/clock.js';
import { argumentsOf } from '../src/migrate/qemu/argv.js';
import { killProcess, type QemuProcess, startProcess } from '../src/migrate/qemu/process.js';
import { Qmp } from '../src/migrate/qemu/qmp.js';
import { CONTROL_SOCKET, STATE_SOCKET, withShortPath } from '../src/migrate/qemu/sockets.js';
import type { VmDescription } from '../src/migrate/vm.js';

const LOOK_MS = 2;

export interface BareMove {
  /** With an overlay for each disk, which lies on a raw base that is at the target already. */
  readonly vm: VmDescription;
  /** Working folder of its QEMU, where its sockets are. */
  readonly from: string;
  /** Of the images, and of the QEMU there. */
  readonly to: string;
}

/** Answers the process at the target, in which the guest runs. */
export async function moveByHand({ vm, from, to }: BareMove): Promise<{ kill(): Promise<void> }> {
  mkdirSync(to, { recursive: true });
  const state = join(from, 'memory');
  await withQmp(from, (source) => save(source, from, state));
  const overlays = vm.disks.map(({ chain }) => chain.at(-1)?.path ?? '');
  await Promise.all([...overlays, state].map((path) => copyFile(path, join(to, basename(path)))));
  const disks = vm.disks.map((disk) => ({
    ...disk,
    chain: disk.chain.map(({ path, format }) => ({ path: join(to, basename(path)), format })),
  }));
  const file = await open(join(to, basename(state)));
  try {
    const there = await load({ ...vm, disks }, to, file);
    return { kill: () => killProcess(there, systemClock) };
  } finally {
    await file.close();
  }
}

async function save(qmp: Qmp, folder: string, path: string): Promise<void> {
  await qmp.execute('stop');
  await qmp.execute('migrate-set-parameters', { 'max-bandwidth': 2 ** 40 });
  await qmp.execute('migrate-set-capabilities', { capabilities: [{ capability: 'events', state: true }] });
  const server = createServer();
  const received = new Promise<void>((resolve, reject) => {
    server.once('connection', (socket) => void pipeline(socket, createWriteStream(path)).then(resolve, reject));
  });
  await withShortPath(
    folder,
    (short) => new Promise<void>((resolve) => server.listen(join(short, STATE_SOCKET), resolve)),
  );
  await qmp.execute('migrate', { uri: `unix:${STATE_SOCKET}` });
  await untilStatus(qmp, (status) => status === 'postmigrate');
  await received;
  server.close();
  await qmp.execute('quit');
}

async function load(vm: VmDescription, folder: string, state: FileHandle): Promise<QemuProcess> {
  const args = argumentsOf(vm, { fixedBytes: new Map(), incoming: true });
  const process_ = await startProcess(args, folder, [state.fd]);
  while (!existsSync(join(folder, CONTROL_SOCKET))) await systemClock.sleep(LOOK_MS);
  await withQmp(folder, async (qmp) => {
    await qmp.execute('migrate-incoming', { uri: 'fd:3' });
    await untilStatus(qmp, (status) => status !== 'inmigrate');
    await qmp.execute('cont');
  });
  return process_;
}

async function untilStatus(qmp: Qmp, is: (status: string) => boolean): Promise<void> {
  while (!is((await qmp.execute<{ status: string }>('query-status')).status)) await qmp.eventOr(LOOK_MS);
}

/** One at a time is answered there. */
async function withQmp<T>(folder: string, work: (qmp: Qmp) => Promise<T>): Promise<T> {
  const qmp = await withShortPath(folder, (short) => Qmp.open(join(short, CONTROL_SOCKET), systemClock));
  try {
    return await work(qmp);
  } finally {
    qmp.close();
  }
}
