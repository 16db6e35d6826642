import {
  appendFileSync,
  closeSync,
  copyFileSync,
  existsSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { crc32 } from 'node:zlib';
import { expect, test } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { status } from '../../src/index.js';
import { encodeRecord } from '../../src/journal/journal.js';
import {
  CHUNK,
  copyNow,
  expectClear,
  expectDone,
  expectPartialOnly,
  failureOf,
  type Pair,
  pairIn,
  partialCopy,
  patch,
  scratchFolder,
} from '../support/copying.js';

const SIZE = 8 * MiB;

interface Stopped extends Pair {
  /** Chunks on record. */
  readonly claimed: number;
}

async function stoppedCopy(): Promise<Stopped> {
  const pair = pairIn(scratchFolder(), SIZE);
  await partialCopy(pair);
  const claimed = ((await status(pair.target)).partial?.bytesClaimed ?? 0) / CHUNK;
  expect(claimed).toBeGreaterThanOrEqual(8);
  return { ...pair, claimed };
}

const linesOf = (path: string): string[] => readFileSync(path, 'utf8').split(/(?<=\n)/);

/** Damages the n-th line in its middle. */
function damageLine(path: string, n: number): void {
  const lines = linesOf(path);
  const before = Buffer.byteLength(lines.slice(0, n).join(''));
  const at = before + Math.floor((lines[n] as string).length / 2);
  patch(path, at, Buffer.from([(readFileSync(path)[at] as number) ^ 0x01]));
}

test('a damaged record in the middle of a journal costs its own chunk and no other', async () => {
  const pair = await stoppedCopy();
  const lines = linesOf(pair.journal);
  const chunkLines = lines.flatMap((line, n) => (line.includes(' chunk ') ? [n] : []));
  damageLine(pair.journal, chunkLines[1] as number);
  damageLine(pair.journal, chunkLines[3] as number);
  const done = await copyNow(pair);
  expect(done).toMatchObject({ bytesReused: (pair.claimed - 2) * CHUNK });
  expectDone(pair);
});

test('a record that was written over with noise, newlines and zeroes is damage of those records only', async () => {
  const pair = await stoppedCopy();
  const lines = linesOf(pair.journal);
  const n = lines.findIndex((line) => line.includes(' chunk '));
  patch(pair.journal, Buffer.byteLength(lines.slice(0, n).join('')), Buffer.from('\n\n\0\xff\n', 'latin1'));
  expect(await copyNow(pair)).toMatchObject({ bytesReused: (pair.claimed - 1) * CHUNK });
  expectDone(pair);
});

test('a journal that was torn at any byte of its last records goes on without them', async () => {
  const pair = await stoppedCopy();
  const [aside, partAside] = [`${pair.source}.journal`, `${pair.source}.part`];
  copyFileSync(pair.journal, aside);
  copyFileSync(pair.part, partAside);
  const lines = linesOf(aside);
  const last = lines.findLastIndex((line) => line.includes(' chunk '));
  const start = Buffer.byteLength(lines.slice(0, last).join(''));
  for (const cut of [0, 1, 9, 20, (lines[last] as string).length - 1]) {
    copyFileSync(aside, pair.journal);
    copyFileSync(partAside, pair.part);
    rmSync(pair.target, { force: true });
    truncateSync(pair.journal, start + cut);
    expect(await copyNow(pair), `cut at ${cut}`).toMatchObject({ bytesReused: (pair.claimed - 1) * CHUNK });
    expectDone(pair);
  }
});

test('a journal whose header cannot be read keeps the partial, and --discard is the way out', async () => {
  const pair = await stoppedCopy();
  damageLine(pair.journal, 1);
  const before = readFileSync(pair.journal);
  const error = await failureOf(copyNow(pair));
  expectClear(error, { code: 'E_JOURNAL_DAMAGED', exitCode: 5, names: pair.journal, says: /--discard/ });
  expect(error.message).toContain('kept');
  expectPartialOnly(pair);
  expect(readFileSync(pair.journal).equals(before)).toBe(true);
  expectClear(await failureOf(status(pair.target)), { code: 'E_JOURNAL_DAMAGED', exitCode: 5, names: pair.journal });
  expect(await copyNow({ ...pair, discard: true })).toMatchObject({ bytesReused: 0 });
  expectDone(pair);
});

test.for(['hello world\nsecond line\n', 'hello world', '\n'])(
  'a file of somebody else in the place of the journal (%j) is left as it is',
  async (text) => {
    const pair = pairIn(scratchFolder(), SIZE);
    writeFileSync(pair.journal, text);
    const error = await failureOf(copyNow(pair));
    expectClear(error, { code: 'E_JOURNAL_DAMAGED', exitCode: 5, names: pair.journal, says: /--discard/ });
    expect(readFileSync(pair.journal, 'utf8')).toBe(text);
    expect(existsSync(pair.part)).toBe(false);
    rmSync(pair.journal);
    await copyNow(pair);
    expectDone(pair);
  },
);

test('a journal of a newer format is not touched; --discard is the way out for who wants it', async () => {
  const pair = await stoppedCopy();
  const newer = readFileSync(pair.journal, 'utf8').replace(/^blockferry-journal 1\n/, 'blockferry-journal 2\n');
  writeFileSync(pair.journal, newer);
  const error = await failureOf(copyNow(pair));
  expectClear(error, { code: 'E_JOURNAL_VERSION', exitCode: 5, names: pair.journal, says: /Blockferry that began it/ });
  expect(error.message).toContain('format 2');
  expect(readFileSync(pair.journal, 'utf8')).toBe(newer);
  expectPartialOnly(pair);
  await copyNow({ ...pair, discard: true });
  expectDone(pair);
});

test('the format that began a copy finishes it after a newer one refused', async () => {
  const pair = await stoppedCopy();
  const text = readFileSync(pair.journal, 'utf8');
  writeFileSync(pair.journal, text.replace(/^blockferry-journal 1\n/, 'blockferry-journal 22\n'));
  expect(await failureOf(copyNow(pair))).toMatchObject({ code: 'E_JOURNAL_VERSION' });
  writeFileSync(pair.journal, text);
  expect(await copyNow(pair)).toMatchObject({ bytesReused: pair.claimed * CHUNK });
  expectDone(pair);
});

test('an empty journal without a partial begins a copy; with a partial it is a partial without a journal', async () => {
  const pair = pairIn(scratchFolder(), SIZE);
  closeSync(openSync(pair.journal, 'w', 0o600));
  await copyNow(pair);
  expectDone(pair);
  const stopped = await stoppedCopy();
  truncateSync(stopped.journal, 0);
  const error = await failureOf(copyNow(stopped));
  expectClear(error, { code: 'E_PART_FOREIGN', exitCode: 2, names: stopped.target, says: /--discard/ });
  expect(statSync(stopped.part).size).toBe(SIZE);
  await copyNow({ ...stopped, discard: true });
  expectDone(stopped);
});

test.for([5, 19, 21, 22, 40])(
  'a journal that a power cut tore in its header, at byte %i, before there was a part begins afresh',
  async (cut) => {
    const pair = await stoppedCopy();
    rmSync(pair.part);
    truncateSync(pair.journal, cut);
    await copyNow(pair);
    expectDone(pair);
  },
);

test('records that do not fit the file are damage and claim nothing', async () => {
  const pair = await stoppedCopy();
  const digest = '0'.repeat(16);
  const wrong = [
    encodeRecord({ type: 'chunk', chunk: 32, digest }),
    encodeRecord({ type: 'chunk', chunk: -1, digest }),
    encodeRecord({ type: 'chunk', chunk: 1.5, digest }),
    encodeRecord({ type: 'chunk', chunk: 0, digest: 'zz' }),
    encodeRecord({ type: 'zero', chunk: 30, count: 3 }),
    encodeRecord({ type: 'zero', chunk: 0, count: 2 ** 52 }),
  ];
  writeFileSync(pair.journal, wrong.join(''), { flag: 'a' });
  expect((await status(pair.target)).partial).toMatchObject({ damagedRecords: wrong.length });
  expect(await copyNow(pair)).toMatchObject({ bytesReused: pair.claimed * CHUNK });
  expectDone(pair);
});

test('a record that lies about the digest of a chunk is found out by the proof', async () => {
  const pair = await stoppedCopy();
  const last = SIZE / CHUNK - 1;
  writeFileSync(pair.journal, encodeRecord({ type: 'chunk', chunk: last, digest: '0123456789abcdef' }), { flag: 'a' });
  expect(await copyNow(pair)).toMatchObject({ bytesReused: pair.claimed * CHUNK });
  expectDone(pair);
});

test('a record that calls a chunk zero is not believed where the source has data', async () => {
  const pair = await stoppedCopy();
  const last = SIZE / CHUNK - 1;
  const lies = [0, last].map((chunk) => encodeRecord({ type: 'zero', chunk, count: 1 }));
  writeFileSync(pair.journal, lies.join(''), { flag: 'a' });
  await copyNow(pair);
  expectDone(pair);
});

test.for([
  'opened {"pid":"../self","host":"x","at":1,"sync":true}',
  'opened {"pid":1,"host":"x","at":1e300,"sync":true}',
  'stopped {}',
  'stopped {"at":"soon","code":"E_STOPPED","message":"x"}',
  'stopped {"at":1,"code":"E_STOPPED","message":{}}',
])('news that cannot be shown are damage to a status and a copy (%s)', async (body) => {
  const pair = await stoppedCopy();
  appendFileSync(pair.journal, `${crc32(body).toString(16).padStart(8, '0')} ${body}\n`);
  expect((await status(pair.target)).partial).toMatchObject({ damagedRecords: 1, stopped: { code: 'E_STOPPED' } });
  expect(await copyNow(pair)).toMatchObject({ bytesReused: pair.claimed * CHUNK });
  expectDone(pair);
});

test('a header that asks for endless memory is damage', async () => {
  const pair = await stoppedCopy();
  const [magic, header, ...rest] = linesOf(pair.journal);
  const huge = JSON.parse((header as string).slice((header as string).indexOf('{'))) as { header: object };
  for (const change of [
    { size: 2 ** 52, chunkBytes: 1 },
    { chunkBytes: 0 },
    { size: -1 },
    { algorithm: 'md5' },
    { sourceVersion: null },
  ]) {
    const text = encodeRecord({ type: 'header', header: { ...huge.header, ...change } as never });
    writeFileSync(pair.journal, [magic, text, ...rest].join(''));
    expect(await failureOf(copyNow(pair)), JSON.stringify(change)).toMatchObject({ code: 'E_JOURNAL_DAMAGED' });
    expectPartialOnly(pair);
  }
});
