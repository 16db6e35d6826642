import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { KiB, MiB } from '../../src/core/units.js';
import { journalPath, partPath } from '../../src/endpoint/part-names.js';
import { status, verify } from '../../src/index.js';
import { decodePath, encodePath, showPath } from '../../src/platform/path-bytes.js';
import { copyNow, expectSame, failureOf, makeFile, partialCopy, scratchFolder } from '../support/copying.js';

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

const NAMES: readonly { readonly what: string; readonly name: Buffer }[] = [
  { what: 'a newline and other controls', name: bytes('one\ntwo\r\t\x1b[31m\x07') },
  { what: 'emoji', name: Buffer.from('💾 disk 👩‍👩‍👧 é e\u0301') },
  { what: 'quotes, backslashes and spaces', name: bytes(' it\'s "a\\n" $(id) `id` ; * ? ') },
  { what: 'a leading dash', name: bytes('--overwrite') },
  { what: 'a leading dot', name: bytes('.hidden') },
  { what: 'a colon as in a URL', name: bytes('https:') },
  { what: 'the words of an internal scheme', name: bytes('null.img') },
  { what: 'a percent sign', name: bytes('100%2F%00') },
  { what: '255 ASCII bytes', name: Buffer.from('n'.repeat(255)) },
  { what: '255 bytes of longer characters', name: Buffer.from(`${'é'.repeat(3) + '💾'.repeat(62)}n`) },
  { what: 'bytes that are not UTF-8', name: bytes('caf\xe9 \xff\xfe\x80') },
  { what: '255 bytes that are not UTF-8', name: bytes(`${'\xe9\xff'.repeat(127)}n`) },
  { what: 'direction overrides', name: Buffer.from('gpj.\u202eexe') },
];

/** The folder's entries that are not the given ones, as bytes. */
function others(folder: string, ...known: Buffer[]): string[] {
  const entries = readdirSync(folder, { encoding: 'buffer' });
  return entries.filter((entry) => !known.some((name) => name.equals(entry))).map(showBytes);
}
const showBytes = (name: Buffer): string => showPath(decodePath(name));

test.for(NAMES)('a name with $what is copied, stopped, resumed and compared as any other', async ({ name }) => {
  const [from, to] = [join(scratchFolder(), 'from'), join(scratchFolder(), 'to')];
  mkdirSync(from);
  mkdirSync(to);
  const [source, target] = [from, to].map((folder) => decodePath(Buffer.concat([bytes(`${folder}/`), name]))) as [
    string,
    string,
  ];
  makeFile(encodePath(source) as Buffer, 8 * MiB);
  await partialCopy({ source, target });
  expect(others(to, name)).toHaveLength(2);
  expect(existsSync(encodePath(partPath(target)))).toBe(true);
  expect(existsSync(encodePath(journalPath(target)))).toBe(true);
  const { partial } = await status(target);
  expect(partial?.source).toBe(showPath(source));
  const done = await copyNow({ source, target });
  expect(done.bytesReused).toBe((partial?.bytesClaimed ?? 0) + 0);
  expect(done.bytesReused).toBeGreaterThanOrEqual(2 * MiB);
  expect(done.target).toBe(showPath(target));
  expectSame(encodePath(source) as Buffer, encodePath(target) as Buffer);
  expect(others(to, name)).toEqual([]);
  expect(await verify({ source, target }).result).toMatchObject({ same: true });
});

test.for(NAMES)('a file with $what in its name keeps it, byte for byte, in a folder', async ({ name }) => {
  const [from, to] = [scratchFolder(), scratchFolder()];
  const source = decodePath(Buffer.concat([bytes(`${from}/`), name]));
  makeFile(encodePath(source) as Buffer, 64 * KiB);
  await copyNow({ source, target: to });
  expect(readdirSync(to, { encoding: 'buffer' }).map(showBytes)).toEqual([showBytes(name)]);
  expectSame(encodePath(source) as Buffer, Buffer.concat([bytes(`${to}/`), name]));
});

test('two names that are cut to the same beginning never share a partial', async () => {
  const folder = scratchFolder();
  const [one, other] = ['a', 'b'].map((end) => join(folder, 'n'.repeat(254) + end)) as [string, string];
  expect(partPath(one)).not.toBe(partPath(other));
  const source = join(scratchFolder(), 'source');
  makeFile(source, 8 * MiB);
  await partialCopy({ source, target: one });
  expect((await copyNow({ source, target: other })).bytesReused).toBe(0);
  expect((await copyNow({ source, target: one })).bytesReused).toBeGreaterThanOrEqual(2 * MiB);
});

test('a name that the file system cannot hold is refused, as source and as target', async () => {
  const folder = scratchFolder();
  const source = join(folder, 'source');
  makeFile(source, 10);
  const long = join(folder, 'n'.repeat(256));
  const asTarget = await failureOf(copyNow({ source, target: long }));
  expect(asTarget).toMatchObject({ code: 'E_TARGET_ACCESS', exitCode: 2 });
  expect(asTarget.detail.hint).toMatch(/shorter name/);
  const asSource = await failureOf(copyNow({ source: long, target: join(folder, 'target') }));
  expect(asSource).toMatchObject({ code: 'E_SOURCE_MISSING', exitCode: 2 });
  expect(readdirSync(folder)).toEqual(['source']);
});

test('messages and results show a hostile name on one line and without control characters', async () => {
  const folder = scratchFolder();
  const name = decodePath(Buffer.concat([bytes(`${folder}/`), bytes('gone\n\x1b[2J\xff')]));
  const error = await failureOf(copyNow({ source: name, target: join(folder, 'target') }));
  expect(error.message).toContain('gone\\n\\x1b[2J\\xff');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not be there.
  expect(`${error.message}${error.detail.hint}`).not.toMatch(/[\x00-\x1f\ud800-\udfff]/);
});

test('a name with a NUL byte, or none at all, is refused as usage', async () => {
  const folder = scratchFolder();
  const source = join(folder, 'source');
  makeFile(source, 10);
  for (const wrong of ['', `${folder}/a\0b`]) {
    expect(await failureOf(() => copyNow({ source, target: wrong }))).toMatchObject({ exitCode: 2 });
    expect(await failureOf(() => copyNow({ source: wrong, target: join(folder, 'target') }))).toMatchObject({
      exitCode: 2,
    });
  }
  expect(readdirSync(folder)).toEqual(['source']);
  expect(statSync(source).size).toBe(10);
});
