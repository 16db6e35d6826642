/** A file that another host's Blockferry serves, as a source and as a target. */
import { existsSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { KiB } from '../../src/core/units.js';
import { parseLocation } from '../../src/endpoint/location.js';
import { closePeers, peerScheme } from '../../src/endpoint/peer.js';
import { type PeerHost, startPeerHost } from '../support/peer-host.js';
import { Seeded, writeMixedFile } from '../support/seeded.js';
import { sourceContract } from './source-contract.js';
import { targetContract } from './target-contract.js';

const SIZE = 700 * KiB + 33;
const state = mkdtempSync(join(tmpdir(), 'contract-peers-'));
process.env.BLOCKFERRY_STATE = state;

let starting: Promise<PeerHost> | undefined;
afterAll(async () => {
  closePeers();
  await (await starting)?.stop();
  rmSync(state, { recursive: true, force: true });
});

async function host(): Promise<PeerHost> {
  starting ??= startPeerHost();
  const started = await starting;
  process.env.BLOCKFERRY_PEER_TOKEN = started.token;
  return started;
}

sourceContract('a file at a peer', async () => {
  const { root, at } = await host();
  const path = join(root, 'disk.img');
  writeMixedFile(path, SIZE, new Seeded(11));
  const change = async (): Promise<void> => {
    writeFileSync(path, new Seeded(12).bytes(SIZE));
    utimesSync(path, 1_000_000_000, 1_000_000_000);
  };
  const [location, missing] = [parseLocation(at('disk.img')), parseLocation(at('missing'))];
  return { scheme: peerScheme(), location, bytes: readFileSync(path), missing, change };
});

let targets = 0;
targetContract('a file at a peer', async () => {
  const { root, at } = await host();
  const name = `copy ${targets++}.img`;
  const path = join(root, name);
  const read = (): Uint8Array | undefined => (existsSync(path) ? readFileSync(path) : undefined);
  return { scheme: peerScheme(), location: parseLocation(at(encodeURIComponent(name))), read };
});
