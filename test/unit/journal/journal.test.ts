import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { expect, onTestFinished, test } from 'vitest';
import { FileJournals } from '../../../src/journal/file-journal.js';
import {
  CLAIM,
  decodeRecord,
  encodeRecord,
  type JournalContent,
  type JournalHeader,
  type JournalRecord,
} from '../../../src/journal/journal.js';
import { realFiles } from '../../../src/platform/file-layer.js';
import { codeOf } from '../../support/reading.js';

const COUNT = 40;
const header: JournalHeader = {
  size: COUNT * 4096 - 100,
  chunkBytes: 4096,
  algorithm: 'xxh64',
  sourceVersion: { strength: 'strong', value: 'size 1 mtime 2 inode 3' },
  sourceName: 'disk.img',
  targetName: 'copy.img',
  createdAt: 1_700_000_000_000,
};
const journals = new FileJournals(realFiles);

function newPath(): string {
  const folder = mkdtempSync(join(tmpdir(), 'journal-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, '.copy.img.blockferry-journal');
}

const digest = (chunk: number): string => chunk.toString(16).padStart(16, '0');
const chunkRecord = (chunk: number): JournalRecord => ({ type: 'chunk', chunk, digest: digest(chunk + 1) });

/** A line with a check that is right, whatever it says. */
function line(body: string): string {
  return `${crc32(body).toString(16).padStart(8, '0')} ${body}\n`;
}

/** A journal of chunks 0..9 and a run of zeroes, closed again. */
async function written(path: string): Promise<Buffer> {
  const { ref } = await journals.open(path, false);
  let at = journals.begin(ref, header, false);
  for (let chunk = 0; chunk < 10; chunk++) at = journals.append(ref, at, encodeRecord(chunkRecord(chunk)), false);
  journals.append(ref, at, encodeRecord({ type: 'zero', chunk: 20, count: 5 }), false);
  journals.close(ref);
  return readFileSync(path);
}

/** Opens the journal and closes it again. */
async function contentOf(path: string): Promise<JournalContent | undefined> {
  const { ref, content } = await journals.open(path, false);
  journals.close(ref);
  return content;
}

/** No claim may come out of damage: each that is left is one that was made, with its own digest. */
function expectOnlyTrueClaims({ claims }: JournalContent): void {
  claims.kinds.forEach((kind, chunk) => {
    if (kind === CLAIM.none) return;
    expect(kind).toBe(chunk < 10 ? CLAIM.chunk : CLAIM.zero);
    expect(chunk < 10 || (chunk >= 20 && chunk < 25)).toBe(true);
    const stored = Buffer.from(claims.digests.subarray(chunk * 8, chunk * 8 + 8)).toString('hex');
    if (chunk < 10) expect(stored).toBe(digest(chunk + 1));
  });
}

const claimed = (content: JournalContent | undefined): number => content?.claims.kinds.filter((k) => k).length ?? 0;

test('what was put on record is there when the journal is opened again', async () => {
  const path = newPath();
  const bytes = await written(path);
  const content = await contentOf(path);
  expect(content?.header).toEqual(header);
  expect(content?.goodBytes).toBe(bytes.length);
  expect(content?.news).toMatchObject({ damagedRecords: 0, unsynced: true, opened: { pid: process.pid } });
  expect(claimed(content)).toBe(15);
  expectOnlyTrueClaims(content as JournalContent);
});

test('records come back from their line as they went in', () => {
  const text = fc.string({ unit: 'binary' });
  const records = fc.oneof(
    fc.record({
      type: fc.constant('chunk' as const),
      chunk: fc.nat(),
      digest: fc.constantFrom('0123456789abcdef', 'f'.repeat(64)),
      token: text.filter((token) => token !== ''),
    }),
    fc.record({ type: fc.constant('zero' as const), chunk: fc.nat(), count: fc.nat() }),
    fc.record({ type: fc.constant('stopped' as const), at: fc.nat(), code: fc.string(), message: text }),
    fc.constantFrom<JournalRecord>({ type: 'void' }, { type: 'synced' }, { type: 'header', header }),
  );
  fc.assert(
    fc.property(records, (record) => {
      const encoded = encodeRecord(record);
      expect(encoded.indexOf('\n')).toBe(encoded.length - 1);
      expect(decodeRecord(encoded.slice(0, -1))).toEqual(record);
    }),
  );
});

test('a journal that was cut off at any byte keeps all of its whole lines, and goes on behind them', async () => {
  const path = newPath();
  const whole = await written(path);
  const bare = whole.indexOf('\n', whole.indexOf('\n') + 1) + 1;
  for (let length = 0; length < whole.length; length++) {
    writeFileSync(path, whole.subarray(0, length));
    const { ref, content } = await journals.open(path, false);
    if (length < bare) expect(content, `cut at byte ${length}`).toBeUndefined();
    else {
      expect(content?.goodBytes).toBe(whole.subarray(0, length).lastIndexOf('\n') + 1);
      expect(content?.news.damagedRecords).toBe(0);
      const before = claimed(content);
      const at = journals.takeUp(ref, content as JournalContent, false);
      journals.append(ref, at, encodeRecord(chunkRecord(30)), false);
      const after = journals.peek(path);
      expect(after?.news.damagedRecords).toBe(0);
      expect(claimed(after)).toBe(before + 1);
    }
    journals.close(ref);
  }
});

test('a damaged byte loses the record that it is in, and never makes a claim', async () => {
  const path = newPath();
  const whole = await written(path);
  const bare = whole.indexOf('\n', whole.indexOf('\n') + 1) + 1;
  for (let at = bare; at < whole.length; at++) {
    for (const flip of [0x01, 0x80, whole[at] as number]) {
      const damaged = Buffer.from(whole);
      damaged[at] = (damaged[at] as number) ^ flip;
      writeFileSync(path, damaged);
      const content = (await contentOf(path)) as JournalContent;
      expectOnlyTrueClaims(content);
      // A newline that is gone joins two records; one that is new cuts one in two.
      expect(claimed(content), `byte ${at} ^ ${flip}`).toBeGreaterThanOrEqual(whole[at] === 10 ? 9 : 10);
    }
  }
});

test('a file that is no journal is refused and left as it is', async () => {
  for (const text of ['my own notes\nof today\n', 'blockferry-journal\n\n', 'blockferry-journal 1\nno header\n']) {
    const path = newPath();
    writeFileSync(path, text);
    expect(await codeOf(() => contentOf(path))).toBe('E_JOURNAL_DAMAGED');
    expect(readFileSync(path, 'utf8')).toBe(text);
  }
});

test('a journal of a newer version is refused, by name and number, and left as it is', async () => {
  const path = newPath();
  const text = 'blockferry-journal 2\nsomething new\n';
  writeFileSync(path, text);
  await expect(contentOf(path)).rejects.toThrow(/format 2/);
  expect(await codeOf(() => contentOf(path))).toBe('E_JOURNAL_VERSION');
  expect(readFileSync(path, 'utf8')).toBe(text);
});

test.each<[string, unknown]>([
  ['no fields at all', undefined],
  ['null', null],
  ['a number', 5],
  ['a negative size', { ...header, size: -1 }],
  ['a size beyond all numbers', { ...header, size: 1e300 }],
  ['a size as text', { ...header, size: '4096' }],
  ['chunks of nothing', { ...header, chunkBytes: 0 }],
  ['chunks of half a byte', { ...header, chunkBytes: 0.5 }],
  ['more chunks than memory', { ...header, size: 2 ** 52, chunkBytes: 1 }],
  ['a chunk larger than allowed', { ...header, chunkBytes: 2 ** 40 }],
  ['chunks smaller than allowed', { ...header, chunkBytes: 2048 }],
  ['an unknown algorithm', { ...header, algorithm: 'md5' }],
  ['an algorithm that every object has', { ...header, algorithm: 'constructor' }],
  ['no source version', { ...header, sourceVersion: undefined }],
  ['a version of nothing', { ...header, sourceVersion: null }],
])('a header with %s is damage, whatever its check says', async (_, hostile) => {
  const path = newPath();
  writeFileSync(path, `blockferry-journal 1\n${line(`header ${JSON.stringify({ header: hostile })}`)}`);
  expect(await codeOf(() => contentOf(path))).toBe('E_JOURNAL_DAMAGED');
});

test.each([
  'chunk -1 0000000000000001',
  'chunk 40 0000000000000001',
  'chunk 1e99 0000000000000001',
  'chunk 1.5 0000000000000001',
  'chunk NaN 0000000000000001',
  'chunk 3',
  'chunk 3 00',
  'chunk 3 zzzzzzzzzzzzzzzz',
  'chunk 3 0000000000000001 %zz',
  'zero 0 41',
  'zero -1 2',
  'zero 5 -1',
  'zero 5 0',
  'zero 0 1e99',
  'zero',
  'header {}',
  'stopped {',
  'what is this',
  '',
  'x'.repeat(100_000),
])('a record that says %j counts as damage and claims nothing', async (body) => {
  const path = newPath();
  const good = `blockferry-journal 1\n${encodeRecord({ type: 'header', header })}`;
  writeFileSync(path, `${good}${line(body)}${encodeRecord(chunkRecord(7))}`);
  const content = await contentOf(path);
  expect(content?.news.damagedRecords).toBe(1);
  expect(claimed(content)).toBe(1);
  expectOnlyTrueClaims(content as JournalContent);
});

test('void takes back all that was claimed before it, and nothing after it', async () => {
  const path = newPath();
  await written(path);
  const { ref, content } = await journals.open(path, false);
  const at = journals.takeUp(ref, content as JournalContent, true);
  journals.append(ref, at, encodeRecord({ type: 'void' }) + encodeRecord(chunkRecord(3)), true);
  journals.close(ref);
  const after = await contentOf(path);
  expect(claimed(after)).toBe(1);
  expect(after?.claims.kinds[3]).toBe(CLAIM.chunk);
  expect(after?.news.unsynced).toBe(false);
});

test('only one holder has a journal; the next is told who, and gets it when the first lets go', async () => {
  const path = newPath();
  const first = await journals.open(path, false);
  journals.begin(first.ref, header, false);
  expect(await codeOf(() => journals.open(path, false))).toBe('E_LOCKED');
  await expect(journals.open(path, false)).rejects.toThrow(`process ${process.pid}`);
  journals.drop(first.ref, false);
  expect(existsSync(path)).toBe(false);
  const second = await journals.open(path, false);
  expect(second.content).toBeUndefined();
  journals.drop(second.ref, false);
});

test.each(['ENOSPC', 'EIO'])('an append that fails half way (%s) leaves the journal as it was', async (code) => {
  const path = newPath();
  let failing = false;
  const half = (fd: number, bytes: Uint8Array, from: number, length: number, at: number): number => {
    if (!failing) return realFiles.writeSync(fd, bytes, from, length, at);
    if (length < 5) throw Object.assign(new Error(code), { code });
    return realFiles.writeSync(fd, bytes, from, Math.ceil(length / 2), at);
  };
  const broken = new FileJournals({ ...realFiles, writeSync: half as typeof realFiles.writeSync });
  const { ref } = await broken.open(path, false);
  const at = broken.begin(ref, header, false);
  const before = readFileSync(path);
  failing = true;
  const expected = code === 'ENOSPC' ? 'E_NO_SPACE' : 'E_JOURNAL_WRITE';
  expect(await codeOf(() => broken.append(ref, at, encodeRecord(chunkRecord(1)), false))).toBe(expected);
  expect(readFileSync(path).equals(before)).toBe(true);
  failing = false;
  broken.append(ref, at, encodeRecord(chunkRecord(1)), false);
  expect(claimed(broken.peek(path))).toBe(1);
  broken.close(ref);
});
