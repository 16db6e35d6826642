import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { loadHasher } from '../../../../src/core/digest.js';
import type { Source } from '../../../../src/core/endpoint.js';
import { FRAME, frame, gapFrame } from '../../../../src/core/frames.js';
import { KiB } from '../../../../src/core/units.js';
import { type Identity, ownIdentity } from '../../../../src/daemon/certificate.js';
import { parseLocation } from '../../../../src/endpoint/location.js';
import { PeerClient } from '../../../../src/endpoint/peer/client.js';
import { closePeers, peerScheme } from '../../../../src/endpoint/peer.js';
import { codeOf, never, readChunk } from '../../../support/reading.js';
import { Seeded } from '../../../support/seeded.js';

const SIZE = 100 * KiB;
const RANGE = { offset: 0, length: SIZE };
const bytes = new Seeded(9).bytes(SIZE);
const facts = {
  size: SIZE,
  version: { strength: 'strong', value: 'v1' },
  identity: { device: '1', inode: '2' },
  mode: 0o644,
  holes: true,
  attributes: { accessedNs: '1', modifiedNs: '1', mode: 0o644, uid: 0, gid: 0 },
};

const folder = mkdtempSync(join(tmpdir(), 'peer-faults-'));
let identity: Identity;
let digest: Uint8Array;
beforeAll(async () => {
  process.env.BLOCKFERRY_STATE = folder;
  process.env.BLOCKFERRY_PEER_TOKEN = 'bft_secret-of-tests';
  identity = ownIdentity(folder, 0);
  const hasher = (await loadHasher('xxh64'))();
  hasher.update(bytes);
  digest = hasher.digest();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let server: Server | undefined;
afterEach(() => {
  closePeers();
  server?.closeAllConnections();
  server?.close();
});

interface Script {
  readonly body?: Uint8Array;
  readonly claims?: number;
  readonly status?: number;
  readonly end?: 'destroy';
  readonly extents?: unknown;
  readonly facts?: unknown;
}

/** A peer that answers as the script says; `asked` are the requests that it has seen. */
async function scripted(script: Script): Promise<{ readonly url: string; readonly asked: string[] }> {
  const asked: string[] = [];
  server = createServer({ cert: identity.cert, key: identity.key }, (request, response) => {
    request.resume();
    asked.push(`${request.method} ${request.url}`);
    const json = (value: unknown): void => {
      const body = Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
      response.writeHead(script.status ?? 200, { 'content-length': body.length });
      response.end(body);
    };
    if (request.url === '/v1/open-source') return json(script.facts ?? { host: 'h', facts });
    if (request.url === '/v1/source-extents') return json({ extents: script.extents });
    const body = script.body ?? new Uint8Array(0);
    response.writeHead(script.status ?? 200, { 'content-length': script.claims ?? body.length });
    response.write(body, () => (script.end ? response.destroy() : response.end()));
  });
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { url: `peer://127.0.0.1:${port}/images/disk?pin=sha256:${identity.fingerprint}`, asked };
}

async function opened(script: Script): Promise<Source> {
  const { url } = await scripted(script);
  return (await peerScheme().openSource?.(parseLocation(url))) as Source;
}

const good = (): Buffer => Buffer.concat([frame(FRAME.data, bytes), frame(FRAME.end, digest)]);
const spoiled = (): Buffer => {
  const body = good();
  body[5000] = (body[5000] ?? 0) ^ 4;
  return body;
};

test('bytes that are not what their digest says are never taken', async () => {
  expect((await readChunk(await opened({ body: good() }), RANGE)).equals(bytes)).toBe(true);
  expect(await codeOf(async () => readChunk(await opened({ body: spoiled() }), RANGE))).toBe('E_PROTOCOL');
});

test('whoever hashes itself has its digest compared, and is told', async () => {
  const source = await opened({ body: spoiled() });
  const reader = source.openChunk(RANGE, never, 'xxh64');
  const into = new Uint8Array(SIZE);
  expect(await reader.next(into)).toBe(SIZE);
  const hasher = (await loadHasher('xxh64'))();
  hasher.update(into);
  expect(await codeOf(async () => reader.verify?.(hasher.digest()))).toBe('E_PROTOCOL');
});

const bodies: readonly (readonly [string, () => Script, string])[] = [
  ['too few bytes', () => ({ body: good().subarray(0, 900), claims: 900 }), 'E_PROTOCOL'],
  ['a connection that breaks', () => ({ body: good().subarray(0, 900), claims: 99_999, end: 'destroy' }), 'E_NETWORK'],
  ['a frame that is longer than the range', () => ({ body: frame(FRAME.data, Buffer.alloc(SIZE + 1)) }), 'E_PROTOCOL'],
  ['a gap that is longer than the range', () => ({ body: gapFrame(SIZE + 1) }), 'E_PROTOCOL'],
  ['an end before the end', () => ({ body: frame(FRAME.end, digest) }), 'E_PROTOCOL'],
  ['a frame of an unknown kind', () => ({ body: frame(77, bytes) }), 'E_PROTOCOL'],
  ['no digest', () => ({ body: frame(FRAME.data, bytes) }), 'E_PROTOCOL'],
  [
    'zeroes instead of the bytes',
    () => ({ body: Buffer.concat([gapFrame(SIZE), frame(FRAME.end, digest)]) }),
    'E_PROTOCOL',
  ],
  ['a status that nobody knows', () => ({ body: good(), status: 418 }), 'E_PROTOCOL'],
  [
    'a failure in the middle, with its reason',
    () => ({
      body: frame(FRAME.failure, Buffer.from('{"error":{"code":"E_SOURCE_READ","message":"a bad sector"}}')),
      claims: 999_999,
      end: 'destroy',
    }),
    'E_SOURCE_READ',
  ],
  [
    'a failure of a kind that nobody knows',
    () => ({ body: frame(FRAME.failure, Buffer.from('{"error":{"code":"__proto__","message":""}}')) }),
    'E_PROTOCOL',
  ],
];

test.each(bodies)('an answer with %s is told from a good one', async (_what, script, code) => {
  const { status = 200, ...rest } = script();
  const source = await opened(rest);
  if (status !== 200) {
    closePeers();
    server?.close();
    const other = await scripted({ ...rest, status });
    expect(await codeOf(() => peerScheme().openSource?.(parseLocation(other.url)))).toBe(code);
    return;
  }
  expect(await codeOf(() => readChunk(source, RANGE))).toBe(code);
});

test.each([
  [[]],
  [[[[1, SIZE - 1], true]]],
  [[[[0, SIZE + 1], true]]],
  [[[[0, 0], true]]],
  [[[[0, 'x'], true]]],
  ['nothing'],
])('extents that do not fit together are refused: %j', async (extents) => {
  const source = await opened({ extents });
  const read = async (): Promise<void> => {
    for await (const _ of source.extents?.(RANGE, never) ?? []) await Promise.resolve();
  };
  expect(await codeOf(read)).toBe('E_PROTOCOL');
});

test.each(['{}', '[]', 'no JSON', '{"host":"h","facts":{"size":-1}}'])(
  'a message that is none is refused: %s',
  async (said) => {
    const { url } = await scripted({ facts: said });
    expect(await codeOf(() => peerScheme().openSource?.(parseLocation(url)))).toBe('E_PROTOCOL');
  },
);

test('to a peer with another certificate nothing is said, and the error names what it showed', async () => {
  const { url, asked } = await scripted({ body: good() });
  const wrong = url.replace(/sha256:.{4}/, 'sha256:0000');
  const thrown = await Promise.resolve(peerScheme().openSource?.(parseLocation(wrong))).catch(
    (error: unknown) => error,
  );
  expect(thrown).toMatchObject({ code: 'E_AUTH', message: expect.stringContaining(identity.fingerprint) });
  expect(await codeOf(() => peerScheme().openSource?.(parseLocation(url.replace(/\?.*/, ''))))).toBe('E_AUTH');
  expect(asked).toEqual([]);
});

test('locations that are not understood are refused, and a token in one is not repeated', async () => {
  const open = (text: string) => peerScheme().openSource?.({ scheme: 'peer', text, name: 'peer://…' });
  for (const text of [
    'peer://host',
    'peer:///images/disk',
    'peer://me:token@host/images/disk',
    'peer://host/images/%zz',
    'peer://host/images/disk?pin=sha256:12',
    'peer://host/images/disk?token=bft_secret',
    'peer://host/images/disk?ca=missing.pem',
  ]) {
    expect([text, await codeOf(() => open(text))]).toEqual([text, 'E_USAGE']);
    const message = await Promise.resolve(open(text)).catch((error: Error) => JSON.stringify(error));
    expect(message).not.toContain('bft_secret');
  }
});

test('a token that is none is refused before anything is sent, and not repeated', async () => {
  process.env.BLOCKFERRY_PEER_TOKEN = 'bft_secret\r\nx: y';
  try {
    const open = () => peerScheme().openSource?.(parseLocation('peer://host/images/disk'));
    expect(await codeOf(open)).toBe('E_USAGE');
    const message = await Promise.resolve(open()).catch((error: Error) => JSON.stringify(error));
    expect(message).not.toContain('bft_secret');
  } finally {
    delete process.env.BLOCKFERRY_PEER_TOKEN;
  }
});

test('whoever waits for a connection gets it, also behind somebody who has given up', { timeout: 20_000 }, async () => {
  const { url } = await scripted({});
  if (server) server.keepAliveTimeout = 0;
  const address = { host: '127.0.0.1', port: Number(new URL(url).port), token: 'bft_x', pin: identity.fingerprint };
  const client = new PeerClient(address);
  const gone = new AbortController();
  const asked = client.callOnce('open-source', { root: 'images', path: 'disk' });
  const others = Array.from({ length: 15 }, () => client.open());
  const [first, second] = [client.open(gone.signal), client.open()];
  gone.abort();
  await asked;
  expect(await codeOf(() => first)).toBe('E_STOPPED');
  for (const exchange of await Promise.all([...others, second])) exchange.end();
  client.destroy();
});
