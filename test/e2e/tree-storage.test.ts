import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { KiB, MiB } from '../../src/core/units.js';
import { bytesOf, failureOf } from '../support/copying.js';
import { attachLoop, type LoopKind, mountLoop, mountsAvailable, mountTmpfs } from '../support/mounts.js';
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
import { blockferry } from './command.js';

const NO_MOUNTS = 'needs mounts in a private namespace';

async function mounted(kind: LoopKind | 'tmpfs', sizeMiB: number) {
  const mount = kind === 'tmpfs' ? await mountTmpfs(sizeMiB) : await mountLoop(kind, sizeMiB);
  onTestFinished(() => mount.unmount());
  return mount;
}

/** Takes the space of a file system but for so many bytes; answers what gives it back. */
function fill(folder: string, spareBytes: number): () => void {
  const { bavail, bsize } = statfsSync(folder);
  const path = join(folder, 'neighbour');
  writeFileSync(path, Buffer.alloc(Math.max(0, bavail * bsize - spareBytes), 1));
  return () => rmSync(path);
}

test.for(['tmpfs', 'ext4'] as const)(
  'a disk (%s) that is full in the middle of a tree keeps what is finished, and the same command goes on',
  async (kind, context) => {
    context.skip(!mountsAvailable(kind === 'tmpfs' ? undefined : kind), NO_MOUNTS);
    const { folder } = await mounted(kind, 64);
    const { source, target: elsewhere } = treeFolders();
    const target = join(folder, 'target');
    const files = Array.from(
      { length: 100 },
      (_, n) => [`sub-${n % 4}/file-${n}`, bytesOf(100 * KiB, `${n}`)] as const,
    );
    writeTree(source, { ...Object.fromEntries(files), 'large.img': bytesOf(9 * MiB, 'large') });
    const free = fill(folder, 5 * MiB);
    const ended = await blockferry(elsewhere.replace(/\/target$/, ''), 'copy', '-r', `${source}/`, target).ended;
    expect(ended).toMatchObject({ exitCode: 3, err: expect.stringContaining('ENOSPC') });
    expect(ended.err).toContain(`blockferry: ${target}/`);
    const before = Object.values(listing(target)).filter(({ kind: what }) => what === 'file').length;
    free();
    const result = await copyTreeNow({ sources: [`${source}/`], target });
    expect(result).toMatchObject({ failures: [], refused: 0 });
    expect(result.skipped).toBeGreaterThan(0);
    expect(result.skipped + result.files).toBe(101);
    expect(result.files).toBeLessThanOrEqual(101 - result.skipped);
    expect(before).toBeGreaterThan(0);
    expectSameTree(source, target);
  },
);

test('a file system that has no names left to give ends the copy, and the same command goes on', async (context) => {
  context.skip(!mountsAvailable(), NO_MOUNTS);
  const { folder, remount } = await mounted('tmpfs', 64);
  const { source } = treeFolders();
  writeTree(source, Object.fromEntries(Array.from({ length: 300 }, (_, n) => [`file-${n}`, `${n}`])));
  await remount('nr_inodes=100');
  const target = join(folder, 'target');
  expect(await failureOf(copyTreeNow({ sources: [`${source}/`], target }))).toMatchObject({ code: 'E_NO_SPACE' });
  await remount('nr_inodes=10000');
  expect(await copyTreeNow({ sources: [`${source}/`], target })).toMatchObject({ failures: [] });
  expectSameTree(source, target);
});

test('a target that is mounted read-only is told, and nothing is made', async (context) => {
  context.skip(!mountsAvailable('ext4'), NO_MOUNTS);
  const { folder, remount } = await mounted('ext4', 16);
  const { source } = treeFolders();
  writeTree(source, SAMPLE);
  mkdirSync(join(folder, 'there'));
  await remount('ro');
  for (const target of [join(folder, 'new'), join(folder, 'there')]) {
    const ended = await copyTreeNow({ sources: [source], target }).then(
      ({ failures }) => failures[0]?.error,
      (error) => error,
    );
    expect(ended).toMatchObject({ code: 'E_TARGET_ACCESS' });
    expect(`${ended?.message} ${ended?.cause}`).toContain('EROFS');
  }
  expect(readdirSync(join(folder, 'there'))).toEqual([]);
});

test('what cannot be written is told by its path in the target', async (context) => {
  context.skip(!mountsAvailable(), NO_MOUNTS);
  const { folder, remount } = await mounted('tmpfs', 16);
  const { source, target } = treeFolders();
  writeTree(source, { 'sub/file': 'file', 'sub/link': '->file' });
  mkdirSync(join(target, 'sub'), { recursive: true });
  await remount('ro');
  execFileSync('mount', ['--bind', folder, join(target, 'sub')]);
  onTestFinished(() => void execFileSync('umount', [join(target, 'sub')]));
  const { failures } = await copyTreeNow({ sources: [`${source}/`], target });
  expect(failures.map(({ error }) => error.message).sort()).toEqual([
    `${join(target, 'sub/file')}: the target cannot be written (EROFS)`,
    `${join(target, 'sub/link')}: the target cannot be written (EROFS)`,
  ]);
});

test('a tree that lies on several file systems is flushed on each', async (context) => {
  context.skip(!mountsAvailable('ext4'), NO_MOUNTS);
  const { folder } = await mounted('ext4', 16);
  const { source } = treeFolders();
  writeTree(source, SAMPLE);
  const other = await mounted('tmpfs', 16);
  mkdirSync(join(folder, 'target/sub'), { recursive: true });
  execFileSync('mount', ['--bind', other.folder, join(folder, 'target/sub')]);
  onTestFinished(() => void execFileSync('umount', [join(folder, 'target/sub')]));
  const target = join(folder, 'target');
  expect(await copyTreeNow({ sources: [`${source}/`], target })).toMatchObject({ files: 4, failures: [] });
  expect(readFileSync(join(other.folder, 'two.txt'), 'utf8')).toBe('two two');
  expect(await copyTreeNow({ sources: [`${source}/`], target })).toMatchObject({ files: 0, skipped: 5 });
});

/** exFAT, which can be mounted again: there the case of letters does not count, and inodes are made up. */
async function fat(folder: string): Promise<{ target: string; mountAgain: () => void }> {
  const target = join(folder, 'fat');
  mkdirSync(target);
  const { path, detach } = await attachLoop(32);
  execFileSync('mkfs.exfat', [path], { stdio: 'ignore' });
  const mount = (): void => void execFileSync('mount.exfat-fuse', [path, target], { stdio: 'ignore' });
  const unmount = (): void => void execFileSync('umount', [target]);
  mount();
  onTestFinished(async () => {
    unmount();
    await detach();
  });
  const mountAgain = (): void => {
    unmount();
    mount();
  };
  return { target, mountAgain };
}

const noFat = (): boolean => {
  const needed = ['/dev/fuse', '/usr/sbin/mkfs.exfat', '/usr/sbin/mount.exfat-fuse'];
  return !mountsAvailable() || !needed.every((path) => existsSync(path));
};

test.for([false, true])(
  'where the case of letters does not count, of two files with one name there one is refused and named (overwrite: %s)',
  async (overwrite, context) => {
    context.skip(noFat(), 'needs mounts, mkfs.exfat and exfat-fuse');
    const { folder, source } = treeFolders();
    const { target } = await fat(folder);
    writeTree(source, { Readme: 'upper', readme: 'lower', other: 'other', 'Sub/x': 'x', 'sub/y': 'y' });
    const result = await copyTreeNow({ sources: [`${source}/`], target, overwrite });
    expect(result).toMatchObject({ files: 4, refused: 1 });
    expect(result.failures[0]).toMatchObject({ state: 'refused', error: { code: 'E_TARGET_EXISTS' } });
    const [left] = Object.keys(troubles(result)) as [string];
    expect(['Readme', 'readme']).toContain(left);
    const name = readdirSync(target).find((found) => found.toLowerCase() === 'readme') as string;
    expect(readFileSync(join(target, name), 'utf8')).toBe(left === 'Readme' ? 'lower' : 'upper');
    expect(leftBelow(target)).toEqual([]);
    const again = await copyTreeNow({ sources: [`${source}/`], target });
    expect(again).toMatchObject({ files: 0, skipped: 4, refused: 1 });
  },
);

test('a tree on an exFAT file system is known again after it was mounted again', async (context) => {
  context.skip(noFat(), 'needs mounts, mkfs.exfat and exfat-fuse');
  const { folder, source } = treeFolders();
  const { target, mountAgain } = await fat(folder);
  writeTree(source, { 'one.txt': 'one', 'sub/two.txt': 'two', 'large.img': bytesOf(9 * MiB, 'large') });
  expect(await copyTreeNow({ sources: [`${source}/`], target })).toMatchObject({ files: 3, failures: [] });
  mountAgain();
  expect(await copyTreeNow({ sources: [`${source}/`], target })).toMatchObject({ files: 0, skipped: 3, failures: [] });
  expect(readFileSync(join(target, 'sub/two.txt'), 'utf8')).toBe('two');
});

test('links and names that the target cannot hold are told, and the rest is copied', async (context) => {
  context.skip(noFat(), 'needs mounts, mkfs.exfat and exfat-fuse');
  const { folder, source } = treeFolders();
  const { target } = await fat(folder);
  writeTree(source, { 'one.txt': 'one', link: '->one.txt', 'a:b': 'colon', 'sub/x': 'x' });
  const result = await copyTreeNow({ sources: [`${source}/`], target, preserve: true });
  expect(result).toMatchObject({ files: 2, failed: 2 });
  expect(Object.keys(troubles(result)).sort()).toEqual(['a:b', 'link']);
});
