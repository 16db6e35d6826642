/** What is done to the way between a client and a server: it is cut, it loses, it falls silent. */
import { expect } from 'vitest';
import { systemClock } from '../../src/core/clock.js';
import { MiB } from '../../src/core/units.js';
import type { CopyProcess } from '../support/copy-process.js';
import type { TwoHosts } from '../support/namespaces.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { type Case, clearCase, expectCopied, type Ground, makeCase } from './cases.js';
import type { Address, ServerEnd } from './end.js';
import type { EndName, Pairing } from './ends.js';

const CHUNK_BYTES = 5 * MiB;
const RATE = 8 * MiB;
/** How long a cable is out: long enough that the way has to be found again, and shorter than any patience. */
const OUT_MS = 1500;

/** A copy between a path and one server, which is reached at another address than its own. */
export interface Remote {
  readonly name: EndName;
  readonly as: 'source' | 'target';
}

function pairingOf({ name, as }: Remote): Pairing {
  return as === 'source' ? { from: name, to: 'path' } : { from: 'path', to: name };
}

interface Reached {
  readonly made: Case;
  readonly server: ServerEnd;
  /** The same copy, with the server at another address. */
  through(at: Address): Case['options'];
}

async function reach(remote: Remote, ground: Ground, sizeBytes: number): Promise<Reached> {
  const made = await makeCase(pairingOf(remote), ground, { sizeBytes, chunkBytes: CHUNK_BYTES });
  const { from, to, name, options } = made;
  const { server } = remote.as === 'source' ? from : to;
  if (!server) throw new Error(`${remote.name} has no server`);
  const through = (at: Address): Case['options'] =>
    remote.as === 'source'
      ? { ...options, source: from.source?.location(name, at) ?? '' }
      : { ...options, target: to.target?.location(`copy-${name}`, at) ?? '' };
  return { made, server, through };
}

function codesOf(copy: CopyProcess): readonly string[] {
  return copy.events.flatMap((event) => (event.type === 'retry' ? [event.error.code] : []));
}

/** The link goes down in the middle, and is up again once somebody has tried. */
export async function cutLink(remote: Remote, ground: Ground): Promise<void> {
  const { made, server, through } = await reach(remote, ground, 24 * MiB);
  const link = await TcpProxy.start(server.address);
  try {
    const options = through({ host: '127.0.0.1', port: link.port });
    const crawlAtBytes = ground.seeded.int(2 * MiB, 8 * MiB);
    const copy = made.start({ ...options, limitBytesPerSecond: RATE }, { crawlAtBytes });
    await copy.reached(crawlAtBytes);
    link.down();
    await copy.event(({ type }) => type === 'retry');
    link.up();
    copy.goOn();
    await expectCopied(made, await copy.ended, `${remote.name} as ${remote.as}`);
    expect(codesOf(copy)).toContain('E_NETWORK');
  } finally {
    await link.stop();
  }
  await clearCase(made);
}

/** The server says nothing more; when that was noticed, it speaks again. */
export async function stallLink(remote: Remote, ground: Ground): Promise<void> {
  const { made, server, through } = await reach(remote, ground, 12 * MiB);
  const link = await TcpProxy.start(server.address);
  try {
    const options = through({ host: '127.0.0.1', port: link.port });
    const copy = made.start({ ...options, limitBytesPerSecond: RATE }, { crawlAtBytes: 2 * MiB });
    await copy.reached(2 * MiB);
    link.stall();
    const told = await copy.event(({ type }) => type === 'retry');
    link.flow();
    copy.goOn();
    expect(told, `${remote.name} as ${remote.as}: ${JSON.stringify(told)}`).toMatchObject({
      error: { code: 'E_TIMEOUT' },
    });
    await expectCopied(made, await copy.ended, `${remote.name} as ${remote.as}`);
  } finally {
    await link.stop();
  }
  await clearCase(made);
}

/** Of a hundred packets one is lost, and the cable is out for a moment; then some connections are reset. */
export async function loseAndPull(remote: Remote, ground: Ground, hosts: TwoHosts): Promise<void> {
  const { made, server, through } = await reach(remote, ground, 24 * MiB);
  const port = await hosts.publish(server.address.port);
  hosts.limitRate(200);
  hosts.losePackets(1);
  const options = through({ host: hosts.serverAddress, port });
  const crawlAtBytes = ground.seeded.int(2 * MiB, 8 * MiB);
  const copy = made.start({ ...options, limitBytesPerSecond: RATE }, { crawlAtBytes, through: hosts.client });
  await copy.reached(crawlAtBytes);
  hosts.linkDown();
  await systemClock.sleep(OUT_MS);
  hosts.linkUp();
  // What is sent in one request is lost with its connection, each time.
  if (!made.to.target?.oneChunk) hosts.resetConnections(0.2);
  copy.goOn();
  await expectCopied(made, await copy.ended, `${remote.name} as ${remote.as}`);
  await clearCase(made);
}
