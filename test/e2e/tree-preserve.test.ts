import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, lchownSync, lstatSync, lutimesSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { applyAttributes, readAttributes } from '../../src/platform/attributes.js';
import { realFiles } from '../../src/platform/file-layer.js';
import { libc } from '../../src/platform/libc.js';
import { bytesOf } from '../support/copying.js';
import { copyTreeNow, copyTreeTold, listing, SAMPLE, treeFolders, writeTree } from '../support/trees.js';
import { MAIN, start } from './command.js';

const root = process.getuid?.() === 0;

/** What --preserve keeps, by path; times to the nanosecond. */
function attributesOf(folder: string): Record<string, string> {
  const entries = Object.keys(listing(folder)).map((path) => {
    const { mode, uid, gid, mtimeNs } = lstatSync(join(folder, path), { bigint: true });
    return [path, `${mode.toString(8)} ${uid}:${gid} ${mtimeNs}`] as const;
  });
  return Object.fromEntries(entries);
}

/** Times that no clock would give, to the nanosecond where that can be asked for. */
function age(path: string, seconds: number): void {
  execFileSync('touch', ['-h', '-d', `@${seconds}.123456789`, path]);
}

function writeAged(source: string): void {
  writeTree(source, { ...SAMPLE, script: '#!/bin/sh', 'sub/suid': 's', 'locked/file': 'f' });
  chmodSync(join(source, 'script'), 0o705);
  chmodSync(join(source, 'sub/suid'), 0o4755);
  chmodSync(join(source, 'hollow'), 0o2775);
  chmodSync(join(source, 'sub'), 0o1777);
  if (root) {
    chownSync(join(source, 'one.txt'), 1234, 4321);
    chownSync(join(source, 'hollow'), 1234, 4321);
    chmodSync(join(source, 'hollow'), 0o2775);
    lchownSync(join(source, 'sub/link'), 1234, 4321);
  }
  chmodSync(join(source, 'locked/file'), 0o444);
  // The deepest first, since a folder's time changes with what is in it.
  const paths = Object.keys(listing(source)).sort().reverse();
  for (const [at, path] of paths.entries()) age(join(source, path), 1_000_000_000 + at * 1000);
  chmodSync(join(source, 'locked'), 0o555);
  age(join(source, 'locked'), 900_000_000);
  age(source, 800_000_000);
}

test('--preserve keeps modes, owners and times of files, folders and links', async (context) => {
  context.skip(libc() === undefined, 'times to the nanosecond take koffi');
  const { source, target } = treeFolders();
  writeAged(source);
  const expected = attributesOf(source);
  expect(expected['one.txt']).toMatch(/123456789$/);
  expect(await copyTreeNow({ sources: [source], target, preserve: true })).toMatchObject({ failures: [] });
  expect(attributesOf(join(target, 'source'))).toEqual(expected);
  // A file whose time is preserved is known by it.
  expect(await copyTreeNow({ sources: [source], target, preserve: true })).toMatchObject({ files: 0, skipped: 8 });
  expect(attributesOf(join(target, 'source'))).toEqual(expected);
});

test('of a folder whose contents are copied, the target gets the attributes', async (context) => {
  context.skip(libc() === undefined, 'times to the nanosecond take koffi');
  const { source, target } = treeFolders();
  writeAged(source);
  await copyTreeNow({ sources: [`${source}/`], target, preserve: true });
  expect(attributesOf(target)).toEqual(attributesOf(source));
});

test('without --preserve neither times nor owners nor special bits are kept', async () => {
  const { source, target } = treeFolders();
  writeAged(source);
  await copyTreeNow({ sources: [`${source}/`], target });
  const stats = Object.keys(listing(target)).map((path) => lstatSync(join(target, path)));
  for (const stat of stats) {
    expect(stat.mtimeMs).toBeGreaterThan(1.5e12);
    expect(stat.uid).toBe(process.getuid?.());
    expect(stat.mode & 0o7000).toBe(0);
  }
});

test('extended attributes and access lists are kept by --preserve, of files and of folders', async (context) => {
  const { source, target } = treeFolders();
  writeTree(source, { file: 'f', 'sub/inner': 'i' });
  const native = libc();
  context.skip(native === undefined, 'they take koffi');
  // u::rw- u:1234:r-- g::r-- m::r-- o::--- (acl(5), the kernel's form, version 2).
  const entry = (tag: number, perm: number, id = 0xffffffff): Buffer => {
    const bytes = Buffer.alloc(8);
    bytes.writeUInt16LE(tag, 0);
    bytes.writeUInt16LE(perm, 2);
    bytes.writeUInt32LE(id, 4);
    return bytes;
  };
  const list = Buffer.concat([
    ...[Buffer.from([2, 0, 0, 0]), entry(1, 6), entry(2, 4, 1234), entry(4, 4), entry(16, 4), entry(32, 0)],
  ]);
  const set = (path: string, extended: readonly (readonly [string, Buffer])[]): readonly string[] => {
    const fd = realFiles.openSync(path, 'r');
    try {
      return applyAttributes(fd, { ...readAttributes(fd), extended });
    } finally {
      realFiles.closeSync(fd);
    }
  };
  const given = [
    ['user.note', Buffer.from('kept')],
    ['system.posix_acl_access', list],
  ] as const;
  const notKept = [...set(join(source, 'file'), given), ...set(join(source, 'sub'), given)];
  context.skip(notKept.length > 0, 'this file system has none');
  await copyTreeNow({ sources: [`${source}/`], target, preserve: true });
  const extendedOf = (path: string): unknown => {
    const fd = realFiles.openSync(path, 'r');
    try {
      return readAttributes(fd)
        .extended?.map(([name, value]) => `${name}=${Buffer.from(value).toString('hex')}`)
        .sort();
    } finally {
      realFiles.closeSync(fd);
    }
  };
  for (const name of ['file', 'sub']) {
    expect(extendedOf(join(target, name))).toEqual(extendedOf(join(source, name)));
    expect(JSON.stringify(extendedOf(join(target, name)))).toContain('user.note=6b657074');
  }
});

test('what a user may not keep is no failure, and special bits of another owner are dropped', async (context) => {
  context.skip(!root, 'only root can become another user');
  const { folder, source, target, state } = treeFolders();
  writeAged(source);
  writeFileSync(join(source, 'theirs'), 't');
  chownSync(join(source, 'theirs'), 1234, 4321);
  chmodSync(join(source, 'theirs'), 0o6755);
  chmodSync(folder, 0o777);
  const user = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups', process.execPath, MAIN];
  const ended = await start(folder, [...user, 'copy', '-r', '--preserve', `${source}/`, target]).ended;
  expect(ended).toMatchObject({ exitCode: 0 });
  expect(listing(target)).toMatchObject({ theirs: { mode: '755' }, script: { mode: '705' } });
  expect(lstatSync(join(target, 'theirs')).uid).toBe(65534);
  expect(state).toContain(folder);
});

test('links to nowhere keep their times, and what they would lead to is not touched', async () => {
  const { folder, source, target } = treeFolders();
  writeFileSync(join(folder, 'outside'), 'o');
  lutimesSync(join(folder, 'outside'), 1e9, 1e9);
  symlinkSync('../outside', join(source, 'out'));
  symlinkSync('gone', join(source, 'nowhere'));
  for (const name of ['out', 'nowhere']) lutimesSync(join(source, name), 5e8, 5e8);
  const { result, events } = await copyTreeTold({ sources: [`${source}/`], target, preserve: true });
  expect(result).toMatchObject({ links: 2, failures: [] });
  if (libc()) expect(events.filter(({ type }) => type === 'note')).toEqual([]);
  for (const name of ['out', 'nowhere']) expect(lstatSync(join(target, name)).mtimeMs).toBe(5e11);
  expect(lstatSync(join(folder, 'outside')).mtimeMs).toBe(1e12);
});

test('large files keep their attributes too', async (context) => {
  context.skip(libc() === undefined, 'times to the nanosecond take koffi');
  const { source, target } = treeFolders();
  writeFileSync(join(source, 'large.img'), bytesOf(9 * MiB, 'large'));
  chmodSync(join(source, 'large.img'), 0o640);
  if (root) chownSync(join(source, 'large.img'), 1234, 4321);
  age(join(source, 'large.img'), 1_000_000_000);
  await copyTreeNow({ sources: [`${source}/`], target, preserve: true });
  expect(attributesOf(target)['large.img']).toBe(attributesOf(source)['large.img']);
  expect(await copyTreeNow({ sources: [`${source}/`], target, preserve: true })).toMatchObject({
    files: 0,
    skipped: 1,
  });
});
