import { copyFileSync, readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { KiB, MiB } from '../../../../src/core/units.js';
import type { Finding } from '../../../../src/disk/image.js';
import { qcow2 } from '../../../../src/disk/qcow2/qcow2.js';
import { Seeded } from '../../../support/seeded.js';
import { findings, guestBytes, Images, memoryBytes, noTools } from './images.js';
import { CuttableFile, merge, PowerCut } from './merging.js';
import { scribble } from './scribble.js';

let images: Images;
beforeEach(() => {
  images = new Images();
});
afterEach(() => images.remove());

const qemu = describe.skipIf(noTools);

interface Shape {
  readonly base: string;
  readonly unit: number;
  readonly child?: string;
  readonly below?: boolean;
}

const shapes: readonly Shape[] = [
  { base: 'compat=0.10', unit: 64 * KiB },
  { base: 'compat=0.10,cluster_size=512', unit: 512 },
  { base: 'compat=1.1', unit: 64 * KiB },
  { base: 'compat=1.1,cluster_size=512', unit: 512 },
  { base: 'compat=1.1,cluster_size=512,refcount_bits=64', unit: 512 },
  { base: 'compat=1.1,cluster_size=4k,refcount_bits=1', unit: 4 * KiB },
  { base: 'compat=1.1,cluster_size=4k,refcount_bits=8', unit: 4 * KiB },
  { base: 'compat=1.1,cluster_size=1k,refcount_bits=32', unit: KiB },
  { base: 'compat=1.1,cluster_size=2M', unit: 2 * MiB },
  { base: 'compat=1.1,compression_type=zstd', unit: 64 * KiB },
  { base: 'compat=1.1,lazy_refcounts=on', unit: 64 * KiB },
  { base: 'compat=1.1,preallocation=metadata', unit: 64 * KiB },
  { base: 'compat=1.1', unit: 64 * KiB, child: 'cluster_size=4k' },
  { base: 'compat=1.1,cluster_size=4k', unit: 4 * KiB, child: 'extended_l2=on' },
  { base: 'compat=1.1', unit: 64 * KiB, below: true },
  { base: 'compat=0.10', unit: 64 * KiB, below: true },
  { base: 'compat=1.1,cluster_size=512', unit: 512, below: true },
  { base: 'compat=1.1', unit: 64 * KiB, child: 'cluster_size=4k', below: true },
];

/** A base and a child that were written to, and perhaps a disk below. Answers what a guest reads of the child. */
function makeChain({ base, child = '', unit, below }: Shape, size: number, seeded: Seeded, times = 25): Buffer {
  const parent: string[] = [];
  if (below) {
    images.write('below.raw', seeded.bytes(size));
    parent.push('-b', 'below.raw', '-F', 'raw');
  }
  images.create('base.qcow2', size, base, ...parent);
  scribble(images, 'base.qcow2', size, unit, seeded, times);
  images.create('child.qcow2', size, child, '-b', 'base.qcow2', '-F', 'qcow2');
  scribble(images, 'child.qcow2', size, 64 * KiB, seeded, times);
  return images.content('child.qcow2');
}

/** All that a check finds, but for clusters that nothing points to: these are what a power cut may leave. */
async function moreThanLeaks(image: Buffer): Promise<readonly Finding[]> {
  return (await findings(memoryBytes(image))).filter(({ code }) => code !== 'qcow2-leaked');
}

/** Every cluster and table as if something else used it too, so that none of them is written to in place. */
function withoutCopiedBits(image: Buffer): void {
  const clusterBytes = 2 ** image.readUInt32BE(20);
  const l1At = Number(image.readBigUInt64BE(40));
  const clear = (at: number): number => {
    const entry = image.readBigUInt64BE(at) & (2n ** 63n - 1n);
    image.writeBigUInt64BE(entry, at);
    return Number(entry);
  };
  for (let index = 0; index < image.readUInt32BE(36); index++) {
    const table = clear(l1At + index * 8);
    for (let at = 0; table > 0 && at < clusterBytes; at += 8) clear(table + at);
  }
}

qemu(`merging into qcow2${noTools ? ` (skipped: ${noTools})` : ''}`, () => {
  test.each(shapes)('gives what qemu-img commit gives, and nothing that qemu-img check finds: %o', async (shape) => {
    const seeded = new Seeded(shape.unit + shape.base.length);
    const size = 6 * MiB + 512 * seeded.int(1, 100);
    const expected = makeChain(shape, size, seeded);
    const below = shape.below ? [images.bytes('below.raw')] : [];
    copyFileSync(images.path('base.qcow2'), images.path('ours.qcow2'));
    await merge(images.bytes('child.qcow2'), images.file('ours.qcow2'), below);
    images.qemu('commit', '-q', '-f', 'qcow2', 'child.qcow2');
    expect(images.content('base.qcow2').equals(expected)).toBe(true);
    expect(images.content('ours.qcow2').equals(expected)).toBe(true);
    expect(images.check('ours.qcow2')).toMatchObject({ status: 0 });
    expect(await findings(images.bytes('ours.qcow2'))).toEqual([]);
    expect((await guestBytes(images.bytes('ours.qcow2'), ...below)).equals(expected)).toBe(true);
  });

  test('a table of refcounts that becomes too short is replaced', async () => {
    images.create('base.qcow2', 40 * MiB, 'cluster_size=512');
    images.create('child.qcow2', 40 * MiB, '', '-b', 'base.qcow2', '-F', 'qcow2');
    images.io('child.qcow2', 'write -P 9 0 40M');
    await merge(images.bytes('child.qcow2'), images.file('base.qcow2'));
    expect(images.check('base.qcow2')).toMatchObject({ status: 0 });
    expect(images.content('base.qcow2').equals(Buffer.alloc(40 * MiB, 9))).toBe(true);
  });

  test('a power cut at any moment leaves the same disk, and the next merge ends it', async () => {
    for (const [round, shape] of [shapes[2], shapes[3], shapes[3], shapes[0], shapes[14]].entries()) {
      if (!shape) continue;
      const seeded = new Seeded(shape.unit);
      const size = 1 * MiB + 512;
      const expected = makeChain(shape, size, seeded, 12);
      const child = memoryBytes(readFileSync(images.path('child.qcow2')));
      const below = shape.below ? [memoryBytes(readFileSync(images.path('below.raw')))] : [];
      const base = readFileSync(images.path('base.qcow2'));
      if (round === 2) withoutCopiedBits(base);
      const counting = new CuttableFile(base, seeded, 1e9);
      await merge(child, counting, below, 128 * KiB);
      const calls = 1e9 - counting.callsLeft;
      for (let time = 0; time < 12; time++) {
        let left: Buffer = base;
        // Two cuts, one after the other.
        for (let cut = 0; cut < 2; cut++) {
          const file = new CuttableFile(left, seeded, seeded.int(0, time % 2 === 0 ? calls - 1 : 30));
          await merge(child, file, below, 128 * KiB).catch((thrown) => expect(thrown).toBeInstanceOf(PowerCut));
          left = file.left;
          expect((await guestBytes(child, memoryBytes(left), ...below)).equals(expected)).toBe(true);
          expect(await moreThanLeaks(left)).toEqual([]);
        }
        const last = new CuttableFile(left, seeded, 1e9);
        await merge(child, last, below, 128 * KiB);
        images.write('merged.qcow2', last.left);
        expect(images.content('merged.qcow2').equals(expected)).toBe(true);
        // It would miss the bits in entries that no merge came to.
        if (round !== 2 && time % 4 === 0) expect(images.check('merged.qcow2').text).not.toMatch(/ERROR/);
      }
    }
  });
});

qemu(`making room${noTools ? ` (skipped: ${noTools})` : ''}`, () => {
  test.each([MiB, 9 * MiB])(
    'is cut short at any moment and leaves nothing but unused clusters: %i bytes',
    async (size) => {
      images.create('base.qcow2', size, 'cluster_size=512');
      const base = readFileSync(images.path('base.qcow2'));
      const begin = async (file: CuttableFile): Promise<void> => {
        const writer = await qcow2.openWriter?.(file);
        writer?.begin([{ offset: 0, length: size }]);
      };
      const counting = new CuttableFile(base, new Seeded(1), 1e9);
      await begin(counting);
      const calls = 1e9 - counting.callsLeft;
      for (let call = 0; call < calls; call++) {
        for (let time = 0; time < (size === MiB ? 6 : 2); time++) {
          const file = new CuttableFile(base, new Seeded(call * 100 + time), call);
          await begin(file).catch((thrown) => expect(thrown).toBeInstanceOf(PowerCut));
          expect(await moreThanLeaks(file.left)).toEqual([]);
          const again = new CuttableFile(file.left, new Seeded(2), 1e9);
          const writer = await qcow2.openWriter?.(again);
          writer?.begin([{ offset: 0, length: size }]);
          writer?.finish();
          expect(again.size).toBeLessThan(base.length + 512 * 200);
        }
      }
    },
  );
});

qemu(`what is not written into${noTools ? ` (skipped: ${noTools})` : ''}`, () => {
  const refused = async (name: string): Promise<string> => {
    try {
      await qcow2.openWriter?.(images.file(name));
    } catch (thrown) {
      expect(thrown).toMatchObject({ code: 'E_DISK_FORMAT' });
      return (thrown as Error).message;
    }
    return 'written into';
  };

  test('images with snapshots, subclusters, bitmaps, marks of damage: each by name', async () => {
    images.create('disk.qcow2', MiB);
    expect(await refused('disk.qcow2')).toBe('written into');
    images.qemu('bitmap', '--add', 'disk.qcow2', 'dirty');
    expect(await refused('disk.qcow2')).toMatch('persistent bitmaps');
    images.create('disk.qcow2', MiB);
    images.qemu('snapshot', '-c', 'one', 'disk.qcow2');
    expect(await refused('disk.qcow2')).toMatch('1 internal snapshots');
    images.create('disk.qcow2', MiB, 'extended_l2=on');
    expect(await refused('disk.qcow2')).toMatch('extended L2 entries');
    for (const [bit, what] of [
      [1, 'marked dirty'],
      [2, 'marked corrupt'],
    ] as const) {
      images.create('disk.qcow2', MiB);
      images.file('disk.qcow2').write(79, Uint8Array.of(bit));
      expect(await refused('disk.qcow2')).toMatch(what);
    }
  });

  test('a part of a cluster of which the rest is the parent of the parent', async () => {
    images.create('below.qcow2', MiB);
    images.create('base.qcow2', MiB, '', '-b', 'below.qcow2', '-F', 'qcow2');
    const writer = await qcow2.openWriter?.(images.file('base.qcow2'));
    expect(writer?.unitBytes).toBe(64 * KiB);
    writer?.begin([{ offset: 0, length: 512 }]);
    expect(() => writer?.place({ offset: 0, length: 512 }, 'data')).toThrow('whole clusters of 65536 bytes');
  });
});
