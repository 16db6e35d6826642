import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { copy, status } from '../../src/index.js';
import { type CopyProcess, startCopy } from '../support/copy-process.js';
import { rawCall } from '../support/peer-client.js';
import { type PeerHost, startPeerHost } from '../support/peer-host.js';
import { Seeded } from '../support/seeded.js';
import { TcpProxy } from '../support/tcp-proxy.js';

const MiB = 1024 * 1024;
const SIZE = 16 * MiB + 11;
const CHUNK = 256 * 1024;
const scratch = mkdtempSync(join(tmpdir(), 'peer-to-peer-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

let a: PeerHost;
let b: PeerHost;
let [toA, toB]: TcpProxy[] = [];
let bytes: Buffer;

/** The driver reaches both hosts through proxies that count; a driver has a token for each. */
beforeEach(async () => {
  [a, b] = await Promise.all([startPeerHost(), startPeerHost()]);
  [toA, toB] = await Promise.all([TcpProxy.start(a.port), TcpProxy.start(b.port)]);
  bytes = new Seeded(5).bytes(SIZE);
  writeFileSync(join(a.root, 'disk'), bytes);
  process.env.BLOCKFERRY_STATE = mkdtempSync(join(scratch, 'state-'));
  delete process.env.BLOCKFERRY_PEER_TOKEN;
  const known = [a, b].flatMap(({ port, token, pin }, at) => {
    const entry = { token, pin: pin.replace('sha256:', '') };
    return [port, [toA, toB][at]?.port].map((one) => [`127.0.0.1:${one}`, entry] as const);
  });
  const peers = join(process.env.BLOCKFERRY_STATE, 'peers.json');
  writeFileSync(peers, JSON.stringify(Object.fromEntries(known)), { mode: 0o600 });
});
afterEach(async () => {
  await Promise.all([toA?.stop(), toB?.stop(), a.stop(), b.stop()]);
});

const source = (): string => `peer://127.0.0.1:${a.port}/images/disk`;
const target = (): string => `peer://127.0.0.1:${toB?.port}/images/copy`;
const isWhole = (): boolean => readFileSync(join(b.root, 'copy')).equals(bytes);

function run(limitBytesPerSecond = 0, more: { readonly discard?: boolean } = {}): CopyProcess {
  return startCopy({ source: source(), target: target(), chunkBytes: CHUNK, limitBytesPerSecond, ...more });
}

test('between two peers the bytes go straight, and the driver hears how it goes', { timeout: 60_000 }, async () => {
  const { result, error } = await run().ended;
  expect(error).toBeUndefined();
  expect(isWhole()).toBe(true);
  expect(result).toMatchObject({ source: source(), target: target(), bytesCopied: SIZE });
  expect(toB?.bytes).toBeLessThan(MiB);
  expect(readdirSync(b.root)).toEqual(['copy']);
});

test('a driver that asks for it has the bytes go through itself', { timeout: 60_000 }, async () => {
  const { error } = await startCopy({ source: source(), target: `${target()}?direct=no`, chunkBytes: CHUNK }).ended;
  expect(error).toBeUndefined();
  expect(isWhole()).toBe(true);
  expect(toB?.wires.requests.bytes).toBeGreaterThan(SIZE);
});

test('a copy that its driver suspends goes on later where it was', { timeout: 60_000 }, async () => {
  const first = copy({ source: source(), target: target(), chunkBytes: CHUNK, limitBytesPerSecond: 2 * MiB });
  for await (const event of first) if (event.type === 'checkpoint') await first.suspend();
  await expect(first.result).rejects.toMatchObject({ code: 'E_STOPPED' });
  expect(existsSync(join(b.root, 'copy'))).toBe(false);
  const { result } = await run().ended;
  expect(isWhole()).toBe(true);
  expect(result?.bytesReused).toBeGreaterThan(0);
});

test('whoever may copy there hears what is on record at the host that pulls, also after a kill', {
  timeout: 60_000,
}, async () => {
  const first = run(2 * MiB);
  await first.event(({ type }) => type === 'checkpoint');
  await first.kill();
  const { partial, half } = await status(target());
  expect(half).toBeUndefined();
  expect(partial).toMatchObject({ source: source(), bytesTotal: SIZE, chunkBytes: CHUNK });
  expect(partial?.bytesClaimed).toBeGreaterThan(0);
});

test('what a host copies for itself is not told to its peers', { timeout: 60_000 }, async () => {
  const from = join(scratch, 'own');
  writeFileSync(from, bytes);
  const own = startCopy({
    source: from,
    target: join(b.root, 'copy'),
    chunkBytes: CHUNK,
    limitBytesPerSecond: 2 * MiB,
  });
  await own.event(({ type }) => type === 'checkpoint');
  await own.kill();
  expect(await status(target())).toMatchObject({ exists: false, half: 'data' });
});

/** Resolves when something is on record at the host that pulls. */
async function onRecord(): Promise<void> {
  const claimed = async () => (await status(join(b.root, 'copy')).catch(() => undefined))?.partial?.bytesClaimed ?? 0;
  while ((await claimed()) === 0) await sleep(50);
}

test.each(['target', 'source'])(
  'the host of the %s may be killed and started again; the copy goes on',
  { timeout: 90_000 },
  async (which) => {
    const victim = which === 'target' ? b : a;
    // What an earlier run has left goes, and what this one has finished stays.
    const first = run(3 * MiB, { discard: true });
    await onRecord();
    await victim.kill();
    await victim.start();
    const { result, error } = await first.ended;
    expect(error).toBeUndefined();
    expect(isWhole()).toBe(true);
    expect(result?.bytesReused).toBeGreaterThan(0);
  },
);

test('what is wrong at either host is told to the driver', { timeout: 60_000 }, async () => {
  const failing = async (from: string, to: string) => (await startCopy({ source: from, target: to }).ended).error;
  expect((await failing(`${source()}x`, target()))?.code).toBe('E_SOURCE_MISSING');
  expect((await failing(source(), target().replace('/copy', '/none/copy')))?.code).toBe('E_TARGET_FOLDER');
  writeFileSync(join(b.root, 'copy'), 'is here');
  const exists = await failing(source(), target());
  expect(exists).toMatchObject({ code: 'E_TARGET_EXISTS', message: expect.stringContaining('images/copy') });
  expect(JSON.stringify(exists)).not.toContain('/proc/');
  expect(readFileSync(join(b.root, 'copy'), 'utf8')).toBe('is here');
});

test('a token that is lent reads the one file, makes no others, and ends with its lender', async () => {
  writeFileSync(join(a.root, 'other'), 'x');
  const lender = a.tokens('add', 'lender', '--rights', 'read,write');
  const place = { root: 'images', path: 'disk' };
  const { answer } = await rawCall({ port: a.port, token: lender }, 'delegate', place);
  const lent = { port: a.port, token: answer.token as string };
  expect((await rawCall(lent, 'open-source', place)).status).toBe(200);
  expect((await rawCall(lent, 'open-source', { root: 'images', path: 'other' })).status).toBe(401);
  expect((await rawCall(lent, 'delegate', place)).status).toBe(401);
  expect((await rawCall(lent, 'discard', { place })).status).toBe(401);
  expect((await rawCall(lent, 'hello', {})).answer.roots).toEqual([]);
  const part = { place: { root: 'images', path: 'part' }, size: 1, partial: 'create', sync: false };
  const opened = await rawCall({ port: a.port, token: lender }, 'prepare-target', part);
  const commit = { lease: opened.answer.lease, commit: { overwrite: false, sync: false } };
  expect((await rawCall(lent, 'commit', commit)).status).toBe(401);
  a.tokens('remove', 'lender');
  expect((await rawCall(lent, 'open-source', place)).status).toBe(401);
  a.tokens('add', 'lender', '--rights', 'read,write');
  expect((await rawCall(lent, 'open-source', place)).status).toBe(401);
});
