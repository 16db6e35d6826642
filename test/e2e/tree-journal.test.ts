import {
  appendFileSync,
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { copyTree } from '../../src/index.js';
import { decode, encode } from '../../src/journal/tree-record.js';
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
import { MAIN, start } from './command.js';

/** The one journal in the state folder. */
function journalIn(state: string): string {
  const names = readdirSync(join(state, 'trees'));
  expect(names).toHaveLength(1);
  return join(state, 'trees', names[0] as string);
}

/** A finished copy of the sample, and its journal. */
async function finished(options: { sync?: boolean } = {}) {
  const folders = treeFolders();
  writeTree(folders.source, { ...SAMPLE, 'large.img': bytesOf(9 * MiB, 'large') });
  const sources = [`${folders.source}/`];
  const { target } = folders;
  await copyTreeNow({ sources, target, ...options });
  return { ...folders, sources, journal: journalIn(folders.state) };
}

test('the journal of a tree is its user’s alone, and outside of the target', async () => {
  const { state, journal } = await finished();
  expect(statSync(journal).mode & 0o777).toBe(0o600);
  expect(statSync(join(state, 'trees')).mode & 0o777).toBe(0o700);
});

test('while a copy runs another one into the same folder is refused, by whatever name', async () => {
  const { folder, source, target } = treeFolders();
  writeTree(source, { 'large.img': bytesOf(16 * MiB, 'large') });
  const run = copyTree({ sources: [source], target, recursive: true, limitBytesPerSecond: 4 * MiB });
  let refused: unknown;
  for await (const event of run) {
    if (refused !== undefined || event.type !== 'progress' || event.bytesDone === 0) continue;
    const other = start(folder, [process.execPath, MAIN, 'copy', '-r', source, `${target}/../target/`]);
    refused = await other.ended;
    await run.setLimit(0);
  }
  expect(refused).toMatchObject({ exitCode: 2, err: expect.stringMatching(/in use by/) });
  expect(await run.result).toMatchObject({ files: 1, failures: [] });
});

test('a damaged record costs only itself: that file alone is refused, and --overwrite makes it right', async () => {
  const { source, target, sources, journal } = await finished();
  const text = readFileSync(journal, 'utf8');
  writeFileSync(journal, text.replace('"path":"one.txt","size":3', '"path":"one.txt","size":4'));
  const { result, events } = await copyTreeTold({ sources, target });
  expect(result).toMatchObject({ skipped: 5, refused: 1 });
  expect(troubles(result)).toEqual({ 'one.txt': 'refused E_TARGET_EXISTS' });
  expect(events).toContainEqual(expect.objectContaining({ type: 'note', message: expect.stringMatching(/1 damaged/) }));
  expect(await copyTreeNow({ sources, target, overwrite: true })).toMatchObject({ files: 1, skipped: 5, refused: 0 });
  expectSameTree(source, target);
});

test.for(['half a line', 'zeroes', 'half a line, then whole ones', 'bytes of any kind'] as const)(
  'a journal that ends in, or holds, %s is read all the same',
  async (what) => {
    const { source, target, sources, journal } = await finished();
    const begun = encode({ type: 'begin', batch: 'b', folders: ['sub'] });
    if (what === 'zeroes') appendFileSync(journal, Buffer.alloc(5000));
    else if (what === 'half a line') appendFileSync(journal, begun.slice(0, 20));
    else if (what === 'bytes of any kind') appendFileSync(journal, bytesOf(5000, 'any'));
    else appendFileSync(journal, `${begun.slice(0, 20)}\n${encode({ type: 'end', batch: 'b' })}`);
    writeTree(source, { new: 'new' });
    expect(await copyTreeNow({ sources, target })).toMatchObject({ files: 1, skipped: 6, refused: 0 });
    expect(await copyTreeNow({ sources, target })).toMatchObject({ files: 0, skipped: 7, refused: 0 });
    expectSameTree(source, target);
  },
);

test.for([
  { what: 'something else', text: 'dear diary,\ntoday\n', code: 'E_JOURNAL_DAMAGED' },
  { what: 'of a newer format', text: 'blockferry-tree 2\n{}\n', code: 'E_JOURNAL_VERSION' },
])('a journal that is $what is kept and refused; --discard begins a new one', async ({ text, code }) => {
  const { source, target, sources, journal } = await finished();
  writeFileSync(journal, text);
  const before = listing(target, { times: true });
  for (const dryRun of [false, true]) {
    const error = await failureOf(copyTreeNow({ sources, target, dryRun }));
    expect(error).toMatchObject({ code, exitCode: 5, hint: expect.stringContaining('--discard') });
  }
  expect(readFileSync(journal, 'utf8')).toBe(text);
  expect(listing(target, { times: true })).toEqual(before);
  const options = { sources, target, discard: true, overwrite: true };
  expect(await copyTreeNow(options)).toMatchObject({ files: 5, refused: 0 });
  expect(await copyTreeNow({ sources, target })).toMatchObject({ files: 0, skipped: 6, refused: 0 });
  expectSameTree(source, target);
});

test('the journal of an earlier run is not written to where it may belong to somebody else', async (context) => {
  context.skip(process.getuid?.() !== 0, 'only root can give it away');
  const { target, sources, journal } = await finished();
  chownSync(journal, 65534, 65534);
  expect(await failureOf(copyTreeNow({ sources, target }))).toMatchObject({ code: 'E_PART_UNSAFE', exitCode: 2 });
});

test('where no journal can be kept nothing is copied, and nothing is made', async () => {
  const { source, target, state } = treeFolders();
  writeTree(source, SAMPLE);
  writeFileSync(state, 'a file');
  const error = await failureOf(copyTreeNow({ sources: [source], target }));
  expect(error).toMatchObject({
    code: 'E_JOURNAL_WRITE',
    exitCode: 5,
    hint: expect.stringContaining('BLOCKFERRY_STATE'),
  });
  expect(existsSync(target)).toBe(false);
});

test('a state folder that this user may not write is told by its name', async (context) => {
  context.skip(process.getuid?.() !== 0, 'only root can become another user');
  const { folder, source, target, state } = treeFolders();
  writeTree(source, SAMPLE);
  mkdirSync(join(state, 'trees'), { recursive: true });
  mkdirSync(target);
  for (const path of [folder, target]) chmodSync(path, 0o777);
  const user = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups', process.execPath, MAIN];
  const ended = await start(folder, [...user, 'copy', '-r', source, target]).ended;
  expect(ended).toMatchObject({ exitCode: 5, err: expect.stringContaining(`${state}/trees`) });
  expect(ended.err).toContain('BLOCKFERRY_STATE');
  expect(readdirSync(target)).toEqual([]);
});

/** As after a start of the machine: what the last runs did not flush may be gone. */
function reboot(journal: string): void {
  const lines = readFileSync(journal, 'utf8').split('\n');
  const older = lines.map((line) => {
    const record = decode(line);
    return record && 'boot' in record ? encode({ ...record, boot: 'an earlier one' }).trimEnd() : line;
  });
  writeFileSync(journal, older.join('\n'));
}

/** Other bytes of the same size under the same version, as a power cut may leave them. */
function spoil(path: string): void {
  const { atime, mtime, size } = statSync(path);
  writeFileSync(path, Buffer.alloc(size, 1));
  utimesSync(path, atime, mtime);
}

/** Times that a test can put back. */
async function finishedAtWholeSeconds(sync: boolean) {
  const folders = treeFolders();
  const { source, target, state } = folders;
  writeTree(source, { one: 'one', two: 'two', 'large.img': bytesOf(9 * MiB, 'large') });
  for (const name of ['one', 'two', 'large.img']) utimesSync(join(source, name), 1e9, 1e9);
  const options = { sources: [`${source}/`], target, preserve: true };
  await copyTreeNow({ ...options, sync });
  return { ...folders, options, journal: journalIn(state) };
}

test('after a power cut what was finished with --no-sync is compared once; what differs is not skipped', async () => {
  const { source, target, options, journal } = await finishedAtWholeSeconds(false);
  reboot(journal);
  expect(await copyTreeNow(options)).toMatchObject({ files: 0, skipped: 3, refused: 0 });
  reboot(journal);
  spoil(join(target, 'one'));
  expect(await copyTreeNow(options)).toMatchObject({ files: 0, skipped: 3, refused: 0 });
  expect(await copyTreeNow({ ...options, sync: false, discard: true, overwrite: true })).toMatchObject({ files: 3 });
  reboot(journal);
  spoil(join(target, 'one'));
  const result = await copyTreeNow(options);
  expect(troubles(result)).toEqual({ one: 'refused E_TARGET_EXISTS' });
  expect(await copyTreeNow({ ...options, overwrite: true })).toMatchObject({ files: 1, skipped: 2, refused: 0 });
  expectSameTree(source, target);
});

test('a run that looked at some of the files only leaves the others as unsure as they were', async () => {
  const { target, options, journal } = await finishedAtWholeSeconds(false);
  reboot(journal);
  spoil(join(target, 'one'));
  expect(await copyTreeNow({ ...options, include: ['two'] })).toMatchObject({ files: 0, skipped: 1 });
  expect(troubles(await copyTreeNow(options))).toEqual({ one: 'refused E_TARGET_EXISTS' });
});

test('what was flushed, by that run or by a later one, is not compared again', async () => {
  for (const laterOnly of [false, true]) {
    const { target, options, journal } = await finishedAtWholeSeconds(!laterOnly);
    if (laterOnly) await copyTreeNow(options);
    reboot(journal);
    spoil(join(target, 'one'));
    expect(await copyTreeNow(options)).toMatchObject({ files: 0, skipped: 3, refused: 0 });
  }
});

test('a record may speak of a path of any length', async () => {
  const { source, target, sources, journal } = await finished();
  const folders = Array.from({ length: 64 }, (_, n) => `${'long/'.repeat(3000)}${n}`);
  appendFileSync(journal, `\n${encode({ type: 'begin', batch: 'b', folders })}`);
  expect(await copyTreeTold({ sources, target })).toMatchObject({ result: { skipped: 6, refused: 0 } });
  expectSameTree(source, target);
  const { events } = await copyTreeTold({ sources, target });
  expect(events.filter(({ type }) => type === 'note')).toEqual([]);
});
