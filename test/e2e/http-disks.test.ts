/** Disk images behind a real nginx are looked into, checked, hashed and converted where they are. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, type TestContext, test } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { checkDisk, copy, describeDisk, diskDigest, mapDisk, openDisk, verify } from '../../src/index.js';
import { bytesOf, failureOf, scratchFolder } from '../support/copying.js';
import { needQemuImg, runTool } from '../support/disk-tools.js';
import { nginxAvailable, startNginx } from '../support/nginx.js';

const raw = Buffer.concat([bytesOf(3 * MiB, 'begin'), Buffer.alloc(20 * MiB), bytesOf(MiB, 'end')]);

/** A folder with `raw.img`, the URL at which nginx serves it, and one for those who say `X-Key: k`. */
async function served(context: TestContext): Promise<{ folder: string; url: string; keyed: string }> {
  context.skip(!nginxAvailable(), 'needs nginx');
  const folder = scratchFolder();
  writeFileSync(join(folder, 'raw.img'), raw);
  const nginx = await startNginx(folder, {}, { directives: 'if ($http_x_key != "k") { return 403; }' });
  onTestFinished(() => nginx.stop());
  const [url = '', keyed = ''] = nginx.urls;
  return { folder, url, keyed };
}

const contentOf = async (image: string): Promise<string | undefined> =>
  (await diskDigest({ image, of: 'content', workers: 2 }).result).digests[0]?.root;

test.for(['vhdx', 'vhd-dynamic'] as const)('a %s reads the same at a URL as at its path', async (to, context) => {
  const { folder, url } = await served(context);
  const [path, image] = [join(folder, 'disk'), `${url}/disk`];
  await copy({ source: join(folder, 'raw.img'), target: path, to }).result;
  const here = await describeDisk(path);
  const there = await describeDisk(image);
  expect(there.images).toMatchObject([{ format: here.images[0]?.format, size: raw.length }]);
  expect(await checkDisk(image)).toMatchObject({ sound: true });
  expect((await mapDisk(image)).extents).toEqual((await mapDisk(path)).extents);
  expect(await contentOf(image)).toBe(await contentOf(join(folder, 'raw.img')));
  expect(await verify({ target: join(folder, 'raw.img'), source: image, content: true }).result).toMatchObject({
    same: true,
  });
});

test('an image at a URL is read through its parent beside it, and can be flattened from there', async (context) => {
  needQemuImg(context);
  const { folder, url, keyed } = await served(context);
  runTool('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', join(folder, 'raw.img'), join(folder, 'base.qcow2')]);
  const child = join(folder, 'child.qcow2');
  runTool('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', 'base.qcow2', '-F', 'qcow2', child]);
  runTool('qemu-io', ['-c', 'write -P 7 5M 1M', child]);
  const expected = Buffer.from(raw).fill(7, 5 * MiB, 6 * MiB);
  const disk = await openDisk(`${url}/child.qcow2`);
  onTestFinished(() => disk.close());
  expect(disk.links.map(({ name }) => name)).toEqual([`${url}/child.qcow2`, `${url}/base.qcow2`]);
  const read = await disk.read({ offset: 4 * MiB, length: 3 * MiB });
  expect(expected.subarray(4 * MiB, 7 * MiB).equals(read)).toBe(true);
  const asked = await openDisk(`${keyed}/child.qcow2`, { http: { headers: { 'X-Key': 'k' } } });
  onTestFinished(() => asked.close());
  expect(asked.links).toHaveLength(2);
  const target = join(folder, 'flat.img');
  await copy({ source: `${url}/child.qcow2`, target, flatten: true, to: 'raw', workers: 2 }).result;
  writeFileSync(join(folder, 'expected.img'), expected);
  expect(await verify({ target, source: join(folder, 'expected.img') }).result).toMatchObject({ same: true });
});

test('a damaged image at a URL is found, and not copied unasked', async (context) => {
  const { folder, url } = await served(context);
  await copy({ source: join(folder, 'raw.img'), target: join(folder, 'disk.vhdx'), to: 'vhdx' }).result;
  const damaged = readFileSync(join(folder, 'disk.vhdx'));
  damaged.fill(0xff, 2 * MiB, 2 * MiB + 4096);
  damaged.fill(0xff, 3 * MiB, 3 * MiB + 4096);
  writeFileSync(join(folder, 'bad.vhdx'), damaged);
  const source = `${url}/bad.vhdx`;
  expect(await failureOf(copy({ source, target: join(folder, 'copy.vhdx') }).result)).toMatchObject({
    code: 'E_DISK_FORMAT',
  });
});
