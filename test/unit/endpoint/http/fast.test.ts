/**
 * The fast way to read an HTTP source, against servers that write their answers byte by byte: what it takes, and what
 * it leaves to the plain way.
 */
import type { Socket } from 'node:net';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { HttpRequest } from '../../../../src/endpoint/http/exchange.js';
import { FastClient } from '../../../../src/endpoint/http/fast.js';
import { goodHead } from '../../../support/raw-server.js';
import { never, readChunk, readOn } from '../../../support/reading.js';
import { good, PlainRecorder, rig, whole } from './fast-rig.js';
import { disk, failure, middle, middleBytes } from './helpers.js';

describe('the straight case', () => {
  test('a request is one plain GET', async () => {
    const { server, source } = await rig(good);
    await readChunk(source, middle);
    expect(server.asked[0]?.text.split('\r\n')).toEqual([
      'GET /disk.img?a=b HTTP/1.1',
      `host: ${server.url.slice('http://'.length)}`,
      'connection: keep-alive',
      'user-agent: blockferry',
      'accept-encoding: identity',
      'range: bytes=102400-307199',
      'if-match: "v1"',
      '',
      '',
    ]);
  });

  test('chunks come one after the other through one connection, and undici is never asked', async () => {
    const { server, source, plain } = await rig(good);
    for (let offset = 0; offset < disk.length; offset += 65_536) {
      const bytes = await readChunk(source, { offset, length: 65_536 }, 10_000);
      expect(bytes.equals(disk.subarray(offset, offset + 65_536))).toBe(true);
    }
    expect([server.accepted, server.asked.length, plain.asked.length]).toEqual([1, 8, 0]);
  });

  test('head and body may come in one packet, the head byte by byte, or the body in drops', async () => {
    const { source } = await rig(async (socket, request) => {
      const answer = whole(request);
      if (request.count === 0) return socket.write(answer);
      for (let at = 0; at < 250; at++) {
        socket.write(answer.subarray(at, at + 1));
        await nextTurn();
      }
      for (let at = 250; at < answer.length; at += 3331) {
        socket.write(answer.subarray(at, at + 3331));
        await nextTurn();
      }
    });
    for (const blockBytes of [65_536, 5000]) {
      expect((await readChunk(source, middle, blockBytes)).equals(middleBytes)).toBe(true);
    }
  });

  test('a name that leads to several addresses is tried at each', async () => {
    const { source } = await rig(good, { host: 'localhost' });
    expect((await readChunk(source, middle)).equals(middleBytes)).toBe(true);
  });
});

describe('bodies', () => {
  test.each([1, 100_000])('%i bytes after the end of the answer spoil it and its connection', async (surplus) => {
    const { server, source } = await rig((socket, request) => {
      const extra = Buffer.alloc(request.count === 0 ? surplus : 0);
      socket.write(Buffer.concat([whole(request), extra]));
    });
    const error = await failure(readChunk(source, { offset: 0, length: 1000 }));
    expect(error).toMatchObject({ code: 'E_PROTOCOL', retryable: true });
    expect((await readChunk(source, middle)).equals(middleBytes)).toBe(true);
    expect(server.accepted).toBe(2);
  });

  test('a body that stalls, a head that stalls and a head that drips are all silence', async () => {
    const { source } = await rig(
      async (socket, request) => {
        if (request.count === 0) return socket.write(whole(request).subarray(0, 5000));
        if (request.count === 1) return socket.write('HTTP/1.1 206 Part');
        socket.write('HTTP/1.1 206 Partial Content\r\nA: ');
        while (!socket.destroyed) {
          socket.write('a');
          await sleep(5);
        }
      },
      { silenceMsMax: 200 },
    );
    const stalled = await failure(readChunk(source, middle));
    expect(stalled).toMatchObject({ code: 'E_TIMEOUT', retryable: true });
    expect(stalled.message).toMatch(/silent for too long after \d+ of 204800 bytes/);
    for (const _ of ['stalling', 'dripping']) expect((await failure(readChunk(source, middle))).code).toBe('E_TIMEOUT');
  });

  test('a slow reader holds the server back, is not taken for a silent server, and gets the right bytes', async () => {
    const length = 64 * 1024 * 1024;
    const piece = Buffer.alloc(1024 * 1024);
    for (let at = 0; at < piece.length; at += 4) piece.writeUInt32LE(at * 7 + 1, at);
    let sent = 0;
    const pump = (socket: Socket): void => {
      if (sent >= length) return;
      socket.write(piece, () => {
        sent += piece.length;
        pump(socket);
      });
    };
    const { source } = await rig(
      (socket, request) => {
        socket.write(goodHead(request, length));
        pump(socket);
      },
      { silenceMsMax: 150, size: length },
    );
    const reader = source.openChunk({ offset: 0, length }, never);
    const first = await readOn(reader, piece.length);
    // What is tested is that time passes: more than twice the silence that would be too long.
    await sleep(400);
    expect(sent).toBeLessThan(length / 2);
    expect(first.equals(piece)).toBe(true);
    for (let done = piece.length; done < length; done += piece.length) {
      expect((await readOn(reader, piece.length, 256 * 1024)).equals(piece), `bytes from ${done}`).toBe(true);
    }
    reader.close();
  });
});

describe('what is left to the plain way', () => {
  const length = `Content-Length: ${middle.length}`;
  const rest = `Content-Range: bytes 102400-307199/${disk.length}\r\nETag: "v1"\r\n`;
  test.each([
    ['chunks', 'Transfer-Encoding: chunked\r\n'],
    ['chunks beside a length', `Transfer-Encoding: chunked\r\n${length}\r\n`],
    ['no length', ''],
    ['two lengths', `${length}\r\nContent-Length: 9\r\n`],
    ['a folded line', `X: a\r\n b\r\n${length}\r\n`],
    ['a bare CR', `X: a\rb\r\n${length}\r\n`],
    ['a bare LF', `X: a\n${length}\r\n`],
    ['a space before the colon', `Content-Length : ${middle.length}\r\n`],
    ['too many fields', `${'X: a\r\n'.repeat(11_000)}${length}\r\n`],
  ])('an answer with %s: the connection is dropped, and undici asked from then on', async (_what, fields) => {
    const { server, source, plain } = await rig((socket) =>
      socket.write(Buffer.concat([Buffer.from(`HTTP/1.1 206 OK\r\n${fields}${rest}\r\n`), middleBytes])),
    );
    expect((await failure(readChunk(source, middle))).message).toContain('LEFT_TO_PLAIN');
    await expect.poll(() => server.open).toBe(0);
    await failure(readChunk(source, middle));
    expect([server.asked.length, plain.asked.length]).toEqual([1, 2]);
    expect(plain.asked[0]).toMatchObject({ path: '/disk.img?a=b', headers: { range: 'bytes=102400-307199' } });
  });

  test.each([
    ['an interim answer', 'HTTP/1.1 103 Early Hints\r\n\r\n'],
    ['an older protocol', 'HTTP/1.0 206 OK\r\nContent-Length: 5\r\n\r\n'],
    ['another protocol', 'SSH-2.0-OpenSSH_9.2\r\n'],
  ])('%s', async (_what, text) => {
    const { source, plain } = await rig((socket) => socket.write(text));
    expect((await failure(readChunk(source, middle))).message).toContain('LEFT_TO_PLAIN');
    expect(plain.asked).toHaveLength(1);
  });

  test('a request that could be read as two is never sent', () => {
    const plain = new PlainRecorder();
    const client = new FastClient(plain, { silenceMsMax: 1000 });
    const request = { origin: 'http://127.0.0.1:1', path: '/', method: 'GET', headers: {} } as const;
    const odd: HttpRequest[] = [
      { ...request, headers: { 'if-match': '"a"\r\nX: b' } },
      { ...request, headers: { 'if-match': '"ü"' } },
      { ...request, headers: { 'a b': 'c' } },
      { ...request, path: '/a HTTP/1.1\r\nX: b' },
      { ...request, path: 'http://elsewhere/' },
    ];
    for (const one of odd) client.dispatch(one, {});
    expect(plain.asked).toEqual(odd);
  });

  test('a refusal or a redirect is told by its head alone, without asking twice', async () => {
    const { server, source, plain } = await rig((socket, request) =>
      request.count < 2
        ? socket.write(
            'HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nlater\r\n0\r\n\r\n',
          )
        : good(socket, request),
    );
    for (const _ of [1, 2]) {
      expect(await failure(readChunk(source, middle))).toMatchObject({
        code: 'E_UNAVAILABLE',
        detail: { retryAfterMs: 7000 },
      });
    }
    expect((await readChunk(source, middle)).equals(middleBytes)).toBe(true);
    expect([server.asked.length, server.accepted, plain.asked.length]).toEqual([3, 3, 0]);
  });
});
