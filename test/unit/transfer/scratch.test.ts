import {
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { type FileLayer, realFiles } from '../../../src/platform/file-layer.js';
import { clearScratch, lookAtPlace, openScratch } from '../../../src/transfer/measure/scratch.js';

const LEFT = '.blockferry-bench-0123456789abcdef';
const FULL = ['copy', 'lock', 'scratch'];

function place(): { folder: string; theirs: string } {
  const root = mkdtempSync(join(tmpdir(), 'blockferry-scratch-'));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  const [folder, theirs] = [join(root, 'place'), join(root, 'theirs')];
  mkdirSync(folder);
  mkdirSync(theirs, { mode: 0o700 });
  for (const name of FULL) writeFileSync(join(theirs, name), 'theirs', { mode: 0o600 });
  return { folder, theirs };
}

/** The real files, but the first opening of a scratch folder finds what `swap` made of it. */
function swappedAtOpen(swap: (path: string) => void): FileLayer {
  let swapped = false;
  const openSync: FileLayer['openSync'] = (path, flags, mode) => {
    if (!swapped && /\.blockferry-bench-[0-9a-f]{16}$/.test(String(path))) {
      swapped = true;
      swap(String(path));
    }
    return realFiles.openSync(path, flags, mode);
  };
  return { ...realFiles, openSync };
}

test.each(['a folder', 'a link'])('%s that takes the place of new scratch is not used', async (what) => {
  const { folder, theirs } = place();
  let taken = '';
  const files = swappedAtOpen((path) => {
    taken = path;
    renameSync(path, join(folder, 'moved'));
    if (what === 'a link') symlinkSync(theirs, path);
    else renameSync(theirs, path);
  });
  const scratch = await openScratch(files, folder);
  expect(scratch.path).not.toBe(taken);
  expect(clearScratch(files, scratch, 'all')).toBe(true);
  expect(readdirSync(taken).sort()).toEqual(FULL);
});

test('an empty folder of somebody else in the place of new scratch is not used', async (context) => {
  context.skip(process.getuid?.() !== 0, 'only root gives folders away');
  const { folder } = place();
  let taken = '';
  const files = swappedAtOpen((path) => {
    taken = path;
    chownSync(path, 65534, 65534);
  });
  const scratch = await openScratch(files, folder);
  expect(scratch.path).not.toBe(taken);
  expect(readdirSync(taken)).toEqual([]);
  clearScratch(files, scratch, 'all');
});

test('a leftover that a link takes the place of is left alone', async () => {
  const { folder, theirs } = place();
  mkdirSync(join(folder, LEFT), { mode: 0o700 });
  const files = swappedAtOpen((path) => {
    rmdirSync(path);
    symlinkSync(theirs, path);
  });
  expect(await lookAtPlace(files, folder)).toMatchObject({ removed: 0 });
  expect(readdirSync(theirs).sort()).toEqual(FULL);
  expect(readdirSync(folder)).toEqual([LEFT]);
});

test.each([
  ['that somebody else removed is not counted', 0],
  ['without anything in it is removed and counted', 1],
])('a leftover %s', async (_, removed) => {
  const { folder } = place();
  mkdirSync(join(folder, LEFT), { mode: 0o700 });
  const files = removed ? realFiles : swappedAtOpen(rmdirSync);
  expect(await lookAtPlace(files, folder)).toMatchObject({ removed });
  expect(readdirSync(folder)).toEqual([]);
});
