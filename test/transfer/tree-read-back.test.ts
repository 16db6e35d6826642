import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { DirectReader } from '../../src/platform/direct-io.js';
import { bytesOf } from '../support/copying.js';
import { inlineTree } from '../support/inline-tree.js';
import { copyTreeNow, expectSameTree, treeFolders, writeTree } from '../support/trees.js';

afterEach(() => vi.restoreAllMocks());

async function notesOf(source: string, target: string): Promise<string[]> {
  const copy = inlineTree({ sources: [`${source}/`], target, readBack: true });
  const done = copy.run();
  const notes: string[] = [];
  for await (const event of copy.events) if (event.type === 'note') notes.push(event.message);
  await done;
  return notes;
}

test('--read-back says once when the storage refuses reads past the cache; small files are copied still', async () => {
  const { source, target } = treeFolders();
  writeTree(source, { 'a/one': 'first', 'b/two': 'second' });
  vi.spyOn(DirectReader, 'open').mockReturnValue(undefined);
  const unread = 'the target cannot be read past the cache here: small files were not read back';
  expect(await notesOf(source, target)).toEqual([unread]);
  expectSameTree(source, target);
});

test('--read-back of small files has nothing to say where the storage answers', async () => {
  const { source, target } = treeFolders();
  writeTree(source, { 'a/one': 'first', 'b/two': 'second' });
  expect(await notesOf(source, target)).toEqual([]);
});

test('the result and the manifest of a tree tell which files were read back, by whichever run', async () => {
  const { folder, source, target } = treeFolders();
  writeTree(source, { small: 'small', empty: '', large: bytesOf(9 * MiB, 'large') });
  const asked = { sources: [`${source}/`], target, manifest: join(folder, 'manifest') };
  expect(await copyTreeNow({ ...asked, readBack: true })).toMatchObject({ files: 3, proof: 'read-back' });
  writeTree(source, { later: 'later' });
  expect(await copyTreeNow(asked)).toMatchObject({ files: 1, skipped: 3, proof: 'written' });
  const lines = readFileSync(asked.manifest, 'utf8').trimEnd().split('\n');
  const proofs = lines.map((line) => JSON.parse(line)).flatMap(({ path, proof }) => (path ? [[path, proof]] : []));
  expect(Object.fromEntries(proofs)).toEqual({
    ...{ small: 'read-back', empty: 'read-back', large: 'read-back' },
    later: 'written',
  });
});
