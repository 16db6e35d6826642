import { existsSync, readFileSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadHasher } from '../../../src/core/digest.js';
import { FRAME, frame, gapFrame } from '../../../src/core/frames.js';
import { KiB } from '../../../src/core/units.js';
import {
  chunked,
  dataFrame,
  endFrame,
  headOf,
  rawAnswer,
  rawCall,
  rawExchange,
  rawSocket,
} from '../../support/peer-client.js';
import { type PeerHost, startPeerHost } from '../../support/peer-host.js';
import { Seeded } from '../../support/seeded.js';

let host: PeerHost;
beforeAll(async () => {
  host = await startPeerHost();
});
afterAll(() => host.stop());

async function digestOf(bytes: Uint8Array): Promise<Uint8Array> {
  const hasher = (await loadHasher('xxh64'))();
  hasher.update(bytes);
  return hasher.digest();
}

function pullFrom(address: { readonly token?: string; readonly host?: string }) {
  const place = { root: 'images', path: 'new' };
  const options = {
    ...{ algorithm: 'xxh64', rateBytesPerSecond: 0, overwrite: false, discard: false },
    ...{ sync: true, readBack: false, check: true },
  };
  const source = { address: { host: 'localhost', port: 1, token: 'bft_x', ...address }, place };
  return { source, place, sourceName: 'new', options };
}

test('sizes and counts that no Blockferry sends are refused', async () => {
  const place = { root: 'images', path: 'new' };
  const get = async (query: string): Promise<number> =>
    (await rawExchange(host.port, `${headOf('GET', `/v1/source-bytes?${query}`, host.token)}\r\n`)).status;
  expect(await get('root=images&path=disk&version=v&offset=0&length=99999999999&algorithm=xxh64')).toBe(400);
  expect(await get('root=images&path=disk&version=v&offset=-1&length=1&algorithm=xxh64')).toBe(400);
  expect(await get('root=images&path=disk&version=v&offset=0&length=1&algorithm=md5')).toBe(400);
  expect(await get(`${'x'.repeat(20_000)}`)).toBe(0);
  const hostile: readonly [string, unknown][] = [
    ['prepare-target', { place, size: -1, partial: 'create', sync: true }],
    ['prepare-target', { place, size: 1e300, partial: 'create', sync: true }],
    ['prepare-target', { place, size: 1, partial: 'truncate', sync: true }],
    ['open-source', { root: 'images', path: 7 }],
    ['open-source', { root: 'images', path: 'x'.repeat(5000) }],
    ['open-source', ['images', 'disk']],
    ['open-source', 'this is no JSON'],
    ['open-source', `"${'x'.repeat(3_000_000)}"`],
    ['flush', { lease: '../../etc', seen: 0 }],
    ['pull', pullFrom({ token: 'bft_x\r\n\r\nPOST /elsewhere HTTP/1.1' })],
    ['pull', pullFrom({ host: 'host\r\nx: y' })],
    ['__proto__', {}],
    ['constructor', {}],
  ];
  for (const [call, message] of hostile)
    expect([call, (await rawCall(host, call, message)).status]).toEqual([call, 400]);
});

interface Prepared {
  readonly lease: string;
  readonly path: string;
}

async function prepare(name: string, size: number): Promise<Prepared> {
  const place = { root: 'images', path: name };
  const { answer } = await rawCall(host, 'prepare-target', { place, size, partial: 'create', sync: true });
  return { lease: answer.lease, path: join(host.root, `.${name}.blockferry-part`) };
}

function put(lease: string, length: number, body: Buffer) {
  const path = `/v1/part-bytes?lease=${lease}&offset=0&length=${length}&algorithm=xxh64`;
  const head = `${headOf('PUT', path, host.token)}transfer-encoding: chunked\r\n\r\n`;
  return rawExchange(host.port, Buffer.concat([Buffer.from(head), body]));
}

test('a chunk counts as written only with the digest of what has come', async () => {
  const bytes = new Seeded(2).bytes(100 * KiB);
  const { lease, path } = await prepare('digest', bytes.length);
  const digest = await digestOf(bytes);
  const spoiled = Buffer.from(bytes);
  spoiled[50_000] = (spoiled[50_000] ?? 0) ^ 1;
  const wrong = await put(lease, bytes.length, chunked(dataFrame(spoiled), endFrame(digest)));
  expect([wrong.status, wrong.body]).toEqual([400, expect.stringContaining('its digest is another one')]);
  expect((await put(lease, bytes.length, chunked(dataFrame(bytes), endFrame(digest)))).status).toBe(200);
  expect(readFileSync(path).equals(bytes)).toBe(true);
});

test('frames that do not fit the range are refused, and nothing beyond it is written', async () => {
  const bytes = new Seeded(3).bytes(8 * KiB);
  const { lease, path } = await prepare('frames', 64 * KiB);
  const end = endFrame(await digestOf(bytes));
  const bodies: readonly Buffer[] = [
    chunked(dataFrame(bytes), dataFrame(bytes), end),
    chunked(dataFrame(bytes.subarray(1)), end),
    chunked(end),
    chunked(dataFrame(bytes)),
    chunked(gapFrame(4_000_000_000), end),
    chunked(frame(9, bytes), end),
    chunked(frame(FRAME.failure, bytes), end),
    chunked(dataFrame(bytes), end, dataFrame(bytes)),
    chunked(dataFrame(bytes), endFrame(new Uint8Array(3))),
    chunked(dataFrame(new Uint8Array(300 * KiB)), end),
  ];
  for (const body of bodies) expect((await put(lease, bytes.length, body)).status).toBe(400);
  expect(
    readFileSync(path)
      .subarray(bytes.length)
      .every((byte) => byte === 0),
  ).toBe(true);
});

test('holes of a file that was changed are not told as those of the one that was asked for', async () => {
  const path = join(host.root, 'holes');
  writeFileSync(path, '');
  truncateSync(path, 1024 * KiB);
  const place = { root: 'images', path: 'holes' };
  const { version } = (await rawCall(host, 'open-source', place)).answer.facts;
  const about = { ...place, version: version.value, algorithm: 'xxh64', offset: '0', length: String(64 * KiB) };
  const get = () =>
    rawExchange(host.port, `${headOf('GET', `/v1/source-bytes?${new URLSearchParams(about)}`, host.token)}\r\n`);
  const extents = () => rawCall(host, 'source-extents', { place, version: version.value, offset: 0, length: KiB });
  // Asked several times, so that all threads have the file open.
  for (let n = 0; n < 16; n++) expect([(await get()).body.length, (await extents()).status]).toEqual([24, 200]);
  utimesSync(path, 1, 1);
  for (let n = 0; n < 16; n++) {
    const { status, body } = await get();
    if (status === 200) expect(body.charCodeAt(11)).toBe(FRAME.failure);
    expect((await extents()).answer.error?.code).toBe('E_SOURCE_CHANGED');
  }
});

test('whoever has lost a part to a new run cannot write to it any more', async () => {
  const bytes = new Seeded(4).bytes(8 * KiB);
  const { lease } = await prepare('taken', bytes.length);
  const place = { root: 'images', path: 'taken' };
  const request = { place, size: bytes.length, partial: 'reopen', sync: true };
  const { answer } = await rawCall(host, 'prepare-target', request);
  const body = chunked(dataFrame(bytes), endFrame(await digestOf(bytes)));
  expect((await put(lease, bytes.length, body)).body).toContain('E_LOCKED');
  expect((await put(answer.lease, bytes.length, body)).status).toBe(200);
  await rawCall(host, 'mark', { lease: answer.lease });
  expect((await put(answer.lease, bytes.length, body)).body).toContain('E_TARGET_CHANGED');
  const other = host.tokens('add', 'other', '--rights', 'read,write');
  expect(
    (
      await rawCall({ port: host.port, token: other }, 'commit', {
        lease: answer.lease,
        commit: { overwrite: false, sync: true },
      })
    ).status,
  ).toBe(400);
  expect(existsSync(join(host.root, 'taken'))).toBe(false);
});

test('a commit that is asked for again while it is made is one commit', async () => {
  const commit = { overwrite: false, sync: true };
  for (let round = 0; round < 8; round++) {
    const { lease } = await prepare(`twice${round}`, 10);
    const answers = await Promise.all([1, 2].map(() => rawCall(host, 'commit', { lease, commit })));
    expect(answers).toEqual([1, 2].map(() => ({ status: 200, answer: { sentences: [] } })));
  }
});

test('a part is opened again before its commit or after it, and never in the middle', async () => {
  const commit = { overwrite: false, sync: true };
  for (let round = 0; round < 8; round++) {
    const { lease, path } = await prepare(`raced${round}`, 10);
    const place = { root: 'images', path: `raced${round}` };
    const [committed, reopened] = await Promise.all([
      rawCall(host, 'commit', { lease, commit }),
      rawCall(host, 'prepare-target', { place, size: 10, partial: 'reopen', sync: true }),
    ]);
    expect([committed.status, reopened.status].filter((status) => status === 200)).toHaveLength(1);
    expect(existsSync(path)).toBe(reopened.status === 200);
    if (reopened.status === 200) expect(committed.answer.error.code).toBe('E_LOCKED');
  }
});

test('set-user-id bits, owners and attributes that give rights are not taken from a client', async () => {
  const { lease } = await prepare('modes', 0);
  const attributes = {
    ...{ accessedNs: '1000000000', modifiedNs: '1000000000', mode: 0o6755, uid: 12345, gid: 12345 },
    extended: [['security.capability', Buffer.from('x').toString('base64')]],
  };
  const { answer } = await rawCall(host, 'commit', { lease, commit: { overwrite: false, sync: true, attributes } });
  expect(answer.sentences).toHaveLength(3);
  const stat = statSync(join(host.root, 'modes'));
  expect([stat.mode & 0o7777, stat.uid]).toEqual([0o755, process.getuid?.()]);
});

test('plain http at the TLS port, and noise, get no answer', async () => {
  for (const said of ['GET / HTTP/1.1\r\nhost: x\r\n\r\n', '\0\0\0\0 noise']) {
    const socket = connect(host.port, '127.0.0.1');
    const got: Buffer[] = [];
    socket.on('data', (bytes) => got.push(bytes)).on('error', () => undefined);
    socket.write(said);
    await new Promise((resolve) => socket.once('close', resolve));
    expect(Buffer.concat(got).toString('latin1')).not.toContain('HTTP');
  }
});

test('a client that says nothing, or never ends its head, is cut off', { timeout: 60_000 }, async () => {
  const silent = await rawSocket(host.port);
  const slow = await rawSocket(host.port);
  const half = connect(host.port, '127.0.0.1').on('error', () => undefined);
  const ends = [silent, slow, half].map((socket) => new Promise((resolve) => socket.once('close', resolve)));
  slow.write('GET /v1/hello HTTP/1.1\r\n');
  const dripping = setInterval(() => slow.write('x: y\r\n'), 500);
  await Promise.all(ends);
  clearInterval(dripping);
});

test('another version of the protocol is told so', async () => {
  const head = headOf('POST', '/v1/hello', host.token).replace(/(blockferry-protocol): \d+/, '$1: 99');
  const { status, body } = await rawExchange(host.port, `${head}content-length: 2\r\n\r\n{}`);
  expect([status, body]).toEqual([400, expect.stringContaining('speaks protocol 1')]);
});

test('too many connections are not taken, and those that there are go on', async () => {
  const small = await startPeerHost({ args: ['--connections', '8'] });
  try {
    const sockets = await Promise.allSettled(Array.from({ length: 40 }, () => opened(small.port)));
    const open = sockets.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    expect(open.length).toBeLessThanOrEqual(8);
    const first = open[0];
    if (!first) throw new Error('no connection was taken');
    first.write(`${headOf('POST', '/v1/hello', small.token)}content-length: 2\r\n\r\n{}`);
    expect((await rawAnswer(first)).status).toBe(200);
    for (const socket of open) socket.destroy();
    await expect.poll(async () => (await rawCall(small, 'hello', {}).catch(() => ({ status: 0 }))).status).toBe(200);
  } finally {
    await small.stop();
  }
});

/** Resolves only when the handshake is done. */
function opened(port: number) {
  return new Promise<Awaited<ReturnType<typeof rawSocket>>>((resolve, reject) => {
    const late = sleep(5000).then(() => reject(new Error('no handshake')));
    rawSocketOrEnd(port).then(resolve, reject);
    void late;
  });
}

async function rawSocketOrEnd(port: number) {
  const { connect: connectTls } = await import('node:tls');
  return new Promise<ReturnType<typeof connectTls>>((resolve, reject) => {
    const socket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false });
    socket.once('secureConnect', () => resolve(socket));
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('closed')));
  });
}
