/** What somebody may get wrong with disks, and a device as the target of one: as a user calls it, judged by QEMU. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, onTestFinished, test } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { patch } from '../support/copying.js';
import { needQemuImg } from '../support/disk-tools.js';
import { qemuImg, qemuIo, sameContent } from '../support/disks.js';
import { attachLoop, mountsAvailable } from '../support/mounts.js';
import { blockferry, type Ended } from './command.js';

const folder = mkdtempSync(join(tmpdir(), 'blockferry-mistakes-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const path = (name: string): string => join(folder, name);
const run = (...args: readonly string[]): Promise<Ended> => blockferry(folder, ...args).ended;

test('a fixed VHD that was cut short has lost all that tells: no disk is made of it', async (context) => {
  needQemuImg(context);
  qemuImg('create', '-q', '-f', 'vpc', '-o', 'subformat=fixed,force_size=on', path('fixed.vhd'), '4M');
  qemuIo(path('fixed.vhd'), 'vpc', 'write -P 9 1M 1M');
  expect(await run('disk', 'check', 'fixed.vhd')).toMatchObject({ exitCode: 0 });
  truncateSync(path('fixed.vhd'), 3 * MiB);
  const checked = await run('disk', 'check', 'fixed.vhd');
  expect(checked.exitCode).toBe(4);
  expect(checked.out).toMatch(/wrong: raw-misnamed\n.*is called a vhd image, and nothing in it says that it is one/);
  const refused = await run('copy', '--to', 'vhdx', 'fixed.vhd', 'made.vhdx');
  expect(refused).toMatchObject({ exitCode: 4, out: '' });
  expect(refused.err).toMatch(/its footer is missing, so that it may be cut short.*\n.*--no-check/);
  expect(readdirSync(folder)).toEqual(['fixed.vhd']);
  // As a file it is copied as any other; and who knows better has the last word.
  expect(await run('copy', 'fixed.vhd', 'same.vhd')).toMatchObject({ exitCode: 0 });
  expect(await run('copy', '--no-check', '--to', 'vhdx', 'fixed.vhd', 'made.vhdx')).toMatchObject({ exitCode: 0 });
});

test('a new disk is not called what it is not', async (context) => {
  needQemuImg(context);
  qemuImg('create', '-q', '-f', 'qcow2', path('base.qcow2'), '4M');
  qemuImg('create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', 'base.qcow2', path('child.qcow2'));
  const before = readdirSync(folder);
  const flattened = await run('copy', '--flatten', 'child.qcow2', 'whole.qcow2');
  expect(flattened).toMatchObject({ exitCode: 2, out: '' });
  expect(flattened.err).toMatch(/whole\.qcow2 would be a raw disk, and its name says qcow2\n.*ends with \.raw/);
  expect(await run('copy', '--to', 'vhdx', 'base.qcow2', 'base.vhd')).toMatchObject({ exitCode: 2 });
  expect(readdirSync(folder)).toEqual(before);
  expect(await run('copy', '--flatten', 'child.qcow2', 'whole.img')).toMatchObject({ exitCode: 0 });
});

test('an image that was not closed is read, and where it is to be changed told how to close it', async (context) => {
  needQemuImg(context);
  qemuImg('create', '-q', '-f', 'qcow2', '-o', 'lazy_refcounts=on', path('open.qcow2'), '4M');
  // The process ends before it can close the image.
  execFileSync(
    'sh',
    ['-c', 'qemu-io -f qcow2 -c "write -P 5 1M 1M" -c "sigraise 9" "$1" || true', '-', path('open.qcow2')],
    {
      stdio: 'ignore',
    },
  );
  qemuImg('create', '-q', '-f', 'qcow2', '-u', '-F', 'qcow2', '-b', 'open.qcow2', path('over.qcow2'), '4M');
  const copied = await run('copy', 'open.qcow2', 'copy.qcow2');
  expect(copied.exitCode).toBe(0);
  expect(copied.err).toMatch(
    /open\.qcow2: the image was not closed.*what a guest reads is right.*\(qcow2-dirty, byte 72\)/,
  );
  const merged = await run('disk', 'merge', 'over.qcow2');
  expect(merged.exitCode).toBe(4);
  expect(merged.err).toMatch(
    /expected an image that was closed, found one that is marked dirty\n.*\n?.*qemu-img check -r all/,
  );
  expect(existsSync(path('over.qcow2'))).toBe(true);
  execFileSync('qemu-img', ['check', '-q', '-r', 'all', path('open.qcow2')], { stdio: 'ignore' });
  expect(await run('disk', 'merge', 'over.qcow2')).toMatchObject({ exitCode: 0 });
});

test('the content of a disk is copied onto a device, and no image of it', async (context) => {
  needQemuImg(context);
  context.skip(!mountsAvailable(), 'needs loop devices in a private namespace');
  const loop = await attachLoop(8);
  onTestFinished(() => loop.detach());
  execFileSync('sh', [
    '-c',
    'tr "\\0" "\\377" < /dev/zero | dd of="$1" bs=1M count=8 iflag=fullblock conv=fsync status=none',
    '-',
    loop.path,
  ]);
  qemuImg('create', '-q', '-f', 'vhdx', '-o', 'block_size=1M', path('small.vhdx'), '6M');
  qemuIo(path('small.vhdx'), 'vhdx', 'write -P 3 0 64k', 'write -P 4 3M 1M', 'write -P 5 6290944 512');
  expect((await run('copy', '--to', 'raw', 'small.vhdx', loop.path)).err).toContain('--overwrite');
  expect((await run('copy', '--to', 'vhdx', '--overwrite', 'small.vhdx', loop.path)).err).toContain('Say --to raw');
  const args = ['copy', '--to', 'raw', '--overwrite', '--read-back', 'small.vhdx', loop.path];
  const slow = blockferry(folder, ...args, '--chunk-size', '64KiB', '--limit', '128KiB', '--json');
  await slow.event((event) => event.type === 'checkpoint');
  slow.child.kill('SIGKILL');
  await slow.ended;
  // An unfinished one does not look like a disk.
  expect(execFileSync('head', ['-c', '512', loop.path])).toEqual(Buffer.alloc(512, 0xff));
  expect((await run(...args)).exitCode).toBe(0);
  execFileSync('sh', ['-c', 'head -c 6M "$1" > "$2"', '-', loop.path, path('back.raw')]);
  expect(statSync(path('back.raw')).size).toBe(6 * MiB);
  expect(sameContent(path('small.vhdx'), 'vhdx', path('back.raw'), 'raw')).toBe(true);
  expect((await run('verify', '--content', loop.path, 'small.vhdx')).exitCode).toBe(0);
});

test.for(['vmdk', 'vdi', 'qed', 'parallels'])(
  'a %s image is no raw disk: it is refused by name',
  async (format, context) => {
    needQemuImg(context);
    const name = `other.${format}`;
    qemuImg('create', '-q', '-f', format, path(name), '4M');
    const checked = await run('disk', 'check', name);
    expect(checked.exitCode).toBe(4);
    expect(checked.out).toMatch(/raw-other-format\n.*begins as a \w+ image, which this version does not read/);
    const refused = await run('copy', '--to', 'raw', name, 'other.raw');
    expect(refused).toMatchObject({ exitCode: 4, out: '' });
    expect(existsSync(path('other.raw'))).toBe(false);
    expect(await run('copy', name, `same.${format}`)).toMatchObject({ exitCode: 0, err: '' });
  },
);

test('what only other programs read is no damage: as a file it is copied, with a word about it', async (context) => {
  needQemuImg(context);
  qemuImg('create', '-q', '-f', 'qcow2', path('luks.qcow2'), '1M');
  // QEMU itself makes one only on a machine that has time to measure how long a key takes.
  patch(path('luks.qcow2'), 32, Buffer.from([0, 0, 0, 2]));
  qemuImg('create', '-q', '-f', 'qcow2', '-o', `data_file=${path('data')}`, path('outside.qcow2'), '1M');
  qemuImg('create', '-q', '-f', 'qcow2', '-u', '-F', 'raw', '-b', 'nbd://host/disk', path('net.qcow2'), '1M');
  qemuImg('create', '-q', '-f', 'qcow2', '-u', '-F', 'vmdk', '-b', 'base.vmdk', path('over.qcow2'), '1M');
  qemuImg('create', '-q', '-f', 'qcow', path('old.qcow'), '1M');
  for (const name of ['luks.qcow2', 'outside.qcow2', 'net.qcow2', 'over.qcow2', 'old.qcow']) {
    expect(await run('disk', 'check', name), name).toMatchObject({
      exitCode: 0,
      out: expect.stringContaining('unsupported'),
    });
    const copied = await run('copy', name, `copy-of-${name}`);
    expect(copied, name).toMatchObject({ exitCode: 0, err: expect.stringContaining('(unsupported)') });
    const made = await run('copy', '--flatten', '--to', 'raw', name, 'made.raw');
    expect(made, name).toMatchObject({ exitCode: 4, err: expect.stringContaining('qemu-img convert') });
  }
});
