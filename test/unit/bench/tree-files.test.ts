/** The bench's own comparison of trees finds whatever is wrong with a copy. */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { assertSameTree, makeTree, TREE_FILE_BYTES } from '../../../bench/tree-files.js';

const FILES = 250;
const never = new AbortController().signal;
let folder = '';
let [source, target, inside] = ['', '', ''];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'blockferry-bench-tree-'));
  [source, target] = [join(folder, 'source'), join(folder, 'target')];
  await makeTree(source, FILES, never);
  execFileSync('cp', ['-r', source, target]);
  inside = join(target, 'part 0', 'folder-1');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test('a tree has as many files as were asked for, of one size, with several modes', () => {
  const files = readdirSync(source, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  expect(files.length).toBe(FILES);
  expect(files.some((entry) => entry.name.includes('ö'))).toBe(true);
});

test('a copy that is the same passes', async () => {
  await assertSameTree(source, target, never);
});

test.each<[string, () => void, RegExp]>([
  ['a missing file', () => unlinkSync(join(inside, 'file-7.bin')), /file-7.bin: one of them is not there/],
  ['a file too many', () => writeFileSync(join(inside, '.left-behind'), ''), /left-behind: one of them is not there/],
  ['other bytes', () => writeFileSync(join(inside, 'file-7.bin'), Buffer.alloc(TREE_FILE_BYTES)), /its bytes differ/],
  ['a shorter file', () => writeFileSync(join(inside, 'file-7.bin'), ''), /its bytes differ/],
  ['another mode', () => chmodSync(join(inside, 'file-7.bin'), 0o400), /mode are 100400, expected 100600/],
  [
    'a link to the right bytes',
    () => {
      unlinkSync(join(inside, 'file-7.bin'));
      symlinkSync(join(source, 'part 0', 'folder-1', 'file-7.bin'), join(inside, 'file-7.bin'));
    },
    /its kind and mode/,
  ],
])('%s is found', async (_, harm, message) => {
  harm();
  await expect(assertSameTree(source, target, never)).rejects.toThrow(message);
});
