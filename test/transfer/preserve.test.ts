import { chmodSync, chownSync, closeSync, openSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { KiB } from '../../src/core/units.js';
import { type CopyOptions, copy, type TransferEvent } from '../../src/index.js';
import { applyAttributes, readAttributes } from '../../src/platform/attributes.js';
import { nativeAvailable } from '../../src/platform/libc.js';
import { bytesOf, CHUNK, expectDone, type Pair, pairIn, scratchFolder } from '../support/copying.js';
import { runCrashChild } from '../support/crash-run.js';
import { mountLoop, mountsAvailable } from '../support/mounts.js';

const root = process.geteuid?.() === 0;
const native = nativeAvailable();
const TIMES = { accessedNs: '1500000000111222333', modifiedNs: '1400000000123456789' };

/** A source that is unlike every file that a copy would make by itself. */
function markedPair(folder = scratchFolder()): Pair {
  const pair = pairIn(folder, 3 * CHUNK + 5);
  const fd = openSync(pair.source, 'r+');
  const extended = native ? [['user.note', Buffer.from('kept')] as const] : [];
  const owner = root ? { uid: 12, gid: 34 } : { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  expect(applyAttributes(fd, { ...TIMES, ...owner, mode: 0o6751, extended })).toEqual([]);
  closeSync(fd);
  return pair;
}

/** All but the time of access, which the comparison of bytes changes. */
function attributesOf(path: string): object {
  const fd = openSync(path, 'r');
  const { accessedNs, ...others } = readAttributes(fd);
  closeSync(fd);
  return others;
}

async function notesOf(options: CopyOptions): Promise<string[]> {
  const run = copy({ workers: 1, ...options });
  const events: TransferEvent[] = [];
  for await (const event of run) events.push(event);
  await run.result;
  return events.flatMap((event) => (event.type === 'note' ? [event.message] : []));
}

test.skipIf(!native)('--preserve keeps mode, owner, times and extended attributes', async () => {
  const pair = markedPair();
  expect(await notesOf({ ...pair, preserve: true })).toEqual([]);
  const stat = statSync(pair.target, { bigint: true });
  expect(String(stat.atimeNs)).toBe(TIMES.accessedNs);
  expect(attributesOf(pair.target)).toEqual(attributesOf(pair.source));
  expect(attributesOf(pair.target)).toMatchObject({ mode: 0o6751, modifiedNs: TIMES.modifiedNs });
  expectDone(pair);
});

test('without --preserve a new file has the permissions of the source and nothing else of it', async () => {
  const pair = markedPair();
  await notesOf(pair);
  const stat = statSync(pair.target);
  expect(stat.mode & 0o7777).toBe(0o751 & ~process.umask());
  expect([stat.uid, stat.gid]).toEqual([process.getuid?.(), process.getgid?.()]);
  expect(stat.mtimeMs).toBeGreaterThan(statSync(pair.source).mtimeMs);
});

test.skipIf(!root || !native)('with --overwrite too, it is the attributes of the source that are kept', async () => {
  const pair = markedPair();
  writeFileSync(pair.target, 'old');
  chownSync(pair.target, 56, 78);
  chmodSync(pair.target, 0o640);
  await notesOf({ ...pair, preserve: true, overwrite: true });
  expect(attributesOf(pair.target)).toEqual(attributesOf(pair.source));
  expectDone(pair);
});

test.skipIf(!native || !mountsAvailable('btrfs') || !mountsAvailable('ext4'))(
  'what cannot be kept is told, and the copy is made',
  async () => {
    const [btrfs, ext4] = [await mountLoop('btrfs', 114), await mountLoop('ext4', 16)];
    onTestFinished(async () => {
      await btrfs.unmount();
      await ext4.unmount();
    });
    const source = join(btrfs.folder, 'disk.img');
    writeFileSync(source, bytesOf(10_000, 'source'));
    const fd = openSync(source, 'r+');
    const large = ['user.large', Buffer.alloc(12 * KiB, 1)] as const;
    expect(applyAttributes(fd, { ...readAttributes(fd), extended: [large] })).toEqual([]);
    closeSync(fd);
    const target = join(ext4.folder, 'disk.img');
    expect(await notesOf({ source, target, preserve: true })).toEqual([
      '--preserve: extended attributes could not be kept (ENOSPC): user.large',
    ]);
    expectDone({ source, target, folder: ext4.folder, part: '', journal: '' });
  },
);

test('of an http source its time is kept, and that there is no more is told', async () => {
  const bytes = bytesOf(1000, 'source');
  const server = createServer((request, response) => {
    const [, from = '0', to = '999'] = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? '') ?? [];
    const body = bytes.subarray(Number(from), Number(to) + 1);
    const range = `bytes ${from}-${Number(from) + body.length - 1}/${bytes.length}`;
    const lastModified = 'Wed, 21 Oct 2015 07:28:00 GMT';
    response.writeHead(206, { 'content-range': range, 'last-modified': lastModified, etag: '"1"' }).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const target = join(scratchFolder(), 'disk.img');
  const source = `http://127.0.0.1:${(server.address() as AddressInfo).port}/disk.img`;
  const notes = await notesOf({ source, target, preserve: true });
  expect(notes).toEqual([expect.stringContaining('no attributes that could be kept but its time')]);
  expect(statSync(target).mtimeMs).toBe(Date.UTC(2015, 9, 21, 7, 28));
});

/** Around each of these a process may die while it commits: the part has some attributes, the name or both names. */
const LAST_CALLS = [
  ...['readAttributes', 'setTimes', 'applyAttributes', 'fsyncSync'],
  ...['publishNew', 'renameSync', 'syncFolder', 'unlinkSync'],
];

test.skipIf(!root || !native).for(LAST_CALLS.flatMap((call) => [[call, 'before'] as const, [call, 'after'] as const]))(
  'a copy that was killed at %s (%s it) is completed by the next run with all attributes',
  async ([call, when]) => {
    for (const overwrite of [false, true]) {
      const pair = markedPair();
      if (overwrite) writeFileSync(pair.target, 'old');
      const options = { source: pair.source, target: pair.target, chunkBytes: CHUNK, preserve: true, overwrite };
      // The folder is synced at the beginning too, for the names of part and journal.
      const nth = call === 'syncFolder' ? 3 : call === 'fsyncSync' ? 2 : 1;
      const first = await runCrashChild(options, { at: 'file-call', call, nth, when });
      const dies = overwrite ? call !== 'publishNew' : call !== 'renameSync';
      if (dies && !['fsyncSync', 'syncFolder'].includes(call)) expect(first.killed).toBe(true);
      if (first.killed && (call !== 'unlinkSync' || when === 'before')) await copy({ ...options, workers: 1 }).result;
      expect(attributesOf(pair.target)).toEqual(attributesOf(pair.source));
      expectDone(pair);
    }
  },
);

test.skipIf(!root || !native)(
  'a part that a commit had given away is taken back before it is written to, and runs as nobody',
  async () => {
    const pair = markedPair();
    const options = { source: pair.source, target: pair.target, chunkBytes: CHUNK, preserve: true };
    const killedAt = (call: string) => runCrashChild(options, { at: 'file-call', call, nth: 1, when: 'before' });
    await killedAt('publishNew');
    expect(statSync(pair.part)).toMatchObject({ uid: 12, mode: 0o106751 });
    await killedAt('readAttributes');
    expect(statSync(pair.part)).toMatchObject({ uid: 0, mode: 0o100600 });
  },
);
