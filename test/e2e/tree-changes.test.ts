import {
  appendFileSync,
  chmodSync,
  chownSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { KiB, MiB } from '../../src/core/units.js';
import { type FileLayer, realFiles } from '../../src/platform/file-layer.js';
import { bytesOf } from '../support/copying.js';
import { inlineTree, watchedFiles } from '../support/inline-tree.js';
import {
  copyTreeNow,
  expectSameTree,
  leftBelow,
  listing,
  SAMPLE,
  type TreeFolders,
  treeFolders,
  troubles,
  writeTree,
} from '../support/trees.js';
import { MAIN, start } from './command.js';

/** Does something once, when the source's file of that name is about to be opened. */
function onOpening(name: string, disturb: () => void): FileLayer {
  let done = false;
  return watchedFiles((path) => {
    if (done || !path.endsWith(`/${name}`)) return;
    done = true;
    disturb();
  });
}

/** Does something once, after the first block of a file of that size was read. */
function onReading(size: number, disturb: () => void): FileLayer {
  let done = false;
  const readSync = (fd: number, into: Uint8Array, from: number, length: number, at: number): number => {
    const got = realFiles.readSync(fd, into, from, length, at);
    if (!done && realFiles.fstat(fd).size === BigInt(size)) {
      done = true;
      disturb();
    }
    return got;
  };
  return { ...realFiles, readSync: readSync as FileLayer['readSync'] };
}

const SIZE = 600 * KiB + 1;
const image = bytesOf(SIZE, 'image');

interface Change {
  readonly what: string;
  readonly change: (folders: TreeFolders) => void;
  readonly files: (folders: TreeFolders, change: () => void) => FileLayer;
  readonly told: string;
}

const whileRead: Change['files'] = (_, change) => onReading(SIZE, change);
const atOpening: Change['files'] = (_, change) => onOpening('disk', change);
const CHANGES: readonly Change[] = [
  { what: 'grows while it is read', change: (f) => appendFileSync(at(f), 'x'), files: whileRead, told: 'CHANGED' },
  { what: 'shrinks while it is read', change: (f) => truncateSync(at(f), 5), files: whileRead, told: 'CHANGED' },
  {
    what: 'is written over while it is read',
    change: (f) => writeFileSync(at(f), bytesOf(SIZE, 'other')),
    files: whileRead,
    told: 'CHANGED',
  },
  { what: 'vanishes before it is opened', change: (f) => rmSync(at(f)), files: atOpening, told: 'MISSING' },
  {
    what: 'turns into a link before it is opened',
    change: (f) => {
      rmSync(at(f));
      symlinkSync('/etc/passwd', at(f));
    },
    files: atOpening,
    told: 'CHANGED',
  },
  {
    what: 'turns into a folder before it is opened',
    change: (f) => {
      rmSync(at(f));
      mkdirSync(at(f));
    },
    files: atOpening,
    told: 'CHANGED',
  },
];

function at({ source }: TreeFolders): string {
  return join(source, 'sub/disk');
}

test.for(CHANGES)('a file that $what is left out and told, and the rest is copied', async ({ change, files, told }) => {
  const folders = treeFolders();
  const { source, target } = folders;
  writeTree(source, { ...SAMPLE, 'sub/disk': image });
  const layer = files(folders, () => change(folders));
  const result = await inlineTree({ sources: [`${source}/`], target, files: layer }).run();
  expect(troubles(result)).toEqual({ 'sub/disk': `failed E_SOURCE_${told}` });
  expect(result).toMatchObject({ files: 4, links: 1, failed: 1 });
  expect(leftBelow(target)).toEqual([]);
  expect(listing(target)).not.toHaveProperty(['sub/disk']);
  // And the same command makes it right.
  expect(await copyTreeNow({ sources: [`${source}/`], target })).toMatchObject({ failures: [] });
  expectSameTree(source, target);
});

test('a file that vanishes while it is read is copied as it was', async () => {
  const folders = treeFolders();
  const { source, target } = folders;
  writeTree(source, { 'sub/disk': image });
  const files = onReading(SIZE, () => rmSync(at(folders)));
  expect(await inlineTree({ sources: [`${source}/`], target, files }).run()).toMatchObject({ files: 1, failures: [] });
  expect(readFileSync(join(target, 'sub/disk')).equals(image)).toBe(true);
});

test('a large file that changes while it is copied is left out, and the rest is copied', async () => {
  const folders = treeFolders();
  const { source, target } = folders;
  writeTree(source, { 'sub/disk': bytesOf(9 * MiB, 'large'), z: 'z' });
  const files = onReading(9 * MiB, () => appendFileSync(at(folders), 'more'));
  const result = await inlineTree({ sources: [`${source}/`], target, files }).run();
  expect(troubles(result)).toEqual({ 'sub/disk': 'failed E_SOURCE_CHANGED' });
  expect(result.files).toBe(1);
  expect(listing(target)).not.toHaveProperty(['sub/disk']);
});

test('folders that vanish, come, or turn into links and files meanwhile end nothing', async () => {
  const { folder, source, target } = treeFolders();
  writeTree(source, { 'a/1': '1', 'b/2': '2', 'c/3': '3', 'd/4': '4', 'e/5': '5' });
  writeTree(folder, { 'secret/6': '6' });
  const files = onOpening('5', () => {
    for (const name of ['a', 'b', 'c']) renameSync(join(source, name), join(folder, `was-${name}`));
    symlinkSync(join(folder, 'secret'), join(source, 'b'));
    writeFileSync(join(source, 'c'), 'a file');
    writeTree(source, { 'late/7': '7' });
  });
  // Folders are visited one by one, the last first, in batches: each is listed before the first file is opened.
  const result = await inlineTree({ sources: [`${source}/`], target, files }).run();
  const codes = Object.values(troubles(result));
  expect(
    codes.every((code) => /E_SOURCE_(MISSING|CHANGED)$/.test(code)),
    JSON.stringify(codes),
  ).toBe(true);
  expect(readFileSync(join(target, 'e/5'), 'utf8')).toBe('5');
  expect(listing(target)).not.toHaveProperty(['b/6']);
  expect(leftBelow(target)).toEqual([]);
});

test('a target folder that is removed while it is filled costs its files, and the next run makes them', async () => {
  const { source, target } = treeFolders();
  writeTree(source, { 'sub/a': 'a', 'sub/b': 'b', 'z/c': 'c' });
  const files = onOpening('b', () => rmSync(join(target, 'sub'), { recursive: true, force: true }));
  const result = await inlineTree({ sources: [`${source}/`], target, files }).run();
  expect(result.failed).toBeGreaterThan(0);
  expect(await copyTreeNow({ sources: [`${source}/`], target })).toMatchObject({ failures: [] });
  expectSameTree(source, target);
});

test('a partial file that somebody removes costs that file, and the next run copies it', async () => {
  const { source, target } = treeFolders();
  writeTree(source, { a: 'a', b: 'b' });
  const files: FileLayer = {
    ...realFiles,
    syncFileSystem: (fd) => {
      for (const name of leftBelow(target)) if (name.startsWith('.a.')) rmSync(join(target, name));
      return realFiles.syncFileSystem(fd);
    },
  };
  const result = await inlineTree({ sources: [`${source}/`], target, files }).run();
  expect(troubles(result)).toEqual({ a: 'failed E_TARGET_CHANGED' });
  expect(await copyTreeNow({ sources: [`${source}/`], target })).toMatchObject({ files: 1, skipped: 1, failures: [] });
  expectSameTree(source, target);
});

test('what comes to be under a name meanwhile is not replaced, not even with --overwrite', async () => {
  const { source, target } = treeFolders();
  writeTree(source, { a: 'a', b: 'b' });
  const files = onOpening('b', () => writeFileSync(join(target, 'a'), 'theirs'));
  const result = await inlineTree({ sources: [`${source}/`], target, files, overwrite: true }).run();
  expect(troubles(result)).toEqual({ a: 'refused E_TARGET_EXISTS' });
  expect(readFileSync(join(target, 'a'), 'utf8')).toBe('theirs');
  expect(leftBelow(target)).toEqual([]);
});

test('what a user may not read is told, with exit code 2, and the rest is copied', async (context) => {
  context.skip(process.getuid?.() !== 0, 'only root can become another user');
  const { folder, source, target, state } = treeFolders();
  writeTree(source, { ...SAMPLE, 'closed/file': 'f', unreadable: 'u', 'unlisted/file': 'f', 'frozen/file': 'f' });
  mkdirSync(target);
  mkdirSync(state);
  chmodSync(folder, 0o755);
  for (const path of [target, state, join(source, 'frozen'), join(source, 'frozen/file')])
    chownSync(path, 65534, 65534);
  for (const name of ['closed', 'unreadable']) chmodSync(join(source, name), 0);
  chmodSync(join(source, 'unlisted'), 0o711);
  chmodSync(join(source, 'frozen'), 0o555);
  const user = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups', process.execPath, MAIN];
  const run = () => start(folder, [...user, 'copy', '-r', '--json', `${source}/`, target]).ended;
  const first = await run();
  expect(first.exitCode).toBe(2);
  const result = JSON.parse(first.out.trim().split('\n').at(-1) ?? '');
  const names = { [join(source, 'closed')]: 1, [join(source, 'unlisted')]: 1, unreadable: 1 };
  expect(Object.keys(troubles(result)).sort()).toEqual(Object.keys(names).sort());
  expect(result).toMatchObject({ files: 5, links: 1, failed: 3 });
  expect(listing(target).frozen?.mode).toBe('555');
  for (const name of ['closed', 'unreadable', 'unlisted']) chmodSync(join(source, name), 0o755);
  expect((await run()).exitCode).toBe(0);
  expectSameTree(join(source, 'closed'), join(target, 'closed'));
});
