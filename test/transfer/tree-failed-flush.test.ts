import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type FileLayer, realFiles } from '../../src/platform/file-layer.js';
import { failureOf } from '../support/copying.js';
import { inlineTree } from '../support/inline-tree.js';
import { copyTreeNow, expectSameTree, leftBelow, listing, treeFolders, writeTree } from '../support/trees.js';

/** In three folders; 600 are more than one batch, 200 are one. */
function writeBatches(source: string, files = 600): void {
  const names = Array.from({ length: files }, (_, n) => [`${n % 3}/file-${n}`, `content ${n}`] as const);
  writeTree(source, Object.fromEntries(names));
}

/** The nth flush of the file system fails, and only that one: as on Linux, the next one "succeeds". */
function failingFlush(nth: number, code: string): FileLayer {
  let flushes = 0;
  return {
    ...realFiles,
    syncFileSystem: (fd) => {
      if (++flushes === nth) throw Object.assign(new Error(`${code}: the disk said so, syncfs`), { code });
      return realFiles.syncFileSystem(fd);
    },
  };
}

function named(target: string): number {
  return Object.entries(listing(target)).filter(([path, { kind }]) => kind === 'file' && !path.includes('blockferry'))
    .length;
}

test.for([
  { nth: 1, code: 'EIO', as: 'E_FLUSH', workers: 1 },
  { nth: 2, code: 'EIO', as: 'E_FLUSH', workers: 1 },
  { nth: 2, code: 'EIO', as: 'E_FLUSH', workers: 2 },
  { nth: 1, code: 'ENOSPC', as: 'E_NO_SPACE', workers: 1 },
  { nth: 2, code: 'EDQUOT', as: 'E_NO_SPACE', workers: 2 },
])('a batch whose flush fails ($code, number $nth) gets no names; the rerun makes it right', async (about) => {
  const { nth, code, as, workers } = about;
  const { source, target } = treeFolders();
  const total = nth === 1 ? 200 : 600;
  writeBatches(source, total);
  const copy = inlineTree({ sources: [`${source}/`], target, files: failingFlush(nth, code), workers });
  const error = await failureOf(copy.run());
  expect(error).toMatchObject({ code: as, exitCode: 3 });
  const before = named(target);
  expect(before).toBeLessThan(total);
  if (nth === 1) expect(before).toBe(0);
  const result = await copyTreeNow({ sources: [`${source}/`], target });
  expect(result).toMatchObject({ files: total - before, skipped: before, failures: [] });
  expectSameTree(source, target);
  expect(leftBelow(target)).toEqual([]);
});

test('a flush that fails at the very end fails the copy; the rerun flushes again', async () => {
  const { source, target } = treeFolders();
  writeTree(source, { one: 'one' });
  const error = await failureOf(inlineTree({ sources: [source], target, files: failingFlush(2, 'EIO') }).run());
  expect(error).toMatchObject({ code: 'E_FLUSH', exitCode: 3 });
  expect(await copyTreeNow({ sources: [source], target })).toMatchObject({ files: 0, skipped: 1 });
});

test('without syncfs each partial file is flushed by itself, and one that fails fails the batch', async () => {
  const { source, target } = treeFolders();
  writeTree(source, { a: 'a', b: 'b', c: 'c' });
  const parts = new Set<number>();
  let [flushes, failAt] = [0, 2];
  const files: FileLayer = {
    ...realFiles,
    syncFileSystem: () => false,
    openSync: (path, flags, mode) => {
      const fd = realFiles.openSync(path, flags, mode);
      if (String(path).endsWith('-part')) parts.add(fd);
      return fd;
    },
    fsyncSync: (fd) => {
      if (parts.has(fd) && ++flushes === failAt) throw Object.assign(new Error('EIO: fsync'), { code: 'EIO' });
      realFiles.fsyncSync(fd);
    },
  };
  const run = () => inlineTree({ sources: [`${source}/`], target, files }).run();
  expect(await failureOf(run())).toMatchObject({ code: 'E_FLUSH' });
  expect(named(target)).toBe(0);
  failAt = 0;
  expect(await run()).toMatchObject({ files: 3, failures: [] });
  expect(flushes).toBe(5);
  expectSameTree(source, target);
});

test('a journal that cannot be written ends the copy, and what is not on record gets no name', async () => {
  const { source, target, state } = treeFolders();
  writeBatches(source);
  let armed = false;
  const files: FileLayer = {
    ...realFiles,
    syncFileSystem: (fd) => {
      armed = true;
      return realFiles.syncFileSystem(fd);
    },
    fdatasyncSync: (fd) => {
      if (armed) throw Object.assign(new Error('EIO: fdatasync'), { code: 'EIO' });
      realFiles.fdatasyncSync(fd);
    },
  };
  const error = await failureOf(inlineTree({ sources: [`${source}/`], target, files }).run());
  expect(error).toMatchObject({ code: 'E_JOURNAL_WRITE', exitCode: 5 });
  expect(named(target)).toBe(0);
  expect(readdirSync(join(state, 'trees'))).toHaveLength(1);
  expect(await copyTreeNow({ sources: [`${source}/`], target })).toMatchObject({ files: 600, failures: [] });
  expect(leftBelow(target)).toEqual([]);
});
