/** The http(s) source against servers whose file changes or whose ranges lie: nothing is ever spliced. */
import { HttpResponse } from 'msw';
import { describe, expect, test } from 'vitest';
import { attachHttpSource } from '../../../../src/endpoint/http.js';
import { fileHandler, type Spoil, without } from '../../../support/http-scenarios.js';
import { readChunk } from '../../../support/reading.js';
import { answering, chunkFailure, disk, failure, middle, middleBytes, open, openFailure, serve } from './helpers.js';

describe('versions', () => {
  test('a weak ETag counts as none: the date is the version then', async () => {
    const server = await serve(
      fileHandler(disk, (good) => ({ ...good, headers: { ...good.headers, etag: 'W/"v1"' } })),
    );
    const source = await open(`${server.url}/disk.img`);
    expect(source.version).toEqual({ strength: 'weak', value: 'modified Tue, 01 Jul 2025 10:00:00 GMT size 524288' });
    await readChunk(source, middle);
    expect(server.asked.at(-1)?.headers.get('if-match')).toBeNull();
    expect(server.asked.at(-1)?.headers.get('if-unmodified-since')).toBe('Tue, 01 Jul 2025 10:00:00 GMT');
  });

  test('a server without validators gives no version, and can be read all the same', async () => {
    const bare: Spoil = (good) => ({ ...good, headers: without(without(good.headers, 'etag'), 'last-modified') });
    const server = await serve(fileHandler(disk, bare));
    const source = await open(`${server.url}/disk.img`);
    expect(source.version).toEqual({ strength: 'none', value: '' });
    expect((await readChunk(source, middle)).equals(middleBytes)).toBe(true);
    await source.assertUnchanged();
  });

  test('a weak ETag that is another one is a changed source where there is nothing else', async () => {
    let tag = 'W/"v1"';
    const weak: Spoil = (good) => ({ ...good, headers: { ...without(good.headers, 'last-modified'), etag: tag } });
    const server = await serve(fileHandler(disk, weak));
    const source = await open(`${server.url}/disk.img`);
    expect(source.version).toEqual({ strength: 'none', value: '' });
    expect((await readChunk(source, middle)).equals(middleBytes)).toBe(true);
    tag = 'W/"v2"';
    expect(await failure(readChunk(source, middle))).toMatchObject({ code: 'E_SOURCE_CHANGED' });
    expect(await failure(source.assertUnchanged())).toMatchObject({ code: 'E_SOURCE_CHANGED' });
  });

  test('each chunk is one GET of its range, uncompressed, only of the version that was opened', async () => {
    const server = await serve(fileHandler(disk));
    const source = await open(`${server.url}/disk.img`);
    await readChunk(source, middle, 10_000);
    expect(server.asked.map(({ method }) => method)).toEqual(['GET', 'GET']);
    expect(Object.fromEntries(server.asked[1]?.headers ?? [])).toMatchObject({
      range: 'bytes=102400-307199',
      'if-match': '"v1"',
      'accept-encoding': 'identity',
    });
  });

  test('attaching asks the server nothing', async () => {
    const server = await serve(fileHandler(disk));
    const { ref } = await open(`${server.url}/disk.img`);
    attachHttpSource(ref);
    expect(server.asked).toHaveLength(1);
  });

  test.each([
    ['etag', '"v2"'],
    ['content-range', 'bytes 102400-307199/600000'],
  ])('a chunk of another version is a changed source: %s', async (name, value) => {
    const error = await chunkFailure((good) => ({ ...good, headers: { ...good.headers, [name]: value } }));
    expect(error).toMatchObject({ code: 'E_SOURCE_CHANGED', retryable: false });
    expect(error.detail.hint).toContain('old version');
  });

  test('a chunk with another date is a changed source where the date is all there is', async () => {
    const dateOnly: Spoil = (good) => ({ ...good, headers: without(good.headers, 'etag') });
    const newer: Spoil = (good) => ({
      ...good,
      headers: { ...without(good.headers, 'etag'), 'last-modified': 'Tue, 01 Jul 2025 10:00:01 GMT' },
    });
    expect((await chunkFailure(newer, dateOnly)).code).toBe('E_SOURCE_CHANGED');
  });

  test.each([412, 416])('status %i for a chunk is a changed source', async (status) => {
    expect((await chunkFailure(answering(status))).code).toBe('E_SOURCE_CHANGED');
  });

  test('a chunk that no longer says its version is not trusted', async () => {
    const error = await chunkFailure((good) => ({ ...good, headers: without(good.headers, 'etag') }));
    expect(error.code).toBe('E_PROTOCOL');
    expect(error.message).toContain('etag');
  });

  test('a source whose version or size is another at the end is a changed source', async () => {
    for (const changed of [{ etag: '"v2"' }, { 'content-range': 'bytes 0-0/600000' }]) {
      const later: Spoil = (good, { count }) =>
        count === 0 ? good : { ...good, headers: { ...good.headers, ...changed } };
      const server = await serve(fileHandler(disk, later));
      const source = await open(`${server.url}/disk.img`);
      expect((await failure(source.assertUnchanged())).code).toBe('E_SOURCE_CHANGED');
    }
  });
});

describe('ranges', () => {
  const whole = (headers: Record<string, string>): Spoil => {
    const length = { 'content-length': String(disk.length), 'last-modified': 'Tue, 01 Jul 2025 10:00:00 GMT' };
    return () => ({ status: 200, headers: { ...length, ...headers }, body: disk });
  };

  test('the whole file for a range is no substitute, even of the same version', async () => {
    const error = await chunkFailure(whole({ etag: '"v1"' }));
    expect(error).toMatchObject({ code: 'E_NO_RANGES', retryable: false });
    expect(error.message).toContain('answered a range with the whole file');
  });

  test('the whole file for a range is a changed source when its version or length is another', async () => {
    expect((await chunkFailure(whole({ etag: '"v2"' }))).code).toBe('E_SOURCE_CHANGED');
    const longer: Spoil = () => ({
      status: 200,
      headers: { etag: '"v1"', 'content-length': '9' },
      body: disk.subarray(0, 9),
    });
    expect((await chunkFailure(longer)).code).toBe('E_SOURCE_CHANGED');
  });

  test('Accept-Ranges without ranges is not believed', async () => {
    const server = await serve(fileHandler(disk, whole({ etag: '"v1"', 'accept-ranges': 'bytes' })));
    const source = await open(`${server.url}/disk.img`);
    expect(source.oneChunk).toBe(true);
    expect((await readChunk(source, middle)).equals(middleBytes)).toBe(true);
  });

  test('a server that refuses every range has none, and an empty file needs none', async () => {
    const refusing: Spoil = (good, { range }) => (range ? new HttpResponse(null, { status: 416 }) : good);
    const without = await serve(fileHandler(disk, refusing));
    expect((await open(`${without.url}/disk.img`)).oneChunk).toBe(true);
    const server = await serve(fileHandler(new Uint8Array(0), refusing));
    expect((await open(`${server.url}/empty.img`)).size).toBe(0);
  });

  test('a source of unknown size is refused', async () => {
    const unknown: Spoil = (good) => ({ ...good, headers: { ...good.headers, 'content-range': 'bytes 0-0/*' } });
    expect((await openFailure(unknown)).code).toBe('E_NO_SIZE');
    expect((await openFailure(() => ({ status: 200, headers: {}, body: disk }))).code).toBe('E_NO_SIZE');
  });

  test.each([
    ['another start', 'bytes 102401-307200/524288'],
    ['another end', 'bytes 102400-307198/524288'],
    ['no range', 'bytes */524288'],
    ['no sense', 'pages 1-2/3'],
  ])('a Content-Range with %s is named and nothing of it used', async (_what, value) => {
    const error = await chunkFailure((good) => ({ ...good, headers: { ...good.headers, 'content-range': value } }));
    expect(error).toMatchObject({ code: 'E_PROTOCOL', detail: { offset: 102_400 } });
    expect(error.message).toContain(`asked for bytes=102400-307199, was answered with content-range ${value}`);
  });

  test('a range without Content-Range, as in a multipart answer, is named', async () => {
    const error = await chunkFailure((good) => ({ ...good, headers: without(good.headers, 'content-range') }));
    expect(error.message).toContain('content-range missing');
  });

  test('a compressed answer is refused', async () => {
    const gzip: Spoil = (good) => ({ ...good, headers: { ...good.headers, 'content-encoding': 'gzip' } });
    expect((await chunkFailure(gzip)).message).toContain('content-encoding gzip');
    expect((await openFailure(gzip)).code).toBe('E_PROTOCOL');
  });
});
