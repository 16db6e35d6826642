import { execFileSync } from 'node:child_process';
import { existsSync, linkSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { verify } from '../../src/index.js';
import { AS_NOBODY, needRoot, startCopy } from '../support/copy-process.js';
import {
  bytesOf,
  copyNow,
  disturbedCopy,
  expectClear,
  expectDone,
  expectSame,
  failureOf,
  leftIn,
  makeFile,
  pairIn,
  partialCopy,
  scratchFolder,
} from '../support/copying.js';
import { mounted } from '../support/mounts.js';

const SIZE = 8 * MiB;

test('a source that does not exist is named, and nothing is made at the target', async () => {
  const pair = pairIn(scratchFolder(), SIZE);
  const missing = `${pair.source}.gone`;
  const error = await failureOf(copyNow({ source: missing, target: pair.target }));
  expectClear(error, { code: 'E_SOURCE_MISSING', exitCode: 2, names: missing, says: /path/ });
  expect(existsSync(pair.target)).toBe(false);
  expect(leftIn(pair.folder)).toEqual([]);
  renameSync(pair.source, missing);
  await copyNow({ source: missing, target: pair.target });
  expectDone({ ...pair, source: missing });
});

test('a source below something that is no folder is a missing source', async () => {
  const pair = pairIn(scratchFolder(), 10);
  const error = await failureOf(copyNow({ source: join(pair.source, 'x'), target: pair.target }));
  expectClear(error, { code: 'E_SOURCE_MISSING', exitCode: 2, names: pair.source });
});

test('a folder, a pipe and a character device are no sources, for a copy and for a comparison', async () => {
  const folder = scratchFolder();
  const pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  for (const [source, kind] of [
    [folder, 'a folder'],
    [pipe, 'a special file'],
    ['/dev/zero', 'a special file'],
  ] as const) {
    const error = await failureOf(copyNow({ source, target: join(folder, 'target.img') }));
    expectClear(error, { code: 'E_SOURCE_KIND', exitCode: 2, names: `${source} is ${kind}` });
    makeFile(join(folder, 'file'), 10);
    expect(await failureOf(verify({ target: join(folder, 'file'), source }).result)).toMatchObject({
      code: 'E_SOURCE_KIND',
    });
  }
  expect(leftIn(folder)).toEqual([]);
});

test('a link that leads in a circle is named as a source and as a target', async () => {
  const folder = scratchFolder();
  const circle = join(folder, 'circle');
  symlinkSync(circle, circle);
  const { source } = pairIn(folder, 10);
  const error = await failureOf(copyNow({ source: circle, target: join(folder, 'target.img') }));
  expectClear(error, { code: 'E_SOURCE_KIND', exitCode: 2, names: circle, says: /circle/ });
  const below = await failureOf(copyNow({ source, target: join(circle, 'target.img') }));
  expect(below).toMatchObject({ exitCode: 2 });
  expect(below.message).toContain(circle);
  // No partial copy stands there, so none may be spoken of.
  expect(below.code).not.toBe('E_PART_UNSAFE');
});

test('a source is never copied onto itself, by whatever name it is called', async () => {
  const folder = scratchFolder();
  const source = join(folder, 'source.img');
  makeFile(source, SIZE);
  const [hard, soft] = [join(folder, 'hard.img'), join(folder, 'soft.img')];
  linkSync(source, hard);
  symlinkSync(source, soft);
  for (const [from, to] of [
    [source, source],
    [source, hard],
    [hard, source],
    [soft, source],
    [source, `${folder}/./source.img`],
    [source, folder],
  ] as const) {
    const error = await failureOf(copyNow({ source: from, target: to, overwrite: true }));
    expectClear(error, { code: 'E_USAGE', exitCode: 2, names: 'is the source itself', says: /another target/ });
    expect(readFileSync(source).equals(bytesOf(SIZE, 'source'))).toBe(true);
    expect(leftIn(folder)).toEqual([]);
  }
});

test('the folder of the target must exist: it is named and not made', async () => {
  const outer = scratchFolder();
  const pair = pairIn(join(outer, 'missing'), SIZE);
  const error = await failureOf(copyNow(pair));
  expectClear(error, { code: 'E_TARGET_FOLDER', exitCode: 2, names: pair.folder, says: /Make the folder/ });
  expect(existsSync(pair.folder)).toBe(false);
  mkdirSync(pair.folder);
  await copyNow(pair);
  expectDone(pair);
});

test('a target below a file is refused as a missing folder', async () => {
  const folder = scratchFolder();
  writeFileSync(join(folder, 'file'), 'mine');
  const pair = pairIn(join(folder, 'file'), 10);
  const error = await failureOf(copyNow(pair));
  expectClear(error, { code: 'E_TARGET_FOLDER', exitCode: 2, names: join(folder, 'file') });
  expect(readFileSync(join(folder, 'file'), 'utf8')).toBe('mine');
});

test('a target that ends with a slash means a folder, which is never turned into a file', async () => {
  const pair = pairIn(scratchFolder(), 10);
  const error = await failureOf(copyNow({ ...pair, target: `${pair.target}/` }));
  expectClear(error, { code: 'E_TARGET_FOLDER', exitCode: 2, names: pair.target });
  expect(existsSync(pair.target)).toBe(false);
});

test('a pipe or a character device is no target', async () => {
  const pair = pairIn(scratchFolder(), 10);
  execFileSync('mkfifo', [pair.target]);
  for (const target of [pair.target, '/dev/null']) {
    const error = await failureOf(copyNow({ source: pair.source, target, overwrite: true }));
    expectClear(error, { code: 'E_TARGET_KIND', exitCode: 2, names: target, says: /Nothing was changed/ });
  }
  expect(leftIn(pair.folder)).toEqual([]);
});

test('a read-only file system is named, and the partial is used once it can be written', async (context) => {
  const mount = await mounted(context, 'tmpfs', 32);
  const pair = pairIn(mount.folder, SIZE);
  await mount.remount('ro');
  const fresh = await failureOf(copyNow(pair));
  expectClear(fresh, { code: 'E_TARGET_ACCESS', exitCode: 2, names: pair.target.slice(-10, -4), says: /writable/ });
  await mount.remount('rw');
  await partialCopy(pair);
  await mount.remount('ro');
  expectClear(await failureOf(copyNow(pair)), { code: 'E_TARGET_ACCESS', exitCode: 2, names: mount.folder });
  await mount.remount('rw');
  const done = await copyNow(pair);
  expect(done.bytesReused).toBeGreaterThanOrEqual(2 * MiB);
  expectDone(pair);
});

test('a user without rights is told which file or folder it is about', async (context) => {
  needRoot(context);
  const through = AS_NOBODY;
  const pair = pairIn(scratchFolder(), 10);
  execFileSync('chmod', ['755', pair.folder, join(pair.source, '..')]);
  const denied = await startCopy(pair, { through }).ended;
  expect(denied).toMatchObject({ exitCode: 2, error: { code: 'E_TARGET_ACCESS' } });
  expect(denied.error?.message).toContain(pair.folder);
  execFileSync('chmod', ['600', pair.source]);
  execFileSync('chmod', ['777', pair.folder]);
  const unreadable = await startCopy(pair, { through }).ended;
  expect(unreadable).toMatchObject({ exitCode: 2, error: { code: 'E_SOURCE_ACCESS' } });
  expect(unreadable.error?.message).toContain(pair.source);
  execFileSync('chmod', ['644', pair.source]);
  expect(await startCopy(pair, { through }).ended).toMatchObject({ exitCode: 0 });
  expectDone(pair);
});

test('a folder that is removed while a copy runs into it is an error, and the copy can be made anew', async () => {
  const folder = join(scratchFolder(), 'target-folder');
  mkdirSync(folder);
  const pair = pairIn(folder, SIZE);
  const ended = await disturbedCopy(pair, () => rmSync(folder, { recursive: true }));
  expectClear(ended, {
    code: 'E_TARGET_CHANGED',
    exitCode: 3,
    names: pair.part,
    says: /Nothing was put under the name/,
  });
  expect(existsSync(folder)).toBe(false);
  mkdirSync(folder);
  await copyNow(pair);
  expectDone(pair);
});

test('a folder that is moved while a copy runs into it keeps the partial copy, which goes on there', async () => {
  const outer = scratchFolder();
  const folder = join(outer, 'before');
  mkdirSync(folder);
  const pair = pairIn(folder, SIZE);
  const ended = await disturbedCopy(pair, () => renameSync(folder, join(outer, 'after')));
  expectClear(ended, { code: 'E_TARGET_CHANGED', exitCode: 3, names: pair.part });
  const moved = { ...pair, folder: join(outer, 'after'), target: join(outer, 'after', 'target.img') };
  const done = await copyNow(moved);
  expect(done).toMatchObject({ bytesReused: SIZE, bytesCopied: 0 });
  expectDone(moved);
});

test('a part that is replaced while it is written is never published', async () => {
  const pair = pairIn(scratchFolder(), SIZE);
  const ended = await disturbedCopy(pair, () => {
    rmSync(pair.part);
    writeFileSync(pair.part, 'somebody else');
  });
  expectClear(ended, { code: 'E_TARGET_CHANGED', exitCode: 3, names: pair.part });
  expect(existsSync(pair.target)).toBe(false);
  await copyNow({ ...pair, discard: true });
  expectDone(pair);
});

test('a target that is a folder gets the file under its own name', async () => {
  const pair = pairIn(scratchFolder(), 10);
  const done = await copyNow({ ...pair, target: pair.folder });
  expect(done.target).toBe(join(pair.folder, 'source.img'));
  expectSame(pair.source, join(pair.folder, 'source.img'));
  expect(leftIn(pair.folder)).toEqual([]);
});
