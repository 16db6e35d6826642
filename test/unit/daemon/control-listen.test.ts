import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ownIdentity } from '../../../src/daemon/certificate.js';
import { ServiceClient } from '../../../src/daemon/client.js';
import { startControl } from '../../../src/daemon/control/server.js';
import { ask, LOOPBACK, startTestControl } from '../../support/control.js';
import { FakeService } from '../../support/fake-service.js';
import { commandAvailable } from '../../support/servers.js';

let scratch: string;

beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'control-listen-'));
});

afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const start = (socketPath: string, more = {}) =>
  startControl({ service: new FakeService(), version: '1', socketPath, tokens: scratch, ...more });

test('the socket is its user’s alone, in a folder that is too, and gone when the service ends', async () => {
  const folder = join(scratch, 'deep', 'state');
  const socketPath = join(folder, 'control.sock');
  const server = await start(socketPath);
  expect(lstatSync(socketPath).isSocket()).toBe(true);
  expect(lstatSync(socketPath).mode & 0o777).toBe(0o600);
  expect(lstatSync(folder).mode & 0o777).toBe(0o700);
  expect(readdirSync(folder).sort()).toEqual(['control.sock', 'control.sock.lock']);
  await server.close();
  expect(readdirSync(folder)).toEqual(['control.sock.lock']);
});

test('a socket that a dead service has left is replaced', async () => {
  const socketPath = join(scratch, 'stale.sock');
  const program = "require('net').createServer().listen(process.argv[1], () => process.kill(process.pid, 9))";
  spawnSync(process.execPath, ['-e', program, socketPath]);
  expect(lstatSync(socketPath).isSocket()).toBe(true);
  const server = await start(socketPath);
  expect((await ask({ socketPath, path: '/v1/service' })).status).toBe(200);
  await server.close();
});

test('a service that is started twice is refused by name, and the first goes on', async () => {
  const socketPath = join(scratch, 'twice.sock');
  const server = await start(socketPath);
  await expect(start(socketPath)).rejects.toMatchObject({
    code: 'E_LOCKED',
    message: expect.stringContaining(`process ${process.pid} listens on ${socketPath}`),
  });
  expect((await ask({ socketPath, path: '/v1/service' })).status).toBe(200);
  await server.close();
});

test('what is no socket is not replaced, and a path that is too long is refused', async () => {
  const file = join(scratch, 'a-file');
  writeFileSync(file, 'mine');
  await expect(start(file)).rejects.toMatchObject({ code: 'E_USAGE', message: expect.stringContaining(file) });
  const long = join(scratch, 'x'.repeat(90), 'control.sock');
  await expect(start(long)).rejects.toMatchObject({ code: 'E_USAGE', message: expect.stringContaining('too long') });
  const inside = join(scratch, 'a-file', 'control.sock');
  await expect(start(inside)).rejects.toMatchObject({ code: 'E_USAGE', message: expect.stringContaining('ENOTDIR') });
});

test('a folder in which others may write is refused, since they could put another socket there', async () => {
  const folder = join(scratch, 'open');
  mkdirSync(folder);
  chmodSync(folder, 0o777);
  await expect(start(join(folder, 'control.sock'))).rejects.toMatchObject({
    code: 'E_USAGE',
    hint: expect.stringContaining(`chmod 700 ${folder}`),
  });
});

test('a page that is not there keeps the service from starting, and nothing is left open', async () => {
  const socketPath = join(scratch, 'page.sock');
  await expect(start(socketPath, { page: join(scratch, 'no-page') })).rejects.toMatchObject({
    code: 'E_USAGE',
    message: expect.stringContaining('no-page'),
  });
  expect(readdirSync(scratch)).not.toContain('page.sock');
});

test('an address that others can reach needs TLS, and one that is taken is named', async () => {
  const socketPath = join(scratch, 'http.sock');
  const open = start(socketPath, { http: { host: '0.0.0.0', port: 0 } });
  await expect(open).rejects.toMatchObject({ code: 'E_USAGE', message: expect.stringContaining('needs TLS') });
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  const { port } = other.address() as { port: number };
  const taken = start(socketPath, { http: { ...LOOPBACK, port } });
  await expect(taken).rejects.toMatchObject({ message: `cannot listen on 127.0.0.1:${port}: EADDRINUSE` });
  other.close();
  const server = await start(socketPath);
  await server.close();
});

test('over TLS the client pins the certificate, and sends no token to another one', async () => {
  const identity = ownIdentity(scratch, Date.now());
  const control = await startTestControl({ http: { ...LOOPBACK, tls: identity } });
  const token = await control.token('anna', 'jobs');
  const url = control.url;
  expect(url).toMatch(/^https:/);
  const client = new ServiceClient({ url, token, pin: identity.fingerprint });
  expect((await client.service()).caller.name).toBe('anna');
  await client.close();
  const wrong = new ServiceClient({ url, token, pin: '00'.repeat(32) });
  await expect(wrong.service()).rejects.toMatchObject({ code: 'E_AUTH', hint: 'Nothing was sent to it.' });
  await wrong.close();
  const unpinned = new ServiceClient({ url, token });
  const hint = expect.stringMatching(/Nothing was sent to it.*--pin/);
  await expect(unpinned.service()).rejects.toMatchObject({ code: 'E_AUTH', hint });
  await unpinned.close();
  await control.stop();
});

test('a session over TLS is for TLS alone', async () => {
  const control = await startTestControl({ http: { ...LOOPBACK, tls: ownIdentity(scratch, Date.now()) } });
  const token = await control.token('anna', 'jobs');
  const { Agent, request } = await import('undici');
  const dispatcher = new Agent({ connect: { rejectUnauthorized: false } });
  const headers = { authorization: `Bearer ${token}` };
  const opened = await request(`${control.url}/v1/session`, { method: 'POST', headers, dispatcher });
  expect(String(opened.headers['set-cookie'])).toMatch(/; Secure$/);
  await opened.body.dump();
  await dispatcher.destroy();
  await control.stop();
});

test('a request that never ends is ended, and a connection that asks nothing is closed', async () => {
  const limits = { headMs: 100, requestMs: 200 };
  const control = await startTestControl({ http: LOOPBACK, limits });
  const port = Number(new URL(control.url).port);
  const ended = async (sent: string): Promise<string> => {
    const socket = connect(port, '127.0.0.1');
    let heard = '';
    socket.on('data', (piece) => {
      heard += piece.toString('latin1');
    });
    socket.write(sent);
    await once(socket, 'close');
    return heard;
  };
  const token = await control.token('anna', 'jobs');
  const head = `POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\n`;
  expect(await ended(head)).toContain(' 408 ');
  expect(await ended(`${head}Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{`)).toContain(' 408 ');
  await control.stop();
});

test('curl speaks with it over the socket and over HTTP', async (context) => {
  if (!commandAvailable('curl')) return context.skip('curl is not installed');
  const { execFile } = await import('node:child_process');
  const { promisify } = await import('node:util');
  const curl = async (...args: string[]): Promise<string> =>
    (await promisify(execFile)('curl', ['-sS', '--max-time', '20', ...args])).stdout;
  const control = await startTestControl({ http: LOOPBACK });
  const token = await control.token('anna', 'jobs');
  const socket = ['--unix-socket', control.socketPath];
  expect(JSON.parse(await curl(...socket, 'http://localhost/v1/service'))).toMatchObject({ version: '1.2.3' });
  const header = ['-H', `Authorization: Bearer ${token}`, '-H', 'Content-Type: application/json'];
  const made = await curl(...header, '-d', '{"files":[{"source":"/a","target":"/b"}]}', `${control.url}/v1/jobs`);
  expect(JSON.parse(made)).toMatchObject({ owner: 'anna', state: 'queued' });
  const toml = ['-X', 'PUT', '-H', 'Content-Type: text/plain', '--data-binary', 'jobs-at-once = 3'];
  expect(JSON.parse(await curl(...socket, ...toml, 'http://localhost/v1/policy'))).toMatchObject({
    policy: { jobsAtOnce: 3 },
  });
  await control.stop();
});
