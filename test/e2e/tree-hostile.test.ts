import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  renameSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { type FileLayer, realFiles } from '../../src/platform/file-layer.js';
import { openFolder } from '../../src/platform/folder.js';
import { decodePath } from '../../src/platform/path-bytes.js';
import type { TreeResult } from '../../src/tree/tree-copy.js';
import { failureOf } from '../support/copying.js';
import { inlineTree, watchedFiles } from '../support/inline-tree.js';
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

test('links are copied as links: those that lead out, up, in circles or nowhere are never followed', async () => {
  const { folder, source, target } = treeFolders();
  writeTree(folder, { 'secret/file': 'secret' });
  const links = { out: '->../secret', absolute: `->${folder}/secret/file`, self: '->self', nowhere: '->gone' };
  writeTree(source, { ...links, 'sub/up': '->..', 'sub/root': '->/', 'sub/file': 'f' });
  expect(await copyTreeNow({ sources: [`${source}/`], target })).toMatchObject({ files: 1, links: 6, failures: [] });
  expectSameTree(source, target);
  expect(readlinkSync(join(target, 'out'))).toBe('../secret');
});

test('a link in the target where a folder belongs is not followed, and what belongs below it is left out', async () => {
  const { folder, source, target } = treeFolders();
  writeTree(source, SAMPLE);
  writeTree(folder, { 'elsewhere/': '' });
  writeTree(target, { sub: `->${folder}/elsewhere` });
  for (const overwrite of [false, true]) {
    const result = await copyTreeNow({ sources: [`${source}/`], target, overwrite });
    expect(result.failures.map(({ error }) => error.code)).toEqual(['E_TARGET_KIND', 'E_TARGET_KIND']);
    expect(result.failures[0]?.error.message).toContain('a link or a file stands where a folder was expected');
  }
  expect(listing(join(folder, 'elsewhere'))).toEqual(listing(join(target, 'hollow')));
  expect(readFileSync(join(target, 'one.txt'), 'utf8')).toBe('one');
});

test('a folder that is swapped for a link while it is filled leads nothing out of the target', async () => {
  const { folder, source, target } = treeFolders();
  writeTree(source, { 'sub/a': 'a', 'sub/b': 'b', 'sub/c': 'c' });
  mkdirSync(join(folder, 'elsewhere'));
  let seen = 0;
  const files = watchedFiles((path) => {
    if (!path.includes('.blockferry-part') || ++seen !== 2) return;
    renameSync(join(target, 'sub'), join(target, 'moved'));
    symlinkSync(join(folder, 'elsewhere'), join(target, 'sub'));
  });
  await inlineTree({ sources: [`${source}/`], target, files }).run();
  expect(Object.keys(listing(join(folder, 'elsewhere')))).toEqual(['.']);
  expect(listing(join(target, 'moved'))).toEqual(listing(join(source, 'sub')));
});

test('a file stands where a folder belongs, and a folder where a file does: both are left, and told', async () => {
  const { source, target } = treeFolders();
  writeTree(source, { 'a/file': 'f', b: 'b', c: 'c' });
  writeTree(target, { a: 'a file', 'b/inner': 'inner' });
  for (const overwrite of [false, true]) {
    const result = await copyTreeNow({ sources: [`${source}/`], target, overwrite });
    expect(troubles(result)).toEqual({ a: 'refused E_TARGET_KIND', b: 'refused E_TARGET_KIND' });
  }
  expect(readFileSync(join(target, 'a'), 'utf8')).toBe('a file');
  expect(readFileSync(join(target, 'b/inner'), 'utf8')).toBe('inner');
});

/** The partial name that the copy of this file would use, found out by letting one begin. */
async function partNameOf(source: string, target: string): Promise<string> {
  const names: string[] = [];
  const files = watchedFiles((path) => {
    if (path.endsWith('.blockferry-part')) names.push(path.slice(path.lastIndexOf('/') + 1));
  });
  await inlineTree({ sources: [`${source}/`], target, files }).run();
  return names[0] as string;
}

test.for(['a link', 'a file with a second name', 'a folder', "another user's file"] as const)(
  '%s that was planted under the name of a partial file is neither written to nor removed',
  async (what, context) => {
    context.skip(what === "another user's file" && process.getuid?.() !== 0, 'only root can plant it');
    const { folder, source, target } = treeFolders();
    writeTree(source, { file: 'bytes' });
    writeTree(folder, { precious: 'precious' });
    const planted = join(target, await partNameOf(source, target));
    writeFileSync(join(source, 'file'), 'other bytes');
    if (what === 'a link') symlinkSync(join(folder, 'precious'), planted);
    else if (what === 'a folder') mkdirSync(planted);
    else if (what === 'a file with a second name') linkSync(join(folder, 'precious'), planted);
    else {
      writeFileSync(planted, 'theirs');
      chownSync(planted, 65534, 65534);
    }
    const before = listing(target);
    const result = await copyTreeNow({ sources: [`${source}/`], target, overwrite: true });
    expect(troubles(result)).toEqual({ file: 'refused E_PART_UNSAFE' });
    expect(listing(target)).toEqual(before);
    expect(readFileSync(join(folder, 'precious'), 'utf8')).toBe('precious');
  },
);

test.for([
  { what: 'inside the source', from: 'source', to: 'source/sub/new' },
  { what: 'the source itself', from: 'source/', to: 'source' },
  { what: 'the folder that the source lies in', from: 'source', to: '.' },
  { what: 'inside the source by a link', from: 'source', to: 'alias/new' },
  { what: 'inside the source, and missing', from: 'source/', to: 'source/new' },
  { what: 'the folder of a file that is copied', from: 'source/one.txt', to: 'source' },
])('a target that is $what is refused, and nothing is made', async ({ from, to }) => {
  const { folder, source } = treeFolders();
  writeTree(source, SAMPLE);
  symlinkSync('source', join(folder, 'alias'));
  const before = listing(folder, { times: true });
  for (const overwrite of [false, true]) {
    const options = { sources: [`${folder}/${from}`], target: join(folder, to), overwrite };
    expect(await failureOf(copyTreeNow(options))).toMatchObject({ code: 'E_USAGE', exitCode: 2 });
  }
  expect(listing(folder, { times: true })).toEqual(before);
});

test('two sources that would have one name in the target are refused, and nothing is made', async () => {
  const { folder, source, target } = treeFolders();
  writeTree(source, { 'a/x': '1', 'b/x': '2', 'b/a': 'file' });
  for (const [one, other] of [
    ['a/x', 'b/x'],
    ['a', 'b/a'],
    ['a/', 'a/'],
  ]) {
    const sources = [join(source, one as string), join(source, other as string)];
    expect(await failureOf(copyTreeNow({ sources, target }))).toMatchObject({ code: 'E_USAGE', exitCode: 2 });
  }
  expect(existsSync(join(folder, 'target'))).toBe(false);
});

test('of two folders whose contents are put together, the file that both have is copied from one', async () => {
  const { source, target } = treeFolders();
  writeTree(source, { 'a/same': 'from a', 'a/x': 'x', 'b/same': 'from b', 'b/y': 'y' });
  const sources = [`${source}/a/`, `${source}/b/`];
  for (const overwrite of [false, true]) {
    const result = await copyTreeNow({ sources, target: `${target}-${overwrite}`, overwrite });
    expect(result).toMatchObject({ files: 3, refused: 1 });
    expect(troubles(result)).toEqual({ same: 'refused E_TARGET_EXISTS' });
    expect(['from a', 'from b']).toContain(readFileSync(join(`${target}-${overwrite}`, 'same'), 'utf8'));
  }
});

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

test.for([
  { what: 'a newline', name: bytes('one\ntwo\x1b[31m') },
  { what: 'emoji', name: Buffer.from('💾 disk 👩‍👩‍👧 é') },
  { what: 'bytes that are not UTF-8', name: bytes('caf\xe9 \xff\xfe\x80') },
  { what: '255 bytes', name: Buffer.from('n'.repeat(255)) },
  { what: '255 bytes that are not UTF-8', name: bytes(`${'\xe9\xff'.repeat(127)}n`) },
  { what: 'a backslash and quotes', name: bytes('\\"\'$(id)') },
  { what: 'a leading dash', name: bytes('-r') },
])('files, folders and links with $what in their names keep them, byte for byte', async ({ name }) => {
  const { source, target } = treeFolders();
  const inside = Buffer.concat([bytes(`${source}/`), name]);
  mkdirSync(inside);
  writeFileSync(Buffer.concat([inside, bytes('/'), name]), 'content');
  symlinkSync(name, Buffer.concat([inside, bytes('/link')]));
  expect(await copyTreeNow({ sources: [decodePath(inside)], target })).toMatchObject({ files: 1, links: 1, failed: 0 });
  expectSameTree(source, target);
  expect(await copyTreeNow({ sources: [decodePath(inside)], target })).toMatchObject({ files: 0, skipped: 2 });
});

test('a tree that is deeper than any path may be long is copied, and known again', async () => {
  const { folder, source, target } = treeFolders();
  const [name, depth] = ['d'.repeat(200), 40];
  const held = (parent: number): string => `/proc/self/fd/${parent}`;
  let fd = openFolder(source);
  for (let level = 0; level < depth; level++) {
    mkdirSync(join(held(fd), name));
    const next = openFolder(join(held(fd), name));
    closeSync(fd);
    fd = next;
  }
  const file = openSync(join(held(fd), 'file'), 'w');
  writeSync(file, 'deep');
  closeSync(file);
  symlinkSync('deep', join(held(fd), 'link'));
  closeSync(fd);
  const options = { sources: [`${source}/`], target, preserve: true };
  expect(await copyTreeNow(options)).toMatchObject({ files: 1, links: 1, folders: depth, failures: [] });
  expect(await copyTreeNow(options)).toMatchObject({ files: 0, skipped: 2, failures: [] });
  const say = (root: string): string =>
    execFileSync('sh', ['-c', 'cd "$1" && find . -printf "%d %f %y %l %s\\n"', 'sh', root], { encoding: 'utf8' });
  const files = (text: string): string[] => text.split('\n').filter((line) => !/ d /.test(line));
  expect(files(say(target))).toEqual(files(say(source)));
  expect(say(target).split('\n')).toHaveLength(depth + 4);
  onTestFinished(() => void execFileSync('rm', ['-rf', folder]));
});

test('pipes, sockets and devices are refused by name, without a wait, and the rest is copied', async (context) => {
  const { source, target } = treeFolders();
  writeTree(source, SAMPLE);
  execFileSync('mkfifo', [join(source, 'sub/pipe')]);
  const server = createServer().listen(join(source, 'socket'));
  onTestFinished(() => void server.close());
  await new Promise((resolve) => void server.on('listening', resolve));
  const named = [join(source, 'sub/pipe'), join(source, 'socket')];
  if (process.getuid?.() === 0) {
    execFileSync('mknod', [join(source, 'null'), 'c', '1', '3']);
    named.push(join(source, 'null'));
  }
  const result = await copyTreeNow({ sources: [`${source}/`], target });
  expect(result).toMatchObject({ files: 4, links: 1, refused: named.length });
  expect(troubles(result)).toEqual(Object.fromEntries(named.map((name) => [name, 'refused E_SOURCE_KIND'])));
  const excluded = await copyTreeNow({ sources: [`${source}/`], target, exclude: ['pipe', 'socket', '/null'] });
  expect(excluded).toMatchObject({ skipped: 5, refused: 0 });
  const named1 = await failureOf(copyTreeNow({ sources: [named[0] as string, source], target }));
  expect(named1).toMatchObject({ code: 'E_SOURCE_KIND', exitCode: 2 });
  expect(context.task.result?.state).not.toBe('fail');
});

test('a copy that knows nothing of another one, as on another machine, shares no partial file with it', async () => {
  const { folder, source, target } = treeFolders();
  writeTree(source, { file: 'bytes', other: 'other' });
  const names = { one: new Set<string>(), two: new Set<string>() };
  const watch = (which: keyof typeof names): FileLayer =>
    watchedFiles((path) => {
      if (path.endsWith('.blockferry-part')) names[which].add(path.slice(path.lastIndexOf('/') + 1));
    });
  let second: Promise<TreeResult> | undefined;
  const one = watch('one');
  const files: FileLayer = {
    ...one,
    // The first has written all and given no names yet, when the second begins.
    syncFileSystem: (fd) => {
      process.env.BLOCKFERRY_STATE = join(folder, 'state of another machine');
      second ??= inlineTree({ sources: [`${source}/`], target, files: watch('two') }).run();
      return realFiles.syncFileSystem(fd);
    },
  };
  await inlineTree({ sources: [`${source}/`], target, files }).run();
  await second;
  expect(names.one.size).toBe(2);
  expect([...names.two].filter((name) => names.one.has(name))).toEqual([]);
  expectSameTree(source, target);
});

test('partial files and links that a kill left behind are removed by the next run, and no others', async () => {
  const { source, target, state } = treeFolders();
  writeTree(source, SAMPLE);
  const name = await partNameOf(source, target);
  const tag = /\.([0-9a-f]{8})\.blockferry-part$/.exec(name)?.[1];
  const journal = execFileSync('sh', ['-c', `ls ${state}/trees/*`], { encoding: 'utf8' }).trim();
  // As a killed run leaves it: a batch that began and did not end.
  const { encode } = await import('../../src/journal/tree-record.js');
  const begun = { type: 'begin', batch: 'killed', folders: ['sub', 'gone'] } as const;
  writeFileSync(journal, `\n${encode(begun)}`, { flag: 'a' });
  symlinkSync('nowhere', join(target, `sub/.a.00000000.${tag}.blockferry-part`));
  writeFileSync(join(target, `sub/.b.00000000.${tag}.blockferry-part`), 'part');
  const others = ['sub/.c.00000000.0a0b0c0d.blockferry-part', 'sub/.d.blockferry-part'];
  for (const other of others) writeFileSync(join(target, other), 'of others');
  chmodSync(join(target, 'sub'), 0o755);
  expect(await copyTreeNow({ sources: [`${source}/`], target })).toMatchObject({ files: 0, skipped: 5, failed: 0 });
  expect(leftBelow(target).sort()).toEqual(others);
});
