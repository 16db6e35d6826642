import { spawnSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdtempSync, openSync, readdirSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { TransferError } from '../../src/core/errors.js';
import type { TransferEvent } from '../../src/core/events.js';
import { GiB, KiB, MiB, TiB } from '../../src/core/units.js';
import { MemoryStore } from '../../src/endpoint/memory.js';
import { FileJournals } from '../../src/journal/file-journal.js';
import { realFiles } from '../../src/platform/file-layer.js';
import { InlineRunner } from '../../src/transfer/inline-runner.js';
import { Performer } from '../../src/transfer/perform.js';
import type { TransferResult } from '../../src/transfer/transfer-result.js';
import { FakeClock } from '../support/fake-clock.js';
import { type InlineOptions, inlineTransfer } from '../support/inline-copy.js';
import { Seeded } from '../support/seeded.js';

const CHUNK = 64 * KiB;
const scratch = mkdtempSync(join(tmpdir(), 'interleaved-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

let store: MemoryStore;
let folder: string;
let clock: FakeClock;
beforeEach(() => {
  folder = mkdtempSync(join(scratch, 'journals-'));
  store = new MemoryStore(folder);
  clock = new FakeClock({ lookMs: 0.01 });
  store.put('disk', new Seeded(1).bytes(20 * CHUNK + 99));
});

interface Ended {
  readonly result?: TransferResult;
  readonly error?: TransferError;
  readonly events: readonly TransferEvent[];
}

/** Runs to the end in fake time; nobody waits for a retry. */
async function run(options: Partial<InlineOptions> = {}): Promise<Ended> {
  const registry = { memory: () => store.scheme() };
  const ends = { source: 'memory:disk', target: 'memory:copy' };
  const sizes = { chunkBytes: CHUNK, blockBytes: 8 * KiB, lanes: 4 };
  const transfer = inlineTransfer({ ...ends, ...sizes, registry, clock, ...options });
  const ended = await clock.runUntil(
    transfer.run().then(
      (result) => ({ result }),
      (error: TransferError) => ({ error }),
    ),
  );
  const events: TransferEvent[] = [];
  for await (const event of transfer.events) events.push(event);
  return { ...ended, events };
}

const same = (one: Uint8Array | undefined, other: Uint8Array | undefined): boolean =>
  one !== undefined && other !== undefined && Buffer.compare(one, other) === 0;

/** Answers calls one at a time and in an order that chance decides, never in the order that they came. */
function shuffled(seeded: Seeded): () => Promise<void> {
  const waiting: (() => void)[] = [];
  const answerOne = (): void => {
    waiting.splice(seeded.int(0, waiting.length - 1), 1)[0]?.();
    if (waiting.length > 0) setImmediate(answerOne);
  };
  return () =>
    new Promise((resolve) => {
      waiting.push(resolve);
      if (waiting.length === 1) setImmediate(answerOne);
    });
}

test.each([1, 2, 3])(
  'chunks that are read at the same time on one thread never mix their bytes (seed %i)',
  async (seed) => {
    const seeded = new Seeded(seed);
    store.script = { read: shuffled(seeded), write: shuffled(seeded), readBack: shuffled(seeded) };
    const { result, error } = await run({ readBack: true });
    expect(error).toBeUndefined();
    expect(result).toMatchObject({ proof: 'read-back', bytesRepaired: 0 });
    expect(same(store.bytes('copy'), store.bytes('disk'))).toBe(true);
  },
);

test('two jobs that share one thread never mix their bytes', async () => {
  store.put('other', new Seeded(2).bytes(17 * CHUNK + 5));
  const seeded = new Seeded(4);
  store.script = { read: shuffled(seeded), write: shuffled(seeded) };
  const registry = { memory: () => store.scheme() };
  const shared = new InlineRunner(new Performer({ registry, journals: new FileJournals(realFiles), clock }));
  const jobs = [
    { source: 'memory:disk', target: 'memory:copy' },
    { source: 'memory:other', target: 'memory:other-copy' },
  ].map((ends) =>
    inlineTransfer({ ...ends, chunkBytes: CHUNK, blockBytes: 8 * KiB, lanes: 3, clock, around: () => shared }),
  );
  await clock.runUntil(Promise.all(jobs.map((job) => job.run())));
  expect(same(store.bytes('copy'), store.bytes('disk'))).toBe(true);
  expect(same(store.bytes('other-copy'), store.bytes('other'))).toBe(true);
});

/** Makes reads (or writes) of one chunk fail that often. */
function failingAt(chunk: number, times: number, code: 'E_SOURCE_READ' | 'E_TARGET_WRITE' | 'E_NETWORK') {
  let left = times;
  return ({ offset }: { readonly offset: number }): void => {
    if (offset !== chunk * CHUNK + 8 * KiB || left-- <= 0) return;
    throw new TransferError(code, 'the script says so');
  };
}

test('a chunk that fails twice is read a third time, and the copy is right', async () => {
  store.script = { read: failingAt(7, 2, 'E_SOURCE_READ') };
  const { result, events } = await run();
  expect(same(store.bytes('copy'), store.bytes('disk'))).toBe(true);
  const retries = events.filter((event) => event.type === 'retry');
  expect(retries.map(({ chunk, attempt }) => [chunk, attempt])).toEqual([
    [7, 1],
    [7, 2],
  ]);
  // What was written of the attempts that failed is not counted.
  expect(result?.bytesCopied).toBe(20 * CHUNK + 99);
});

test('a chunk whose writes fail is written again', async () => {
  store.script = { write: failingAt(0, 1, 'E_TARGET_WRITE') };
  const { events } = await run();
  expect(same(store.bytes('copy'), store.bytes('disk'))).toBe(true);
  expect(events.filter((event) => event.type === 'retry')).toHaveLength(1);
});

test('a source that fails for good ends the copy: the error names chunk and offset, and the rest is kept', async () => {
  store.script = { read: failingAt(7, 99, 'E_SOURCE_READ') };
  const { error } = await run();
  expect(error).toMatchObject({ code: 'E_SOURCE_READ', exitCode: 3, detail: { chunk: 7, offset: 7 * CHUNK } });
  expect(store.bytes('copy')).toBeUndefined();
  store.script = {};
  const { result } = await run();
  expect(result?.bytesReused).toBeGreaterThanOrEqual(7 * CHUNK - 4 * CHUNK);
  expect((result?.bytesReused ?? 0) + (result?.bytesCopied ?? 0)).toBe(20 * CHUNK + 99);
  expect(same(store.bytes('copy'), store.bytes('disk'))).toBe(true);
  expect(readdirSync(folder)).toEqual([]);
});

test('a source that becomes shorter or changes while it is copied is told, and nothing gets the name', async () => {
  for (const bytes of [new Seeded(1).bytes(5 * CHUNK), new Seeded(9).bytes(20 * CHUNK + 99)]) {
    store.put('disk', new Seeded(1).bytes(20 * CHUNK + 99));
    store.script = {
      read: ({ offset }) => {
        if (offset === 10 * CHUNK) store.put('disk', bytes);
      },
    };
    const { error } = await run({ discard: true });
    expect(error).toMatchObject({ code: 'E_SOURCE_CHANGED' });
    expect(store.bytes('copy')).toBeUndefined();
  }
});

test('a chunk that the target stored wrong is found by the read-back and repaired', async () => {
  let spoiled = 0;
  store.script = {
    spoil: (stored, { offset }) => {
      if (offset !== 3 * CHUNK + 16 * KiB || spoiled++ > 0) return;
      stored[5] = (stored[5] ?? 0) ^ 0x40;
    },
  };
  const { result } = await run({ readBack: true });
  expect(spoiled).toBe(2);
  expect(result).toMatchObject({ proof: 'read-back', bytesRepaired: CHUNK });
  expect(same(store.bytes('copy'), store.bytes('disk'))).toBe(true);
});

test('a target that stores a chunk wrong again and again is given up, and nothing gets the name', async () => {
  store.script = {
    spoil: (stored, { offset }) => {
      if (offset === 3 * CHUNK) stored[0] = (stored[0] ?? 0) ^ 1;
    },
  };
  const { error } = await run({ readBack: true });
  expect(error).toMatchObject({ code: 'E_INTEGRITY', exitCode: 4, detail: { chunk: 3, offset: 3 * CHUNK } });
  expect(store.bytes('copy')).toBeUndefined();
});

test('what was read back from a cache proves no more than the writing did, and the user is told', async () => {
  store.script = { cached: true };
  const { result, events } = await run({ readBack: true });
  expect(result).toMatchObject({ proof: 'written' });
  expect(events).toContainEqual(expect.objectContaining({ type: 'note', message: expect.stringContaining('cache') }));
  expect(same(store.bytes('copy'), store.bytes('disk'))).toBe(true);
});

test('bits that flip in the partial while nobody works on it are found by the next run', async () => {
  store.script = { read: failingAt(15, 99, 'E_SOURCE_READ') };
  await run();
  const site = await store.scheme().locateTarget?.({ scheme: 'memory', text: 'memory:copy', name: '' }, '');
  const target = await store.scheme().attachTarget?.(site?.ref as { scheme: string });
  await target?.zero?.({ offset: 2 * CHUNK + 100, length: 1000 });
  store.script = {};
  const { result } = await run();
  expect(same(store.bytes('copy'), store.bytes('disk'))).toBe(true);
  expect(result?.bytesCopied).toBeGreaterThanOrEqual(CHUNK);
  expect(result?.bytesReused).toBeGreaterThan(0);
});

/** The most memory that a process of its own held while it copied, in bytes. */
function peakMemoryBytes(options: { readonly source: string; readonly target: string }): number {
  const engine = pathToFileURL(join(import.meta.dirname, '../../dist/src/index.js')).href;
  const script = `
    import { copy } from ${JSON.stringify(engine)};
    await copy(${JSON.stringify({ ...options, sync: false })}).result;
    console.log(process.resourceUsage().maxRSS);`;
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
  expect(child.stderr).toBe('');
  return Number(child.stdout) * KiB;
}

test('two gigabytes of data need less than 200 MiB of memory', () => {
  expect(peakMemoryBytes({ source: `zero:${2 * GiB}`, target: 'null:' })).toBeLessThan(200 * MiB);
});

test('a disk of many terabytes that is nearly empty needs less than 200 MiB of memory', () => {
  const source = join(scratch, 'huge.img');
  const fd = openSync(source, 'w');
  ftruncateSync(fd, 5 * TiB);
  const piece = new Seeded(1).bytes(MiB);
  for (let n = 0; n < 40; n++) writeSync(fd, piece, 0, piece.length, n * 128 * GiB + n);
  closeSync(fd);
  expect(peakMemoryBytes({ source, target: join(scratch, 'huge.copy') })).toBeLessThan(200 * MiB);
});
