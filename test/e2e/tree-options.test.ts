import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { MiB } from '../../src/core/units.js';
import type { PlannedFile } from '../../src/index.js';
import { bytesOf, failureOf } from '../support/copying.js';
import {
  copyTreeNow,
  copyTreeTold,
  expectSameTree,
  listing,
  SAMPLE,
  treeFolders,
  troubles,
  writeTree,
} from '../support/trees.js';
import { blockferry, eventsOf } from './command.js';

const FOREST = {
  'a.txt': 'a',
  'a.tmp': 'a',
  '.hidden.txt': 'h',
  'logs/one.log': '1',
  'logs/deep/two.log': '2',
  'logs/keep.txt': 'k',
  'docs/b.txt': 'b',
  'docs/img/c.png': 'c',
  'docs/img/d.txt': 'd',
  'hollow/': '',
};

const EVERYTHING = Object.keys(FOREST).filter((path) => !path.endsWith('/'));

test.for([
  { options: { exclude: ['*.tmp'] }, left: ['a.tmp'], folders: 5 },
  { options: { exclude: ['logs'] }, left: ['logs/one.log', 'logs/deep/two.log', 'logs/keep.txt'], folders: 3 },
  { options: { exclude: ['logs/'] }, left: ['logs/one.log', 'logs/deep/two.log', 'logs/keep.txt'], folders: 3 },
  { options: { exclude: ['logs/*.log'] }, left: ['logs/one.log'], folders: 5 },
  { options: { exclude: ['logs/**/*.log'] }, left: ['logs/one.log', 'logs/deep/two.log'], folders: 5 },
  { options: { exclude: ['/a.txt'] }, left: ['a.txt'], folders: 5 },
  { options: { exclude: ['/b.txt'] }, left: [], folders: 5 },
  { options: { exclude: ['*'] }, left: EVERYTHING, folders: 0 },
  { options: { exclude: ['!*.txt'] }, left: [], folders: 5 },
])('--exclude leaves out what matches, with all below it: $options.exclude', async ({ options, left, folders }) => {
  const { source, target } = treeFolders();
  writeTree(source, FOREST);
  const result = await copyTreeNow({ sources: [`${source}/`], target, ...options });
  expect(filesIn(target)).toEqual(EVERYTHING.filter((path) => !(left as readonly string[]).includes(path)).sort());
  expect(result).toMatchObject({ folders, failures: [] });
});

test.for([
  { options: { include: ['*.txt'] }, meant: /\.txt$/, folders: 3 },
  { options: { include: ['docs'] }, meant: /^docs/, folders: 2 },
  { options: { include: ['docs/**'] }, meant: /^docs/, folders: 2 },
  { options: { include: ['docs/*.txt'] }, meant: /^docs\/b.txt$/, folders: 1 },
  { options: { include: ['*.{log,png}'] }, meant: /(log|png)$/, folders: 4 },
  { options: { include: ['docs'], exclude: ['img'] }, meant: /^docs\/b.txt$/, folders: 1 },
  {
    options: { include: ['*.txt', '*.log'], exclude: ['deep', 'docs/**'] },
    meant: /^([^/]*txt|logs\/[^/]*)$/,
    folders: 1,
  },
  { options: { include: ['nothing'] }, meant: /^$/, folders: 0 },
])(
  '--include copies only what matches, or lies in a folder that does: $options',
  async ({ options, meant, folders }) => {
    const { source, target } = treeFolders();
    writeTree(source, FOREST);
    const result = await copyTreeNow({ sources: [`${source}/`], target, ...options });
    expect(filesIn(target)).toEqual(EVERYTHING.filter((path) => meant.test(path)).sort());
    expect(result).toMatchObject({ folders, failures: [] });
  },
);

function filesIn(root: string): string[] {
  const entries = Object.entries(listing(root));
  return entries
    .filter(([, { kind }]) => kind === 'file')
    .map(([path]) => path)
    .sort();
}

test('a pattern is a path below each source, whatever the source is called in the target', async () => {
  const { source, target } = treeFolders();
  writeTree(source, FOREST);
  await copyTreeNow({ sources: [source], target, include: ['docs/b.txt'] });
  expect(filesIn(target)).toEqual(['source/docs/b.txt']);
});

test('an --include that nothing matches is told, and those that something matches are not', async () => {
  const { source, target } = treeFolders();
  writeTree(source, FOREST);
  const { events } = await copyTreeTold({ sources: [`${source}/`], target, include: ['docs', 'b.txt', '['] });
  const told = events.filter((event) => event.type === 'note' && event.message.startsWith('--include'));
  expect(told).toEqual([expect.objectContaining({ message: '--include [: nothing in the source matches it' })]);
});

test('an empty pattern is refused', async () => {
  const { source, target } = treeFolders();
  for (const pattern of ['', '/', '///']) {
    const error = await failureOf(() => copyTreeNow({ sources: [source], target, exclude: [pattern] }));
    expect(error).toMatchObject({ code: 'E_USAGE', exitCode: 2 });
  }
});

/** Files of each kind: new, finished, changed, in the way; and a special one. */
async function halfDone() {
  const folders = treeFolders();
  const { source, target } = folders;
  writeTree(source, { ...SAMPLE, 'large.img': bytesOf(9 * MiB, 'large') });
  await copyTreeNow({ sources: [`${source}/`], target });
  writeTree(source, {
    'new/file': 'new',
    'new/link': '->file',
    theirs: 'ours',
    'new-large.img': bytesOf(9 * MiB, 'n'),
  });
  writeFileSync(join(target, 'theirs'), 'theirs');
  appendFileSync(join(source, 'one.txt'), 'more');
  execFileSync('mkfifo', [join(source, 'pipe')]);
  return folders;
}

test.for([false, true])('--dry-run says what would be done and changes nothing (overwrite: %s)', async (overwrite) => {
  const { folder, source, target } = await halfDone();
  const before = listing(folder, { times: true });
  const planned: PlannedFile[] = [];
  const onPlanned = (files: readonly PlannedFile[]): void => void planned.push(...files);
  const options = { sources: [`${source}/`], target, overwrite };
  const result = await copyTreeNow({ ...options, dryRun: true, onPlanned });
  expect(listing(folder, { times: true })).toEqual(before);
  const actions = Object.fromEntries(planned.map(({ path, action, size }) => [path, `${action} ${size}`]));
  expect(actions).toEqual({
    empty: 'skip 0',
    'large.img': `skip ${9 * MiB}`,
    'new-large.img': `copy ${9 * MiB}`,
    'new/file': 'copy 3',
    'new/link': 'link 0',
    ...(overwrite && { 'one.txt': 'replace 7', theirs: 'replace 4' }),
    'sub/deep/three.txt': 'skip 17',
    'sub/link': 'skip 0',
    'sub/two.txt': 'skip 7',
  });
  const refusals = overwrite ? {} : { 'one.txt': 'refused E_TARGET_EXISTS', theirs: 'refused E_TARGET_EXISTS' };
  expect(troubles(result)).toEqual({ [join(source, 'pipe')]: 'refused E_SOURCE_KIND', ...refusals });
  // And that is what is done then.
  const { files, links, skipped, refused, bytesCopied } = await copyTreeNow(options);
  expect({ files, links, skipped, refused, bytesCopied }).toMatchObject({
    ...{ files: result.files, links: result.links, skipped: result.skipped },
    ...{ refused: result.refused, bytesCopied: result.bytesCopied },
  });
});

test('--dry-run into a folder that does not exist makes no folder, no journal and no state folder', async () => {
  const { folder, source, target } = treeFolders();
  writeTree(source, SAMPLE);
  const before = listing(folder, { times: true });
  const result = await copyTreeNow({ sources: [source], target, dryRun: true });
  expect(result).toMatchObject({ files: 4, links: 1, bytesCopied: 27, dryRun: true, failures: [] });
  const missing = await failureOf(copyTreeNow({ sources: [source], target: join(target, 'deeper'), dryRun: true }));
  expect(missing).toMatchObject({ code: 'E_TARGET_FOLDER', exitCode: 2 });
  expect(listing(folder, { times: true })).toEqual(before);
});

test('--dry-run of a single file knows a target that is its name, as the copy does', async () => {
  const { folder, source } = treeFolders();
  writeTree(folder, { 'disk.img': 'disk', 'old.img': 'old', 'there/': '' });
  const before = listing(folder, { times: true });
  const plan = async (...args: readonly string[]): Promise<string> => {
    const { out, err } = await blockferry(folder, 'copy', '--dry-run', ...args).ended;
    return out + err;
  };
  expect(await plan('disk.img', 'new.img')).toMatch(/^copy +4 B {2}new\.img$/m);
  expect(await plan('disk.img', 'there')).toMatch(/^copy +4 B {2}disk\.img$/m);
  expect(await plan('disk.img', 'old.img')).toMatch(/old\.img exists already/);
  expect(await plan('--overwrite', 'disk.img', 'old.img')).toMatch(/^replace +4 B {2}old\.img$/m);
  expect(await plan('disk.img', './disk.img')).toMatch(/copied onto itself/);
  expect(listing(folder, { times: true })).toEqual(before);
  expect(source).toContain(folder);
});

test('the command prints the plan with sizes, and says that nothing was changed', async () => {
  const { folder, source, target } = await halfDone();
  const ended = await blockferry(folder, 'copy', '-r', '--dry-run', `${source}/`, target).ended;
  expect(ended.exitCode).toBe(2);
  expect(ended.out).toMatch(/^copy +9\.00 MiB {2}new-large\.img$/m);
  expect(ended.out).toMatch(/^link +0 B {2}new\/link$/m);
  expect(ended.out).toContain('nothing was changed (--dry-run)');
});

test('the command copies a tree, tells what it did, and ends with the gravest exit code', async () => {
  const { folder, source, target } = treeFolders();
  writeTree(source, { ...SAMPLE, 'line\nbreak': 'x' });
  mkdirSync(target);
  const first = await blockferry(folder, 'copy', '-r', source, target).ended;
  expect(first).toMatchObject({ exitCode: 0, out: expect.stringMatching(/^5 files copied to /) });
  expect(first.out).toMatch(/4 folders made; 1 link copied as a link/);
  expectSameTree(source, join(target, 'source'));
  writeFileSync(join(target, 'source/one.txt'), 'changed');
  const again = await blockferry(folder, 'copy', '-r', '--json', source, target).ended;
  expect(again.exitCode).toBe(2);
  const lines = again.out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(lines.at(-1)).toMatchObject({ type: 'result', files: 0, skipped: 5, refused: 1 });
  expect(lines).toContainEqual(expect.objectContaining({ type: 'file', state: 'refused', path: 'source/one.txt' }));
  const url = await blockferry(folder, 'copy', '-r', 'http://127.0.0.1:1/x', target).ended;
  expect(url).toMatchObject({ exitCode: 2, err: expect.stringContaining('127.0.0.1') });
});

test('--dry-run of a single file takes what its copy takes, and each line for programs says when', async () => {
  const { folder } = treeFolders();
  writeTree(folder, { disk: 'disk' });
  const planned = blockferry(folder, 'copy', '--dry-run', '--json', '--checksum', 'sha256', '--explain', 'disk', 'new');
  const { exitCode, out } = await planned.ended;
  expect(exitCode).toBe(0);
  const lines = eventsOf(out) as { readonly type: string; readonly at?: number; readonly reason?: string }[];
  expect(lines.map(({ type }) => type)).toContain('planned');
  expect(lines.every(({ at }) => typeof at === 'number')).toBe(true);
  expect(lines.findLast(({ type }) => type === 'state')?.reason).toBe('looked at; nothing was changed');
});
