/** The connections of the fast way: how many there are, when one is used again, and what happens when one ends. */
import type { Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { readChunk } from '../../../support/reading.js';
import { good, rig, whole } from './fast-rig.js';
import { disk, failure, middle, middleBytes } from './helpers.js';

describe('connections that are shared', () => {
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
});
