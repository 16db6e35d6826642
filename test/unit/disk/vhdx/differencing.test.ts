/** Differencing VHDX: blocks of every state, sector bitmaps and parents, compared with 7zz, which reads such chains. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MiB } from '../../../../src/core/units.js';
import { vhdx } from '../../../../src/disk/vhdx/vhdx.js';
import { extractWith7zz, need7zz, needVhdiinfo, runTool } from '../../../support/disk-tools.js';
import { contentOf, type ImageFile, imageFile } from '../../../support/image-file.js';
import { Seeded } from '../../../support/seeded.js';
import { GUIDS, type TestBlock, writeTestVhdx } from '../../../support/vhdx-images.js';

let folder: string;
const open: ImageFile[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vhdx-chain-'));
});
afterEach(() => {
  for (const file of open.splice(0)) file.close();
  rmSync(folder, { recursive: true, force: true });
});

const at = (name: string): string => join(folder, name);
const other = '99999999-2222-3333-4444-555555555555';

async function chain(...names: readonly string[]) {
  return await Promise.all(
    names.map(async (name) => {
      const bytes = imageFile(at(name));
      open.push(bytes);
      return { image: await vhdx.open(bytes), bytes };
    }),
  );
}

/** A base with data everywhere, and a child with every state; returns what a guest must read. */
function writeChain(seeded: Seeded, sectorBytes: number, blockBytes: number): Buffer {
  const size = 6 * blockBytes + 8192;
  const data = (): Buffer => seeded.bytes(blockBytes);
  const base = Array.from({ length: 7 }, data);
  writeTestVhdx(at('base.vhdx'), {
    size,
    sectorBytes,
    blockBytes,
    blocks: new Map(base.map((bytes, block) => [block, { state: 6, bytes }])),
  });
  const own = data();
  const mixed = data();
  const last = data();
  const odd = (sector: number): boolean => sector % 3 === 1 || (sector > 40 && sector < 90);
  const blocks = new Map<number, TestBlock>([
    [1, { state: 6, bytes: own }],
    [2, { state: 7, bytes: mixed, sectors: odd }],
    [3, { state: 2 }],
    [4, { state: 7, bytes: mixed, sectors: () => false }],
    [6, { state: 7, bytes: last, sectors: (sector) => sector === 1 }],
  ]);
  writeTestVhdx(at('child.vhdx'), {
    size,
    sectorBytes,
    blockBytes,
    blocks,
    dataGuid: other,
    parent: { identity: GUIDS.data, relative: './base.vhdx' },
  });
  const pick = (block: number, from: Buffer, here: (sector: number) => boolean): Buffer => {
    const into = Buffer.from(base[block] as Buffer);
    for (let sector = 0; sector * sectorBytes < blockBytes; sector++) {
      const place = sector * sectorBytes;
      if (here(sector)) into.set(from.subarray(place, place + sectorBytes), place);
    }
    return into;
  };
  const zero = Buffer.alloc(blockBytes);
  const parts = [base[0], own, pick(2, mixed, odd), zero, base[4], base[5], pick(6, last, (sector) => sector === 1)];
  return Buffer.concat(parts as Buffer[]).subarray(0, size);
}

describe.each([
  [512, MiB],
  [512, 2 * MiB],
  [4096, 4 * MiB],
])('a chain with sectors of %d bytes and blocks of %d', (sectorBytes, blockBytes) => {
  test('reads the child where it has something to say, and the parent elsewhere', async () => {
    const expected = writeChain(new Seeded(sectorBytes + blockBytes), sectorBytes, blockBytes);
    const links = await chain('child.vhdx', 'base.vhdx');
    expect((await contentOf(links)).equals(expected)).toBe(true);
    // Ranges that begin and end anywhere are cut out of the same.
    const seeded = new Seeded(5);
    for (let round = 0; round < 60; round++) {
      const offset = seeded.int(0, expected.length / 512 - 1) * 512;
      const length = Math.min(expected.length - offset, seeded.int(1, 3000) * 512);
      const part = await contentOf(links, { offset, length });
      expect(part.equals(expected.subarray(offset, offset + length))).toBe(true);
    }
  });

  test('is the same to 7zz, which reads the chain', (context) => {
    need7zz(context);
    const expected = writeChain(new Seeded(sectorBytes + blockBytes), sectorBytes, blockBytes);
    expect(extractWith7zz(at('child.vhdx'), at('out')).equals(expected)).toBe(true);
  });
});

test('a child names its parent by identity and by paths, in the order in which they are tried', async () => {
  const parent = { identity: GUIDS.data.toUpperCase(), relative: '../base/base.vhdx', absolute: 'd:/vm/base.vhdx' };
  writeTestVhdx(at('child.vhdx'), { size: MiB, blocks: new Map(), parent });
  const [link] = await chain('child.vhdx');
  expect(link?.image).toMatchObject({ kind: 'differencing', identity: GUIDS.data });
  expect(link?.image.parent).toEqual({
    format: 'vhdx',
    identity: GUIDS.data,
    paths: [
      { kind: 'relative', path: '../base/base.vhdx' },
      { kind: 'absolute', path: 'd:/vm/base.vhdx' },
    ],
  });
});

test('vhdiinfo finds the same identities', (context) => {
  needVhdiinfo(context);
  const parent = { identity: other, relative: './b.vhdx' };
  writeTestVhdx(at('child.vhdx'), { size: MiB, blocks: new Map(), parent });
  const said = runTool('vhdiinfo', [at('child.vhdx')]);
  expect(said).toMatch(/Disk type\s*: Differential/);
  expect(said).toMatch(new RegExp(`\\sIdentifier\\s*: ${GUIDS.data}`));
  expect(said).toMatch(new RegExp(`Parent identifier\\s*: ${other}`));
});

test('blocks that a disk without a parent has not, or gave back, read as zero', async () => {
  const bytes = Buffer.alloc(2 * MiB, 7);
  const states = [0, 1, 2, 3].map((state): [number, TestBlock] => [state, { state, bytes }]);
  writeTestVhdx(at('disk.vhdx'), { size: 10 * MiB, blocks: new Map([...states, [4, { state: 6, bytes }]]) });
  const content = await contentOf(await chain('disk.vhdx'));
  expect(content.subarray(0, 8 * MiB).every((byte) => byte === 0)).toBe(true);
  expect(content.subarray(8 * MiB).equals(bytes)).toBe(true);
});

test.each([4, 5, 7])('state %d of a block is refused in a disk without a parent', async (state) => {
  writeTestVhdx(at('disk.vhdx'), { size: 4 * MiB, blocks: new Map([[1, { state, bytes: Buffer.alloc(512) }]]) });
  const reading = contentOf(await chain('disk.vhdx'));
  await expect(reading).rejects.toMatchObject({ code: 'E_DISK_FORMAT', message: /block 1 at byte 3145736/ });
});

test('a block that is partially present without a sector bitmap is refused', async () => {
  const parent = { identity: other, relative: 'base.vhdx' };
  const blocks = new Map([[0, { state: 7, bytes: Buffer.alloc(512) }]]);
  writeTestVhdx(at('child.vhdx'), { size: 4 * MiB, blocks, parent });
  await expect(contentOf(await chain('child.vhdx'))).rejects.toThrow(/sector bitmap/);
});
