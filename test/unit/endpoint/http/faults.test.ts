/** The http(s) source against servers that fail: each fault has its name, and no short or long body is handed on. */
import { HttpResponse } from 'msw';
import { describe, expect, test } from 'vitest';
import { parseRetryAfter } from '../../../../src/core/retry-after.js';
import { cutAfter, fileHandler, type Spoil, stallAfter, without } from '../../../support/http-scenarios.js';
import { never, readChunk } from '../../../support/reading.js';
import {
  answering,
  chunkFailure,
  disk,
  failure,
  middle,
  middleBytes,
  newClient,
  open,
  openFailure,
  serve,
} from './helpers.js';

describe('a status is translated at the border', () => {
  test.each([
    [401, 'E_AUTH', false],
    [403, 'E_AUTH', false],
    [407, 'E_AUTH', false],
    [404, 'E_SOURCE_MISSING', false],
    [410, 'E_SOURCE_MISSING', false],
    [408, 'E_UNAVAILABLE', true],
    [425, 'E_UNAVAILABLE', true],
    [429, 'E_UNAVAILABLE', true],
    [500, 'E_UNAVAILABLE', true],
    [502, 'E_UNAVAILABLE', true],
    [503, 'E_UNAVAILABLE', true],
    [504, 'E_UNAVAILABLE', true],
    [520, 'E_UNAVAILABLE', true],
    [501, 'E_HTTP_STATUS', false],
    [400, 'E_HTTP_STATUS', false],
    [418, 'E_HTTP_STATUS', false],
  ])('%i is %s when opening and when reading a chunk', async (status, code, retryable) => {
    const opening = await openFailure(answering(status));
    expect(opening).toMatchObject({ code, retryable });
    expect(opening.message).toContain(String(status));
    expect(await chunkFailure(answering(status))).toMatchObject({ code, retryable });
  });

  test('Retry-After in seconds says when to try again', async () => {
    expect((await chunkFailure(answering(503, { 'retry-after': '7' }))).detail.retryAfterMs).toBe(7000);
    expect((await openFailure(answering(429, { 'retry-after': '120' }))).detail.retryAfterMs).toBe(120_000);
    expect((await openFailure(answering(429))).detail.retryAfterMs).toBeUndefined();
  });

  test('Retry-After as a date says when to try again, and never a time in the past', async () => {
    const now = Date.parse('Wed, 21 Oct 2015 07:28:00 GMT');
    expect(parseRetryAfter('Wed, 21 Oct 2015 07:29:30 GMT', now)).toBe(90_000);
    expect(parseRetryAfter('Wed, 21 Oct 2015 07:00:00 GMT', now)).toBe(0);
    expect(parseRetryAfter('soon', now)).toBeUndefined();
    const error = await openFailure(answering(503, { 'retry-after': 'Fri, 31 Dec 2100 23:59:59 GMT' }));
    expect(error.detail.retryAfterMs).toBeGreaterThan(1e12);
  });
});

describe('bodies', () => {
  const chunked = (headers: Record<string, string>): Record<string, string> => without(headers, 'content-length');

  test('a body cut in the middle says how much came', async () => {
    const error = await chunkFailure((good) => ({
      ...good,
      body: cutAfter((good.body as Uint8Array).subarray(0, 65_536)),
    }));
    expect(error).toMatchObject({ code: 'E_NETWORK', retryable: true });
    expect(error.message).toContain('after 65536 of 204800 bytes');
  });

  test('a short body that ends in good order is short all the same', async () => {
    const error = await chunkFailure((good) => ({
      ...good,
      headers: chunked(good.headers),
      body: (good.body as Uint8Array).subarray(0, 204_799),
    }));
    expect(error).toMatchObject({ code: 'E_NETWORK', retryable: true });
    expect(error.message).toContain('ended its answer after 204799 of 204800 bytes');
  });

  test.each([1, 307_200])('a body that is %i bytes too long is refused, its right first part too', async (extra) => {
    const long = Buffer.concat([middleBytes, Buffer.alloc(extra)]);
    const asChunks = await chunkFailure((good) => ({ ...good, headers: chunked(good.headers), body: long }));
    expect(asChunks.code).toBe('E_PROTOCOL');
    expect(asChunks.message).toContain('more than the 204800 bytes');
    const headers = { 'content-length': String(long.length) };
    const asLength = await chunkFailure((good) => ({ ...good, headers: { ...good.headers, ...headers }, body: long }));
    expect(asLength.code).toBe('E_PROTOCOL');
  });

  test('all bytes of a chunk count for nothing until the server ends its answer', async () => {
    const impatient = newClient({ silenceMsMax: 300 });
    const endless: Spoil = (good, { count }) =>
      count === 0 ? good : { ...good, headers: chunked(good.headers), body: stallAfter(middleBytes) };
    const source = await open(`${(await serve(fileHandler(disk, endless))).url}/disk.img`, impatient);
    const error = await failure(readChunk(source, middle));
    expect(error.code).toBe('E_TIMEOUT');
    expect(error.message).toContain('after 204800 of 204800 bytes');
  });

  test('a connection that is dropped before any answer is a network error', async () => {
    expect(await chunkFailure(() => HttpResponse.error())).toMatchObject({ code: 'E_NETWORK', retryable: true });
    expect((await openFailure(() => HttpResponse.error())).code).toBe('E_NETWORK');
  });

  test('after a failure the reader gives nothing more', async () => {
    const server = await serve(
      fileHandler(disk, (good, { count }) =>
        count === 0 ? good : { ...good, body: cutAfter(disk.subarray(0, 1000)) },
      ),
    );
    const reader = (await open(`${server.url}/disk.img`)).openChunk(middle, never);
    const block = new Uint8Array(middle.length);
    const first = await failure(Promise.resolve(reader.next(block)));
    expect(await failure((async () => reader.next(block))())).toBe(first);
    reader.close();
  });

  test('the same chunk can be read again after a failure', async () => {
    const server = await serve(
      fileHandler(disk, (good, { count }) =>
        count === 1 ? { ...good, body: cutAfter(disk.subarray(0, 1000)) } : good,
      ),
    );
    const source = await open(`${server.url}/disk.img`);
    expect((await failure(readChunk(source, middle))).code).toBe('E_NETWORK');
    expect((await readChunk(source, middle)).equals(middleBytes)).toBe(true);
  });

  test('a silent server is a timeout, before its answer and within its body', async () => {
    const impatient = newClient({ silenceMsMax: 300 });
    const silent: Spoil = (good, { count }) => {
      if (count === 1) return { ...good, body: stallAfter(disk.subarray(0, 1000)) };
      return count === 2 ? new Promise(() => undefined) : good;
    };
    const server = await serve(fileHandler(disk, silent));
    const source = await open(`${server.url}/disk.img`, impatient);
    const inBody = await failure(readChunk(source, middle));
    expect(inBody).toMatchObject({ code: 'E_TIMEOUT', retryable: true });
    expect(inBody.message).toContain('after 1000 of 204800 bytes');
    expect((await failure(readChunk(source, middle))).code).toBe('E_TIMEOUT');
  });
});

describe('stopping', () => {
  const stalling: Spoil = (good, { count }) =>
    count === 0 ? good : { ...good, body: stallAfter(disk.subarray(0, 1000)) };

  test('closing an unfinished chunk drops its connection instead of draining it', async () => {
    const server = await serve(fileHandler(disk, stalling));
    const reader = (await open(`${server.url}/disk.img`)).openChunk(middle, never);
    await reader.next(new Uint8Array(1000));
    expect(server.underWay).toBe(1);
    reader.close();
    await expect.poll(() => server.underWay).toBe(0);
  });

  test('stopping while the answer is awaited, or before anything was asked, is "stopped"', async () => {
    const server = await serve(
      fileHandler(disk, (good, { count }) => (count === 0 ? good : new Promise(() => undefined))),
    );
    const source = await open(`${server.url}/disk.img`);
    const stop = new AbortController();
    const pending = failure(Promise.resolve(source.openChunk(middle, stop.signal).next(new Uint8Array(10))));
    await expect.poll(() => server.asked.length).toBe(2);
    stop.abort();
    expect(await pending).toMatchObject({ code: 'E_STOPPED', message: 'stopped' });
    await expect.poll(() => server.underWay).toBe(0);
    const late = failure(Promise.resolve(source.openChunk(middle, stop.signal).next(new Uint8Array(10))));
    expect((await late).code).toBe('E_STOPPED');
    expect(server.asked).toHaveLength(2);
  });

  test('a chunk read to its end leaves its connection to the next ones', async () => {
    const server = await serve(fileHandler(disk));
    const source = await open(`${server.url}/disk.img`);
    for (let offset = 0; offset < 10_000; offset += 1000) await readChunk(source, { offset, length: 1000 });
    expect(server.asked).toHaveLength(11);
    // A connection is free again one turn of the event loop after its answer, so two take turns.
    expect(server.accepted).toBeLessThanOrEqual(2);
  });
});
