import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { TransferError } from '../../src/core/errors.js';
import type { TransferEvent } from '../../src/core/events.js';
import { KiB } from '../../src/core/units.js';
import type { ChunkRunner } from '../../src/transfer/chunk-runner.js';
import type { Transfer } from '../../src/transfer/transfer.js';
import type { TransferResult } from '../../src/transfer/transfer-result.js';
import { leftovers, statusOf } from '../support/crash-run.js';
import { FailingDisk } from '../support/failing-disk.js';
import { FakeClock } from '../support/fake-clock.js';
import { type InlineOptions, inlineTransfer } from '../support/inline-copy.js';
import { Seeded, writeMixedFile } from '../support/seeded.js';

const scratch = mkdtempSync(join(tmpdir(), 'failed-flush-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const source = join(scratch, 'disk.img');
writeMixedFile(source, 400 * KiB + 1234, new Seeded(7), 60 * KiB);
const image = readFileSync(source);

let disk: FailingDisk;
let target: string;
beforeEach(() => {
  disk = new FailingDisk();
  target = join(mkdtempSync(join(scratch, 'copy-')), 'copy.img');
});

/** Time passes with every look at the clock, so that there is a checkpoint every few chunks. */
function transfer(options: Partial<InlineOptions> = {}): Transfer {
  const sizes = { chunkBytes: 16 * KiB, blockBytes: 4 * KiB, lanes: 2 };
  return inlineTransfer({
    source,
    target,
    files: disk.layer,
    clock: new FakeClock({ lookMs: 30 }),
    ...sizes,
    ...options,
  });
}

async function run(work: Transfer, onEvent: (event: TransferEvent) => void = () => undefined) {
  const result = work.run().catch((thrown) => (thrown instanceof TransferError ? thrown : Promise.reject(thrown)));
  for await (const event of work.events) onEvent(event);
  return result;
}

async function complete(options: Partial<InlineOptions> = {}): Promise<TransferResult> {
  const result = await run(transfer(options));
  if (result instanceof TransferError) throw result;
  return result;
}

function expectWhole(): void {
  disk.evict(target);
  expect(readFileSync(target).equals(image)).toBe(true);
  expect(leftovers(target)).toEqual([]);
}

test('the disk of this test loses what a failed flush should have made durable', async () => {
  await complete();
  expect(disk.flushes).toBeGreaterThan(5);
  const bytes = new Seeded(1).bytes(8192);
  const other = new FailingDisk(/loses$/);
  other.plan.push('EIO');
  const path = join(scratch, 'loses');
  const fd = other.layer.openSync(path, 'w+');
  other.layer.writeSync(fd, bytes, 0, 8192, 0);
  expect(() => other.layer.fdatasyncSync(fd)).toThrow('EIO');
  other.layer.fdatasyncSync(fd);
  expect(readFileSync(path).equals(bytes)).toBe(true);
  other.layer.closeSync(fd);
  other.evict(path);
  expect(readFileSync(path).equals(bytes)).toBe(false);
});

test.each([0, 1, 2, 3, 4])(
  'what flush %i failed for is written again, and the copy is right all the same',
  async (nth) => {
    disk.plan.push(...Array<undefined>(nth).fill(undefined), 'EIO');
    const notes: string[] = [];
    const result = await run(transfer(), (event) => {
      if (event.type === 'note') notes.push(event.message);
    });
    expect(result).toMatchObject({ bytesTotal: image.length });
    expect(disk.plan).toEqual([]);
    expect(notes.filter((note) => note.includes('written again'))).toHaveLength(1);
    expectWhole();
  },
);

/** Flushes that begin this many turns late meet the other lane in the middle of its chunk. */
function lateFlushes(turns: number): (runner: ChunkRunner) => ChunkRunner {
  return (runner) => ({
    workers: runner.workers,
    close: () => runner.close(),
    run: async (name, request) => {
      for (let turn = 0; name === 'checkpoint' && turn < turns; turn++) await undefined;
      return runner.run(name, request);
    },
  });
}

test.each([10, 13, 16, 19, 22, 25, 40])(
  'a chunk that was under way while a flush failed is written again too (%i turns late)',
  async (turns) => {
    for (const before of [[], [undefined]]) {
      rmSync(target, { force: true });
      disk.plan.push(...before, 'EIO');
      await complete({ around: lateFlushes(turns), chunkBytes: 48 * KiB, lanes: 3 });
      expectWhole();
    }
  },
);

test('two flushes that fail in a row are made good too', async () => {
  disk.plan.push(undefined, 'EIO', 'EIO');
  await complete();
  expectWhole();
});

test('a storage whose flushes keep failing ends the copy: nothing gets the name, the partial is kept', async () => {
  disk.plan.push(undefined, ...Array<string>(50).fill('EIO'));
  const error = await run(transfer());
  expect(error).toMatchObject({ code: 'E_FLUSH', exitCode: 3 });
  expect(existsSync(target)).toBe(false);
  expect(leftovers(target)).toHaveLength(2);
  const claimed = (await statusOf(target)).partial?.bytesClaimed ?? 0;
  expect(claimed).toBeGreaterThan(0);
  expect((await statusOf(target)).partial?.stopped?.code).toBe('E_FLUSH');
  disk.plan.length = 0;
  // What was flushed before is on record and stays; what the failed flushes lost is not claimed.
  disk.evict(join(target, '..', '.copy.img.blockferry-part'));
  const result = await complete();
  expect(result.bytesReused).toBe(claimed);
  expectWhole();
});

test.each(['ENOSPC', 'EDQUOT'])(
  'a disk that is full at a flush (%s) keeps the partial, and the next run goes on',
  async (code) => {
    disk.plan.push(undefined, undefined, code);
    const error = await run(transfer());
    expect(error).toMatchObject({ code: 'E_NO_SPACE', exitCode: 3 });
    expect(existsSync(target)).toBe(false);
    disk.evict(join(target, '..', '.copy.img.blockferry-part'));
    const result = await complete();
    expect(result.bytesReused).toBeGreaterThan(0);
    expectWhole();
  },
);

test('claims that were made without a flush are void when the first flush fails', async () => {
  const first = transfer({ sync: false });
  const stopped = await run(first, (event) => {
    if (event.type === 'checkpoint') first.suspend();
  });
  expect(stopped).toMatchObject({ code: 'E_STOPPED' });
  expect((await statusOf(target)).partial?.bytesClaimed).toBeGreaterThan(0);
  expect(disk.flushes).toBe(0);
  disk.plan.push('EIO');
  expect(await run(transfer())).toMatchObject({ code: 'E_FLUSH' });
  expect(disk.lostPages).toBeGreaterThan(0);
  expect((await statusOf(target)).partial?.bytesClaimed).toBe(0);
  // The cache still shows all of it, so that only the journal knows better.
  const result = await complete();
  expect(result.bytesReused).toBe(0);
  expectWhole();
});

test('claims that were made without a flush stand once a flush has covered them', async () => {
  const first = transfer({ sync: false });
  await run(first, (event) => {
    if (event.type === 'checkpoint') first.suspend();
  });
  const claimed = (await statusOf(target)).partial?.bytesClaimed ?? 0;
  disk.plan.push(undefined, undefined, 'EIO', 'EIO', 'EIO', 'EIO');
  expect(await run(transfer())).toMatchObject({ code: 'E_FLUSH' });
  expect((await statusOf(target)).partial?.bytesClaimed).toBeGreaterThanOrEqual(claimed);
  disk.plan.length = 0;
  disk.evict(join(target, '..', '.copy.img.blockferry-part'));
  const result = await complete();
  expect(result.bytesReused).toBeGreaterThanOrEqual(claimed);
  expectWhole();
});
