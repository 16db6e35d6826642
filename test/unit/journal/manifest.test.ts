import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, onTestFinished, test } from 'vitest';
import type { Algorithm } from '../../../src/core/digest.js';
import { DIGEST_BYTES } from '../../../src/core/digest.js';
import type { TransferError } from '../../../src/core/errors.js';
import { KiB, MiB, TiB } from '../../../src/core/units.js';
import { FIRST_LINE, LINE_BYTES_MAX, type ManifestFile } from '../../../src/journal/manifest.js';
import { checkManifest, readManifest } from '../../../src/journal/manifest-reader.js';
import { ManifestWriter } from '../../../src/journal/manifest-writer.js';
import { decodePath } from '../../../src/platform/path-bytes.js';

interface Entry {
  readonly file: ManifestFile;
  readonly digests: Uint8Array;
}

function newPath(): string {
  const folder = mkdtempSync(join(tmpdir(), 'manifest-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, 'copy.manifest');
}

function entry(path: string, count: number, about: Partial<ManifestFile> = {}, digests?: Uint8Array): Entry {
  const file: ManifestFile = {
    path,
    size: count * 4 * KiB,
    chunkBytes: 4 * KiB,
    algorithm: 'xxh64',
    proof: 'written',
    root: '0'.repeat(DIGEST_BYTES[about.algorithm ?? 'xxh64'] * 2),
    ...about,
  };
  const bytes = count * DIGEST_BYTES[file.algorithm];
  return { file, digests: digests ?? Uint8Array.from({ length: bytes }, (_, at) => (at * 7 + (at >> 3)) & 0xff) };
}

async function write(path: string, entries: readonly Entry[]): Promise<string> {
  const writer = await ManifestWriter.begin(path, { sync: false });
  for (const { file, digests } of entries) await writer.file(file, digests);
  await writer.finish();
  await writer.publish();
  return readFileSync(path, 'utf8');
}

async function read(path: string): Promise<Entry[]> {
  const entries: { file: ManifestFile; pieces: Uint8Array[] }[] = [];
  for await (const item of readManifest(path)) {
    if (item.type === 'file') entries.push({ file: item.file, pieces: [] });
    if (item.type === 'digests') entries.at(-1)?.pieces.push(item.digests);
  }
  return entries.map(({ file, pieces }) => ({ file, digests: new Uint8Array(Buffer.concat(pieces)) }));
}

/** The digests in hex: vitest compares long arrays for minutes. */
function readable(entries: readonly Entry[]): object[] {
  return entries.map(({ file, digests }) => ({ file, digests: Buffer.from(digests).toString('hex') }));
}

async function refusal(path: string, text: string | Buffer): Promise<TransferError> {
  writeFileSync(path, text);
  const thrown = await checkManifest(path).then(
    () => undefined,
    (error: TransferError) => error,
  );
  expect(thrown, `what ${JSON.stringify(text.slice(0, 300))} says`).toMatchObject({ code: 'E_MANIFEST', exitCode: 4 });
  return thrown as TransferError;
}

/** Lines with the total that fits them. */
function sealed(lines: readonly string[], files: number, bytes: number): string {
  const text = [FIRST_LINE.trim(), ...lines].map((line) => `${line}\n`).join('');
  return `${text}${JSON.stringify({ files, bytes, sha256: createHash('sha256').update(text).digest('hex') })}\n`;
}

const NAME = fc
  .oneof(fc.string({ unit: 'binary', minLength: 1, maxLength: 20 }), fc.uint8Array({ minLength: 1, maxLength: 20 }))
  .map((name) => decodePath(Buffer.from(name as Uint8Array)))
  .filter((name) => !/[/\0]/.test(name) && name !== '.' && name !== '..');

const ENTRY: fc.Arbitrary<Entry> = fc
  .record({
    path: fc.array(NAME, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/')),
    algorithm: fc.constantFrom<Algorithm>('xxh64', 'sha256'),
    runs: fc.array(fc.tuple(fc.nat(3), fc.oneof(fc.nat(3), fc.nat(9000))), { maxLength: 6 }),
    short: fc.nat(4 * KiB - 1),
  })
  .map(({ path, algorithm, runs, short }) => {
    const digests = Buffer.concat(runs.map(([fill, count]) => Buffer.alloc(count * DIGEST_BYTES[algorithm], fill)));
    const count = digests.length / DIGEST_BYTES[algorithm];
    return entry(path, count, { algorithm, size: Math.max(0, count * 4 * KiB - short) }, new Uint8Array(digests));
  });

test('whatever is written is read again, whatever the names, sizes and runs', async () => {
  const path = newPath();
  await fc.assert(
    fc.asyncProperty(fc.array(ENTRY, { maxLength: 5 }), async (entries) => {
      const text = await write(path, entries);
      expect(readable(await read(path))).toEqual(readable(entries));
      expect(Math.max(...text.split('\n').map((line) => line.length))).toBeLessThan(LINE_BYTES_MAX);
    }),
    { numRuns: 60 },
  );
});

test('a manifest that lost or changed any bytes is refused', async () => {
  const path = newPath();
  const bytes = Buffer.from(await write(path, [entry('a/b', 5), entry('c', 4100, { algorithm: 'sha256' })]));
  await fc.assert(
    fc.asyncProperty(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
      await refusal(path, bytes.subarray(0, at));
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] as number) ^ flip;
      await refusal(path, changed);
    }),
    { numRuns: 100 },
  );
});

test('the last line is a SHA-256 that any other program can compute', async () => {
  const text = await write(newPath(), [entry('disk.img', 3), entry('empty', 0)]);
  const body = text.slice(0, text.lastIndexOf('{'));
  const sha256 = createHash('sha256').update(body).digest('hex');
  expect(JSON.parse(text.slice(body.length))).toEqual({ files: 2, bytes: 3 * 4 * KiB, sha256 });
});

test('a hole of 5 TiB takes one line', async () => {
  const path = newPath();
  const count = (5 * TiB) / (8 * MiB);
  const disk = entry(
    'disk.vhd',
    count,
    { size: 5 * TiB, chunkBytes: 8 * MiB },
    new Uint8Array(count * 8).fill(9, 0, 8),
  );
  const text = await write(path, [disk]);
  expect(text.split('\n').slice(2, 4)).toEqual([
    '{"chunk":0,"digests":"0909090909090909"}',
    `{"chunk":1,"count":${count - 1},"digest":"0000000000000000"}`,
  ]);
  expect(readable(await read(path))).toEqual(readable([disk]));
});

test('names keep their bytes, on one line and without a backslash that another system would follow', async () => {
  const path = newPath();
  const names = ['two\nlines', '🚢/⛴', decodePath(Uint8Array.of(0xff, 0x41, 0xc3)), 'dev-disk\\x2d1', '"', '\udce9'];
  const text = await write(
    path,
    names.map((name) => entry(name, 1)),
  );
  expect((await read(path)).map(({ file }) => file.path)).toEqual(names);
  expect(text).toContain('"path":"\\udcffA\\udcc3"');
  expect(text).toContain('"path":"dev-disk\\udc5cx2d1"');
  expect(text.trim().split('\n')).toHaveLength(2 + names.length * 2);
});

const FILE = { size: 4096, chunkBytes: 4096, algorithm: 'xxh64', proof: 'written', root: '00'.repeat(8) };
const DIGEST = '{"chunk":0,"digests":"0011223344556677"}';

test.each([
  ['/etc/passwd', 'absolute'],
  ['../x', '".."'],
  ['a/../../x', '".."'],
  ['a/.', '".."'],
  ['a//b', 'empty part'],
  ['a/', 'empty part'],
  ['', 'empty part'],
  ['a\0b', 'NUL'],
  ['..\\x', 'backslash'],
  ['C:\\x', 'backslash'],
  ['\ud800', 'one right way'],
  ['\udcc3\udca9', 'one right way'],
  ['\udc2f\udc2e', 'one right way'],
  ['x'.repeat(5000), 'longer'],
])('a path that leads elsewhere is refused: %j', async (path, why) => {
  const text = sealed([JSON.stringify({ path, ...FILE }), DIGEST], 1, 4096);
  const { message, hint } = await refusal(newPath(), text);
  expect(message).toMatch(/line 2 has a path/);
  expect(message).toContain(why);
  expect(hint).toContain('manifest');
});

test('a file that is listed twice is refused, however far apart its lines are', async () => {
  const lines = (count: number): string[] =>
    Array.from({ length: count }, (_, n) => [JSON.stringify({ path: `f${n}`, ...FILE }), DIGEST]).flat();
  const twice = [...lines(3000), ...lines(1)];
  const { message } = await refusal(newPath(), sealed(twice, 3001, 3001 * 4096));
  expect(message).toContain('line 6002 names a file for the second time');
});

test.each([
  ['{"path":"a","size":-1}', 'no size'],
  [JSON.stringify({ path: 'a', ...FILE, size: 1e300 }), 'no size'],
  [JSON.stringify({ path: 'a', ...FILE, chunkBytes: 1 }), 'no chunk size'],
  [JSON.stringify({ path: 'a', ...FILE, size: 2 ** 52 }), 'more than'],
  [JSON.stringify({ path: 'a', ...FILE, algorithm: 'constructor' }), 'unknown algorithm'],
  [JSON.stringify({ path: 'a', ...FILE, algorithm: 'sha256' }), 'no root'],
  [JSON.stringify({ path: 'a', ...FILE, proof: 'sworn' }), 'no proof level'],
  [JSON.stringify({ path: ['a'], ...FILE }), 'no text'],
  [DIGEST, 'of no file'],
  ['[]', 'no known kind'],
  ['null', 'not a JSON object'],
  ['{"path":', 'not a JSON object'],
  [FIRST_LINE.trim(), 'must not stand'],
  ['{"files":0,"bytes":0,"sha256":"00"}', 'does not fit'],
  [`{"chunk":0,"digests":"${'0'.repeat(LINE_BYTES_MAX)}"}`, 'too long'],
])('a line that cannot be trusted is refused and named: %.60s', async (line, why) => {
  const { message } = await refusal(newPath(), sealed([line], 1, 4096));
  expect(message).toContain('line 2 ');
  expect(message).toContain(why);
});

test.each([
  ['{"chunk":1,"digests":"0011223344556677"}', 'chunk 1, where 0 is next'],
  ['{"chunk":0,"digests":"00112233445566"}', 'wrong length'],
  ['{"chunk":0,"digests":"001122334455667Z"}', 'no digests'],
  ['{"chunk":0,"digests":""}', 'no digests'],
  ['{"chunk":0,"count":9007199254740991,"digest":"0011223344556677"}', 'more digests'],
  ['{"chunk":0,"count":0,"digest":"0011223344556677"}', 'no count'],
  ['{"chunk":0,"count":1,"digest":"00112233445566770011223344556677"}', 'wrong length'],
  [JSON.stringify({ path: 'b', ...FILE }), 'comes before the last 1 digests'],
])('digests that do not fit their file are refused: %s', async (line, why) => {
  const { message } = await refusal(newPath(), sealed([JSON.stringify({ path: 'a', ...FILE }), line], 1, 4096));
  expect(message).toContain('line 3 ');
  expect(message).toContain(why);
});

test('other files and newer versions are told apart from damage', async () => {
  const path = newPath();
  expect((await refusal(path, 'PK\x03\x04 something\n')).message).toContain('not a JSON object');
  expect((await refusal(path, '')).message).toContain('cut off');
  expect((await refusal(path, FIRST_LINE.replace('1', '2'))).message).toContain('version 2');
  expect((await refusal(path, `${sealed([], 0, 0)}{}\n`)).message).toContain('no known kind');
  expect((await refusal(path, `${sealed([], 0, 0)}${DIGEST}\n`)).message).toContain('behind the total');
  expect((await refusal(path, Buffer.from([0x7b, 0x22, 0xff, 0x0a]))).message).toContain('not a JSON object');
  await expect(checkManifest(`${path}.missing`)).rejects.toMatchObject({ code: 'E_SOURCE_MISSING', exitCode: 2 });
  await expect(checkManifest(tmpdir())).rejects.toMatchObject({ code: 'E_SOURCE_KIND' });
});

test('a manifest stands under its name whole or not at all', async () => {
  const path = newPath();
  const writer = await ManifestWriter.begin(path, { sync: true });
  await writer.file(entry('a', 2).file, entry('a', 2).digests);
  await writer.finish();
  expect(existsSync(path)).toBe(false);
  await writer.publish();
  expect(await checkManifest(path)).toMatchObject({ files: 1, bytes: 8 * KiB });
  expect(readdirSync(join(path, '..'))).toEqual(['copy.manifest']);
});

test('an older manifest is replaced, and no other file is', async () => {
  const path = newPath();
  await write(path, [entry('old', 1)]);
  await write(path, [entry('new', 1)]);
  expect((await read(path)).map(({ file }) => file.path)).toEqual(['new']);
  writeFileSync(path, 'precious');
  await expect(ManifestWriter.begin(path, { sync: false })).rejects.toMatchObject({ code: 'E_TARGET_EXISTS' });
  expect(readFileSync(path, 'utf8')).toBe('precious');
  rmSync(path);
  symlinkSync('/dev/null', path);
  await expect(ManifestWriter.begin(path, { sync: false })).rejects.toMatchObject({ code: 'E_TARGET_EXISTS' });
  const nowhere = join(path, 'missing', 'm');
  await expect(ManifestWriter.begin(nowhere, { sync: false })).rejects.toMatchObject({ code: 'E_TARGET_ACCESS' });
});

test('what a crash left is taken over, and what another run writes is not', async () => {
  const path = newPath();
  const hidden = join(path, '..', '.copy.manifest.blockferry-manifest');
  writeFileSync(hidden, 'half a manifest that is longer than the new one'.repeat(100));
  const writer = await ManifestWriter.begin(path, { sync: false });
  await expect(ManifestWriter.begin(path, { sync: false })).rejects.toMatchObject({ code: 'E_LOCKED' });
  await writer.finish();
  await writer.publish();
  expect(await checkManifest(path)).toMatchObject({ files: 0 });
  const given = await ManifestWriter.begin(path, { sync: false });
  await given.abandon();
  expect(readdirSync(join(path, '..'))).toEqual(['copy.manifest']);
  symlinkSync('/dev/null', hidden);
  await expect(ManifestWriter.begin(path, { sync: false })).rejects.toMatchObject({ code: 'E_PART_UNSAFE' });
});
