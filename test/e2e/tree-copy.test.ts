import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { copyTree } from '../../src/index.js';
import { bytesOf, failureOf } from '../support/copying.js';
import {
  copyTreeNow,
  expectSameTree,
  leftBelow,
  listing,
  SAMPLE,
  treeFolders,
  troubles,
  writeTree,
} from '../support/trees.js';

test('a folder is copied into the target under its own name, with all that is in it', async () => {
  const { source, target } = treeFolders();
  writeTree(source, SAMPLE);
  const result = await copyTreeNow({ sources: [source], target });
  expect(result).toMatchObject({ files: 4, links: 1, folders: 4, skipped: 0, refused: 0, failed: 0, failures: [] });
  expectSameTree(source, join(target, 'source'));
});

test('of a folder with a slash at its end only the contents are copied', async () => {
  const { source, target } = treeFolders();
  writeTree(source, SAMPLE);
  await copyTreeNow({ sources: [`${source}/`], target });
  expectSameTree(source, target);
});

test('the same command again copies nothing, changes nothing and refuses nothing', async () => {
  const { source, target } = treeFolders();
  writeTree(source, { ...SAMPLE, 'large.img': bytesOf(9 * MiB, 'large') });
  const first = await copyTreeNow({ sources: [source], target });
  expect(first).toMatchObject({ files: 5, bytesCopied: 9 * MiB + 27 });
  const before = listing(target, { times: true });
  const again = await copyTreeNow({ sources: [source], target });
  expect(again).toMatchObject({ files: 0, bytesCopied: 0, links: 0, folders: 0, skipped: 6, refused: 0, failed: 0 });
  expect(again.bytesSkipped).toBe(first.bytesCopied);
  expect(listing(target, { times: true })).toEqual(before);
});

test('what was added to the source since is copied by the same command, and only that', async () => {
  const { source, target } = treeFolders();
  writeTree(source, SAMPLE);
  await copyTreeNow({ sources: [source], target });
  writeTree(source, { 'sub/new.txt': 'new', 'fresh/also.txt': 'also' });
  expect(await copyTreeNow({ sources: [source], target })).toMatchObject({ files: 2, folders: 1, skipped: 5 });
  expectSameTree(source, join(target, 'source'));
});

test('several files and folders are put into one folder', async () => {
  const { folder, source, target } = treeFolders();
  writeTree(source, SAMPLE);
  writeTree(folder, { 'single.txt': 'single', 'other/x': 'x' });
  const sources = [source, join(folder, 'single.txt'), `${folder}/other/`];
  expect(await copyTreeNow({ sources, target })).toMatchObject({ files: 6, failures: [] });
  expectSameTree(source, join(target, 'source'));
  expect(readFileSync(join(target, 'single.txt'), 'utf8')).toBe('single');
  expect(readFileSync(join(target, 'x'), 'utf8')).toBe('x');
});

test('a file that the target has already is refused and left as it is; the rest is copied', async () => {
  const { source, target } = treeFolders();
  writeTree(source, SAMPLE);
  writeTree(target, { 'one.txt': 'mine', 'sub/link': 'mine too' });
  const result = await copyTreeNow({ sources: [`${source}/`], target });
  expect(result).toMatchObject({ files: 3, links: 0, refused: 2 });
  expect(troubles(result)).toEqual({ 'one.txt': 'refused E_TARGET_EXISTS', 'sub/link': 'refused E_TARGET_EXISTS' });
  expect(readFileSync(join(target, 'one.txt'), 'utf8')).toBe('mine');
  expect(readFileSync(join(target, 'sub/two.txt'), 'utf8')).toBe('two two');
});

test('with --overwrite it is replaced, and keeps its permissions; a link is replaced and not followed', async () => {
  const { folder, source, target } = treeFolders();
  writeTree(source, SAMPLE);
  writeTree(target, { 'one.txt': 'mine', 'sub/link': 'mine too' });
  chmodSync(join(target, 'one.txt'), 0o640);
  writeFileSync(join(folder, 'outside'), 'outside');
  symlinkSync(join(folder, 'outside'), join(target, 'empty'));
  const result = await copyTreeNow({ sources: [`${source}/`], target, overwrite: true });
  expect(result).toMatchObject({ files: 4, links: 1, failures: [] });
  expect(listing(target)['one.txt']?.mode).toBe('640');
  chmodSync(join(target, 'one.txt'), 0o644);
  expectSameTree(source, target);
  expect(readFileSync(join(folder, 'outside'), 'utf8')).toBe('outside');
});

test.for(['source', 'target'] as const)(
  'a file whose %s changed since is refused, and with --overwrite it alone is copied again',
  async (end) => {
    const { source, target } = treeFolders();
    writeTree(source, { ...SAMPLE, 'large.img': bytesOf(9 * MiB, 'large') });
    await copyTreeNow({ sources: [`${source}/`], target });
    for (const name of ['one.txt', 'large.img']) appendFileSync(join(end === 'source' ? source : target, name), 'more');
    const refused = await copyTreeNow({ sources: [`${source}/`], target });
    expect(refused).toMatchObject({ files: 0, skipped: 4, refused: 2 });
    expect(refused.failures[0]?.error.message).toContain('was changed');
    const result = await copyTreeNow({ sources: [`${source}/`], target, overwrite: true });
    expect(result).toMatchObject({ files: 2, skipped: 4, failures: [] });
    expectSameTree(source, target);
  },
);

test('--overwrite brings a large file up to date also when an older version of it was left half copied', async () => {
  const { source, target } = treeFolders();
  const large = join(source, 'large.img');
  writeFileSync(large, bytesOf(16 * MiB, 'one'));
  const stopped = new AbortController();
  const options = { sources: [`${source}/`], target, recursive: true };
  const run = copyTree({ ...options, limitBytesPerSecond: 6 * MiB, signal: stopped.signal });
  for await (const event of run) if (event.type === 'progress' && event.bytesDone > 2 * MiB) stopped.abort();
  expect(await failureOf(run.result)).toMatchObject({ code: 'E_STOPPED' });
  expect(leftBelow(target)).toHaveLength(2);
  writeFileSync(large, bytesOf(16 * MiB, 'other'));
  const refused = await copyTreeNow({ sources: [`${source}/`], target });
  expect(troubles(refused)).toEqual({ 'large.img': 'refused E_PART_OTHER_SOURCE' });
  expect(await copyTreeNow({ sources: [`${source}/`], target, overwrite: true })).toMatchObject({
    files: 1,
    refused: 0,
  });
  expectSameTree(source, target);
});

test('--discard keeps what is finished; together with --overwrite all is copied again', async () => {
  const { source, target } = treeFolders();
  writeTree(source, SAMPLE);
  await copyTreeNow({ sources: [`${source}/`], target });
  const result = await copyTreeNow({ sources: [`${source}/`], target, discard: true });
  expect(result).toMatchObject({ files: 0, refused: 0, skipped: 5 });
  const again = await copyTreeNow({ sources: [`${source}/`], target, discard: true, overwrite: true });
  expect(again).toMatchObject({ files: 4, refused: 0 });
  expect(await copyTreeNow({ sources: [`${source}/`], target })).toMatchObject({ files: 0, skipped: 5, refused: 0 });
  expectSameTree(source, target);
});

test('modes are kept as cp does it: what the umask leaves of them', async () => {
  const { source, target } = treeFolders();
  writeTree(source, { 'script.sh': '#!/bin/sh', private: 'p', 'locked/file': 'f', suid: 's' });
  chmodSync(join(source, 'script.sh'), 0o777);
  chmodSync(join(source, 'private'), 0o600);
  chmodSync(join(source, 'suid'), 0o4755);
  chmodSync(join(source, 'locked/file'), 0o444);
  chmodSync(join(source, 'locked'), 0o555);
  await copyTreeNow({ sources: [`${source}/`], target });
  const { umask } = process;
  expect(umask()).toBe(0o022);
  const modes = Object.fromEntries(Object.entries(listing(target)).map(([path, { mode }]) => [path, mode]));
  const others = { private: '600', locked: '555', 'locked/file': '444', suid: '755' };
  expect(modes).toEqual({ '.': '755', 'script.sh': '755', ...others });
});

test('a symbolic link that is named as a source is followed, and the copy has its name', async () => {
  const { folder, source, target } = treeFolders();
  writeTree(source, SAMPLE);
  symlinkSync(source, join(folder, 'alias'));
  symlinkSync(join(source, 'one.txt'), join(folder, 'one-alias'));
  await copyTreeNow({ sources: [join(folder, 'alias'), join(folder, 'one-alias')], target });
  expectSameTree(source, join(target, 'alias'));
  expect(listing(target)['one-alias']).toMatchObject({ kind: 'file' });
});

test('a target folder is made one level deep, and no deeper', async () => {
  const { source, target } = treeFolders();
  writeTree(source, SAMPLE);
  const error = await failureOf(copyTreeNow({ sources: [source], target: join(target, 'sub') }));
  expect(error).toMatchObject({ code: 'E_TARGET_FOLDER', exitCode: 2 });
  mkdirSync(target);
  await copyTreeNow({ sources: [source], target: join(target, 'sub') });
  expectSameTree(source, join(target, 'sub/source'));
});

test('a folder without --recursive is refused, and nothing is made', async () => {
  const { folder, source, target } = treeFolders();
  const error = await failureOf(copyTreeNow({ sources: [source], target, recursive: false }));
  expect(error).toMatchObject({ code: 'E_SOURCE_KIND', exitCode: 2, hint: expect.stringContaining('-r') });
  expect(listing(folder)).not.toHaveProperty('target');
});

test('a URL is no source of a tree copy', async () => {
  const { source, target } = treeFolders();
  const sources = [source, 'http://127.0.0.1:1/disk.img'];
  const error = await failureOf(copyTreeNow({ sources, target }));
  expect(error).toMatchObject({ code: 'E_USAGE', exitCode: 2, message: expect.stringContaining('127.0.0.1') });
});

test('holes of a source stay holes', async () => {
  const { source, target } = treeFolders();
  writeTree(source, { sparse: 'begin', large: 'begin' });
  truncateSync(join(source, 'sparse'), 6 * MiB);
  truncateSync(join(source, 'large'), 20 * MiB);
  await copyTreeNow({ sources: [`${source}/`], target });
  expectSameTree(source, target);
  for (const name of ['sparse', 'large']) expect(statSync(join(target, name)).blocks * 512).toBeLessThan(MiB);
});

test('--read-back compares each file with what the storage holds', async () => {
  const { source, target } = treeFolders();
  writeTree(source, { ...SAMPLE, 'large.img': bytesOf(9 * MiB, 'large') });
  expect(await copyTreeNow({ sources: [`${source}/`], target, readBack: true })).toMatchObject({ files: 5, failed: 0 });
  expectSameTree(source, target);
  rmSync(join(target, 'one.txt'));
  expect(await copyTreeNow({ sources: [`${source}/`], target })).toMatchObject({ files: 1, skipped: 5 });
});
