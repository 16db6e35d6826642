/** VHDX files that QEMU makes, of both kinds and of many sizes, read as qemu-img reads them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { GiB, MiB, TiB } from '../../../../src/core/units.js';
import { vhdx } from '../../../../src/disk/vhdx/vhdx.js';
import { convertWithQemu, needQemuImg, runTool } from '../../../support/disk-tools.js';
import { contentOf, imageFile } from '../../../support/image-file.js';
import { Seeded } from '../../../support/seeded.js';

let folder: string;
let path: string;
beforeEach((context) => {
  folder = mkdtempSync(join(tmpdir(), 'vhdx-qemu-'));
  path = join(folder, 'disk.vhdx');
  needQemuImg(context);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const create = (options: string, size: number): string =>
  runTool('qemu-img', ['create', '-q', '-f', 'vhdx', '-o', options, path, String(size)]);

test.each([
  ['subformat=dynamic,block_size=1M', 20 * MiB],
  ['subformat=dynamic,block_size=2M,log_size=4M', 33 * MiB + 512],
  ['subformat=dynamic,block_size=32M', 100 * MiB + 4096],
  ['subformat=dynamic,block_state_zero=off', 17 * MiB],
  ['subformat=fixed,block_size=1M', 9 * MiB],
  ['subformat=fixed,block_size=256M', 5 * MiB],
  ['subformat=dynamic', 512],
])('%s, %d bytes', async (options, size) => {
  create(options, size);
  const seeded = new Seeded(size);
  for (let write = 0; write < 6; write++) {
    const at = seeded.int(0, size / 512 - 1) * 512;
    const length = Math.min(size - at, seeded.int(1, 4000) * 512);
    runTool('qemu-io', ['-f', 'vhdx', '-c', `write -P ${write + 1} ${at} ${length}`, path]);
  }
  const bytes = imageFile(path);
  const image = await vhdx.open(bytes);
  expect(image.kind).toBe(/subformat=(\w+)/.exec(options)?.[1]);
  const content = await contentOf([{ image, bytes }]);
  bytes.close();
  expect(content.equals(convertWithQemu(path, join(folder, 'disk.raw')))).toBe(true);
});

test.each([2 * TiB, 64 * TiB])('a disk of %d bytes is read at both of its ends', async (size) => {
  create('subformat=dynamic', size);
  runTool('qemu-io', ['-f', 'vhdx', '-c', 'write -P 1 0 4k', '-c', `write -P 2 ${size - 4096} 4k`, path]);
  const bytes = imageFile(path);
  const image = await vhdx.open(bytes);
  expect(image.size).toBe(size);
  const at = (offset: number): Promise<Buffer> => contentOf([{ image, bytes }], { offset, length: 4096 });
  expect(await at(0)).toEqual(Buffer.alloc(4096, 1));
  expect(await at(size - 4096)).toEqual(Buffer.alloc(4096, 2));
  expect(await at(GiB)).toEqual(Buffer.alloc(4096));
  bytes.close();
});
