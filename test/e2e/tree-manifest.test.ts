import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { verify, verifyTree } from '../../src/index.js';
import { bytesOf } from '../support/copying.js';
import { copyTreeNow, treeFolders, writeTree } from '../support/trees.js';

const CONTENT = { large: bytesOf(10 * MiB, 'large'), small: 'bytes', empty: '', 'sub/empty': '' };

test.each([
  [{}],
  [{ chunkBytes: MiB }],
  [{ chunkBytes: 5 * MiB }],
  [{ chunkBytes: 6 * MiB }],
  [{ algorithm: 'sha256' as const }],
  [{ limitBytesPerSecond: 40 * MiB }],
])('a manifest of a tree holds large, small and empty files, and finds a flipped bit (%o)', async (options) => {
  const { source, target } = treeFolders();
  writeTree(source, CONTENT);
  const manifest = join(source, '..', 'm.manifest');
  const asked = { sources: [`${source}/`], target, recursive: true, manifest };
  expect(await copyTreeNow({ ...asked, ...options })).toMatchObject({ files: 4, failed: 0 });
  expect(await verifyTree({ target, manifest }).result).toMatchObject({ same: true, files: 4 });
  // A run that finds everything finished writes the same again.
  expect(await copyTreeNow(asked)).toMatchObject({ files: 0, skipped: 4 });
  expect(await verifyTree({ target, manifest }).result).toMatchObject({ same: true, files: 4 });
  const bytes = readFileSync(join(target, 'large'));
  bytes[9 * MiB] = (bytes[9 * MiB] as number) ^ 1;
  writeFileSync(join(target, 'large'), bytes);
  const { same, problems } = await verifyTree({ target, manifest }).result;
  expect({ same, paths: problems.map(({ path }) => path) }).toEqual({ same: false, paths: ['large'] });
});

test('of two sources with one file of the same name the first is kept, known and in the manifest', async () => {
  const { source, target } = treeFolders();
  const other = `${source}-other`;
  mkdirSync(other);
  writeTree(source, { f: 'of the first' });
  writeTree(other, { f: 'of the second', g: 'only here' });
  const manifest = `${source}.manifest`;
  const both = { sources: [`${source}/`, `${other}/`], target, recursive: true, manifest };
  expect(await copyTreeNow(both)).toMatchObject({ files: 2, refused: 1 });
  const kept = readFileSync(join(target, 'f'), 'utf8');
  const first = kept === 'of the first' ? source : other;
  expect(await copyTreeNow({ ...both, sources: [`${first}/`] })).toMatchObject({ files: 0, refused: 0 });
  expect(await verifyTree({ target, manifest }).result).toMatchObject({ same: true });
});

test('of two sources with one file of the same name the last is in the manifest, once, with --overwrite', async () => {
  const { folder, target } = treeFolders();
  const [a, b, manifest] = [join(folder, 'a'), join(folder, 'b'), join(folder, 'm')];
  writeTree(a, { f: 'one' });
  writeTree(b, { f: 'two' });
  writeTree(target, { f: 'older' });
  await copyTreeNow({ sources: [`${a}/`, `${b}/`], target, overwrite: true, manifest, workers: 1 });
  expect(readFileSync(manifest, 'utf8').match(/"path":"f"/g)).toHaveLength(1);
  expect(await verifyTree({ target, manifest }).result).toMatchObject({ same: true });
});

test('a folder that is missing is told, whatever the manifest speaks of', async () => {
  const { source, target } = treeFolders();
  writeTree(source, { one: '1', two: '2' });
  const manifest = `${source}.manifest`;
  await copyTreeNow({ sources: [`${source}/`], target, manifest });
  const missing = verify({ target: `${target}-gone`, manifest }).result;
  await expect(missing).rejects.toMatchObject({ code: 'E_SOURCE_MISSING', message: `${target}-gone: no such file` });
});
