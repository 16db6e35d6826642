import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import type { FileGroup, Listing, SourceTree } from '../../../src/core/tree.js';
import { Filter } from '../../../src/tree/filter.js';
import { Walk } from '../../../src/tree/walk.js';

const packed = (names: readonly string[]): Uint8Array => Buffer.from(names.map((name) => `${name}\0`).join(''));
const NONE = packed([]);

function source(targetName: string, fileName?: string): SourceTree {
  const ref = { scheme: 'file', fd: 3, name: 'source', path: '/source' };
  return { ref, targetName, ...(fileName !== undefined && { fileName }) };
}

/** A walk through folders that are told by their files, links and folders. */
function walkOf(
  folders: Readonly<Record<string, Partial<Record<keyof Listing, readonly string[]>>>>,
  { filter = new Filter(), sources = [source('')] } = {},
): Walk {
  return new Walk({
    sources,
    filter,
    list: async (_, path) => {
      const found = folders[path];
      if (!found) throw new Error(`no folder ${path}`);
      const { files = [], links = [], folders: below = [], specials = [] } = found;
      return { files: packed(files), links: packed(links), folders: packed(below), specials: packed(specials) };
    },
    onSpecial: () => undefined,
    onFailure: () => undefined,
  });
}

async function groupsOf(walk: Walk): Promise<FileGroup[][]> {
  const batches: FileGroup[][] = [];
  for await (const batch of walk.batches()) batches.push(batch);
  return batches;
}

const numbered = (count: number, what: string): string[] => Array.from({ length: count }, (_, n) => `${what}-${n}`);

test('a large folder is handed out in batches, and small ones share a batch', async () => {
  const small = Object.fromEntries(numbered(200, 'sub').map((name) => [name, { files: ['one'] }]));
  const walk = walkOf({ '': { files: numbered(1000, 'file'), folders: Object.keys(small) }, ...small });
  const batches = await groupsOf(walk);
  const sizes = batches.map((batch) => batch.reduce((sum, { files }) => sum + files.length, 0));
  expect(sizes.slice(0, 3)).toEqual([256, 256, 256]);
  expect(Math.max(...batches.map((batch) => batch.length))).toBeLessThanOrEqual(64);
  expect(walk.files).toBe(1200);
  expect(walk.ended).toBe(true);
  expect(batches.length).toBeLessThan(10);
});

test('a folder with more folders in it than a call has room for arguments is walked too', async () => {
  const names = numbered(200_000, 'sub');
  const walk = new Walk({
    sources: [source('')],
    filter: new Filter(),
    list: async (_, path) => ({
      ...{ files: NONE, links: NONE, specials: NONE },
      folders: path === '' ? packed(names) : NONE,
    }),
    onSpecial: () => undefined,
    onFailure: () => undefined,
  });
  let groups = 0;
  for await (const batch of walk.batches()) groups += batch.length;
  expect(groups).toBe(names.length);
});

test('of the folders in a folder no more is kept than their names, packed', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const names = numbered(200_000, 'a folder with a name as long as those that people give');
  const root = packed(names);
  names.length = 0;
  const list = async (_: SourceTree, path: string): Promise<Listing> => {
    return { files: NONE, links: NONE, specials: NONE, folders: path === '' ? root : NONE };
  };
  const walk = new Walk({
    ...{ sources: [source('')], filter: new Filter(), list },
    ...{ onSpecial: () => undefined, onFailure: () => undefined },
  });
  collect();
  const before = process.memoryUsage().heapUsed;
  const batches = walk.batches();
  for (let batch = 0; batch < 10; batch++) await batches.next();
  collect();
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(5_000_000);
  await batches.return(undefined);
});

test('empty folders are handed out, so that they are made, unless only some files are meant', async () => {
  const folders = { '': { folders: ['hollow'] }, hollow: {} };
  expect((await groupsOf(walkOf(folders))).flat().map(({ targetFolder }) => targetFolder)).toEqual(['hollow']);
  expect(await groupsOf(walkOf(folders, { filter: new Filter(['x']) }))).toEqual([]);
});

test('the deepest folders come first on the way up, and each once', async () => {
  const walk = walkOf({ '': { folders: ['a', 'b'] }, a: { folders: ['c'] }, 'a/c': {}, b: {} });
  const order: string[] = [];
  for await (const { sourceFolder } of walk.foldersUpwards()) order.push(sourceFolder);
  expect(order).toEqual(['a/c', 'a', 'b', '']);
});

test('a folder that cannot be listed is told, and the others are walked', async () => {
  const failed: string[] = [];
  const walk = new Walk({
    sources: [source('name')],
    filter: new Filter(),
    list: async (_, path) => {
      if (path === 'closed') throw new Error('closed');
      const folders = path === '' ? packed(['closed', 'open']) : NONE;
      return { files: packed(['f']), links: NONE, folders, specials: NONE };
    },
    onSpecial: () => undefined,
    onFailure: (_, path) => failed.push(path),
  });
  const groups = (await groupsOf(walk)).flat();
  expect(groups.map(({ targetFolder }) => targetFolder).sort()).toEqual(['name', 'name/open']);
  expect(failed).toEqual(['closed']);
});
