import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import type { BenchmarkReport } from '../../src/benchmark/report.js';
import { MiB } from '../../src/core/units.js';
import { attachLoop, mountLoop, mountsAvailable, mountTmpfs } from '../support/mounts.js';
import { nginxAvailable, startNginx } from '../support/nginx.js';
import { blockferry, type Command, workFolder } from './command.js';

const QUICK = ['--seconds', '0.02', '--size', '64MiB'];
const LONG = ['--seconds', '20', '--size', '64MiB'];

async function folders(): Promise<{ folder: string; content: Buffer; one: string; other: string }> {
  const { folder, content } = await workFolder(4 * MiB);
  const [one, other] = [join(folder, 'one'), join(folder, 'other')];
  await mkdir(one);
  await mkdir(other);
  return { folder, content, one, other };
}

async function reportOf(command: Command): Promise<BenchmarkReport> {
  const { exitCode, out, err } = await command.ended;
  expect(err).toBe('');
  expect(exitCode).toBe(0);
  return JSON.parse(out) as BenchmarkReport;
}

/** Resolves when the benchmark has made its scratch file in the folder. */
async function measuringIn(folder: string): Promise<string> {
  return vi.waitFor(
    async () => {
      const [own] = await readdir(folder);
      const path = join(folder, own as string);
      expect(await readdir(path)).toContain('scratch');
      return path;
    },
    { timeout: 30_000, interval: 20 },
  );
}

test('a folder is measured, and nothing is left in it', async () => {
  const { folder, one } = await folders();
  const report = await reportOf(blockferry(folder, 'bench', ...QUICK, '--json', 'one'));
  expect(report).toMatchObject({ schema: 1, type: 'bench', seconds: 0.02, copies: [] });
  expect(report.source).toMatchObject({ name: 'one', kind: 'folder' });
  expect(report.target).toEqual(report.source);
  expect(report.machine).toMatchObject({ node: process.version, cores: expect.any(Number) });
  expect(report.bytesWritten).toBeLessThanOrEqual(64 * MiB);
  const hash = report.measurements.find(({ pattern }) => pattern.kind === 'hash');
  expect(hash).toMatchObject({ end: 'machine', threads: 1, bytesPerSecond: expect.any(Number) });
  const flushed = report.measurements.find(({ pattern }) => pattern.kind === 'write' && pattern.flush === 'each');
  const percentile = expect.any(Number);
  expect(flushed).toMatchObject({
    latencyMs: { p50: percentile, p90: percentile, p99: percentile, p999: percentile, max: percentile },
  });
  expect(report.advice).toMatchObject({ basis: 'parts', settings: { chunkBytes: 8 * MiB } });
  expect(await readdir(one)).toEqual([]);
});

test('two folders are copied between with several settings, and the chart is drawn', async () => {
  const { folder, one, other } = await folders();
  const report = await reportOf(blockferry(folder, 'bench', ...QUICK, '--json', '--svg', 'chart.svg', 'one', 'other'));
  expect(report.copies.slice(0, 3).map(({ workers }) => workers)).toEqual([1, 2, 4]);
  expect(report.copies.every(({ runs, bytes }) => runs.length > 0 && bytes > 0)).toBe(true);
  expect(report.advice).toMatchObject({ basis: 'copies', bytesPerSecond: expect.any(Number) });
  expect(report.bytesWritten).toBeLessThanOrEqual(64 * MiB);
  expect(await readFile(join(folder, 'chart.svg'), 'utf8')).toMatch(
    /^<svg [\s\S]*The best of each part[\s\S]*<\/svg>\n$/,
  );
  expect([await readdir(one), await readdir(other)]).toEqual([[], []]);
});

test('the table ends with a command line that copies', async () => {
  const { folder, content } = await folders();
  const { exitCode, out, err } = await blockferry(folder, 'bench', ...QUICK, 'disk.img', 'other').ended;
  expect(exitCode).toBe(0);
  expect(err).toMatch(/^measuring: \d+ steps, about .*, up to \d.* MiB written\n$/);
  const line = out.trimEnd().split('\n').at(-1)?.trim() ?? '';
  expect(line).toMatch(/^blockferry copy --workers \d+ --lanes \d+ (--chunk-size \w+ )?disk.img other\/$/);
  const copy = await blockferry(folder, ...line.split(' ').slice(1)).ended;
  expect(copy.exitCode).toBe(0);
  expect((await readFile(join(folder, 'other', 'disk.img'))).equals(content)).toBe(true);
});

test('a file is only read: its bytes and times stay, and nothing is made beside it', async () => {
  const { folder, content } = await workFolder(4 * MiB);
  const before = await stat(join(folder, 'disk.img'), { bigint: true });
  const report = await reportOf(blockferry(folder, 'bench', ...QUICK, '--json', 'disk.img'));
  expect(report).toMatchObject({ bytesWritten: 0, source: { kind: 'file', bytes: 4 * MiB } });
  const after = await stat(join(folder, 'disk.img'), { bigint: true });
  expect([after.mtimeNs, after.ctimeNs]).toEqual([before.mtimeNs, before.ctimeNs]);
  expect((await readFile(join(folder, 'disk.img'))).equals(content)).toBe(true);
  expect(await readdir(folder)).toEqual(['disk.img']);
});

test('a block device is only read', async (context) => {
  context.skip(!mountsAvailable(), 'needs loop devices');
  const { folder } = await workFolder(1);
  const device = await attachLoop(16);
  onTestFinished(() => device.detach());
  await writeFile(device.path, 'kept');
  const report = await reportOf(blockferry(folder, 'bench', ...QUICK, '--json', device.path));
  expect(report).toMatchObject({ bytesWritten: 0, source: { kind: 'device', bytes: 16 * MiB } });
  const hash = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
  const expected = Buffer.alloc(16 * MiB);
  expected.write('kept');
  expect(hash(await readFile(device.path))).toBe(hash(expected));
});

test('a URL is measured by its chunks, and its secrets are told to nobody', async (context) => {
  context.skip(!nginxAvailable(), 'needs nginx');
  const { folder } = await workFolder(4 * MiB);
  const nginx = await startNginx(folder);
  onTestFinished(() => nginx.stop());
  await mkdir(join(folder, 'target'));
  const url = `${nginx.urls[0]}/disk.img?token=secret`;
  const { exitCode, out } = await blockferry(folder, 'bench', '--seconds', '0.2', url, 'target').ended;
  expect(exitCode).toBe(0);
  expect(out).toMatch(/chunks in order +8 MiB +1 x 4/);
  expect(out).toMatch(/blockferry copy .* URL target\/\n$/);
  expect(out).not.toContain('secret');
  expect(await readdir(join(folder, 'target'))).toEqual([]);
});

test.each(['SIGINT', 'SIGTERM'] as const)('after %s the scratch is removed, with exit code 130', async (signal) => {
  const { folder, one } = await folders();
  const command = blockferry(folder, 'bench', ...LONG, 'one');
  await measuringIn(one);
  command.child.kill(signal);
  const { exitCode, out, err } = await command.ended;
  expect({ exitCode, out }).toEqual({ exitCode: 130, out: '' });
  expect(err).toContain('blockferry: the benchmark was stopped; nothing of it is left');
  expect(await readdir(one)).toEqual([]);
});

test('what a killed benchmark left is removed by the next one, and what is not its own stays', async () => {
  const { folder, one } = await folders();
  const killed = blockferry(folder, 'bench', ...LONG, 'one');
  const left = await measuringIn(one);
  killed.child.kill('SIGKILL');
  await killed.ended;
  expect(existsSync(join(left, 'scratch'))).toBe(true);
  const foreign = join(one, '.blockferry-bench-0123456789abcdef');
  await mkdir(foreign, { mode: 0o700 });
  await writeFile(join(foreign, 'mine'), 'kept');
  await writeFile(join(foreign, 'lock'), '', { mode: 0o600 });
  await writeFile(join(one, '.blockferry-bench-fedcba9876543210'), 'a file');
  const report = await reportOf(blockferry(folder, 'bench', ...QUICK, '--json', 'one'));
  expect(report.notes).toEqual([expect.stringMatching(/^removed a scratch folder .* had left in one$/)]);
  expect((await readdir(one)).sort()).toEqual([
    '.blockferry-bench-0123456789abcdef',
    '.blockferry-bench-fedcba9876543210',
  ]);
  expect(await readFile(join(foreign, 'mine'), 'utf8')).toBe('kept');
});

test('the scratch of a benchmark that still runs is left alone', async () => {
  const { folder, one } = await folders();
  const running = blockferry(folder, 'bench', ...LONG, 'one');
  const own = await measuringIn(one);
  await reportOf(blockferry(folder, 'bench', ...QUICK, '--json', 'one'));
  expect(existsSync(join(own, 'scratch'))).toBe(true);
  running.child.kill('SIGINT');
  expect((await running.ended).exitCode).toBe(130);
  expect(await readdir(one)).toEqual([]);
});

test.each([
  [['--size', '2GiB', 'one'], /bench writes up to .* in one \(.* free\), and there is no terminal to ask on\n.*--yes/],
  [['--size', '1MiB', 'one'], /--size: 1.00 MiB are too few .*\n.*64.0 MiB/],
  [['--seconds', '0', 'one'], /--seconds: cannot use "0"/],
  [['one', 'disk.img'], /disk.img is no folder; .*\n.*only ever read/],
  [['one', 'http://127.0.0.1:1/x'], /is no folder/],
  [['nowhere'], /nowhere: no such file or folder/],
  [['one', 'other', 'third'], /one or two locations, not 3/],
  [['--svg', 'disk.img', 'one'], /--svg: disk.img exists, and is left as it is/],
  [['--svg', 'nowhere/chart.svg', 'one'], /--svg: nowhere\/chart.svg cannot be written \(ENOENT\)/],
])('bench %j is refused with exit code 2, before anything is written', async (args, message) => {
  const { folder, one } = await folders();
  const { exitCode, out, err } = await blockferry(folder, 'bench', ...args).ended;
  expect(err).toMatch(message);
  expect({ exitCode, out }).toEqual({ exitCode: 2, out: '' });
  expect(await readdir(one)).toEqual([]);
});

test('a folder that cannot be written is refused, with the way to read what is in it', async (context) => {
  context.skip(!mountsAvailable('ext4'), 'needs mounts');
  const mount = await mountLoop('ext4', 128);
  onTestFinished(() => mount.unmount());
  await mount.remount('ro');
  const { exitCode, err } = await blockferry(mount.folder, 'bench', ...QUICK, '.').ended;
  expect(exitCode).toBe(2);
  expect(err).toMatch(/cannot hold a scratch file \(EROFS\)\n.*name a file or a device in it/);
});

test('a disk that is nearly full is left as it is', async (context) => {
  context.skip(!mountsAvailable(), 'needs mounts');
  const mount = await mountTmpfs(24);
  onTestFinished(() => mount.unmount());
  const { exitCode, err } = await blockferry(mount.folder, 'bench', ...QUICK, '.').ended;
  expect(exitCode).toBe(3);
  expect(err).toMatch(/has only 24.0 MiB free\n.*32.0 MiB must be free/);
  expect(await readdir(mount.folder)).toEqual([]);
});

test('scratch files take no more than half of what is free', async (context) => {
  context.skip(!mountsAvailable(), 'needs mounts');
  const mount = await mountTmpfs(40);
  onTestFinished(() => mount.unmount());
  const report = await reportOf(blockferry(mount.folder, 'bench', '--seconds', '0.02', '--json', '.'));
  expect(report.source.bytes).toBeLessThanOrEqual(20 * MiB);
  const direct = report.measurements.find(({ pattern }) => 'access' in pattern && pattern.access === 'direct');
  expect(direct).toMatchObject({ refused: 'this file system is memory, and has no storage' });
});

test('a disk that fills up meanwhile ends the benchmark, and the scratch is removed', async (context) => {
  context.skip(!mountsAvailable(), 'needs mounts');
  const mount = await mountTmpfs(192);
  onTestFinished(() => mount.unmount());
  const command = blockferry(mount.folder, 'bench', '--seconds', '1', '--size', '256MiB', '.', '.');
  await measuringIn(mount.folder);
  // Leaves no room for the copies.
  await writeFile(join(mount.folder, 'theirs'), Buffer.alloc(192 * MiB)).catch(() => undefined);
  const { exitCode, err } = await command.ended;
  expect(err).toMatch(/0 B are free|no space left/);
  expect(exitCode).toBe(3);
  expect(await readdir(mount.folder)).toEqual(['theirs']);
  await rm(join(mount.folder, 'theirs'));
});
