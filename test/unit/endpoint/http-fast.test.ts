/** The fast way to read an HTTP source, against servers that write their answers byte by byte: what it takes, what it
 * leaves to the plain way, and when a connection is used again. */
import type { Socket } from 'node:net';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import type { Dispatcher } from 'undici';
import { afterEach, describe, expect, test } from 'vitest';
import type { Source } from '../../../src/core/endpoint.js';
import { attachHttpSource } from '../../../src/endpoint/http.js';
import type { HttpClient, HttpRequest } from '../../../src/endpoint/http-exchange.js';
import { FastClient } from '../../../src/endpoint/http-fast.js';
import { goodHead, type RawRequest, type RawServer, serveRaw } from '../../support/raw-server.js';
import { disk, failure, middle, middleBytes, never, readChunk, readOn } from './http-helpers.js';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

/** The plain way, as far as it matters here: which requests were left to it. */
class PlainRecorder implements HttpClient {
  readonly asked: HttpRequest[] = [];

  dispatch(request: HttpRequest, handler: Dispatcher.DispatchHandler): boolean {
    this.asked.push(request);
    handler.onResponseError?.(undefined as never, Object.assign(new Error('left'), { code: 'LEFT_TO_PLAIN' }));
    return true;
  }
}

interface Rig {
  readonly server: RawServer;
  readonly source: Source;
  readonly client: FastClient;
  readonly plain: PlainRecorder;
}

async function rig(
  answer: (socket: Socket, request: RawRequest) => unknown,
  { silenceMsMax = 30_000, size = disk.length, host = '127.0.0.1' } = {},
): Promise<Rig> {
  const server = await serveRaw(answer);
  const plain = new PlainRecorder();
  const client = new FastClient(plain, { silenceMsMax });
  cleanups.push(
    () => server.stop(),
    () => client.destroy(),
  );
  const url = `${server.url.replace('127.0.0.1', host)}/disk.img?a=b`;
  const version = { strength: 'strong', value: 'etag "v1"' };
  const ref = { scheme: 'http', url, finalUrl: url, size, version, validator: '"v1"' };
  return { server, plain, client, source: attachHttpSource(ref as never, client) };
}

const body = ({ range }: RawRequest): Buffer => disk.subarray(range.first, range.last + 1);
const whole = (request: RawRequest): Buffer =>
  Buffer.concat([Buffer.from(goodHead(request, disk.length)), body(request)]);
const good = (socket: Socket, request: RawRequest): unknown => socket.write(whole(request));

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

  test('many chunks at once share eight connections', async () => {
    const { server, source } = await rig(good);
    const ranges = Array.from({ length: 40 }, (_, chunk) => ({ offset: chunk * 10_000, length: 10_000 }));
    const chunks = await Promise.all(ranges.map((range) => readChunk(source, range)));
    expect(Buffer.concat(chunks).equals(disk.subarray(0, 400_000))).toBe(true);
    expect(server.accepted).toBe(8);
  });

  test('a chunk that was given up while it waited for a connection holds nobody up', async () => {
    const held: (() => void)[] = [];
    const { server, source } = await rig((socket, request) => held.push(() => good(socket, request)));
    const first = Array.from({ length: 8 }, () => readChunk(source, { offset: 0, length: 10 }));
    await expect.poll(() => held.length).toBe(8);
    const stop = new AbortController();
    const givenUp = failure(Promise.resolve(source.openChunk(middle, stop.signal).next(new Uint8Array(10))));
    const last = readChunk(source, { offset: 10, length: 10 });
    stop.abort();
    expect((await givenUp).code).toBe('E_STOPPED');
    for (const answer of held.splice(0)) answer();
    await Promise.all(first);
    await expect.poll(() => held.length).toBe(1);
    held[0]?.();
    expect((await last).equals(disk.subarray(10, 20))).toBe(true);
    expect(server.asked).toHaveLength(9);
  });
});

describe('connections that end', () => {
  test('a chunk is asked for once more, and not a third time, when its connections end without an answer', async () => {
    const { server, source } = await rig((socket, request) => {
      if (request.count > 0 && request.connection < request.count) socket.destroy();
      else good(socket, request);
    });
    await readChunk(source, middle);
    expect((await failure(readChunk(source, middle))).code).toBe('E_NETWORK');
    expect(server.asked.map(({ connection }) => connection)).toEqual([0, 0, 1]);
  });

  test('a chunk is asked for once more when its kept connection ended before a byte of the answer', async () => {
    const { server, source } = await rig((socket, request) => {
      if (request.count === 1) socket.destroy();
      else good(socket, request);
    });
    await readChunk(source, middle);
    expect((await readChunk(source, middle)).equals(middleBytes)).toBe(true);
    expect(server.asked.map(({ connection }) => connection)).toEqual([0, 0, 1]);
  });

  test('a new connection that ends without an answer is an error at once', async () => {
    const { server, source } = await rig((socket) => socket.destroy());
    expect(await failure(readChunk(source, middle))).toMatchObject({ code: 'E_NETWORK', retryable: true });
    expect(server.asked).toHaveLength(1);
  });

  test('after one byte of an answer nothing is asked again', async () => {
    const { server, source } = await rig((socket, request) => {
      if (request.count === 1) socket.end('H');
      else good(socket, request);
    });
    await readChunk(source, middle);
    expect((await failure(readChunk(source, middle))).code).toBe('E_NETWORK');
    expect(server.asked).toHaveLength(2);
  });

  test('an idle connection that the server closes is noticed before the next chunk', async () => {
    const { server, source } = await rig((socket, request) => socket.end(whole(request)));
    for (const _ of [1, 2, 3]) {
      expect((await readChunk(source, middle, 5000)).equals(middleBytes)).toBe(true);
      await expect.poll(() => server.open).toBe(0);
    }
    expect([server.accepted, server.asked.length]).toEqual([3, 3]);
  });

  test('"Connection: close" is obeyed', async () => {
    const { server, source } = await rig((socket, request) =>
      socket.write(whole(request).toString('latin1').replace('ETag', 'Connection: close\r\nETag'), 'latin1'),
    );
    for (const _ of [1, 2]) expect((await readChunk(source, middle)).equals(middleBytes)).toBe(true);
    expect(server.accepted).toBe(2);
    await expect.poll(() => server.open).toBe(0);
  });

  test('closing all connections fails the chunks under way and those that wait, for good', async () => {
    const { server, source, client } = await rig((socket, request) => {
      if (request.count === 0) good(socket, request);
    });
    await readChunk(source, middle);
    const pending = Array.from({ length: 10 }, () => failure(readChunk(source, middle)));
    await expect.poll(() => server.asked.length).toBe(9);
    client.destroy();
    for (const error of await Promise.all(pending)) expect(error.code).toBe('E_NETWORK');
    await expect.poll(() => server.open).toBe(0);
    expect(server.asked).toHaveLength(9);
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

  test('bytes that nobody asked for end an idle connection', async () => {
    let idle: Socket | undefined;
    const { server, source } = await rig((socket, request) => {
      idle = socket;
      good(socket, request);
    });
    await readChunk(source, middle);
    idle?.write('HTTP/1.1 206 Partial Content\r\n');
    await expect.poll(() => server.open).toBe(0);
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
