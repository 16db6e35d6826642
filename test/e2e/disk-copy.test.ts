/** `blockferry copy --to` and its kin, as a user calls them, judged by QEMU. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, type TestContext, test } from 'vitest';
import { KiB, MiB } from '../../src/core/units.js';
import { LAYOUT_KINDS } from '../../src/disk/layouts.js';
import { openDisk } from '../../src/index.js';
import { patch } from '../support/copying.js';
import { leftovers } from '../support/crash-run.js';
import { needQemuImg } from '../support/disk-tools.js';
import { QEMU_FORMAT, qemuImg, qemuIo, sameContent } from '../support/disks.js';
import { nginxAvailable, startNginx } from '../support/nginx.js';
import { Seeded, writeMixedFile } from '../support/seeded.js';
import { windowsPath, writeVhd } from '../support/vhd-images.js';
import { blockferry, type Ended, eventsOf } from './command.js';

const folder = mkdtempSync(join(tmpdir(), 'blockferry-disks-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const path = (name: string): string => join(folder, name);

const SIZE = 11 * MiB + 512;
/** The same content, as QEMU writes it in each of its formats. */
const KINDS = {
  raw: ['raw', []],
  'vhd-fixed': ['vpc', ['-o', 'subformat=fixed,force_size=on']],
  'vhd-dynamic': ['vpc', ['-o', 'subformat=dynamic,force_size=on']],
  vhdx: ['vhdx', ['-o', 'block_size=1M']],
  qcow2: ['qcow2', []],
  'qcow2-compressed': ['qcow2', ['-c']],
} as const;
const KIND_NAMES = Object.keys(KINDS) as (keyof typeof KINDS)[];

beforeAll(() => writeMixedFile(path('disk.raw'), SIZE, new Seeded(41), 2 * MiB));

function diskOf(context: TestContext, kind: keyof typeof KINDS): string {
  needQemuImg(context);
  const [format, options] = KINDS[kind];
  if (kind === 'raw') return 'disk.raw';
  const name = `disk.${kind}`;
  if (!existsSync(path(name))) qemuImg('convert', '-f', 'raw', '-O', format, ...options, path('disk.raw'), path(name));
  return name;
}

async function ok(...args: readonly string[]): Promise<Ended> {
  const ended = await blockferry(folder, ...args).ended;
  expect(ended.err).toBe('');
  expect(ended.exitCode).toBe(0);
  return ended;
}

async function refused(exitCode: number, ...args: readonly string[]): Promise<string> {
  const ended = await blockferry(folder, ...args).ended;
  expect(ended).toMatchObject({ exitCode, out: '' });
  return ended.err;
}

test.for(KIND_NAMES.flatMap((kind) => LAYOUT_KINDS.map((layout) => ({ kind, layout }))))(
  'copy makes $layout of a $kind disk, and verify --content says that they hold the same',
  async ({ kind, layout }, context) => {
    const source = diskOf(context, kind);
    const target = `${kind}-to-${layout}`;
    const { out } = await ok('copy', '--to', layout, source, target);
    expect(out).toContain('root of the content: xxh64:');
    expect(sameContent(path('disk.raw'), 'raw', path(target), QEMU_FORMAT[layout])).toBe(true);
    const info = JSON.parse(qemuImg('info', '--output=json', '-f', QEMU_FORMAT[layout], path(target)));
    expect(info['virtual-size']).toBe(SIZE);
    expect((await ok('verify', '--content', target, source)).out).toContain('hold the same content, 11.0 MiB');
    expect(leftovers(path(target))).toEqual([]);
    rmSync(path(target));
  },
);

test.for(LAYOUT_KINDS)(
  'after kill -9 a copy to %s goes on where it was, at the limit that is set',
  async (layout, context) => {
    const source = diskOf(context, 'qcow2');
    const target = `killed-${layout}`;
    const args = ['copy', '--json', '--to', layout, '--chunk-size', '64KiB', source, target];
    const first = blockferry(folder, ...args, '--limit', '2MiB');
    // The first checkpoint comes after two seconds, and so after some four MiB.
    await first.event((event) => event.type === 'checkpoint');
    first.child.kill('SIGKILL');
    await first.ended;
    expect(existsSync(path(target))).toBe(false);
    const status = JSON.parse((await ok('status', '--json', target)).out);
    const { bytesClaimed } = status.partial;
    expect(bytesClaimed).toBeGreaterThan(0);
    const ended = await ok(...args);
    const result = eventsOf(ended.out).at(-1) as unknown as { bytesReused: number; of: string };
    expect(result).toMatchObject({ type: 'result', of: 'content', bytesReused: bytesClaimed });
    expect(sameContent(path('disk.raw'), 'raw', path(target), QEMU_FORMAT[layout])).toBe(true);
    rmSync(path(target));
  },
);

test('a disk behind a web server gives its allocated bytes alone', async (context) => {
  needQemuImg(context);
  context.skip(!nginxAvailable(), 'needs nginx');
  qemuImg('create', '-q', '-f', 'vhdx', '-o', 'block_size=1M', path('sparse.vhdx'), '256M');
  qemuIo(path('sparse.vhdx'), 'vhdx', 'write -P 5 3M 1M', 'write -P 6 150M 2M', 'write -P 7 255M 4k');
  const log = path('access.log');
  const nginx = await startNginx(folder, { directives: `access_log ${log} combined;` });
  try {
    const url = `${nginx.urls[0]}/sparse.vhdx`;
    await ok('copy', '--to', 'raw', url, 'sparse.raw');
    expect(sameContent(path('sparse.vhdx'), 'vhdx', path('sparse.raw'), 'raw')).toBe(true);
    const lines = readFileSync(log, 'utf8').trim().split('\n');
    const sent = lines.reduce((sum, line) => sum + Number(/" 20[06] (\d+) /.exec(line)?.[1]), 0);
    // Four blocks of 1 MiB are allocated; headers, tables and metadata are the rest.
    expect(sent).toBeGreaterThanOrEqual(4 * MiB);
    expect(sent).toBeLessThan(4 * MiB + 4 * MiB);
    expect((await ok('verify', '--content', url, 'sparse.raw')).out).toContain('hold the same content');
  } finally {
    await nginx.stop();
  }
});

test('a manifest of a copy that makes a disk speaks of its content, and verify knows', async (context) => {
  const source = diskOf(context, 'vhd-dynamic');
  await ok('copy', '--to', 'vhdx', '--manifest', 'content.manifest', source, 'listed.vhdx');
  const [, file = ''] = readFileSync(path('content.manifest'), 'utf8').split('\n');
  expect(JSON.parse(file)).toMatchObject({ size: SIZE, of: 'content' });
  for (const disk of ['listed.vhdx', source, 'disk.raw']) {
    expect((await ok('verify', disk, '--manifest', 'content.manifest')).out).toContain('root of the content');
  }
  const other = blockferry(folder, 'verify', 'listed.vhdx', source);
  expect((await other.ended).exitCode).toBe(4);
});

test('--flatten makes one disk of a chain, found beside it or in the folders of --parents', async (context) => {
  needQemuImg(context);
  qemuImg('create', '-q', '-f', 'qcow2', path('base.qcow2'), '8M');
  qemuIo(path('base.qcow2'), 'qcow2', 'write -P 1 0 3M');
  qemuImg('create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', 'base.qcow2', path('child.qcow2'));
  qemuIo(path('child.qcow2'), 'qcow2', 'write -P 2 1M 64k', 'write -z 2M 64k');
  const alone = await refused(2, 'copy', '--to', 'vhdx', 'child.qcow2', 'whole.vhdx');
  expect(alone).toMatch(/child\.qcow2 is a .* image of base\.qcow2: it is no whole disk alone\n.*--flatten/);
  await ok('copy', '--flatten', '--to', 'vhdx', 'child.qcow2', 'whole.vhdx');
  expect(sameContent(path('child.qcow2'), 'qcow2', path('whole.vhdx'), 'vhdx')).toBe(true);
  await ok('copy', '--flatten', 'child.qcow2', '.');
  expect(sameContent(path('child.qcow2'), 'qcow2', path('child.raw'), 'raw')).toBe(true);
  mkdirSync(path('away'));
  renameSync(path('base.qcow2'), path('away/base.qcow2'));
  const missing = await refused(4, 'copy', '--flatten', '--overwrite', 'child.qcow2', 'child.raw');
  expect(missing).toMatch(/child\.qcow2 builds on base\.qcow2, of format qcow2, which was not found.*\n.*--parents/);
  await ok('copy', '--flatten', '--overwrite', '--parents', 'away', 'child.qcow2', 'child.raw');
});

test('differencing VHDs become one VHD, read through their parents by what they know them by', async (context) => {
  needQemuImg(context);
  const [block, size] = [2 * MiB, 6 * MiB];
  const ids = [1, 2, 3].map((n) => Buffer.alloc(16, n)) as [Buffer, Buffer, Buffer];
  const seeded = new Seeded(7);
  const blocks = Array.from({ length: 3 }, () => seeded.bytes(block)) as [Buffer, Buffer, Buffer];
  const parent = (id: Buffer, name: string) => ({ id, name, locators: [['W2ru', windowsPath(`.\\${name}`)]] as const });
  writeVhd(path('base.vhd'), { size, id: ids[0], blocks: new Map([[0, { data: blocks[0] }]]) });
  const some = Array.from({ length: 100 }, (_, n) => n * 3);
  const middle = new Map([[0, { data: blocks[1], sectors: some }]]);
  writeVhd(path('middle.avhd'), { size, id: ids[1], blocks: middle, parent: parent(ids[0], 'base.vhd') });
  const child = new Map([[2, { data: blocks[2] }]]);
  writeVhd(path('child.avhd'), { size, id: ids[2], blocks: child, parent: parent(ids[1], 'middle.avhd') });
  const expected = Buffer.concat([blocks[0], Buffer.alloc(block), blocks[2]]);
  for (const sector of some) blocks[1].copy(expected, sector * 512, sector * 512, (sector + 1) * 512);
  const { out } = await ok('copy', '--flatten', 'child.avhd', 'whole.vhd');
  expect(out).toContain('root of the content');
  qemuImg('convert', '-f', 'vpc', '-O', 'raw', path('whole.vhd'), path('whole.raw'));
  expect(readFileSync(path('whole.raw')).equals(expected)).toBe(true);
  // A base that was swapped for another disk of the same name is none.
  writeVhd(path('base.vhd'), { size, id: ids[2], blocks: new Map() });
  expect(await refused(4, 'copy', '--flatten', 'child.avhd', 'other.vhd')).toContain('another disk, known by 03030303');
});

test('a raw parent whose format the child does not name is refused by name, and told how to go on', async (context) => {
  needQemuImg(context);
  qemuImg('create', '-q', '-f', 'raw', path('guest.raw'), '1M');
  qemuImg('create', '-q', '-f', 'qcow2', '-u', '-b', 'guest.raw', '-F', 'raw', path('trap.qcow2'), '1M');
  // Old images name no format: the header extension that does becomes one that nobody knows.
  const extension = readFileSync(path('trap.qcow2')).indexOf(Buffer.from('e2792aca', 'hex'));
  patch(path('trap.qcow2'), extension, Buffer.from('12345678', 'hex'));
  const error = await refused(4, 'copy', '--flatten', 'trap.qcow2', 'trap.raw');
  expect(error).toMatch(
    /guest\.raw.*does not say of which format it is, and it looks like raw\n.*qemu-img rebase -u -F/,
  );
  qemuImg('rebase', '-u', '-F', 'raw', '-b', 'guest.raw', path('trap.qcow2'));
  await ok('copy', '--flatten', 'trap.qcow2', 'trap.raw');
});

test('without --to the container is copied as it is', async (context) => {
  const source = diskOf(context, 'vhdx');
  const { out } = await ok('copy', '--json', source, 'same.vhdx');
  expect(eventsOf(out).at(-1)).toMatchObject({ of: 'container' });
  expect(readFileSync(path('same.vhdx')).equals(readFileSync(path(source)))).toBe(true);
});

test('what makes no sense of disks is refused with a hint', async (context) => {
  const source = diskOf(context, 'raw');
  expect(await refused(2, 'copy', '--to', 'vmdk', source, 'x')).toContain('raw, vhd-fixed, vhd-dynamic, vhdx');
  expect(await refused(2, 'copy', '-r', '--to', 'raw', folder, 'x')).toContain('for the copy of a single disk');
  expect(await refused(2, 'copy', '--parents', '.', source, 'x')).toContain('--flatten');
  expect(await refused(2, 'copy', '--to', 'vhdx', '--reflink', 'always', source, 'x')).toContain('shares no blocks');
  expect(await refused(2, 'copy', 'disk://x', 'x')).toContain('is not a location');
  expect(existsSync(path('x'))).toBe(false);
});

test('openDisk tells what a disk is and has allocated, and reads what its guest sees', async (context) => {
  const disk = await openDisk(path(diskOf(context, 'vhd-dynamic')));
  expect(disk).toMatchObject({ size: SIZE, format: 'vhd', kind: 'dynamic' });
  const [link] = disk.links;
  expect(link?.fileBytes).toBe(statSync(path('disk.vhd-dynamic')).size);
  const content = readFileSync(path('disk.raw'));
  let end = 0;
  for await (const { kind, offset, length } of disk.allocation()) {
    expect(offset).toBe(end);
    if (kind === 'zero') expect(content.subarray(offset, offset + length).every((byte) => byte === 0)).toBe(true);
    end += length;
  }
  expect(end).toBe(SIZE);
  const range = { offset: 3 * MiB - 77, length: 300 * KiB };
  expect(content.subarray(range.offset, range.offset + range.length).equals(await disk.read(range))).toBe(true);
  await expect(disk.read({ offset: SIZE - 1, length: 2 })).rejects.toMatchObject({ code: 'E_USAGE' });
  await disk.close();
});
