import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, type TestContext, test } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { copy, type TransferEvent } from '../../src/index.js';
import { CHUNK, expectDone, failureOf, type Pair, pairIn, scratchFolder } from '../support/copying.js';
import { nginxAvailable, startNginx } from '../support/nginx.js';
import { type LinkRules, TcpProxy } from '../support/tcp-proxy.js';

const SIZE = 16 * MiB + 4711;

interface Linked {
  readonly pair: Pair;
  readonly url: string;
  readonly link: TcpProxy;
}

/** A file on an nginx behind a link. */
async function linked(context: TestContext, rules: LinkRules = {}): Promise<Linked> {
  context.skip(!nginxAvailable(), 'needs nginx');
  const pair = pairIn(scratchFolder(), SIZE);
  const folder = scratchFolder();
  copyFileSync(pair.source, join(folder, 'disk.img'));
  const nginx = await startNginx(folder);
  onTestFinished(() => nginx.stop());
  const link = await TcpProxy.start(Number(new URL(nginx.urls[0] as string).port), rules);
  onTestFinished(() => link.stop());
  return { pair, url: `http://127.0.0.1:${link.port}/disk.img`, link };
}

type Retry = TransferEvent & { readonly type: 'retry' };

test('a link that is down for a while in the middle of a copy delays it, and no more', async (context) => {
  const { pair, url, link } = await linked(context, { rateBytesPerSecond: 16 * MiB });
  const run = copy({ source: url, target: pair.target, chunkBytes: CHUNK, workers: 2 });
  const retries: Retry[] = [];
  let downAt = 0;
  for await (const event of run) {
    if (event.type === 'progress' && event.bytesDone > 4 * MiB && downAt === 0) {
      downAt = event.bytesDone;
      link.down();
    }
    if (event.type !== 'retry') continue;
    retries.push(event);
    // The third time that anybody tried again, the link is there again.
    if (retries.length === 3) link.up();
  }
  const result = await run.result;
  expect(retries.map(({ error }) => error.code)).toContain('E_NETWORK');
  expect(result.bytesCopied).toBe(SIZE);
  expectDone(pair);
});

test('connections that are reset now and then cost their chunks another try, and nothing else', async (context) => {
  const { pair, url, link } = await linked(context, { resetShare: 0.4, resetBytesMax: 2 * MiB, seed: 7 });
  const result = await copy({ source: url, target: pair.target, chunkBytes: MiB, workers: 2 }).result;
  expect(link.resets).toBeGreaterThan(0);
  expect(result.bytesCopied).toBe(SIZE);
  expectDone(pair);
});

test('a long way (50 ms) is filled by chunks on their way at the same time', async (context) => {
  const { pair, url, link } = await linked(context, { delayMs: 25 });
  const run = copy({ source: url, target: pair.target, chunkBytes: CHUNK, workers: 2 });
  const result = await run.result;
  expect(result.bytesCopied).toBe(SIZE);
  expectDone(pair);
  // One after the other, each chunk would have waited a round trip.
  const roundTripsMs = Math.ceil(SIZE / CHUNK) * 50;
  expect(result.elapsedMs).toBeLessThan(roundTripsMs);
  expect(link.accepted).toBeLessThanOrEqual(12);
});

test('a server that falls silent is told after a minute, and a stop does not wait for it', {
  timeout: 150_000,
}, async (context) => {
  const { pair, url, link } = await linked(context, { rateBytesPerSecond: 16 * MiB });
  const run = copy({ source: url, target: pair.target, chunkBytes: CHUNK, workers: 2 });
  let told: Retry | undefined;
  for await (const event of run) {
    if (event.type === 'progress' && event.bytesDone > 4 * MiB && !told) link.stall();
    if (event.type !== 'retry' || told) continue;
    told = event;
    await run.suspend();
  }
  expect(told?.error).toMatchObject({ code: 'E_TIMEOUT', message: expect.stringContaining('silent') });
  expect(await failureOf(run.result)).toMatchObject({ code: 'E_STOPPED' });
  link.flow();
  const resumed = await copy({ source: url, target: pair.target, workers: 2 }).result;
  expect(resumed.bytesReused).toBeGreaterThan(0);
  expectDone(pair);
});

test('a stop in the middle of a silence is at once', async (context) => {
  const { pair, url, link } = await linked(context, { rateBytesPerSecond: 16 * MiB });
  const run = copy({ source: url, target: pair.target, chunkBytes: CHUNK, workers: 2 });
  for await (const event of run) {
    if (event.type !== 'progress' || event.bytesDone < 4 * MiB || link.stalled) continue;
    link.stall();
    await run.suspend();
  }
  expect(await failureOf(run.result)).toMatchObject({ code: 'E_STOPPED', exitCode: 130 });
  expect(run.stuck).toBe(false);
});
