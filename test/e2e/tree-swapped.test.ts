import { execFileSync } from 'node:child_process';
import {
  lchownSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type FileLayer, realFiles } from '../../src/platform/file-layer.js';
import { inlineTree } from '../support/inline-tree.js';
import { copyTreeNow, expectSameTree, treeFolders, troubles, writeTree } from '../support/trees.js';

const COMMAND = 'dist/src/cli/main.js';

test.for([false, true])(
  'what takes the place of a partial file gets no name and is not removed (read-back: %s)',
  async (readBack) => {
    const { source, target } = treeFolders();
    writeTree(source, { a: 'bytes of a', b: 'bytes of b' });
    let planted = '';
    const files: FileLayer = {
      ...realFiles,
      syncFileSystem: (fd) => {
        const part = readdirSync(target).find((name) => name.startsWith('.a.'));
        if (part && !planted) {
          planted = join(target, part);
          renameSync(planted, join(target, 'moved'));
          writeFileSync(planted, 'not a copy');
        }
        return realFiles.syncFileSystem(fd);
      },
    };
    const result = await inlineTree({ sources: [`${source}/`], target, files, readBack }).run();
    expect(troubles(result)).toEqual({ a: 'failed E_TARGET_CHANGED' });
    expect(readdirSync(target).sort()).toEqual([planted.split('/').at(-1), 'b', 'moved'].sort());
    expect(readFileSync(planted, 'utf8')).toBe('not a copy');
  },
);

test('a file that takes the place of a new link keeps its owner and its times', async (context) => {
  context.skip(process.getuid?.() !== 0, 'only root gives files away');
  const { folder, source, target } = treeFolders();
  writeTree(source, { link: '->x' });
  lchownSync(join(source, 'link'), 12, 34);
  lutimesSync(join(source, 'link'), 1e9, 1e9);
  const secret = join(folder, 'secret');
  writeFileSync(secret, 'for root only', { mode: 0o600 });
  const { mtimeMs, ino } = lstatSync(secret);
  let made = '';
  const files: FileLayer = {
    ...realFiles,
    symlinkSync: (text, path) => {
      realFiles.symlinkSync(text, path);
      made = join(target, String(path).split('/').at(-1) as string);
      renameSync(secret, made);
    },
  };
  const result = await inlineTree({ sources: [`${source}/`], target, files, preserve: true }).run();
  expect(result).toMatchObject({ links: 0, failures: [{ path: 'link' }] });
  expect(lstatSync(made)).toMatchObject({ uid: 0, gid: 0, mtimeMs, ino });
});

test('--preserve gives a link that replaces another, and a new one, the owner and the times', async () => {
  const { source, target } = treeFolders();
  writeTree(source, { one: '->x', two: '->y' });
  for (const name of ['one', 'two']) lutimesSync(join(source, name), 1e9, 1e9);
  mkdirSync(target);
  symlinkSync('other', join(target, 'two'));
  const result = await copyTreeNow({ sources: [`${source}/`], target, preserve: true, overwrite: true });
  expect(result).toMatchObject({ links: 2, failures: [] });
  for (const name of ['one', 'two']) expect(Math.round(lstatSync(join(target, name)).mtimeMs)).toBe(1e12);
  expectSameTree(source, target);
});

test('deep folders are copied by a process that may have 256 files open', () => {
  const { source, target, state } = treeFolders();
  const deep = (n: number) => Array.from({ length: 30 }, (_, level) => `${n}-${level}`).join('/');
  for (let n = 0; n < 40; n++) writeTree(source, { [`${deep(n)}/file`]: `content ${n}` });
  const command = `ulimit -n 256; exec "${process.execPath}" ${COMMAND} copy -r "${source}/" "${target}"`;
  execFileSync('bash', ['-c', command], { env: { ...process.env, BLOCKFERRY_STATE: state }, stdio: 'pipe' });
  expectSameTree(source, target);
});

type Named = { readonly path: string; readonly shown: string };

test('a pipe that takes the place of a file that was finished before keeps no copy waiting', async () => {
  const { sameFiles } = await import('../../src/endpoint/local/small-file.js');
  const { source } = treeFolders();
  writeTree(source, { file: 'file' });
  const [file, pipe] = ['file', 'pipe'].map((name) => ({ path: join(source, name), shown: name })) as [Named, Named];
  execFileSync('mkfifo', [pipe.path]);
  const host = {} as Parameters<typeof sameFiles>[3];
  expect(await sameFiles(realFiles, file, pipe, host)).toBe(false);
  await expect(sameFiles(realFiles, pipe, file, host)).rejects.toMatchObject({ code: 'E_SOURCE_KIND' });
});

test('a finished copy that can no longer be read, to be compared once more, is told by its own path', async () => {
  const { sameFiles } = await import('../../src/endpoint/local/small-file.js');
  const { source } = treeFolders();
  writeTree(source, { file: 'file' });
  const file = { path: join(source, 'file'), shown: '/source/file' };
  const barred = { path: join(source, 'barred'), shown: '/target/file' };
  const openSync: typeof realFiles.openSync = (path, ...rest) => {
    if (path === barred.path) throw Object.assign(new Error('EACCES: permission denied'), { code: 'EACCES' });
    return realFiles.openSync(path, ...rest);
  };
  const files = Object.create(realFiles, { openSync: { value: openSync } }) as typeof realFiles;
  const compared = sameFiles(files, file, barred, {} as Parameters<typeof sameFiles>[3]);
  await expect(compared).rejects.toMatchObject({
    code: 'E_TARGET_ACCESS',
    message: '/target/file: the finished copy cannot be read, to be compared once more (EACCES)',
  });
});
