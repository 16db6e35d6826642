/** What one client does, or leaves undone, keeps no other one waiting. */
import { appendFileSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadHasher, toHex } from '../../../src/core/digest.js';
import { TransferError } from '../../../src/core/errors.js';
import { PACE_LEVEL_CELLS } from '../../../src/core/pace-level.js';
import { GiB, KiB, MiB } from '../../../src/core/units.js';
import { answerError } from '../../../src/daemon/exchange.js';
import { receiveRange } from '../../../src/daemon/receive-range.js';
import { BlockBuffers } from '../../../src/transfer/block-buffers.js';
import { Pace } from '../../../src/transfer/pace.js';
import { FakeClock } from '../../support/fake-clock.js';
import { dataFrame, endFrame, headOf, rawCall, rawSocket } from '../../support/peer-client.js';
import { type PeerHost, startPeerHost } from '../../support/peer-host.js';

let host: PeerHost;
beforeAll(async () => {
  host = await startPeerHost();
});
afterAll(() => host.stop());

async function versionOf(path: string): Promise<string> {
  return (await rawCall(host, 'open-source', { root: 'images', path })).answer.facts.version.value;
}

test('a client that asks on and on, and does not wait for answers, is cut off before it has them all', {
  timeout: 30_000,
}, async () => {
  writeFileSync(join(host.root, 'disk'), Buffer.alloc(MiB, 7));
  const about = { root: 'images', path: 'disk', version: await versionOf('disk'), algorithm: 'xxh64' };
  const query = new URLSearchParams({ ...about, offset: '0', length: String(MiB) });
  const request = `${headOf('GET', `/v1/source-bytes?${query}`, host.token)}\r\n`;
  const socket = await rawSocket(host.port);
  const ended = new Promise((resolve) => socket.once('close', resolve));
  let taken = 0;
  socket.on('data', (bytes) => {
    taken += bytes.length;
  });
  socket.write(request.repeat(500));
  await ended;
  expect(taken).toBeLessThan(10 * MiB);
});

test('a client may ask again before it is known that it has its answer', async () => {
  const request = `${headOf('POST', '/v1/hello', host.token)}content-length: 2\r\n\r\n{}`;
  const socket = await rawSocket(host.port);
  let got = '';
  const answered = new Promise<void>((resolve) => {
    socket.on('data', (bytes) => {
      got += bytes.toString('latin1');
      if (got.split('HTTP/1.1 200').length === 3) resolve();
    });
  });
  socket.write(request.repeat(2));
  await answered;
  socket.destroy();
  expect(got).not.toMatch(/HTTP\/1\.1 [45]/);
});

/** What the daemon has computed in half a second. */
async function busyFor(): Promise<number> {
  const begun = ticks();
  await sleep(500);
  return ticks() - begun;
}

/** Clock ticks that the daemon has computed. */
function ticks(): number {
  const fields = readFileSync(`/proc/${host.pid}/stat`, 'latin1').split(' ');
  return Number(fields[13]) + Number(fields[14]);
}

test.runIf(process.platform === 'linux')(
  'nothing is hashed for a client that has left',
  { timeout: 60_000 },
  async () => {
    truncateSync(writeEmpty('huge'), 1024 * GiB);
    const place = { root: 'images', path: 'huge' };
    const range = { chunkBytes: GiB, offset: 0, length: 1024 * GiB };
    const message = JSON.stringify({ place, version: await versionOf('huge'), algorithm: 'sha256', ...range });
    const socket = await rawSocket(host.port);
    const [before, busy] = [ticks(), 20];
    socket.write(
      `${headOf('POST', '/v1/source-digests', host.token)}content-length: ${message.length}\r\n\r\n${message}`,
    );
    await expect.poll(() => ticks() - before, { timeout: 20_000 }).toBeGreaterThan(busy);
    socket.destroy();
    await expect.poll(busyFor, { timeout: 20_000 }).toBeLessThan(5);
  },
);

test.runIf(process.platform === 'linux')(
  'nothing is taken over for a client that has left',
  { timeout: 60_000 },
  async () => {
    const [tail, length] = [Buffer.alloc(64 * KiB, 5), 256 * MiB];
    const old = writeEmpty('adopted');
    truncateSync(old, length - tail.length);
    appendFileSync(old, tail);
    const place = { root: 'images', path: 'adopted' };
    const prepared = await rawCall(host, 'prepare-target', { place, size: length, partial: 'create', sync: false });
    const hasher = (await loadHasher('xxh64'))();
    for (let at = 0; at < length - tail.length; at += tail.length) hasher.update(new Uint8Array(tail.length));
    hasher.update(tail);
    const { lease } = prepared.answer;
    const message = JSON.stringify({ lease, algorithm: 'xxh64', digest: toHex(hasher.digest()), offset: 0, length });
    const before = ticks();
    const socket = await rawSocket(host.port);
    socket.end(`${headOf('POST', '/v1/adopt', host.token)}content-length: ${message.length}\r\n\r\n${message}`);
    await expect.poll(() => ticks() - before, { timeout: 20_000 }).toBeGreaterThan(0);
    await expect.poll(busyFor, { timeout: 20_000 }).toBeLessThan(5);
    expect(statSync(join(host.root, '.adopted.blockferry-part')).blocks).toBe(0);
  },
);

function writeEmpty(name: string): string {
  const path = join(host.root, name);
  writeFileSync(path, '');
  return path;
}

test('a client whose bytes wait for the limit hears that they are taken', async () => {
  const clock = new FakeClock();
  const pace = new Pace([new BigInt64Array(PACE_LEVEL_CELLS)], clock);
  pace.setRate(KiB);
  const newHasher = await loadHasher('xxh64');
  const [hasher, ours] = [newHasher(), newHasher()];
  ours.update(new Uint8Array(128 * KiB));
  const request = new PassThrough();
  let heard = 0;
  const received = receiveRange(request as unknown as IncomingMessage, {
    ...{ length: 128 * KiB, algorithm: 'xxh64', hasher, pace, clock, buffers: new BlockBuffers() },
    writer: { write: () => undefined, skip: () => undefined, finish: () => undefined, abort: () => undefined },
    signal: new AbortController().signal,
    assertOpen: () => undefined,
    goesOn: () => heard++,
  });
  const piece = dataFrame(new Uint8Array(16 * KiB));
  for (let n = 0; n < 8; n++) request.write(piece);
  request.end(endFrame(ours.digest()));
  await clock.runUntil(received);
  expect(heard).toBeGreaterThanOrEqual(6);
});

test('a client that goes on sending slowly when it has its answer is cut off', async () => {
  const clock = new FakeClock();
  const server = createServer((request, response) => {
    answerError(request, response, { error: new TransferError('E_USAGE', 'no'), clock });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1').on('error', () => undefined);
  const ended = new Promise((resolve) => socket.once('close', resolve));
  socket.write('POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\nx');
  await new Promise((resolve) => socket.once('data', resolve));
  socket.write('y');
  await expect.poll(() => clock.sleeping).toBe(1);
  clock.advance(60_000);
  await ended;
  server.close();
});
