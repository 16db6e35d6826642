/** Proxies that fail: each fault has its name, and none is waited for without end. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { PlainClient } from '../../../../src/endpoint/http/plain.js';
import { openHttpSource } from '../../../../src/endpoint/http.js';
import { parseLocation } from '../../../../src/endpoint/location.js';
import { failureOf } from '../../../support/copying.js';

/** A proxy that does this with each connection, and the error of whoever asks for the URL through it. */
async function failureThrough(act: (socket: Socket) => unknown, url: string) {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    act(socket);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const client = new PlainClient({ silenceMsMax: 300, proxy: { url: `http://127.0.0.1:${port}` } });
  onTestFinished(async () => {
    await client.destroy();
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return failureOf(openHttpSource(parseLocation(url), { client }));
}

const answering = (text: string) => (socket: Socket) => socket.once('data', () => socket.write(text));

test.each(['http://host.test/f', 'https://host.test/f'])(
  'a proxy that says nothing is a timeout, one that leaves or talks nonsense a failed connection: %s',
  async (url) => {
    expect(await failureThrough(() => undefined, url)).toMatchObject({ code: 'E_TIMEOUT', retryable: true });
    expect(await failureThrough((socket) => socket.destroy(), url)).toMatchObject({ code: 'E_NETWORK' });
    expect((await failureThrough(answering('SSH-2.0-x\r\n'), url)).code).toMatch(/^E_(PROTOCOL|NETWORK)$/);
  },
);

test.each([
  ['403 Forbidden', 'E_HTTP_STATUS', 'https://host.test/f'],
  ['502 Bad Gateway', 'E_UNAVAILABLE', 'https://host.test/f'],
  ['407 Who', 'E_AUTH', 'https://host.test/f'],
  ['407 Who', 'E_AUTH', 'http://host.test/f'],
  ['403 Forbidden', 'E_AUTH', 'http://host.test/f'],
])('a proxy that answers %s is %s for %s', async (line, code, url) => {
  const error = await failureThrough(answering(`HTTP/1.1 ${line}\r\nContent-Length: 0\r\n\r\n`), url);
  expect(error).toMatchObject({ code, message: expect.stringContaining(url) });
});

test('a tunnel that ends before the secure connection stands is a failed connection', async () => {
  const act = (socket: Socket) =>
    socket.once('data', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      socket.once('data', () => socket.destroy());
    });
  expect(await failureThrough(act, 'https://host.test/f')).toMatchObject({ code: 'E_NETWORK', retryable: true });
});
