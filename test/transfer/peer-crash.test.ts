import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import type { EndpointRef } from '../../src/core/endpoint.js';
import type { Target } from '../../src/core/target.js';
import { parseLocation } from '../../src/endpoint/location.js';
import { closePeers, peerScheme } from '../../src/endpoint/peer.js';
import { type CopyOptions, status } from '../../src/index.js';
import { type CopyProcess, startCopy } from '../support/copy-process.js';
import { rawCall } from '../support/peer-client.js';
import { type PeerHost, type PeerHostOptions, startPeerHost } from '../support/peer-host.js';
import { Seeded } from '../support/seeded.js';
import { TcpProxy } from '../support/tcp-proxy.js';

const KiB = 1024;
const MiB = 1024 * KiB;
const CHUNK = 256 * KiB;
const SIZE = 24 * MiB + 4097;
/** Slow enough to be stopped in the middle. */
const RATE = 6 * MiB;

const scratch = mkdtempSync(join(tmpdir(), 'peer-crash-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
process.env.BLOCKFERRY_STATE = join(scratch, 'state');

let folder: string;
let host: PeerHost;
let bytes: Buffer;
const seeded = new Seeded(77);

async function begin(options?: PeerHostOptions): Promise<void> {
  host = await startPeerHost(options);
  process.env.BLOCKFERRY_PEER_TOKEN = host.token;
}

beforeEach(() => {
  folder = mkdtempSync(join(scratch, 'test-'));
  bytes = seeded.bytes(SIZE);
});
afterEach(() => host.stop());

function copyOf(source: string, target: string, rest: Partial<CopyOptions> = {}): CopyProcess {
  return startCopy({ source, target, chunkBytes: CHUNK, ...rest });
}

const localFile = (): string => join(folder, 'disk');
const peerFile = (): string => join(host.root, 'disk');
const isWhole = (path: string): boolean => readFileSync(path).equals(bytes);

/** Resolves when so many bytes are on record. */
async function onRecord(target: string, wanted: number): Promise<number> {
  for (;;) {
    const claimed = (await status(target).catch(() => undefined))?.partial?.bytesClaimed ?? 0;
    if (claimed >= wanted) return claimed;
    await sleep(50);
  }
}

/** A moment that the seed decides, when something is on record and much is not. */
const moment = (): number => seeded.int(1, 10) * MiB;

test('an upload whose client is killed goes on where it was', { timeout: 60_000 }, async () => {
  await begin();
  writeFileSync(localFile(), bytes);
  const target = host.at('disk');
  const first = copyOf(localFile(), target, { limitBytesPerSecond: RATE });
  const claimed = await onRecord(target, moment());
  await first.kill();
  const { result } = await copyOf(localFile(), target).ended;
  expect(isWhole(peerFile())).toBe(true);
  expect(result?.bytesReused).toBeGreaterThanOrEqual(claimed);
  expect((result?.bytesReused ?? 0) + (result?.bytesCopied ?? 0)).toBe(SIZE);
});

test('an upload outlives the daemon: what it had not flushed is sent again', { timeout: 60_000 }, async () => {
  await begin();
  writeFileSync(localFile(), bytes);
  const target = host.at('disk');
  const run = copyOf(localFile(), target, { limitBytesPerSecond: RATE });
  await onRecord(target, moment());
  await host.kill();
  await host.start();
  const { result, error } = await run.ended;
  expect(error).toBeUndefined();
  expect(isWhole(peerFile())).toBe(true);
  // Two checkpoints may have been under way: what is filled and what is flushed, of two seconds each.
  expect(result?.bytesCopied).toBeLessThanOrEqual(SIZE + 2 * 2 * RATE + 16 * CHUNK);
});

test('all lanes that meet a daemon that was started again go on, and that costs none an attempt', async () => {
  await begin();
  onTestFinished(closePeers);
  const scheme = peerScheme();
  const site = await scheme.locateTarget?.(parseLocation(host.at('disk')), 'disk');
  const request = { size: 4 * CHUNK, partial: 'create', sync: true } as const;
  const prepared = await scheme.prepareTarget?.(site?.ref as EndpointRef, request);
  const writes = [0, 1, 2, 3].map((chunk) => async () => {
    const [range, { signal }] = [{ offset: chunk * CHUNK, length: CHUNK }, new AbortController()];
    const target = (await scheme.attachTarget?.(prepared?.ref as EndpointRef)) as Target;
    const writer = target.openChunk(range, signal);
    await writer.write(bytes.subarray(range.offset, range.offset + CHUNK));
    await writer.finish(new Uint8Array(8));
  });
  await host.kill();
  await host.start();
  const met = await Promise.allSettled(writes.map((write) => write()));
  for (const one of met) {
    if (one.status === 'rejected') expect(one.reason).toMatchObject({ code: 'E_NETWORK', detail: { mended: true } });
  }
  expect(met[0]?.status).toBe('rejected');
  for (const write of writes) await write();
  const [partial] = readdirSync(host.root);
  expect(readFileSync(join(host.root, partial as string)).equals(bytes.subarray(0, 4 * CHUNK))).toBe(true);
});

test('client and daemon may both be killed', { timeout: 60_000 }, async () => {
  await begin();
  writeFileSync(localFile(), bytes);
  const target = host.at('disk');
  const first = copyOf(localFile(), target, { limitBytesPerSecond: RATE });
  const claimed = await onRecord(target, moment());
  await host.kill();
  await first.kill();
  await host.start();
  const { result } = await copyOf(localFile(), target).ended;
  expect(isWhole(peerFile())).toBe(true);
  expect(result?.bytesReused).toBeGreaterThanOrEqual(claimed);
});

test('a download outlives the daemon, and goes on after the client was killed', { timeout: 60_000 }, async () => {
  await begin();
  writeFileSync(peerFile(), bytes);
  const source = host.at('disk');
  const first = copyOf(source, localFile(), { limitBytesPerSecond: RATE });
  await first.reached(moment());
  await host.kill();
  await host.start();
  const claimed = await onRecord(localFile(), moment());
  await first.kill();
  const { result } = await copyOf(source, localFile()).ended;
  expect(isWhole(localFile())).toBe(true);
  expect(result?.bytesReused).toBeGreaterThanOrEqual(claimed);
});

test('connections that are cut again and again only cost time', { timeout: 60_000 }, async () => {
  await begin();
  writeFileSync(peerFile(), bytes);
  const proxy = await TcpProxy.start(host.port);
  try {
    const at = (name: string): string => host.at(name).replace(`:${host.port}/`, `:${proxy.port}/`);
    const down = copyOf(at('disk'), localFile(), { limitBytesPerSecond: 2 * RATE });
    for (const part of [4, 8, 16]) {
      await down.reached(part * MiB);
      proxy.cut();
    }
    expect((await down.ended).error).toBeUndefined();
    expect(isWhole(localFile())).toBe(true);
    const up = copyOf(localFile(), at('again'), { limitBytesPerSecond: 2 * RATE });
    for (const part of [4, 8, 16]) {
      await up.reached(part * MiB);
      proxy.cut();
    }
    expect((await up.ended).error).toBeUndefined();
    expect(isWhole(join(host.root, 'again'))).toBe(true);
  } finally {
    await proxy.stop();
  }
});

test('a source that is changed at the peer is named, and nothing is spliced', { timeout: 60_000 }, async () => {
  await begin();
  writeFileSync(peerFile(), bytes);
  const run = copyOf(host.at('disk'), localFile(), { limitBytesPerSecond: RATE });
  await run.reached(2 * MiB);
  writeFileSync(peerFile(), seeded.bytes(SIZE));
  utimesSync(peerFile(), 1_000_000_000, 1_000_000_000);
  expect((await run.ended).error?.code).toBe('E_SOURCE_CHANGED');
  expect(() => statSync(localFile())).toThrow('ENOENT');
});

/** Has the next flush of the daemon fail, when a file of that name is there. */
function failingFlush(): { readonly env: NodeJS.ProcessEnv; arm(): void } {
  const [preload, trigger] = [join(folder, 'preload.mjs'), join(folder, 'fail')];
  const program = `
    import fs from 'node:fs';
    import { syncBuiltinESMExports } from 'node:module';
    const real = fs.fdatasyncSync;
    fs.fdatasyncSync = (fd) => {
      if (!fs.existsSync(process.env.FAIL_FLUSH)) return real(fd);
      fs.rmSync(process.env.FAIL_FLUSH);
      throw Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' });
    };
    syncBuiltinESMExports();
  `;
  writeFileSync(preload, program);
  return {
    // Threads take their options from there, and not from the command line.
    env: { FAIL_FLUSH: trigger, NODE_OPTIONS: `--import=${preload}` },
    arm: () => writeFileSync(trigger, ''),
  };
}

test('a flush that fails at the peer has what is not on record written again', { timeout: 60_000 }, async () => {
  const failing = failingFlush();
  await begin(failing);
  writeFileSync(localFile(), bytes);
  failing.arm();
  const run = copyOf(localFile(), host.at('disk'));
  const { result, error } = await run.ended;
  expect(error).toBeUndefined();
  expect(result?.bytesCopied).toBeGreaterThan(SIZE);
  expect(isWhole(peerFile())).toBe(true);
});

test('a flush that failed unheard does not succeed when it is asked for again', async () => {
  const failing = failingFlush();
  await begin(failing);
  const place = { root: 'images', path: 'disk' };
  const { answer } = await rawCall(host, 'prepare-target', { place, size: 1, partial: 'create', sync: true });
  const flush = async (seen: number) => (await rawCall(host, 'flush', { lease: answer.lease, seen })).answer;
  expect(await flush(0)).toEqual({ failures: 0 });
  failing.arm();
  expect(await flush(0)).toEqual({ failures: 1 });
  expect(await flush(0)).toEqual({ failures: 1 });
  expect(await flush(1)).toEqual({ failures: 1 });
});

test('holes do not cross the wire, in either direction', { timeout: 60_000 }, async () => {
  await begin();
  const proxy = await TcpProxy.start(host.port);
  try {
    const at = (name: string): string => host.at(name).replace(`:${host.port}/`, `:${proxy.port}/`);
    const { truncateSync, openSync, writeSync, closeSync } = await import('node:fs');
    writeFileSync(peerFile(), '');
    truncateSync(peerFile(), 2 ** 36);
    const fd = openSync(peerFile(), 'r+');
    for (const place of [0, 2 ** 34 + 12_345, 2 ** 36 - 70_000]) writeSync(fd, bytes, 0, 70_000, place);
    closeSync(fd);
    const down = await copyOf(at('disk'), localFile(), { chunkBytes: 8 * MiB }).ended;
    expect(down.error).toBeUndefined();
    expect(proxy.wires.answers.bytes).toBeLessThan(2 * MiB);
    const up = await copyOf(localFile(), at('again'), { chunkBytes: 8 * MiB }).ended;
    expect(up.error).toBeUndefined();
    expect(proxy.wires.requests.bytes).toBeLessThan(2 * MiB);
    expect(up.result?.root).toBe(down.result?.root);
    expect(statSync(join(host.root, 'again')).blocks * 512).toBeLessThan(4 * MiB);
  } finally {
    await proxy.stop();
  }
});
