import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { nativeAvailable } from '../../src/platform/libc.js';
import { needQemuImg } from '../support/disk-tools.js';
import { blockferry, start } from './command.js';

let folder: string;
beforeEach((context) => {
  needQemuImg(context);
  folder = mkdtempSync(join(tmpdir(), 'blockferry-disk-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
});

const at = (name: string): string => join(folder, name);
const disk = (...args: readonly string[]) => blockferry(folder, 'disk', ...args).ended;
const qemuImg = (...args: readonly string[]): string =>
  execFileSync('qemu-img', args, { cwd: folder, encoding: 'utf8' });

function qcow2(name: string, parent: string | undefined, ...writes: readonly string[]): void {
  qemuImg('create', '-q', '-f', 'qcow2', ...(parent ? ['-F', 'qcow2', '-b', parent] : []), name, '16M');
  if (writes.length === 0) return;
  const commands = writes.flatMap((write) => ['-c', `write ${write}`]);
  execFileSync('qemu-io', ['-f', 'qcow2', ...commands, name], { cwd: folder, stdio: 'ignore' });
}

function contentOf(name: string): Buffer {
  qemuImg('convert', '-O', 'raw', name, 'flat.raw');
  return readFileSync(at('flat.raw'));
}

/** A base, and two that build on it. */
function snapshots(): void {
  qcow2('base.qcow2', undefined, '-P 1 1M 2M');
  qcow2('one.qcow2', 'base.qcow2', '-P 2 2M 64k', '-z 2112k 64k');
  qcow2('two.qcow2', 'base.qcow2', '-P 3 8M 1M');
}

test('info tells format, sizes and parent, and --json the same as one object', async () => {
  snapshots();
  const { exitCode, out } = await disk('info', 'one.qcow2');
  expect(exitCode).toBe(0);
  expect(out).toContain(`${at('one.qcow2')}: qcow2, differencing`);
  expect(out).toContain('disk:      16.0 MiB (16777216 bytes)');
  expect(out).toContain('allocated: 64.0 KiB, in blocks of 64 KiB');
  expect(out).toContain('parent:    base.qcow2 (qcow2)');
  const json = JSON.parse((await disk('info', '--json', 'one.qcow2')).out);
  expect(json).toMatchObject({ schema: 1, type: 'disk-info', format: 'qcow2', size: 16 * MiB, heldBytes: 65536 });
});

test('info tells that somebody has an image open for writing, and merge refuses it', async (context) => {
  context.skip(!nativeAvailable(), 'needs koffi');
  snapshots();
  // Opened by the shell for as long as it waits for its input.
  const holder = start(folder, ['sh', '-c', 'exec 3<>base.qcow2; echo "{}"; exec sleep 600']);
  await holder.event(() => true);
  expect((await disk('info', 'base.qcow2')).out).toContain('in use:    open for writing');
  const { exitCode, err } = await disk('merge', '--break-others', 'one.qcow2');
  expect({ exitCode, err }).toMatchObject({
    exitCode: 2,
    err: expect.stringContaining('base.qcow2 is open for writing'),
  });
  holder.child.kill('SIGKILL');
  await holder.ended;
  expect((await disk('info', 'base.qcow2')).out).toContain('in use:    no');
});

test('disk info tells who made an image, and in what state it was left', async () => {
  const made = (format: string, name: string): void => void qemuImg('create', '-q', '-f', format, name, '1M');
  made('vpc', 'made.vhd');
  expect((await disk('info', 'made.vhd')).out).toMatch(/creator: {3}qem[u2] \d+\.\d+\n {2}created: {3}20\d\d-/);
  made('vhdx', 'made.vhdx');
  expect((await disk('info', 'made.vhdx')).out).toMatch(/creator: {3}QEMU .*\n {2}sectors: {3}512 bytes/);
  made('qcow2', 'made.qcow2');
  qemuImg('snapshot', '-c', 'one', 'made.qcow2');
  const { facts } = JSON.parse((await disk('info', '--json', 'made.qcow2')).out);
  expect(facts).toEqual({ version: '3', snapshots: '1 internal, which are no part of what is read' });
});

test('map draws the same that qemu-img map says, and lists it', async () => {
  snapshots();
  const { out } = await disk('map', '--json', 'one.qcow2');
  const map = JSON.parse(out) as { extents: { offset: number; length: number; kind: string; image?: number }[] };
  const ours = map.extents
    .filter(({ kind }) => kind === 'data')
    .map(({ offset, length, image }) => ({ offset, length, image }));
  const theirs = JSON.parse(qemuImg('map', '--output=json', 'one.qcow2')) as {
    start: number;
    length: number;
    depth: number;
    data: boolean;
  }[];
  expect(ours).toEqual(
    theirs.filter(({ data }) => data).map(({ start: offset, length, depth }) => ({ offset, length, image: depth })),
  );
  const lines = (await disk('map', 'one.qcow2')).out.split('\n');
  expect(lines[0]).toBe(`${at('one.qcow2')}: 16.0 MiB, each character 16 KiB`);
  const picture = lines.slice(1).map((line) => line.trim());
  expect(picture.join('')).toMatch(/^\.{64}1{64}0{4}o{4}1{56}\./);
  expect((await disk('map', '--list', '--alone', 'one.qcow2')).out).toMatch(/2097152 +64 KiB +data +in 0\n/);
});

test('map draws an SVG, and only into a new file', async () => {
  snapshots();
  expect((await disk('map', '--svg', 'map.svg', 'one.qcow2')).exitCode).toBe(0);
  expect(readFileSync(at('map.svg'), 'utf8')).toMatch(/^<svg [\s\S]*class="f1"[\s\S]*<\/svg>\n$/);
  const again = await disk('map', '--svg', 'map.svg', 'one.qcow2');
  expect(again).toMatchObject({ exitCode: 2, err: expect.stringContaining('map.svg exists') });
});

test('chain says where a parent is missing, and --set-parent puts it right', async () => {
  snapshots();
  mkdirSync(at('moved'));
  renameSync(at('base.qcow2'), at('moved/base.qcow2'));
  const broken = await disk('chain', 'one.qcow2');
  expect(broken).toMatchObject({ exitCode: 4, out: expect.stringContaining('broken: ') });
  const checked = await disk('check', 'one.qcow2');
  expect(checked).toMatchObject({ exitCode: 4, out: expect.stringContaining('wrong: chain-parent-missing') });
  expect((await disk('chain', '--parents', 'moved', 'one.qcow2')).exitCode).toBe(0);
  const changed = await disk('chain', '--set-parent', 'moved/base.qcow2', 'one.qcow2');
  expect(changed).toMatchObject({
    exitCode: 0,
    out: expect.stringContaining('builds on moved/base.qcow2 (qcow2) now'),
  });
  expect(qemuImg('info', 'one.qcow2')).toContain('backing file: moved/base.qcow2');
  const self = await disk('chain', '--set-parent', 'one.qcow2', 'one.qcow2');
  expect(self).toMatchObject({ exitCode: 2 + 2, err: expect.stringContaining('itself') });
});

test('check ends with 4 when something is wrong, and names it', async () => {
  snapshots();
  expect((await disk('check', 'one.qcow2')).out).toBe(
    `${at('one.qcow2')} and the 1 image that it builds on: nothing is wrong\n`,
  );
  const bytes = readFileSync(at('base.qcow2'));
  writeFileSync(at('base.qcow2'), bytes.subarray(0, bytes.length - 128 * 1024));
  const { exitCode, out } = await disk('check', '--json', 'one.qcow2');
  expect(exitCode).toBe(4);
  const images = (JSON.parse(out) as { images: { name: string; findings: { code: string; offset: number }[] }[] })
    .images;
  expect(images.map(({ findings }) => findings[0]?.code)).toEqual([undefined, 'qcow2-truncated']);
});

test('digest tells container from content; the content is that of the raw disk', async () => {
  snapshots();
  const content = contentOf('one.qcow2');
  const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
  const { out } = await disk('digest', '--json', '--sha256', 'one.qcow2');
  const [container, guest] = (JSON.parse(out) as { digests: { of: string; sha256: string; root: string }[] }).digests;
  expect(container).toMatchObject({ of: 'container', sha256: sha256(readFileSync(at('one.qcow2'))) });
  expect(guest).toMatchObject({ of: 'content', sha256: sha256(content) });
  const raw = JSON.parse((await disk('digest', '--json', '--of', 'container', 'flat.raw')).out);
  expect(raw.digests[0].root).toBe(guest?.root);
  expect((await disk('digest', '--of', 'content', 'one.qcow2')).out).toContain(`content xxh64:${guest?.root} `);
});

test('merge refuses as long as other images build on the parent, and changes nothing', async () => {
  snapshots();
  const before = readFileSync(at('base.qcow2'));
  const { exitCode, err } = await disk('merge', 'one.qcow2');
  expect({ exitCode, err }).toMatchObject({ exitCode: 2, err: expect.stringContaining(at('two.qcow2')) });
  expect(readFileSync(at('base.qcow2')).equals(before)).toBe(true);
  expect((await disk('merge', '--break-others', 'one.qcow2')).exitCode).toBe(0);
});

test('merge leaves the same disk, re-points who built on the image, and removes it', async () => {
  snapshots();
  rmSync(at('two.qcow2'));
  qcow2('top.qcow2', 'one.qcow2', '-P 9 2M 4k');
  const content = contentOf('top.qcow2');
  const { exitCode, out } = await disk('merge', 'one.qcow2');
  expect(exitCode).toBe(0);
  expect(out).toContain(`${at('one.qcow2')} is merged into ${at('base.qcow2')}, and removed`);
  expect(out).toContain(`${at('top.qcow2')} builds on ${at('base.qcow2')} now`);
  expect(existsSync(at('one.qcow2'))).toBe(false);
  expect(contentOf('top.qcow2').equals(content)).toBe(true);
  qemuImg('check', 'base.qcow2');
  const all = await disk('merge', '--all', 'top.qcow2');
  expect(all.exitCode).toBe(0);
  expect(contentOf('base.qcow2').equals(content)).toBe(true);
});

test('merge --keep leaves the image, and --into merges down to one of the chain', async () => {
  snapshots();
  rmSync(at('two.qcow2'));
  qcow2('top.qcow2', 'one.qcow2', '-P 9 2M 4k');
  qcow2('last.qcow2', 'top.qcow2', '-P 10 9M 4k');
  const content = contentOf('last.qcow2');
  expect((await disk('merge', '--into', 'one.qcow2', 'last.qcow2')).exitCode).toBe(0);
  expect(contentOf('one.qcow2').equals(content)).toBe(true);
  expect((await disk('merge', '--keep', 'one.qcow2')).out).toContain('and kept');
  expect(contentOf('base.qcow2').equals(content)).toBe(true);
  expect(existsSync(at('one.qcow2'))).toBe(true);
});

test('a merge that is interrupted goes on with the same command', async () => {
  qcow2('base.qcow2', undefined);
  qcow2('one.qcow2', 'base.qcow2', '-P 2 0 12M');
  const content = contentOf('one.qcow2');
  const slow = blockferry(folder, 'disk', 'merge', '--json', '--limit', '8MiB', 'one.qcow2');
  await slow.event((event) => event.type === 'progress' && event.bytesDone > 0);
  slow.child.kill('SIGINT');
  const stopped = await slow.ended;
  expect(stopped).toMatchObject({ exitCode: 130, err: expect.stringContaining('the disk reads as before') });
  expect(contentOf('one.qcow2').equals(content)).toBe(true);
  const { exitCode, out } = await disk('merge', 'one.qcow2');
  expect({ exitCode, out }).toMatchObject({ exitCode: 0, out: expect.stringContaining('went on with an earlier run') });
  expect(contentOf('base.qcow2').equals(content)).toBe(true);
});

test.each([
  [['merge', '--all', '--into', 'x', 'y'], '--all and --into'],
  [['merge', '--all', '--keep', 'y'], 'can be kept only'],
  [['merge', 'https://host/disk.qcow2'], ''],
  [['chain', '--any-parent', 'y'], '--any-parent is for --set-parent'],
  [['digest', '--of', 'both of them', 'y'], 'container, content, both'],
  [['info', '/'], 'is a folder'],
  [['bogus'], "unknown command 'bogus'"],
])('%j is refused', async (args, message) => {
  const { exitCode, err } = await disk(...args);
  expect(err).toContain(message);
  expect(exitCode).toBeGreaterThanOrEqual(2);
});
