/** `--delta` between two hosts: what did not change does not cross the wire, in either direction. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { copy } from '../../src/index.js';
import { type PeerHost, startPeerHost } from '../support/peer-host.js';
import { Seeded } from '../support/seeded.js';
import { TcpProxy } from '../support/tcp-proxy.js';

const CHUNK = MiB;
const SIZE = 64 * CHUNK;
/** What is in one chunk, and what is said about all of them. */
const WIRE_BYTES_MAX = CHUNK + 256 * 1024;

const folder = mkdtempSync(join(tmpdir(), 'peer-delta-'));
let host: PeerHost;
let wire: TcpProxy;
beforeAll(async () => {
  host = await startPeerHost();
  wire = await TcpProxy.start(host.port);
});
afterAll(async () => {
  await wire.stop();
  await host.stop();
  rmSync(folder, { recursive: true, force: true });
});

let old: Buffer;
let changed: Buffer;
beforeEach(() => {
  old = new Seeded(21).bytes(SIZE);
  changed = Buffer.from(old);
  changed.fill(7, 40 * CHUNK + 100, 40 * CHUNK + 200);
});

async function copyDelta(source: string, target: string): Promise<{ bytesCopied: number; bytesAdopted: number }> {
  process.env.BLOCKFERRY_PEER_TOKEN = host.token;
  try {
    const { bytesCopied, bytesAdopted } = await copy({
      ...{ source, target, delta: true, overwrite: true, chunkBytes: CHUNK },
    }).result;
    return { bytesCopied, bytesAdopted };
  } finally {
    delete process.env.BLOCKFERRY_PEER_TOKEN;
  }
}

/** A path at the peer, over a wire that counts. */
function overWire(path: string): string {
  return host.at(path).replace(`:${host.port}/`, `:${wire.port}/`);
}

const SENT = { bytesCopied: CHUNK, bytesAdopted: SIZE - CHUNK };

test('a changed disk is sent to a peer that has the old one, as the chunk that changed', async () => {
  writeFileSync(join(host.root, 'disk'), old);
  writeFileSync(join(folder, 'disk'), changed);
  const before = wire.bytes;
  expect(await copyDelta(join(folder, 'disk'), overWire('disk'))).toEqual(SENT);
  expect(readFileSync(join(host.root, 'disk')).equals(changed)).toBe(true);
  expect(wire.bytes - before).toBeLessThan(WIRE_BYTES_MAX);
});

test('a changed disk is fetched from a peer by whoever has the old one, as the chunk that changed', async () => {
  writeFileSync(join(host.root, 'disk'), changed);
  writeFileSync(join(folder, 'disk'), old);
  const before = wire.bytes;
  expect(await copyDelta(overWire('disk'), join(folder, 'disk'))).toEqual(SENT);
  expect(readFileSync(join(folder, 'disk')).equals(changed)).toBe(true);
  expect(wire.bytes - before).toBeLessThan(WIRE_BYTES_MAX);
});

test('a copy within one peer sends nothing of what is there', async () => {
  writeFileSync(join(host.root, 'new'), changed);
  writeFileSync(join(host.root, 'disk'), old);
  expect(await copyDelta(host.at('new'), host.at('disk'))).toEqual(SENT);
  expect(readFileSync(join(host.root, 'disk')).equals(changed)).toBe(true);
});
