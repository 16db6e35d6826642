import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test, vi } from 'vitest';
import { MiB } from '../../../src/core/units.js';
import { deviceBytes, freeBytes, isRemoteFileSystem } from '../../../src/platform/file-system.js';
import { nativeAvailable } from '../../../src/platform/libc.js';
import { attachLoop, mountsAvailable, mountTmpfs } from '../../support/mounts.js';

const built = fileURLToPath(new URL('../../../dist/src/platform/', import.meta.url));
const code = {
  ENODEV: expect.objectContaining({ code: 'ENODEV' }),
  ENOENT: expect.objectContaining({ code: 'ENOENT' }),
};

test.skipIf(!mountsAvailable())('free space is what can still be written there', async () => {
  const mount = await mountTmpfs(16);
  onTestFinished(() => mount.unmount());
  expect(freeBytes(mount.folder)).toBe(16 * MiB);
  writeFileSync(join(mount.folder, 'file'), Buffer.alloc(5 * MiB));
  expect(freeBytes(Buffer.from(mount.folder))).toBe(11 * MiB);
});

test('free space is unknown where a file system has no size, and an error where there is no folder', () => {
  expect(freeBytes('/proc')).toBeUndefined();
  expect(() => freeBytes('/nowhere/at/all')).toThrow(code.ENOENT);
});

test.skipIf(!mountsAvailable())('a local file system is not taken for a remote one', async () => {
  const mount = await mountTmpfs(1);
  onTestFinished(() => mount.unmount());
  expect(isRemoteFileSystem(mount.folder)).toBe(false);
  expect(isRemoteFileSystem('/proc')).toBe(false);
});

const fuseWorks = mountsAvailable() && existsSync('/dev/fuse') && existsSync('/usr/bin/qemu-storage-daemon');

test.skipIf(!fuseWorks)('a file that a program serves through FUSE counts as remote', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'blockferry-fuse-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const [file, pidFile] = [join(folder, 'file'), join(folder, 'pid')];
  writeFileSync(file, '');
  expect(isRemoteFileSystem(file)).toBe(false);
  const disk = 'driver=null-co,node-name=disk,size=1048576,read-zeroes=on';
  const shown = `type=fuse,id=fuse,node-name=disk,mountpoint=${file}`;
  const options = ['--blockdev', disk, '--export', shown, '--pidfile', pidFile];
  const server = spawn('/usr/bin/qemu-storage-daemon', options, { stdio: 'ignore' });
  const ended = once(server, 'exit');
  onTestFinished(async () => {
    server.kill();
    await ended;
  });
  // The pid file is written once the export stands.
  await vi.waitUntil(() => existsSync(pidFile) || server.exitCode !== null, { timeout: 20_000 });
  expect(isRemoteFileSystem(file)).toBe(true);
});

test.skipIf(!mountsAvailable())(
  'a block device has the size that the kernel gives it, through a link too',
  async () => {
    const device = await attachLoop(24);
    onTestFinished(() => device.detach());
    expect(deviceBytes(device.path)).toBe(24 * MiB);
    const folder = mkdtempSync(join(tmpdir(), 'blockferry-device-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    symlinkSync(device.path, join(folder, 'disk'));
    expect(deviceBytes(Buffer.from(join(folder, 'disk')))).toBe(24 * MiB);
  },
);

test('what is no block device has no device size', () => {
  expect(() => deviceBytes(process.execPath)).toThrow(code.ENODEV);
  expect(() => deviceBytes('/dev/null')).toThrow(code.ENODEV);
  expect(() => deviceBytes('/nowhere/at/all')).toThrow(code.ENOENT);
});

interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
  readonly stdout: string;
}

function runModule(program: string, env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  const options = { env: { ...process.env, ...env } };
  return new Promise((resolve) => {
    const child = execFile(process.execPath, ['--input-type=module', '-e', program], options, (_error, stdout) =>
      resolve({ code: child.exitCode, signal: child.signalCode, stdout }),
    );
  });
}

/** A worker that never comes back to its event loop, as one stuck in a system call; a plain exit would wait for it. */
const stuckThenExit = `
  import { once } from 'node:events';
  import { Worker } from 'node:worker_threads';
  import { hardExit } from ${JSON.stringify(`${built}file-system.js`)};
  process.on('exit', () => process.stdout.write('exit handler'));
  const reading = "require('worker_threads').parentPort.postMessage(1); require('fs').readSync(0, Buffer.alloc(1));";
  await once(new Worker(reading, { eval: true, execArgv: [] }), 'message');
  hardExit(7);
`;

test.skipIf(!existsSync(built) || !nativeAvailable())(
  'a hard exit ends a process whose worker is stuck, with its exit code and without exit handlers',
  async () => {
    expect(await runModule(stuckThenExit)).toEqual({ code: 7, signal: null, stdout: '' });
  },
);

test.skipIf(!existsSync(built))('without koffi a hard exit is a SIGKILL', async () => {
  const ended = await runModule(stuckThenExit, { BLOCKFERRY_NO_NATIVE: '1' });
  expect(ended).toEqual({ code: null, signal: 'SIGKILL', stdout: '' });
});
