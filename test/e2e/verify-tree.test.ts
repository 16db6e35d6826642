import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { KiB } from '../../src/core/units.js';
import { type TreeVerifyResult, verify, verifyTree } from '../../src/index.js';
import type { ManifestFile } from '../../src/journal/manifest.js';
import { readManifest } from '../../src/journal/manifest-reader.js';
import { ManifestWriter } from '../../src/journal/manifest-writer.js';
import { decodePath, encodePath } from '../../src/platform/path-bytes.js';
import { bytesOf, CHUNK, copyNow, failureOf, makeFile, patch, scratchFolder } from '../support/copying.js';
import { blockferry } from './command.js';

/** Flips one bit. */
function flip(path: string, at: number): void {
  const byte = readFileSync(path).subarray(at, at + 1);
  patch(path, at, Buffer.of((byte[0] as number) ^ 1));
}

/** Adds the one file of a manifest under another path. */
async function addAs(path: string, manifest: string, writer: ManifestWriter): Promise<void> {
  const pieces: Uint8Array[] = [];
  let file: ManifestFile | undefined;
  for await (const item of readManifest(manifest)) {
    if (item.type === 'file') file = { ...item.file, path };
    if (item.type === 'digests') pieces.push(item.digests);
  }
  if (file) await writer.file(file, new Uint8Array(Buffer.concat(pieces)));
}

/** A folder with these files, a copy of it, and the manifest of the copy; each file is hashed by a copy to null:. */
async function treeOf(files: Readonly<Record<string, Buffer>>): Promise<{ target: string; manifest: string }> {
  const folder = scratchFolder();
  const target = join(folder, 'tree');
  mkdirSync(target);
  const manifest = join(folder, 'tree.manifest');
  const writer = await ManifestWriter.begin(manifest, { sync: false });
  for (const [path, bytes] of Object.entries(files)) {
    mkdirSync(encodePath(join(target, dirname(path))), { recursive: true });
    writeFileSync(encodePath(join(target, path)), bytes);
    const one = join(folder, 'one');
    await copyNow({ source: join(target, path), target: 'null:', manifest: one });
    await addAs(path, one, writer);
  }
  await writer.finish();
  await writer.publish();
  rmSync(join(folder, 'one'));
  return { target, manifest };
}

const NOT_UTF8 = decodePath(Buffer.from('caf\xe9-\xff', 'latin1'));
const FILES: Readonly<Record<string, Buffer>> = {
  'a/small': bytesOf(4 * KiB, 'small'),
  'a/b/empty': Buffer.alloc(0),
  'a/b/large': bytesOf(9 * CHUNK + 1, 'large'),
  'two\nlines/🚢': bytesOf(100, 'ship'),
  [NOT_UTF8]: bytesOf(100, 'bytes'),
  'back\\slash': bytesOf(10, 'back'),
  zeroes: Buffer.alloc(4 * CHUNK),
};

const fine: Partial<TreeVerifyResult> = { same: true, filesMissing: 0, filesDifferent: 0, filesExtra: 0, problems: [] };

test('a folder is verified by its manifest, wherever it is moved and whatever its names are', async () => {
  const { target, manifest } = await treeOf(FILES);
  const moved = join(scratchFolder(), 'moved');
  renameSync(target, moved);
  const found = await verifyTree({ target: moved, manifest }).result;
  expect(found).toMatchObject({
    ...fine,
    files: 7,
    bytes: Object.values(FILES).reduce((sum, { length }) => sum + length, 0),
  });
  const said = await blockferry(moved, 'verify', '.', '--manifest', manifest).ended;
  expect(said).toMatchObject({ exitCode: 0, err: '' });
  expect(said.out).toContain('7 files');
});

test('missing, different and other files of a folder are listed, and extra ones only counted', async () => {
  const { target, manifest } = await treeOf(FILES);
  flip(join(target, 'a/b/large'), 5 * CHUNK + 1);
  truncateSync(join(target, 'a/small'), 100);
  rmSync(encodePath(join(target, NOT_UTF8)));
  rmSync(join(target, 'zeroes'));
  mkdirSync(join(target, 'zeroes'));
  writeFileSync(join(target, 'zeroes/more'), '');
  writeFileSync(join(target, 'a/more'), '');
  renameSync(manifest, join(target, 'my.manifest'));
  const found = await verifyTree({ target, manifest: join(target, 'my.manifest') }).result;
  expect(found).toMatchObject({ same: false, files: 7, filesMissing: 1, filesDifferent: 3, filesUnreadable: 0 });
  expect(found.filesExtra).toBe(2);
  expect(found.problems).toEqual([
    { path: 'a/b/large', problem: 'different', differing: [{ offset: 5 * CHUNK, length: CHUNK }] },
    { path: 'a/small', problem: 'size', size: 100, expectedSize: 4 * KiB },
    { path: NOT_UTF8, problem: 'missing' },
    { path: 'zeroes', problem: 'kind', reason: 'it is a folder' },
  ]);
  const said = await blockferry(target, 'verify', '.', '--manifest', 'my.manifest').ended;
  expect(said.exitCode).toBe(4);
  expect(said.out).toContain('1 missing, 3 different of 7 files');
  expect(said.out).toContain('missing: caf\\xe9-\\xff');
  const asJson = await blockferry(target, 'verify', '--json', '.', '--manifest', 'my.manifest').ended;
  expect(JSON.parse(asJson.out).problems).toEqual(found.problems);
});

test('what lies below a folder that is a file now, or that is gone, is missing', async () => {
  const named = `${NOT_UTF8}/x`;
  const { target, manifest } = await treeOf({
    'a/b/x': bytesOf(10, 'x'),
    'c/y': bytesOf(10, 'y'),
    [named]: bytesOf(9, 'z'),
  });
  rmSync(join(target, 'a/b'), { recursive: true });
  writeFileSync(join(target, 'a/b'), 'a file');
  rmSync(join(target, 'c'), { recursive: true });
  const found = await verifyTree({ target, manifest }).result;
  expect(found).toMatchObject({ files: 3, filesMissing: 2, filesDifferent: 0, filesUnreadable: 0, filesExtra: 1 });
});

test('links in a folder are not followed, neither out of it nor within', async () => {
  const { target, manifest } = await treeOf({ 'a/x': bytesOf(10, 'x'), 'b/y': bytesOf(10, 'y'), z: bytesOf(10, 'z') });
  const outside = scratchFolder();
  renameSync(join(target, 'a'), join(outside, 'a'));
  symlinkSync(join(outside, 'a'), join(target, 'a'));
  renameSync(join(target, 'z'), join(target, 'b/z'));
  symlinkSync('b/z', join(target, 'z'));
  const found = await verifyTree({ target, manifest }).result;
  expect(found.problems).toEqual([
    { path: 'a/x', problem: 'kind', reason: 'it is behind a symbolic link' },
    { path: 'z', problem: 'kind', reason: 'it is a symbolic link' },
  ]);
});

test('a manifest of several files needs a folder, and one of one file fits a folder too', async () => {
  const { target, manifest } = await treeOf({ one: bytesOf(10, 'x'), other: bytesOf(10, 'y') });
  const refused = await failureOf(verify({ target: join(target, 'one'), manifest }).result);
  expect(refused).toMatchObject({ code: 'E_USAGE', exitCode: 2 });
  expect(refused.hint).toContain('folder');
  const single = await treeOf({ one: bytesOf(10, 'x') });
  const said = await blockferry(single.target, 'verify', '.', '--manifest', single.manifest).ended;
  expect(said.exitCode).toBe(0);
  const gone = await blockferry(target, 'verify', 'gone', '--manifest', single.manifest).ended;
  expect(gone).toMatchObject({ exitCode: 2, out: '' });
});

test('verify -r compares two folders file by file, links included', async () => {
  const { target: source } = await treeOf(FILES);
  const { target } = await treeOf(FILES);
  for (const folder of [source, target]) symlinkSync('small', join(folder, 'a/link'));
  expect(await verifyTree({ target, source }).result).toMatchObject({ ...fine, files: 8 });
  flip(join(target, 'a/b/large'), 700);
  rmSync(join(target, 'a/link'));
  symlinkSync('elsewhere', join(target, 'a/link'));
  rmSync(join(target, 'a/small'));
  makeFile(join(target, 'more'), 10);
  const said = await blockferry(dirname(target), 'verify', '-r', '--json', target, source).ended;
  expect(said.exitCode).toBe(4);
  expect(JSON.parse(said.out)).toMatchObject({
    same: false,
    filesMissing: 1,
    filesDifferent: 2,
    filesExtra: 1,
    problems: [
      { path: 'a/b/large', problem: 'different', differing: [{ offset: 700, length: 1 }] },
      { path: 'a/link', problem: 'kind', reason: 'it leads to elsewhere' },
      { path: 'a/small', problem: 'missing' },
    ],
  });
  const refused = await blockferry(dirname(target), 'verify', '-r', target, `${source}.gone`).ended;
  expect(refused).toMatchObject({ exitCode: 2, out: '' });
});
