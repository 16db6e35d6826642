import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { KiB, MiB } from '../../../../src/core/units.js';
import { DiskChain } from '../../../../src/disk/chain.js';
import { attachImage, openImage } from '../../../../src/disk/formats.js';
import { Seeded } from '../../../support/seeded.js';
import { chainBytes, findings, guestBytes, Images, noTools } from './images.js';
import { scribble } from './scribble.js';

let images: Images;
beforeEach(() => {
  images = new Images();
});
afterEach(() => images.remove());

const qemu = describe.skipIf(noTools);

qemu(`images of QEMU${noTools ? ` (skipped: ${noTools})` : ''}`, () => {
  test.each([
    ['compat=0.10', 64 * KiB],
    ['compat=0.10,cluster_size=512', 512],
    ['compat=1.1', 64 * KiB],
    ['compat=1.1,cluster_size=512', 512],
    ['compat=1.1,cluster_size=2M', 2 * MiB],
    ['compat=1.1,compression_type=zstd', 64 * KiB],
    ['compat=1.1,compression_type=zstd,cluster_size=2M', 2 * MiB],
    ['compat=1.1,lazy_refcounts=on', 64 * KiB],
    ['compat=1.1,extended_l2=on,cluster_size=16k', 16 * KiB],
    ['compat=1.1,extended_l2=on,cluster_size=128k', 128 * KiB],
    ['compat=1.1,preallocation=metadata', 64 * KiB],
    ['compat=1.1,preallocation=full,cluster_size=4k', 4 * KiB],
    ['compat=1.1,refcount_bits=1', 64 * KiB],
    ['compat=1.1,refcount_bits=64', 64 * KiB],
  ])('reads what QEMU reads: %s', async (options, unit) => {
    const seeded = new Seeded(unit + options.length);
    const size = 12 * MiB + 512 * seeded.int(1, 100);
    images.create('disk.qcow2', size, options);
    scribble(images, 'disk.qcow2', size, unit, seeded);
    const expected = images.content('disk.qcow2');
    expect((await guestBytes(images.bytes('disk.qcow2'))).equals(expected)).toBe(true);
  });

  test('reads what 7-Zip reads', async () => {
    images.create('disk.qcow2', 5 * MiB);
    images.io('disk.qcow2', 'write -P 5 1M 100k', 'write -P 6 4M 1M', 'write -z 2M 64k');
    const read = execFileSync('7zz', ['x', '-y', '-so', images.path('disk.qcow2')], { maxBuffer: 64 * MiB });
    expect((await guestBytes(images.bytes('disk.qcow2'))).equals(read)).toBe(true);
  });

  test.each(['zlib', 'zstd'])('reads whole disks that qemu-img compressed with %s, of any content', async (type) => {
    const seeded = new Seeded(7);
    const words = Array.from({ length: 300 }, () => seeded.bytes(seeded.int(1, 40)));
    const pieces: Buffer[] = [];
    for (let bytes = 0; bytes < 6 * MiB; bytes += pieces.at(-1)?.length ?? 0) {
      const kind = seeded.random();
      if (kind < 0.2) pieces.push(seeded.bytes(seeded.int(1, 200 * KiB)));
      else if (kind < 0.4) pieces.push(Buffer.alloc(seeded.int(1, 300 * KiB), seeded.int(0, 3)));
      else pieces.push(Buffer.concat(Array.from({ length: 3000 }, () => seeded.pick(words))));
    }
    pieces.push(readFileSync(process.execPath).subarray(0, 10 * MiB));
    const raw = Buffer.concat(pieces);
    images.write('disk.raw', raw);
    for (const cluster of ['4k', '64k', '2M']) {
      const options = `compression_type=${type},cluster_size=${cluster}`;
      images.qemu('convert', '-c', '-f', 'raw', '-O', 'qcow2', '-o', options, 'disk.raw', 'disk.qcow2');
      const made = await guestBytes(images.bytes('disk.qcow2'));
      expect(made.subarray(0, raw.length).equals(raw)).toBe(true);
    }
  });

  test('the active state of an image with internal snapshots is read', async () => {
    images.create('disk.qcow2', 2 * MiB);
    images.io('disk.qcow2', 'write -P 1 0 1M');
    images.qemu('snapshot', '-c', 'one', 'disk.qcow2');
    images.io('disk.qcow2', 'write -P 2 100k 300k', 'write -z 600k 64k');
    expect((await guestBytes(images.bytes('disk.qcow2'))).equals(images.content('disk.qcow2'))).toBe(true);
    expect(await findings(images.bytes('disk.qcow2'))).toEqual([]);
  });

  test.each(['cluster_size=64k', 'cluster_size=512', 'extended_l2=on', 'preallocation=metadata'])(
    'what is allocated is what qemu-img map says: %s',
    async (options) => {
      const size = 10 * MiB;
      images.create('base.qcow2', size, options);
      images.create('child.qcow2', size, options.replace(/pre.*/, ''), '-b', 'base.qcow2', '-F', 'qcow2');
      scribble(images, 'child.qcow2', size, 64 * KiB, new Seeded(3));
      const image = await openImage(images.bytes('child.qcow2'));
      const ours = Buffer.alloc(size / 512);
      let at = 0;
      for await (const { kind, length } of image.allocation({ offset: 0, length: size })) {
        ours.fill({ absent: 0, zero: 1, data: 2 }[kind], at / 512, (at + length) / 512);
        at += length;
      }
      const theirs = Buffer.alloc(size / 512);
      for (const { start, length, depth, data, present } of JSON.parse(
        images.qemu('map', '-f', 'qcow2', '--output=json', 'child.qcow2'),
      ) as { start: number; length: number; depth: number; data: boolean; present: boolean }[]) {
        const kind = depth > 0 || !present ? 0 : data ? 2 : 1;
        theirs.fill(kind, start / 512, (start + length) / 512);
      }
      expect(ours.equals(theirs)).toBe(true);
    },
  );

  test.each([
    ['0', 64 * KiB],
    ['1024', 512],
    ['128G', 512],
    ['2T', 64 * KiB],
    ['64T', 64 * KiB],
    ['2P', 2 * MiB],
  ])('a disk of %s with clusters of %i bytes is read to its last byte', async (size, cluster) => {
    images.create('disk.qcow2', size, `cluster_size=${cluster}`);
    const image = await openImage(images.bytes('disk.qcow2'));
    const last = Math.max(0, image.size - 1024);
    if (image.size > 0) images.io('disk.qcow2', `write -P 3 ${last} 512`, `write -z ${last + 512} 512`);
    const bytes = images.bytes('disk.qcow2');
    const ref = structuredClone((await openImage(bytes)).ref);
    const same = await attachImage(ref, bytes);
    const kinds: [string, number][] = [];
    let at = 0;
    for await (const { kind, length } of same.allocation({ offset: 0, length: same.size })) {
      kinds.push([kind, length]);
      at += length;
    }
    expect(at).toBe(image.size);
    if (image.size === 0) return;
    expect(kinds.at(-1)?.[0]).toBe(cluster === 512 ? 'zero' : 'data');
    const chain = new DiskChain([{ image: same, bytes }]);
    const end = await chainBytes(chain, { offset: last, length: 1024 });
    expect(end.equals(Buffer.concat([Buffer.alloc(512, 3), Buffer.alloc(512)]))).toBe(true);
  });
});
