/** Copies to web servers that lie behind a proxy: it is asked as for any plain request, and its faults have names. */
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { expect, onTestFinished, test, vi } from 'vitest';
import { closeUploads } from '../../src/endpoint/upload/client.js';
import { failureOf } from '../support/copying.js';
import { bytes, type Rig, rig } from '../support/dav-copy.js';
import { startForwardProxy } from '../support/forward-proxy.js';

async function rigBehind(proxy: string): Promise<Rig> {
  const made = await rig();
  vi.stubEnv('http_proxy', `http://who:secret@${proxy}`);
  vi.stubEnv('no_proxy', 'elsewhere.test');
  onTestFinished(closeUploads);
  return made;
}

test('a plain server is written to through a proxy that opens no tunnels: requests name their URL', async () => {
  const proxy = await startForwardProxy('who:secret');
  onTestFinished(proxy.stop);
  const { dav, copy } = await rigBehind(proxy.host);
  await copy();
  expect(dav.files.get('/disk.img')?.equals(bytes)).toBe(true);
  expect(proxy.asked).toContain(`PROPFIND ${dav.http}/disk.img`);
  expect(proxy.asked.filter((asked) => asked.startsWith('CONNECT'))).toEqual([]);
});

test('a proxy that wants to know who asks is told from the server, and no word of a password is said', async () => {
  const proxy = await startForwardProxy('who:else');
  onTestFinished(proxy.stop);
  const { copy } = await rigBehind(proxy.host);
  const error = await failureOf(copy());
  expect(error).toMatchObject({ code: 'E_AUTH', hint: expect.stringContaining('HTTP_PROXY') });
  expect(JSON.stringify(error.toJSON())).not.toContain('secret');
});

test('a proxy that hangs up is asked a few times, and not without end', async () => {
  let hungUp = 0;
  const server = createServer((socket) => {
    hungUp++;
    socket.on('error', () => socket.destroy());
    socket.once('data', () => socket.destroy());
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const { copy } = await rigBehind(`127.0.0.1:${(server.address() as AddressInfo).port}`);
  expect((await failureOf(copy())).code).toBe('E_NETWORK');
  expect(hungUp).toBeLessThan(20);
});
