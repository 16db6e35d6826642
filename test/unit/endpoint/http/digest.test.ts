/** Digests that a server sends: they are checked while the bytes come, and what is not understood says nothing. */
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { parseDigestField } from '../../../../src/endpoint/http/digest.js';
import { fileHandler, type Spoil } from '../../../support/http-scenarios.js';
import { readChunk } from '../../../support/reading.js';
import { chunkFailure, disk, failure, middle, middleBytes, open, serve } from './helpers.js';

const of = (algorithm: string, bytes: Uint8Array): string => createHash(algorithm).update(bytes).digest('base64');
const sending =
  (headers: Record<string, string>): Spoil =>
  (good) => ({ ...good, headers: { ...good.headers, ...headers } });
const all = { offset: 0, length: disk.length };

describe('of the bytes of a range', () => {
  test.each([
    `sha-256=:${of('sha256', middleBytes)}:`,
    `sha-512=:${of('sha512', middleBytes)}:`,
    `sha-512=:${of('sha512', middleBytes)}:, sha-256=:${of('sha256', middleBytes)}:;q="1"`,
    'md5=:AAAA:',
    'sha-256=nonsense',
    `sha-256=:${of('sha1', middleBytes)}:`,
  ])('a right Content-Digest, or one that says nothing, is no obstacle: %s', async (field) => {
    const right: Spoil = (good, { count }) =>
      count === 0 ? good : sending({ 'content-digest': field })(good, { count });
    const source = await open(`${(await serve(fileHandler(disk, right))).url}/disk.img`);
    expect((await readChunk(source, middle, 10_000)).equals(middleBytes)).toBe(true);
  });

  test.each([
    ['sha-256', of('sha256', disk)],
    ['sha-512', of('sha512', disk)],
  ])('a wrong one fails the chunk, which may be tried again: %s', async (name, digest) => {
    const error = await chunkFailure(sending({ 'content-digest': `${name}=:${digest}:` }));
    expect(error).toMatchObject({ code: 'E_PROTOCOL', retryable: true });
    expect(error.message).toContain('content-digest');
  });

  test('what is said of the whole file is not held against a range of it', async () => {
    const ofWhole = {
      'repr-digest': `sha-256=:${of('sha256', disk)}:`,
      'content-md5': of('md5', disk),
      'x-amz-checksum-sha256': of('sha256', disk),
    };
    const source = await open(`${(await serve(fileHandler(disk, sending(ofWhole)))).url}/disk.img`);
    expect((await readChunk(source, middle)).equals(middleBytes)).toBe(true);
    expect(source.sha256).toBe(createHash('sha256').update(disk).digest('hex'));
  });
});

describe('of the whole file', () => {
  const crc = Buffer.alloc(4);
  crc.writeUInt32BE(crc32(disk));
  const right: Record<string, string> = {
    'content-digest': `sha-256=:${of('sha256', disk)}:`,
    'repr-digest': `sha-512=:${of('sha512', disk)}:`,
    'content-md5': of('md5', disk),
    'x-amz-checksum-sha256': of('sha256', disk),
    'x-amz-checksum-sha1': of('sha1', disk),
    'x-amz-checksum-crc32': crc.toString('base64'),
  };
  const wrong: Record<string, string> = {
    'content-digest': `sha-256=:${of('sha256', middleBytes)}:`,
    'repr-digest': `sha-512=:${of('sha512', middleBytes)}:`,
    'content-md5': of('md5', middleBytes),
    'x-amz-checksum-sha256': of('sha256', middleBytes),
    'x-amz-checksum-sha1': of('sha1', middleBytes),
    'x-amz-checksum-crc32': 'AAAAAA==',
  };

  /** A good server, and one that answers every range with all of the file. */
  const ways: readonly (readonly [string, (headers: Record<string, string>) => Spoil])[] = [
    [
      'a range that is all of the file',
      (headers) => (good, asked) => (asked.count === 0 ? good : sending(headers)(good, asked)),
    ],
    [
      'a GET without a range',
      (headers) => () => ({
        status: 200,
        headers: { etag: '"v1"', 'content-length': String(disk.length), ...headers },
        body: disk,
      }),
    ],
  ];

  test.each(ways)('right ones are no obstacle to %s', async (_what, spoil) => {
    const source = await open(`${(await serve(fileHandler(disk, spoil(right)))).url}/disk.img`);
    expect((await readChunk(source, all)).equals(disk)).toBe(true);
  });

  test.each(ways)('each wrong one fails %s', async (_what, spoil) => {
    for (const name of Object.keys(wrong)) {
      const headers = { ...right, [name]: wrong[name] as string };
      const source = await open(`${(await serve(fileHandler(disk, spoil(headers)))).url}/disk.img`);
      const error = await failure(readChunk(source, all));
      expect(error, name).toMatchObject({ code: 'E_PROTOCOL', retryable: true });
      expect(error.message).toContain(name);
    }
  });

  test.each([
    { 'x-amz-checksum-sha256': `${of('sha256', middleBytes)}-7` },
    { 'x-amz-checksum-sha256': of('sha256', middleBytes), 'x-amz-checksum-type': 'COMPOSITE' },
    { 'content-md5': 'not base64' },
  ])('a digest of digests, or no digest, says nothing: %j', async (headers) => {
    const source = await open(`${(await serve(fileHandler(disk, ways[1]?.[1](headers)))).url}/disk.img`);
    expect((await readChunk(source, all)).equals(disk)).toBe(true);
  });
});

test.each([
  ['sha-256=:AAAA', undefined],
  ['sha-256=:AAAA: x', undefined],
  ['SHA-256=:AAAA:', undefined],
  ['', 0],
  ['a;b;c=d, e="x,y", f=?1, g', 0],
  [`${';'.repeat(60_000)}"`, undefined],
  [`a${'=":'.repeat(20_000)}`, undefined],
])('a field is a dictionary as RFC 9651 writes it, or nothing (%#)', (text, count) => {
  expect(parseDigestField(text)?.size).toBe(count);
});
