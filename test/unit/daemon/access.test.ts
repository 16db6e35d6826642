import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { KiB } from '../../../src/core/units.js';
import { headOf, rawCall, rawExchange } from '../../support/peer-client.js';
import { type PeerHost, startPeerHost } from '../../support/peer-host.js';
import { Seeded } from '../../support/seeded.js';

let host: PeerHost;
let outside: string;
beforeAll(async () => {
  host = await startPeerHost();
  outside = mkdtempSync(join(tmpdir(), 'outside-'));
  writeFileSync(join(outside, 'secret'), 'nobody may read this');
  writeFileSync(join(host.root, 'disk'), new Seeded(1).bytes(300 * KiB));
  mkdirSync(join(host.root, 'folder'));
});
afterAll(async () => {
  await host.stop();
  rmSync(outside, { recursive: true, force: true });
});

const refused = expect.objectContaining({ status: 401 });

test('without a token nothing is told, not even what there is', async () => {
  const { port } = host;
  const head = (token: string): string => headOf('GET', '/v1/nothing', token).replace(/authorization: Bearer \r\n/, '');
  expect(await rawExchange(port, `${head('')}\r\n`)).toEqual(refused);
  expect(await rawExchange(port, `${head(host.token.slice(0, -1))}\r\n`)).toEqual(refused);
  expect(await rawExchange(port, `${head(`${host.token}x`)}\r\n`)).toEqual(refused);
  expect((await rawExchange(port, `${head(host.token)}\r\n`)).status).toBe(400);
});

test('a token that was removed is refused from then on, and one that has expired too', async () => {
  const token = host.tokens('add', 'leaver');
  expect((await rawCall({ port: host.port, token }, 'hello', {})).status).toBe(200);
  host.tokens('remove', 'leaver');
  expect((await rawCall({ port: host.port, token }, 'hello', {})).status).toBe(401);
  const short = host.tokens('add', 'short', '--days', '1');
  const path = join(host.state, 'serve', 'tokens.json');
  const kept = JSON.parse(readFileSync(path, 'utf8')) as { tokens: { name: string; expiresAt?: number }[] };
  for (const entry of kept.tokens) if (entry.name === 'short') entry.expiresAt = 1;
  writeFileSync(path, JSON.stringify(kept));
  expect((await rawCall({ port: host.port, token: short }, 'hello', {})).status).toBe(401);
});

test('a token does what its rights say, in the roots that it was given for, and no more', async () => {
  const { port } = host;
  const reader = host.tokens('add', 'reader');
  const writer = host.tokens('add', 'writer', '--rights', 'write');
  const elsewhere = host.tokens('add', 'elsewhere', '--rights', 'read,write', '--root', 'other');
  const place = { root: 'images', path: 'disk' };
  const read = (token: string) => rawCall({ port, token }, 'open-source', place);
  const write = (token: string) => rawCall({ port, token }, 'locate-target', { place, sourceName: 'x' });
  expect([(await read(reader)).status, (await write(reader)).status]).toEqual([200, 401]);
  expect([(await read(writer)).status, (await write(writer)).status]).toEqual([401, 200]);
  expect([(await read(elsewhere)).status, (await write(elsewhere)).status]).toEqual([401, 401]);
  expect((await rawCall({ port, token: elsewhere }, 'hello', {})).answer.roots).toEqual([]);
  expect((await rawCall({ port, token: reader }, 'hello', {})).answer.roots).toEqual([
    { name: 'images', rights: ['read'] },
  ]);
});

test('a list of tokens that cannot be read lets nobody in, and says nothing of itself', async () => {
  const path = join(host.state, 'serve', 'tokens.json');
  const kept = readFileSync(path);
  writeFileSync(path, 'this is no list');
  const { status, answer } = await rawCall(host, 'hello', {});
  expect(status).toBe(503);
  expect(JSON.stringify(answer)).not.toContain(host.state);
  writeFileSync(path, kept);
  expect((await rawCall(host, 'hello', {})).status).toBe(200);
});

test('of tokens only hashes are kept, and the files with secrets are for their owner alone', () => {
  const folder = join(host.state, 'serve');
  expect(readFileSync(join(folder, 'tokens.json'), 'utf8')).not.toContain(host.token);
  for (const name of ['tokens.json', 'key.pem', 'cert.pem', 'host-id']) {
    expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600);
  }
});

const ESCAPES = [
  '../outside/secret',
  'folder/../../secret',
  '/etc/passwd',
  '//etc/passwd',
  'folder//disk',
  './disk',
  '..',
  '.',
  '%2e%2e/secret',
  '..%2fsecret',
  'folder\0/../disk',
  '.disk.blockferry-part',
  '.disk.blockferry-journal',
  `${'a/'.repeat(1000)}b`,
  'n'.repeat(300),
];

test.each(ESCAPES)('a path that leads elsewhere is refused: %j', async (path) => {
  const place = { root: 'images', path };
  const read = await rawCall(host, 'open-source', place);
  expect(read.answer.error?.code).toMatch(/^E_USAGE$|^E_SOURCE_MISSING$|^E_SOURCE_ACCESS$/);
  const discarded = await rawCall(host, 'discard', { place });
  expect(discarded.answer.error?.code ?? 'none').toMatch(/^E_USAGE$|^E_TARGET_\w+$|^none$/);
  const query = new URLSearchParams({ ...place, version: 'x', offset: '0', length: '1', algorithm: 'xxh64' });
  const bytes = await rawExchange(host.port, `${headOf('GET', `/v1/source-bytes?${query}`, host.token)}\r\n`);
  expect(bytes.status).toBeGreaterThanOrEqual(400);
});

test.each(['.disk.blockferry-part', '.a\nb.blockferry-journal', '.disk.blockferry-manifest'])(
  'what copies keep hidden beside their targets is for nobody else: %j',
  async (path) => {
    writeFileSync(join(host.root, path), 'hidden');
    const place = { root: 'images', path };
    expect((await rawCall(host, 'open-source', place)).answer.error?.code).toBe('E_USAGE');
    const prepared = { place, size: 1, partial: 'create', sync: false };
    expect((await rawCall(host, 'prepare-target', prepared)).answer.error?.code).toBe('E_USAGE');
  },
);

test('links are not followed, wherever on the way they stand, to read or to write', async () => {
  symlinkSync(join(outside, 'secret'), join(host.root, 'link'));
  symlinkSync(outside, join(host.root, 'away'));
  const read = async (path: string) =>
    (await rawCall(host, 'open-source', { root: 'images', path })).answer.error?.code;
  expect(await read('link')).toBe('E_SOURCE_KIND');
  expect(await read('away/secret')).toBe('E_SOURCE_MISSING');
  const prepare = { place: { root: 'images', path: 'away/new' }, size: 10, partial: 'create', sync: false };
  expect((await rawCall(host, 'prepare-target', prepare)).answer.error.code).toBe('E_TARGET_FOLDER');
  const located = await rawCall(host, 'locate-target', { place: { root: 'images', path: 'away' }, sourceName: 'new' });
  expect(located.answer.site.path).toBe('away');
  expect(existsSync(join(outside, 'new'))).toBe(false);
});

test('a folder that is swapped for a link while the peer works never leads outside', async () => {
  const [folder, aside] = [join(host.root, 'swapped'), join(host.root, 'aside')];
  mkdirSync(folder);
  writeFileSync(join(folder, 'secret'), 'this is what may be read');
  const facts: number[] = [];
  let done = false;
  const swapping = (async () => {
    while (!done) {
      renameSync(folder, aside);
      symlinkSync(outside, folder);
      await sleep(0);
      rmSync(folder);
      renameSync(aside, folder);
      await sleep(0);
    }
  })();
  for (let round = 0; round < 40; round++) {
    const { answer } = await rawCall(host, 'open-source', { root: 'images', path: 'swapped/secret' });
    if (answer.facts) facts.push(answer.facts.size);
    const place = { root: 'images', path: `swapped/part${round}` };
    await rawCall(host, 'prepare-target', { place, size: 10, partial: 'create', sync: false });
  }
  done = true;
  await swapping;
  expect(new Set(facts).size).toBeLessThanOrEqual(1);
  expect(facts.every((size) => size === 'this is what may be read'.length)).toBe(true);
  expect(execFileSync('ls', ['-A', outside], { encoding: 'utf8' }).trim()).toBe('secret');
});
