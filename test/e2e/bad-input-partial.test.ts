import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chownSync,
  closeSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { copyLines, statusLines } from '../../src/cli/render/summary.js';
import { MiB } from '../../src/core/units.js';
import { copy, status } from '../../src/index.js';
import { needRoot } from '../support/copy-process.js';
import {
  CHUNK,
  copyNow,
  expectClear,
  expectDone,
  expectPartialOnly,
  failureOf,
  leftIn,
  type Pair,
  pairIn,
  partialCopy,
  patch,
  scratchFolder,
} from '../support/copying.js';

const SIZE = 8 * MiB;
let pair: Pair;
let claimedBytes: number;

beforeEach(async () => {
  pair = pairIn(scratchFolder(), SIZE);
  await partialCopy(pair);
  claimedBytes = (await status(pair.target)).partial?.bytesClaimed ?? 0;
  expect(claimedBytes).toBeGreaterThanOrEqual(8 * CHUNK);
});

test('exactly the chunks of a partial in which a bit flipped are sent again', async () => {
  const onRecord = [...readFileSync(pair.journal, 'utf8').matchAll(/ chunk (\d+) /g)].map(([, chunk]) => Number(chunk));
  const flipped = [0, 3, 6].map((at) => onRecord[at] as number);
  for (const chunk of flipped) {
    const at = chunk * CHUNK + chunk * 1000;
    const [byte] = readFileSync(pair.part).subarray(at, at + 1);
    patch(pair.part, at, Buffer.from([(byte as number) ^ 0x10]));
  }
  const run = copy({ ...pair, workers: 2 });
  const notes: string[] = [];
  for await (const event of run) if (event.type === 'note') notes.push(event.message);
  const done = await run.result;
  expect(done.bytesReused).toBe(claimedBytes - flipped.length * CHUNK);
  expect(done.bytesCopied).toBe(SIZE - done.bytesReused);
  // That a storage does not hold what it was given is told, and not just mended.
  expect(done.bytesMismatched).toBe(flipped.length * CHUNK);
  expect(notes).toEqual([expect.stringMatching(/^768 KiB on record were not what .* holds and were copied again/)]);
  expect(copyLines(done, true).join('\n')).toContain('768 KiB on record but not on the storage, copied again');
  expectDone(pair);
});

test('a partial that is complete but for flipped bits sends those chunks and nothing else', async () => {
  writeFileSync(pair.target, 'in the way');
  expect(await failureOf(copyNow(pair))).toMatchObject({ code: 'E_TARGET_EXISTS' });
  unlinkSync(pair.target);
  await partialCopy(pair, 6 * MiB);
  const { bytesClaimed } = (await status(pair.target)).partial as { bytesClaimed: number };
  patch(pair.part, 5, Buffer.from('flip'));
  const done = await copyNow(pair);
  expect(done).toMatchObject({ bytesReused: bytesClaimed - CHUNK, bytesCopied: SIZE - bytesClaimed + CHUNK });
  expectDone(pair);
});

test('a partial that was cut off keeps what is left of it', async () => {
  truncateSync(pair.part, 4 * CHUNK + 5);
  const left = readFileSync(pair.journal, 'utf8').match(/ chunk [0-3] /g) ?? [];
  expect(await copyNow(pair)).toMatchObject({ bytesReused: left.length * CHUNK });
  expectDone(pair);
});

test('a partial to which something was appended loses just that', async () => {
  appendFileSync(pair.part, 'x'.repeat(CHUNK));
  expect(await copyNow(pair)).toMatchObject({ bytesReused: claimedBytes });
  expectDone(pair);
});

test('a journal without its partial says so in a status, and begins afresh', async () => {
  rmSync(pair.part);
  const seen = await status(pair.target);
  expect(seen).toMatchObject({ exists: false, half: 'journal', partial: { bytesClaimed: claimedBytes } });
  expect(statusLines(seen, 'gone')).toContain('  its partial data is gone: the next run begins afresh');
  expect(await copyNow(pair)).toMatchObject({ bytesReused: 0, bytesCopied: SIZE });
  expectDone(pair);
});

test('a partial without its journal is named in a status and left as it is; --discard is the way out', async () => {
  rmSync(pair.journal);
  const seen = await status(pair.target);
  expect(seen).toEqual({ target: pair.target, exists: false, half: 'data' });
  expect(statusLines(seen, undefined).join()).toMatch(/its journal is not here.*--discard throws it away/);
  const before = readFileSync(pair.part);
  const error = await failureOf(copyNow(pair));
  expectClear(error, { code: 'E_PART_FOREIGN', exitCode: 2, names: pair.target, says: /left as it is.*--discard/ });
  expect(readFileSync(pair.part).equals(before)).toBe(true);
  expect(existsSync(pair.journal), 'a new journal, where nothing was to be changed').toBe(false);
  await copyNow({ ...pair, discard: true });
  expectDone(pair);
});

test('--discard begins afresh, also where the partial could have gone on', async () => {
  expect(await copyNow({ ...pair, discard: true })).toMatchObject({ bytesReused: 0, bytesCopied: SIZE });
  expectDone(pair);
});

test('--discard never throws a partial away for a copy that is refused anyway', async () => {
  writeFileSync(pair.target, 'in the way');
  expect(await failureOf(copyNow({ ...pair, discard: true }))).toMatchObject({ code: 'E_TARGET_EXISTS' });
  unlinkSync(pair.target);
  expectPartialOnly(pair);
  expect(await copyNow(pair)).toMatchObject({ bytesReused: claimedBytes });
  expectDone(pair);
});

const LINKS = [
  ['a symbolic link', (from: string, to: string) => symlinkSync(from, to)],
  ['a hard link', (from: string, to: string) => linkSync(from, to)],
] as const;

test.for(LINKS)('%s planted as the part of a copy is refused, and its victim stays as it is', async ([, plant]) => {
  const victim = join(pair.folder, 'victim');
  writeFileSync(victim, 'precious');
  rmSync(pair.part);
  plant(victim, pair.part);
  const error = await failureOf(copyNow(pair));
  expectClear(error, { code: 'E_PART_UNSAFE', exitCode: 2, names: pair.part, says: /remove it/ });
  expect(readFileSync(victim, 'utf8')).toBe('precious');
  expect(lstatSync(pair.part).isSymbolicLink() || lstatSync(pair.part).nlink === 2).toBe(true);
  await copyNow({ ...pair, discard: true });
  expect(readFileSync(victim, 'utf8')).toBe('precious');
  expectDone(pair);
});

test.for(LINKS)(
  '%s planted as the part before a first copy is refused, and its victim stays as it is',
  async ([, plant]) => {
    const victim = join(pair.folder, 'victim');
    writeFileSync(victim, 'precious');
    rmSync(pair.part);
    rmSync(pair.journal);
    plant(victim, pair.part);
    expect(await failureOf(copyNow(pair))).toMatchObject({ exitCode: 2 });
    expect(readFileSync(victim, 'utf8')).toBe('precious');
    await copyNow({ ...pair, discard: true });
    expect(readFileSync(victim, 'utf8')).toBe('precious');
    expectDone(pair);
  },
);

test.for(LINKS)('%s planted as the journal is refused, and its victim stays as it is', async ([, plant]) => {
  const victim = join(pair.folder, 'victim');
  writeFileSync(victim, 'precious');
  rmSync(pair.journal);
  plant(victim, pair.journal);
  for (const discard of [false, true]) {
    const error = await failureOf(copyNow({ ...pair, discard }));
    expectClear(error, { code: 'E_PART_UNSAFE', exitCode: 2, names: pair.journal, says: /remove it/ });
  }
  expect(readFileSync(victim, 'utf8')).toBe('precious');
  const seen = await failureOf(status(pair.target));
  expect(seen.code).not.toBe('E_BUG');
  rmSync(pair.journal);
  await copyNow({ ...pair, discard: true });
  expect(readFileSync(victim, 'utf8')).toBe('precious');
  expectDone(pair);
});

test('a dangling link planted as part or journal makes no file where it points', async () => {
  const nowhere = join(pair.folder, 'nowhere');
  for (const planted of [pair.part, pair.journal]) {
    rmSync(planted);
    symlinkSync(nowhere, planted);
    expect(await failureOf(copyNow(pair))).toMatchObject({ code: 'E_PART_UNSAFE' });
    expect(existsSync(nowhere)).toBe(false);
  }
});

test.for([false, true])('a folder planted as the part is named and left alone (--discard: %s)', async (discard) => {
  rmSync(pair.part);
  mkdirSync(pair.part);
  const error = await failureOf(copyNow({ ...pair, discard }));
  expectClear(error, { code: 'E_PART_UNSAFE', exitCode: 2, names: pair.part });
  rmdirSync(pair.part);
  await copyNow(pair);
  expectDone(pair);
});

test('a folder or a pipe planted as the journal is named, for a copy and for a status, and nothing hangs', async () => {
  rmSync(pair.journal);
  mkdirSync(pair.journal);
  for (const work of [() => copyNow(pair), () => status(pair.target)]) {
    expectClear(await failureOf(work), { code: 'E_PART_UNSAFE', exitCode: 2, names: pair.journal });
  }
  rmdirSync(pair.journal);
  execFileSync('mkfifo', [pair.journal]);
  expectClear(await failureOf(copyNow(pair)), { code: 'E_PART_UNSAFE', exitCode: 2, names: pair.journal });
  // Whoever reads a pipe waits for a writer: one comes late, so that a status that waits for it still ends.
  const program =
    'await new Promise((done) => setTimeout(done, 3000)); (await import("node:fs")).openSync(process.argv[1], "r+")';
  execFileSync('sh', [
    '-c',
    '"$@" >/dev/null 2>&1 &',
    'sh',
    process.execPath,
    '--input-type=module',
    '-e',
    program,
    '--',
    pair.journal,
  ]);
  expectClear(await failureOf(status(pair.target)), { code: 'E_PART_UNSAFE', exitCode: 2, names: pair.journal });
});

test('a partial of another user is refused', async (context) => {
  needRoot(context);
  chownSync(pair.part, 65534, 65534);
  expectClear(await failureOf(copyNow(pair)), { code: 'E_PART_UNSAFE', exitCode: 2, names: pair.part });
  chownSync(pair.part, 0, 0);
  chownSync(pair.journal, 65534, 65534);
  expectClear(await failureOf(copyNow(pair)), { code: 'E_PART_UNSAFE', exitCode: 2, names: pair.journal });
  chownSync(pair.journal, 0, 0);
  expect(await copyNow(pair)).toMatchObject({ bytesReused: claimedBytes });
  expectDone(pair);
});

test('a partial and its journal can be read by nobody else', () => {
  expect([pair.part, pair.journal].map((path) => statSync(path).mode & 0o777)).toEqual([0o600, 0o600]);
  expect(leftIn(pair.folder).length).toBe(2);
  closeSync(openSync(pair.part, 'r'));
});
