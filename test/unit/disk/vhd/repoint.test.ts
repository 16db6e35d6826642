/** Differencing VHDs that get another parent, in place, whatever moment that is cut short at. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { vhd } from '../../../../src/disk/vhd/vhd.js';
import { cutAt, killedAt, memoryDisk } from '../../../support/memory-disk.js';
import { Seeded } from '../../../support/seeded.js';
import { vhdImage, windowsPath, writeVhd } from '../../../support/vhd-images.js';
import { findings, id, read, smallDisks } from './small-disks.js';

const sevenZip = spawnSync('7zz', ['i']).status === 0;

const NEW_PARENT = {
  format: 'vhd',
  identity: '0b'.repeat(16),
  modifiedAtMs: Date.UTC(2024, 4, 5),
  paths: [
    { kind: 'relative', path: '../disks/new base #1.vhd' },
    { kind: 'absolute', path: '/srv/disks/new base #1.vhd' },
  ],
} as const;

test('a differencing VHD names its new parent, and its content stays', async () => {
  const { differencing } = smallDisks(new Seeded(5));
  const file = memoryDisk(differencing);
  await vhd.repoint?.(file, NEW_PARENT);
  const { parent } = await vhd.open(file);
  expect(parent).toEqual({
    ...NEW_PARENT,
    paths: [...NEW_PARENT.paths.slice(0, 1), { kind: 'relative', path: 'new base #1.vhd' }, NEW_PARENT.paths[1]],
  });
  expect((await read(file.content())).equals(await read(differencing))).toBe(true);
  expect(await findings(file)).toEqual([]);
  // The header is where it was.
  expect(file.content().toString('latin1', 512, 520)).toBe('cxsparse');
});

test('names of any bytes come back as they were', async () => {
  // A byte that is no UTF-8, a backslash, and what a URL would take for something else.
  const paths = ['disk \udcff.vhd', 'a\\b.vhd', 'ä%20?#&é.vhd', '🦆/../x.vhd'].map((path) => [
    { kind: 'relative', path } as const,
    { kind: 'absolute', path: `/srv/${path}` } as const,
  ]);
  for (const pair of paths) {
    const file = memoryDisk(smallDisks(new Seeded(5)).differencing);
    await vhd.repoint?.(file, { ...NEW_PARENT, paths: pair });
    const { parent } = await vhd.open(file);
    expect(parent?.paths.filter(({ path }) => path !== 'x.vhd')).toEqual(pair);
  }
});

test('a re-pointing that is cut short leaves the old link or the new one, and can be repeated', async () => {
  const { differencing } = smallDisks(new Seeded(5));
  const old = (await vhd.open(memoryDisk(differencing))).parent;
  const file = memoryDisk(differencing);
  await vhd.repoint?.(file, NEW_PARENT);
  const { parent: wanted } = await vhd.open(file);
  const content = await read(differencing);
  const seeded = new Seeded(11);
  for (const left of [...killedAt(differencing, file.steps), ...cutAt(differencing, file.steps, seeded, 12)]) {
    const { parent } = await vhd.open(memoryDisk(left));
    expect([old, wanted]).toContainEqual(parent);
    expect((await read(left)).equals(content)).toBe(true);
    const again = memoryDisk(left);
    await vhd.repoint?.(again, NEW_PARENT);
    expect((await vhd.open(again)).parent).toEqual(wanted);
    expect((await read(again.content())).equals(content)).toBe(true);
    expect(await findings(again)).toEqual([]);
    expect(again.content().toString('latin1', 512, 520)).toBe('cxsparse');
    expect(again.content().readBigUInt64BE(16)).toBe(512n);
  }
});

test('only a differencing VHD names a parent, and only by a unique id', async () => {
  const { dynamic, differencing } = smallDisks(new Seeded(5));
  for (const [content, identity] of [
    [dynamic, NEW_PARENT.identity],
    [differencing, 'abc'],
  ] as const) {
    const file = memoryDisk(content);
    await expect(vhd.repoint?.(file, { ...NEW_PARENT, identity })).rejects.toMatchObject({ code: 'E_USAGE' });
    expect(file.steps).toEqual([]);
  }
});

test('7-Zip finds the parent that was named here', async (context) => {
  context.skip(!sevenZip, 'needs 7zz (package 7zip)');
  const folder = mkdtempSync(join(tmpdir(), 'blockferry-vhd-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const path = (name: string): string => join(folder, name);
  const seeded = new Seeded(3);
  const size = 5 * 2 ** 20 + 512;
  const [base, own] = [seeded.bytes(2 ** 21), seeded.bytes(2 ** 21)];
  writeVhd(path('base.vhd'), { size, id: id(6), blocks: new Map([[1, { data: base }]]) });
  const child = memoryDisk(
    vhdImage({
      size,
      id: id(4),
      parent: { id: id(5), name: 'gone.vhd', locators: [['W2ru', windowsPath('.\\gone.vhd')]] },
      blocks: new Map([[1, { data: own, sectors: [3, 4, 5] }]]),
    }),
  );
  const paths = [{ kind: 'relative', path: 'base.vhd' }] as const;
  await vhd.repoint?.(child, { ...NEW_PARENT, identity: '06'.repeat(16), paths });
  writeFileSync(path('child.vhd'), child.content());
  execFileSync('7zz', ['x', '-bd', '-y', `-o${path('out')}`, path('child.vhd')], { stdio: 'pipe' });
  const disk = Buffer.alloc(size);
  disk.set(base, 2 ** 21);
  disk.set(own.subarray(3 * 512, 6 * 512), 2 ** 21 + 3 * 512);
  expect(readFileSync(path('out/child.img')).equals(disk)).toBe(true);
});
