import { afterEach, expect, test, vi } from 'vitest';
import { DirectReader } from '../../src/platform/direct-io.js';
import { inlineTree } from '../support/inline-tree.js';
import { expectSameTree, treeFolders, writeTree } from '../support/trees.js';

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
