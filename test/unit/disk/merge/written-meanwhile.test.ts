/** What is written to an image while it is merged, or between two runs of its merge, is never lost with it. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, statSync, utimesSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { MiB } from '../../../../src/core/units.js';
import { HeldFiles } from '../../../../src/disk/held-files.js';
import { type FileLayer, realFiles } from '../../../../src/platform/file-layer.js';
import { nativeAvailable } from '../../../../src/platform/libc.js';
import { needQemuImg, needTool, runTool } from '../../../support/disk-tools.js';
import { makeChain, mergeInline, readThrough, type TestChain } from '../../../support/merge-chains.js';
import { Seeded } from '../../../support/seeded.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'merge-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const chainOf = (kind: 'vhd' | 'qcow2'): TestChain => makeChain(kind, folder, new Seeded(11), 2 * MiB);

/** Does something at the nth call of that name, and goes on unless that throws. */
function meanwhile(call: 'writeSync' | 'unlinkSync', nth: number, act: () => void): FileLayer {
  let count = 0;
  const watched = (...args: never[]): unknown => {
    if (++count === nth) act();
    return (realFiles[call] as (...args: never[]) => unknown)(...args);
  };
  return { ...realFiles, [call]: watched };
}

const end = (): never => {
  throw new Error('the process ended');
};
const touch = (path: string): void => utimesSync(path, new Date(), new Date());

test('what a guest wrote between a merge and the removal of its image is merged, too', async (context) => {
  needQemuImg(context);
  const { top, child } = chainOf('qcow2');
  await expect(mergeInline(top, meanwhile('unlinkSync', 1, end))).rejects.toThrow('could not be removed');
  runTool('qemu-io', ['-f', 'qcow2', '-c', 'write -P 77 1M 64k', top]);
  const content = await readThrough(top);
  const [merged] = await mergeInline(top, realFiles);
  expect(merged).toMatchObject({ resumed: true, bytesWritten: 64 * 1024 });
  expect(existsSync(top)).toBe(false);
  expect((await readThrough(child)).equals(content)).toBe(true);
});

test('an image that is written to while it is merged stays, and the same command goes on', async () => {
  const { top, child, content } = chainOf('vhd');
  await expect(
    mergeInline(
      top,
      meanwhile('writeSync', 6, () => touch(top)),
    ),
  ).rejects.toMatchObject({
    code: 'E_SOURCE_CHANGED',
  });
  expect((await readThrough(top)).equals(content)).toBe(true);
  expect(await mergeInline(top, realFiles)).toMatchObject([{ resumed: true }]);
  expect((await readThrough(child)).equals(content)).toBe(true);
});

test('an image that others have left for its parent, and that was written to since, is not removed', async () => {
  const { top, child, content } = chainOf('vhd');
  await expect(mergeInline(child, meanwhile('unlinkSync', 1, end))).rejects.toThrow('could not be removed');
  const fd = openSync(child, 'r+');
  // The data of its last block, up to the footer.
  writeSync(fd, Buffer.alloc(MiB / 2, 0x5a), 0, MiB / 2, statSync(child).size - MiB / 2 - 512);
  closeSync(fd);
  await expect(mergeInline(top, realFiles)).rejects.toMatchObject({ code: 'E_SOURCE_CHANGED' });
  expect(existsSync(child)).toBe(true);
  expect((await readThrough(top)).equals(content)).toBe(true);
});

test('a folder that is copied between two runs of a merge is no reason to stop', async () => {
  const { child, content } = chainOf('vhd');
  await expect(mergeInline(child, meanwhile('unlinkSync', 1, end))).rejects.toThrow('could not be removed');
  touch(child);
  const top = join(folder, 'top.vhd');
  await mergeInline(top, realFiles);
  expect(existsSync(child)).toBe(false);
  expect((await readThrough(join(folder, 'parent.vhd'))).equals(content)).toBe(true);
});

test('an image that was opened for writing while it was merged is not removed', async (context) => {
  if (!nativeAvailable()) context.skip('without koffi it cannot be told');
  const { top, content } = chainOf('vhd');
  let fd = -1;
  const files = meanwhile('writeSync', 6, () => {
    fd = openSync(top, 'r+');
  });
  await expect(mergeInline(top, files)).rejects.toMatchObject({ code: 'E_LOCKED' });
  closeSync(fd);
  expect((await readThrough(top)).equals(content)).toBe(true);
});

test('no machine of QEMU can be started on images that are being merged', async (context) => {
  needQemuImg(context);
  if (!nativeAvailable()) context.skip('without koffi there are no such locks');
  const { top, child } = chainOf('qcow2');
  const held = new HeldFiles(realFiles);
  await held.open(top, 'read');
  await held.open(child, 'write');
  const write = ['-f', 'qcow2', '-c', 'write 0 64k', top];
  expect(() => runTool('qemu-io', write)).toThrow('lock');
  held.release();
  runTool('qemu-io', write);
});

test('an image that QEMU uses is not merged, and no parent of one, even if it is only read', async (context) => {
  needTool(context, 'qemu-nbd');
  if (!nativeAvailable()) context.skip('without koffi there are no such locks');
  const { top, content } = chainOf('qcow2');
  const socket = join(folder, 'nbd');
  const server = spawn('qemu-nbd', [
    '--persistent',
    '--read-only',
    '--socket',
    socket,
    '--fork',
    '--pid-file',
    join(folder, 'pid'),
    top,
  ]);
  await once(server, 'close');
  try {
    await expect(mergeInline(top, realFiles)).rejects.toMatchObject({ code: 'E_LOCKED' });
  } finally {
    execFileSync('sh', ['-c', `kill $(cat "$1")`, '-', join(folder, 'pid')]);
  }
  expect((await readThrough(top)).equals(content)).toBe(true);
});
