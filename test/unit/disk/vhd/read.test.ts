/** VHD images made by qemu-img and after the specification, read here and by QEMU and 7-Zip. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { GiB, KiB, MiB, TiB } from '../../../../src/core/units.js';
import { probeFormat } from '../../../../src/disk/formats.js';
import type { Allocation, DiskImage } from '../../../../src/disk/image.js';
import { vhd } from '../../../../src/disk/vhd/vhd.js';
import { contentOf, type ImageFile, imageFile } from '../../../support/image-file.js';
import { Seeded } from '../../../support/seeded.js';
import { windowsPath, writeVhd } from '../../../support/vhd-images.js';

const has = (tool: string, ...args: string[]): boolean => spawnSync(tool, args).status === 0;
const qemuImg = has('qemu-img', '--version') && has('qemu-io', '--version');
const sevenZip = has('7zz', 'i');
const vhdiinfo = has('vhdiinfo', '-V');

let folder = '';
const path = (name: string): string => join(folder, name);
const qemu = (...args: string[]): string => execFileSync('qemu-img', args, { encoding: 'utf8' });

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'blockferry-vhd-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function fileOf(name: string): ImageFile {
  const file = imageFile(path(name));
  onTestFinished(() => file.close());
  return file;
}

async function opened(name: string): Promise<{ image: DiskImage; bytes: ImageFile }> {
  const bytes = fileOf(name);
  expect(await probeFormat(bytes)).toBe('vhd');
  const image = await vhd.open(bytes);
  // The ref alone makes the same disk on another thread.
  return { image: vhd.attach(structuredClone(image.ref), bytes), bytes };
}

async function allocationOf(image: DiskImage, range = { offset: 0, length: image.size }): Promise<Allocation[]> {
  const found: Allocation[] = [];
  for await (const one of image.allocation(range)) found.push(one);
  return found;
}

const id = (fill: number): Buffer => Buffer.alloc(16, fill);
const sevenZipped = (name: string): Buffer => {
  execFileSync('7zz', ['x', '-bd', '-y', `-o${path('out')}`, path(name)], { stdio: 'pipe' });
  const [only] = execFileSync('ls', [path('out')], { encoding: 'utf8' })
    .trim()
    .split('\n');
  return readFileSync(join(path('out'), only ?? ''));
};

describe.skipIf(!qemuImg)(`with qemu-img${qemuImg ? '' : ' (skipped: qemu-utils is not installed)'}`, () => {
  const seeded = new Seeded(31);

  test.each([
    ['fixed', 'off', 3 * MiB],
    ['fixed', 'on', 5 * MiB + 512],
    ['dynamic', 'off', 33 * MiB],
    ['dynamic', 'on', 33 * MiB + 1536],
  ])(
    'a %s VHD of QEMU with force_size=%s has the size and the bytes that QEMU sees',
    async (subformat, force, size) => {
      qemu(
        'create',
        '-q',
        '-f',
        'vpc',
        '-o',
        `subformat=${subformat},force_size=${force}`,
        path('d.vhd'),
        String(size),
      );
      for (const at of [0, 700 * KiB, size - 64 * KiB - 512]) {
        writeFileSync(path('piece'), seeded.bytes(64 * KiB));
        execFileSync('qemu-io', ['-f', 'vpc', '-c', `write -s ${path('piece')} ${at} 64k`, path('d.vhd')]);
      }
      qemu('convert', '-f', 'vpc', '-O', 'raw', path('d.vhd'), path('d.raw'));
      const { image, bytes } = await opened('d.vhd');
      expect(image).toMatchObject({ format: 'vhd', kind: subformat, blockBytes: subformat === 'fixed' ? 0 : 2 * MiB });
      expect(image.size).toBe(JSON.parse(qemu('info', '--output=json', '-f', 'vpc', path('d.vhd')))['virtual-size']);
      if (force === 'on') expect(image.size).toBe(size);
      expect((await contentOf([{ image, bytes }])).equals(readFileSync(path('d.raw')))).toBe(true);
    },
  );

  test('what a dynamic disk has allocated is what QEMU maps', async () => {
    qemu('create', '-q', '-f', 'vpc', '-o', 'force_size=on', path('d.vhd'), '40M');
    for (const command of ['write -P 1 3M 1k', 'write -P 2 20M 5M']) {
      execFileSync('qemu-io', ['-f', 'vpc', '-c', command, path('d.vhd')]);
    }
    const { image } = await opened('d.vhd');
    expect(await allocationOf(image)).toEqual([
      { kind: 'zero', length: 2 * MiB },
      { kind: 'data', length: 2 * MiB },
      { kind: 'zero', length: 16 * MiB },
      { kind: 'data', length: 6 * MiB },
      { kind: 'zero', length: 14 * MiB },
    ]);
    const map: { start: number; length: number; data: boolean }[] = JSON.parse(
      qemu('map', '--output=json', '-f', 'vpc', path('d.vhd')),
    );
    const dataOf = map.filter(({ data }) => data).map(({ start, length }) => [start, length]);
    expect(dataOf[0]?.[0]).toBe(2 * MiB);
    expect(dataOf.reduce((sum, [, length = 0]) => sum + length, 0)).toBe(8 * MiB);
  });

  test('any range of a disk reads as that range of the whole', async () => {
    qemu('create', '-q', '-f', 'vpc', '-o', 'force_size=on', path('d.vhd'), '9M');
    writeFileSync(path('piece'), seeded.bytes(3 * MiB));
    execFileSync('qemu-io', ['-f', 'vpc', '-c', `write -s ${path('piece')} 1M 3M`, path('d.vhd')]);
    const chain = [await opened('d.vhd')];
    const whole = await contentOf(chain);
    for (let trial = 0; trial < 60; trial++) {
      const offset = seeded.int(0, 9 * MiB - 1);
      const length = seeded.int(0, 9 * MiB - offset);
      const part = await contentOf(chain, { offset, length });
      expect(part.equals(whole.subarray(offset, offset + length)), `${offset} + ${length}`).toBe(true);
    }
  });

  test('a dynamic disk of 2040 GiB is opened and mapped by its table alone', async () => {
    qemu('create', '-q', '-f', 'vpc', '-o', 'force_size=on', path('d.vhd'), '2040G');
    execFileSync('qemu-io', ['-f', 'vpc', '-c', `write -P 7 ${1.5 * TiB} 1k`, path('d.vhd')]);
    const { image, bytes } = await opened('d.vhd');
    expect(image.size).toBe(2040 * GiB);
    const rest = 2040 * GiB - 1.5 * TiB - 2 * MiB;
    expect(await allocationOf(image)).toEqual([
      { kind: 'zero', length: 1.5 * TiB },
      { kind: 'data', length: 2 * MiB },
      { kind: 'zero', length: rest },
    ]);
    const read = await contentOf([{ image, bytes }], { offset: 1.5 * TiB - 512, length: 2048 });
    expect(read.equals(Buffer.concat([Buffer.alloc(512), Buffer.alloc(1024, 7), Buffer.alloc(512)]))).toBe(true);
  });

  test('a dynamic disk is read from either footer while the other one is damaged', async () => {
    qemu('create', '-q', '-f', 'vpc', '-o', 'force_size=on', path('d.vhd'), '5M');
    execFileSync('qemu-io', ['-f', 'vpc', '-c', 'write -P 9 1M 1M', path('d.vhd')]);
    const good = readFileSync(path('d.vhd'));
    const whole = await contentOf([await opened('d.vhd')]);
    for (const at of [0, 100, good.length - 512, good.length - 400]) {
      const damaged = Buffer.from(good);
      damaged[at] = (damaged[at] ?? 0) ^ 0x20;
      writeFileSync(path('damaged.vhd'), damaged);
      expect((await contentOf([await opened('damaged.vhd')])).equals(whole), `byte ${at}`).toBe(true);
    }
    writeFileSync(path('short.vhd'), good.subarray(0, -512));
    expect((await contentOf([await opened('short.vhd')])).equals(whole)).toBe(true);
  });

  test('a footer of 511 bytes, as Virtual PC wrote before 2004, is a footer', async () => {
    for (const subformat of ['fixed', 'dynamic']) {
      qemu('create', '-q', '-f', 'vpc', '-o', `subformat=${subformat},force_size=on`, path('old.vhd'), '3M');
      const size = readFileSync(path('old.vhd')).length;
      truncateSync(path('old.vhd'), size - 1);
      const { image, bytes } = await opened('old.vhd');
      expect([image.kind, image.size]).toEqual([subformat, 3 * MiB]);
      expect((await contentOf([{ image, bytes }])).equals(Buffer.alloc(3 * MiB))).toBe(true);
    }
  });

  test('a disk is known by the id that libvhdi reads', async (context) => {
    context.skip(!vhdiinfo, 'needs vhdiinfo (package libvhdi-utils)');
    qemu('create', '-q', '-f', 'vpc', '-o', 'force_size=on', path('d.vhd'), '5M');
    const { image } = await opened('d.vhd');
    const info = execFileSync('vhdiinfo', [path('d.vhd')], { encoding: 'utf8' });
    const named = /Identifier\s*:\s*([0-9a-f-]{36})/i.exec(info)?.[1];
    expect(named?.replaceAll('-', '').toLowerCase()).toBe(image.identity);
  });
});

describe('a differencing VHD', () => {
  const seeded = new Seeded(47);
  const [base, first, second] = [seeded.bytes(2 * MiB), seeded.bytes(2 * MiB), seeded.bytes(2 * MiB)];
  const size = 7 * MiB + 512;
  const locators = (name: string): readonly (readonly [string, Uint8Array])[] => [
    ['W2ku', windowsPath(`C:\\disks\\${name}`)],
    ['MacX', Buffer.from(`file:///disks/with%20space/${name}`)],
    ['W2ru', windowsPath(`.\\${name}`)],
  ];

  /** A base with two blocks, a child with one block whole and one in part, and a grandchild with single sectors. */
  function writeChain(): void {
    writeVhd(path('base.vhd'), { size, id: id(1), blocks: new Map([0, 2].map((block) => [block, { data: base }])) });
    writeVhd(path('child.vhd'), {
      size,
      id: id(2),
      parent: { id: id(1), name: 'base.vhd', locators: locators('base.vhd') },
      blocks: new Map([
        [3, { data: first, sectors: [0] }],
        [0, { data: first, sectors: [...Array(1000).keys()].map((sector) => sector + 17) }],
      ]),
    });
    writeVhd(path('grandchild.vhd'), {
      size,
      id: id(3),
      gapSectors: 3,
      parent: { id: id(2), name: 'child.vhd', locators: locators('child.vhd') },
      blocks: new Map([
        [0, { data: second, sectors: [0, 17, 4095] }],
        [1, { data: second, sectors: [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 24, 25] }],
      ]),
    });
  }

  /** The same disk, put together sector by sector. */
  function expected(): Buffer {
    const disk = Buffer.alloc(size);
    const put = (block: number, data: Buffer, sectors: Iterable<number>): void => {
      for (const sector of sectors) {
        const at = sector * 512;
        if (block * 2 * MiB + at < size) disk.set(data.subarray(at, at + 512), block * 2 * MiB + at);
      }
    };
    for (const block of [0, 2]) put(block, base, Array(4096).keys());
    put(3, first, [0]);
    put(
      0,
      first,
      [...Array(1000).keys()].map((sector) => sector + 17),
    );
    put(0, second, [0, 17, 4095]);
    put(1, second, [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 24, 25]);
    return disk;
  }

  test('shows its own sectors and leaves the others to its parents', async () => {
    writeChain();
    const chain = [await opened('grandchild.vhd'), await opened('child.vhd'), await opened('base.vhd')];
    expect((await contentOf(chain)).equals(expected())).toBe(true);
    expect(chain.map(({ image }) => image.kind)).toEqual(['differencing', 'differencing', 'dynamic']);
    expect(await allocationOf(chain[0]?.image as DiskImage)).toEqual([
      { kind: 'data', length: 4 * MiB },
      { kind: 'absent', length: 3 * MiB + 512 },
    ]);
  });

  test('reads as 7-Zip reads it', (context) => {
    context.skip(!sevenZip, 'needs 7zz (package 7zip)');
    writeChain();
    expect(sevenZipped('grandchild.vhd').equals(expected())).toBe(true);
  });

  test('names its parent by id and by paths, relative ones first', async () => {
    writeChain();
    const { image } = await opened('child.vhd');
    expect(image.identity).toBe('02'.repeat(16));
    expect(image.parent).toEqual({
      format: 'vhd',
      identity: '01'.repeat(16),
      modifiedAtMs: Date.UTC(2000, 0, 1) + 0x2a000001 * 1000,
      paths: [
        { kind: 'relative', path: 'base.vhd' },
        { kind: 'absolute', path: 'C:/disks/base.vhd' },
        { kind: 'absolute', path: '/disks/with space/base.vhd' },
      ],
    });
  });

  test('whose header holds the parent’s whole path, as Hyper-V writes it, finds it beside itself first', async () => {
    writeVhd(path('child.vhd'), {
      size,
      id: id(2),
      parent: { id: id(1), name: 'D:\\vm\\base.vhd' },
      blocks: new Map(),
    });
    const { image } = await opened('child.vhd');
    expect(image.parent?.paths).toEqual([
      { kind: 'relative', path: 'base.vhd' },
      { kind: 'absolute', path: 'D:/vm/base.vhd' },
    ]);
  });
});

// 7-Zip refuses such a disk, and QEMU shows what stands there: the specification is what rules.
test('a sector of a dynamic disk that was never written is zero, whatever stands there', async () => {
  const data = Buffer.alloc(2 * MiB, 0xdd);
  writeVhd(path('d.vhd'), { size: 3 * MiB, id: id(1), blocks: new Map([[0, { data, sectors: [1, 2, 9] }]]) });
  const content = await contentOf([await opened('d.vhd')]);
  expect(content.indexOf(0xdd)).toBe(512);
  expect(content.filter((byte) => byte === 0xdd).length).toBe(3 * 512);
});
