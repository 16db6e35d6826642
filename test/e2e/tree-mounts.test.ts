import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { type FileLayer, realFiles } from '../../src/platform/file-layer.js';
import { inlineTree } from '../support/inline-tree.js';
import { mountsAvailable } from '../support/mounts.js';
import { treeFolders, writeTree } from '../support/trees.js';

function journalOf(state: string): string {
  const folder = join(state, 'trees');
  return readFileSync(join(folder, readdirSync(folder)[0] as string), 'utf8');
}

test('at the end each file system below the target is flushed, or nothing is recorded as flushed', async (context) => {
  context.skip(!mountsAvailable(), 'needs a mount');
  const { source, target, state } = treeFolders();
  writeTree(source, { top: 'top', 'sub/file': 'file' });
  mkdirSync(join(target, 'sub'), { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', join(target, 'sub')]);
  onTestFinished(() => void execFileSync('umount', [join(target, 'sub')]));
  const flushed = new Set<bigint>();
  const files: FileLayer = {
    ...realFiles,
    syncFileSystem: (fd) => {
      const named = readdirSync(join(target, 'sub')).includes('file');
      if (named) flushed.add(realFiles.fstat(fd).dev);
      return realFiles.syncFileSystem(fd);
    },
  };
  const run = (more: object) => inlineTree({ sources: [`${source}/`], target, files, ...more }).run();
  await run({ sync: false });
  await run({ exclude: ['sub/'] });
  expect(journalOf(state)).not.toContain(' synced {');
  flushed.clear();
  await run({});
  const both = [target, join(target, 'sub')].map((folder) => statSync(folder, { bigint: true }).dev);
  expect([...flushed].sort()).toEqual(both.sort());
  expect(journalOf(state)).toContain(' synced {');
});

test('without koffi each file is flushed before its name, each folder after it, and no more is claimed', async () => {
  const { source, target, state } = treeFolders();
  writeTree(source, { 'sub/deep/b': 'b', 'sub/a': 'a' });
  process.env.BLOCKFERRY_NO_NATIVE = '1';
  onTestFinished(() => void delete process.env.BLOCKFERRY_NO_NATIVE);
  const flushed: bigint[] = [];
  const folders = new Set<bigint>();
  const files: FileLayer = {
    ...realFiles,
    fsyncSync: (fd) => {
      flushed.push(realFiles.fstat(fd).ino);
      realFiles.fsyncSync(fd);
    },
    syncFolder: (path) => {
      const stat = realFiles.stat(path);
      if (stat && readdirSync(path).some((name) => !name.includes('blockferry'))) folders.add(stat.ino);
      realFiles.syncFolder(path);
    },
  };
  await inlineTree({ sources: [`${source}/`], target, files }).run();
  const inode = (path: string) => statSync(join(target, path), { bigint: true }).ino;
  expect(flushed).toEqual(expect.arrayContaining([inode('sub/a'), inode('sub/deep/b')]));
  expect([...folders]).toEqual(expect.arrayContaining([inode(''), inode('sub'), inode('sub/deep')]));
  expect(journalOf(state)).not.toContain(' synced {');
});
