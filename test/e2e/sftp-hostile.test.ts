import { once } from 'node:events';
import { readFileSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { systemClock } from '../../src/core/clock.js';
import { KiB, MiB } from '../../src/core/units.js';
import { parseLocation } from '../../src/endpoint/location.js';
import { SftpClient } from '../../src/endpoint/sftp/client.js';
import { STATUS, TYPE } from '../../src/endpoint/sftp/wire.js';
import { sftpScheme } from '../../src/endpoint/sftp.js';
import { bytesOf, failureOf, scratchFolder } from '../support/copying.js';
import { inlineTransfer } from '../support/inline-copy.js';
import { codeOf, never, readChunk } from '../support/reading.js';
import { answering, reply, type Script, type SftpServer, serveSftp } from '../support/sftp-server.js';
import { sshdMissing } from '../support/sshd.js';

const BYTES = bytesOf(MiB + 77, 'source');
const WHOLE = { offset: 0, length: BYTES.length };
let client: SftpClient;

beforeEach((context) => {
  context.skip(sshdMissing() !== '', sshdMissing());
  client = new SftpClient({ silenceMs: 400, slowSilenceMs: 800 });
});
afterEach(async () => {
  await client.close();
  vi.unstubAllEnvs();
});

async function served(script?: Script): Promise<SftpServer> {
  const server = await serveSftp(BYTES, script);
  onTestFinished(async () => {
    await client.close();
    await server.stop();
    rmSync(server.home, { recursive: true, force: true });
  });
  vi.stubEnv('HOME', server.home);
  vi.stubEnv('SSH_AUTH_SOCK', '');
  return server;
}

async function opened(server: SftpServer) {
  const source = await sftpScheme(client).openSource?.(parseLocation(server.url()));
  if (!source) throw new Error('no source');
  return source;
}

test('a server that gives less than it was asked for is asked for the rest', async () => {
  const server = await served(({ type, id, fields }, channel, { bytes }) => {
    if (type !== TYPE.read) return false;
    fields.string();
    const from = Number(fields.uint64());
    const length = Math.min(fields.uint32(), 1 + (from % 5000));
    reply(channel, TYPE.data, id, bytes.subarray(from, from + length));
    return true;
  });
  const source = await opened(server);
  expect((await readChunk(source, { offset: 5, length: 300 * KiB })).equals(BYTES.subarray(5, 5 + 300 * KiB))).toBe(
    true,
  );
});

test('answers may come in any order, each in as many pieces as it likes', async () => {
  const held: (() => void)[] = [];
  const server = await served(({ type, id, fields }, channel, { bytes }) => {
    if (type !== TYPE.read) return false;
    fields.string();
    const from = Number(fields.uint64());
    const data = bytes.subarray(from, from + fields.uint32());
    held.unshift(() => reply(channel, TYPE.data, id, data));
    if (held.length === 8 || from + data.length === bytes.length) for (const answer of held.splice(0)) answer();
    return true;
  });
  const source = await opened(server);
  expect((await readChunk(source, WHOLE, 256 * KiB)).equals(BYTES)).toBe(true);
});

test.each<[string, string, (length: number, from: number) => number]>([
  ['more than it was asked for', 'E_PROTOCOL', (length) => length + 1],
  ['no bytes where there are some', 'E_PROTOCOL', () => 0],
])('a server that sends %s is told so', async (_what, code, wrong) => {
  const server = await served(({ type, id, fields }, channel) => {
    if (type !== TYPE.read) return false;
    fields.string();
    const from = Number(fields.uint64());
    reply(channel, TYPE.data, id, new Uint8Array(wrong(fields.uint32(), from)));
    return true;
  });
  const source = await opened(server);
  expect(await codeOf(() => readChunk(source, WHOLE))).toBe(code);
});

test('a file that ends before its size has changed', async () => {
  const server = await served();
  const source = await opened(server);
  server.bytes = BYTES.subarray(0, 500_000);
  expect(await codeOf(() => readChunk(source, WHOLE))).toBe('E_SOURCE_CHANGED');
});

test('a file of another second at the end of a chunk has changed, although its bytes came', async () => {
  const server = await served();
  const source = await opened(server);
  const reader = source.openChunk({ offset: 0, length: 100_000 }, never);
  await reader.next(new Uint8Array(50_000));
  server.modified++;
  expect(await codeOf(() => reader.next(new Uint8Array(50_000)))).toBe('E_SOURCE_CHANGED');
});

test.each([-10, 10])('a second change in one second is not mixed in, by a clock %i s from ours', async (off) => {
  const other = bytesOf(BYTES.length, 'other');
  // Before its second is over, and after something was read where that comes first.
  const change = (): void => void Object.assign(server, { bytes: other });
  const server = await served(({ type, nth }) => {
    if (type === TYPE.open && nth === 1) setTimeout(change, 900);
    return false;
  });
  server.modified = Math.floor(Date.now() / 1000) + off;
  const source = await opened(server);
  const first = await readChunk(source, { offset: 0, length: 500_000 });
  change();
  const second = await readChunk(source, { offset: 500_000, length: BYTES.length - 500_000 });
  expect(Buffer.concat([first, second]).equals(other)).toBe(true);
});

const raw = (...bytes: number[]): Script => answering(TYPE.read, (channel) => void channel.write(Buffer.from(bytes)));

test.each<[string, Script]>([
  ['a huge length', raw(0xff, 0xff, 0xff, 0xff, TYPE.data, 0, 0, 0, 1)],
  ['a length below the least', raw(0, 0, 0, 1, TYPE.data, 0, 0, 0, 1)],
  ['an answer to a question that nobody asked', raw(0, 0, 0, 9, TYPE.status, 0x7f, 0, 0, 1, 0, 0, 0, 0)],
  ['words of a shell', answering(TYPE.read, (channel) => void channel.write('Welcome to this machine!\n'))],
  [
    'a status where data belongs',
    answering(TYPE.read, (channel, { id }) => reply(channel, TYPE.status, id, STATUS.ok)),
  ],
  ['a status that ends in its middle', answering(TYPE.read, (channel, { id }) => reply(channel, TYPE.status, id))],
  ['a handle where data belongs', answering(TYPE.read, (channel, { id }) => reply(channel, TYPE.handle, id, 'h'))],
])('%s instead of data ends the connection, with a reason', async (_what, script) => {
  const source = await opened(await served(script));
  const error = await failureOf(readChunk(source, WHOLE));
  expect(error).toMatchObject({ code: 'E_PROTOCOL', message: expect.stringMatching(/^sftp:\/\/127.*the server sent/) });
});

test.each<[string, Script]>([
  ['another version of the protocol', answering(TYPE.init, (channel) => reply(channel, TYPE.version, 6))],
  [
    'a handle without end',
    answering(TYPE.open, (channel, { id }) => reply(channel, TYPE.handle, id, 'h'.repeat(5000))),
  ],
  ['a path that is none', answering(TYPE.realpath, (channel, { id }) => reply(channel, TYPE.name, id, 1, 'no\0path'))],
  ['names without end', answering(TYPE.realpath, (channel, { id }) => reply(channel, TYPE.name, id, 9_999_999))],
  ['a size beyond all', answering(TYPE.fstat, (channel, { id }) => reply(channel, TYPE.attributes, id, 1, 1n << 63n))],
])('%s is refused when a source is opened', async (_what, script) => {
  const server = await served(script);
  expect(await codeOf(() => opened(server))).toBe('E_PROTOCOL');
});

test('a server without sizes or times is no source', async () => {
  const server = await served(answering(TYPE.fstat, (channel, { id }) => reply(channel, TYPE.attributes, id, 0)));
  expect(await codeOf(() => opened(server))).toBe('E_NO_SIZE');
});

test('a server that stops answering is given up with the reason, and so is one that never begins', async () => {
  const source = await opened(await served(({ type, nth }) => type === TYPE.read && nth > 2));
  expect(await failureOf(readChunk(source, WHOLE))).toMatchObject({
    code: 'E_TIMEOUT',
    message: expect.stringContaining('has not answered'),
  });
  const silent = await served(({ type }) => type === TYPE.init);
  expect(await codeOf(() => opened(silent))).toBe('E_TIMEOUT');
});

test.each<[string, string, (socket: Socket) => void]>([
  ['says nothing at all', 'E_TIMEOUT', () => undefined],
  ['closes at once', 'E_NETWORK', (socket) => void socket.end()],
  ['speaks another language', 'E_NETWORK', (socket) => void socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')],
])('a server that %s is no SSH server, and that is what is said', async (_what, code, greet) => {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket.on('error', () => socket.destroy()));
    greet(socket);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const url = `sftp://127.0.0.1:${(server.address() as AddressInfo).port}/disk.img`;
  expect(await codeOf(() => sftpScheme(client).openSource?.(parseLocation(url)))).toBe(code);
});

test('a stop ends what is waited for at once', async () => {
  const source = await opened(await served(({ type }) => type === TYPE.read));
  const stop = new AbortController();
  const reader = source.openChunk(WHOLE, stop.signal);
  const reading = codeOf(() => reader.next(new Uint8Array(100_000)));
  stop.abort();
  expect(await reading).toBe('E_STOPPED');
  reader.close();
});

test('what comes late for a chunk that is over touches no buffer any more', async () => {
  let late = (): void => undefined;
  const server = await served(({ type, id, nth }, channel) => {
    if (type !== TYPE.read || nth > 1) return false;
    late = () => reply(channel, TYPE.data, id, Buffer.alloc(1000, 0xee));
    return true;
  });
  const source = await opened(server);
  const buffer = new Uint8Array(1000);
  const reader = source.openChunk({ offset: 0, length: 1000 }, never);
  const given = codeOf(() => reader.next(buffer));
  await vi.waitFor(() => expect(server.asked).toContain(TYPE.read));
  reader.close();
  expect(await given).toBe('E_STOPPED');
  late();
  // Answered after the late one, on the same connection.
  expect((await readChunk(source, { offset: 0, length: 2000 })).equals(BYTES.subarray(0, 2000))).toBe(true);
  expect(buffer.every((byte) => byte === 0)).toBe(true);
  expect(server.accepted).toBe(1);
});

test('connections that break again and again only cost time, and no byte is taken twice or left out', async () => {
  const server = await served(({ type, nth }, channel) => {
    if (type !== TYPE.read || nth % 8 !== 3) return false;
    channel.destroy();
    return true;
  });
  const folder = scratchFolder();
  const registry = { sftp: () => sftpScheme(client) };
  const target = join(folder, 'copy');
  const options = { source: server.url(), target, chunkBytes: 128 * KiB, workers: 1, lanes: 1, registry };
  await inlineTransfer({ ...options, clock: systemClock }).run();
  expect(readFileSync(target).equals(BYTES)).toBe(true);
  expect(server.accepted).toBeGreaterThan(2);
});
