import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { KiB, MiB } from '../../../../src/core/units.js';
import { openImage } from '../../../../src/disk/formats.js';
import type { DiskFormat, NewParent } from '../../../../src/disk/image.js';
import { qcow2 } from '../../../../src/disk/qcow2/qcow2.js';
import { Seeded } from '../../../support/seeded.js';
import { findings, guestBytes, Images, memoryBytes, noTools } from './images.js';
import { CuttableFile, PowerCut } from './merging.js';

const link = (path: string, format: DiskFormat = 'qcow2'): NewParent => ({
  format,
  identity: '',
  paths: [{ kind: path.startsWith('/') ? 'absolute' : 'relative', path }],
});

describe.skipIf(noTools)(`parents of qcow2${noTools ? ` (skipped: ${noTools})` : ''}`, () => {
  let images: Images;
  beforeEach(() => {
    images = new Images();
  });
  afterEach(() => images.remove());

  const info = (name: string): Record<string, unknown> =>
    JSON.parse(images.qemu('info', '-f', 'qcow2', '--output=json', name));
  const repoint = (name: string, parent: NewParent): Promise<void> | undefined =>
    qcow2.repoint?.(images.file(name), parent);
  const child = (name: string, options: string, path: string, format: string): void =>
    images.create(name, MiB, options, '-u', '-b', path, '-F', format);

  test.each([
    ['base.qcow2', 'qcow2', 'qcow2', 'relative'],
    ['/disks/ümlaut and space.img', 'raw', 'raw', 'absolute'],
    ['../x/base.vhd', 'vpc', 'vhd', 'relative'],
    ['base.vhdx', 'vhdx', 'vhdx', 'relative'],
  ] as const)('name and format are read: %s, %s', async (path, theirs, format, kind) => {
    for (const compat of ['0.10', '1.1']) {
      child('child.qcow2', `compat=${compat}`, path, theirs);
      const image = await openImage(images.bytes('child.qcow2'));
      expect(image).toMatchObject({ kind: 'differencing', parent: { format, paths: [{ kind, path }] } });
    }
  });

  test('a name of file: is the path behind it; a format that cannot be read is refused by name', async () => {
    child('child.qcow2', '', 'file:base.img', 'raw');
    expect((await openImage(images.bytes('child.qcow2'))).parent?.paths).toEqual([
      { kind: 'relative', path: 'base.img' },
    ]);
    child('child.qcow2', '', 'base.vmdk', 'vmdk');
    await expect(openImage(images.bytes('child.qcow2'))).rejects.toThrow('one of raw, vpc, vhdx, qcow2, found vmdk');
  });

  test.each([
    ['compat=1.1', 'base.qcow2'],
    ['compat=1.1', 'x'],
    ['compat=0.10', 'base.qcow2'],
    ['compat=1.1,cluster_size=512', 'base.qcow2'],
    ['compat=1.1,cluster_size=2M', 'a/folder/of/some/length/base.qcow2'],
  ])('QEMU opens what was re-pointed again and again: %s, first %s', async (options, first) => {
    child('child.qcow2', options, first, 'qcow2');
    images.io('child.qcow2', 'write -P 5 0 64k');
    const names = ['next.qcow2', `/${'long/'.repeat(60)}base.raw`, 'b', 'with:colon.qcow2', 'ü.qcow2', 'next.qcow2'];
    for (const [at, name] of names.entries()) {
      const format: DiskFormat = at % 2 === 0 ? 'qcow2' : 'raw';
      if (name.length > 200 && options.includes('512')) continue;
      await repoint('child.qcow2', link(name, format));
      const shown = name.includes(':') ? `./${name}` : name;
      expect(info('child.qcow2')).toMatchObject({ 'backing-filename': shown, 'backing-filename-format': format });
      const image = await openImage(images.bytes('child.qcow2'));
      expect(image.parent).toMatchObject({ format, paths: [{ path: shown }] });
      expect(await findings(images.bytes('child.qcow2'))).toEqual([]);
    }
  });

  test('an image without a parent or without its format gets both', async () => {
    images.create('disk.qcow2', MiB);
    await repoint('disk.qcow2', link('base.raw', 'raw'));
    expect(info('disk.qcow2')).toMatchObject({ 'backing-filename': 'base.raw', 'backing-filename-format': 'raw' });
  });

  test('what does not fit, or is no name, is refused and changes nothing', async () => {
    child('child.qcow2', 'cluster_size=512', 'base.qcow2', 'qcow2');
    const before = readFileSync(images.path('child.qcow2'));
    for (const path of ['x'.repeat(400), 'x'.repeat(1024), '', 'a\0b']) {
      await expect(repoint('child.qcow2', link(path))).rejects.toMatchObject({ code: 'E_DISK_FORMAT' });
    }
    expect(readFileSync(images.path('child.qcow2')).equals(before)).toBe(true);
  });

  test('a power cut leaves the old link or the new one', async () => {
    const seeded = new Seeded(3);
    const names = ['base.qcow2', 'b', `${'long/'.repeat(70)}base`, '/other.raw', `${'longer/'.repeat(100)}base`];
    for (const options of ['compat=0.10', 'compat=1.1', 'compat=1.1,cluster_size=4k']) {
      child('child.qcow2', options, 'first.qcow2', 'qcow2');
      let left: Buffer = readFileSync(images.path('child.qcow2'));
      let now = ['first.qcow2', 'qcow2'];
      for (let time = 0; time < 60; time++) {
        const next = [seeded.pick(names), seeded.pick(['qcow2', 'raw'])] as const;
        const file = new CuttableFile(left, seeded, seeded.int(0, 5));
        const done = await qcow2.repoint?.(file, link(next[0], next[1] as DiskFormat)).then(
          () => true,
          (thrown) => {
            expect(thrown).toBeInstanceOf(PowerCut);
            return false;
          },
        );
        left = file.left;
        const { parent } = await openImage(memoryBytes(left));
        const found = [parent?.paths[0]?.path, parent?.format];
        if (done) expect(found).toEqual(next);
        else expect([now, next]).toContainEqual(found);
        now = found as string[];
        images.write('child.qcow2', left);
        expect(info('child.qcow2')).toMatchObject({ 'backing-filename': now[0], 'backing-filename-format': now[1] });
      }
    }
  }, 120_000);

  test('a child reads through parents that are shorter, and clusters of other sizes', async () => {
    images.create('base.qcow2', 700 * KiB, 'cluster_size=4k');
    images.io('base.qcow2', 'write -P 1 0 700k');
    images.create('middle.qcow2', 900 * KiB, 'extended_l2=on', '-b', 'base.qcow2', '-F', 'qcow2');
    images.io('middle.qcow2', 'write -P 2 100k 2k', 'write -z 200k 10k', 'write -P 3 880k 4k');
    images.create('child.qcow2', 1 * MiB, 'cluster_size=512', '-b', 'middle.qcow2', '-F', 'qcow2');
    images.io('child.qcow2', 'write -P 4 101k 512', 'write -z 150k 1k', 'write -P 5 1000k 24k');
    const [child, middle, base] = ['child', 'middle', 'base'].map((name) => images.bytes(`${name}.qcow2`));
    if (!child || !middle || !base) throw new Error('unreachable');
    const ours = await guestBytes(child, middle, base);
    expect(ours.equals(images.content('child.qcow2'))).toBe(true);
  });
});
