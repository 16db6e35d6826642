import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { CAUSES, type Cause, totalTime } from '../../src/core/causes.js';
import type { PhaseAccount, TimeAccount, TransferEvent } from '../../src/core/events.js';
import { newPaceLevel, setPaceLevel } from '../../src/core/pace-level.js';
import { KiB, MiB } from '../../src/core/units.js';
import { type CopyRun, copy, TransferError } from '../../src/index.js';
import { realFiles } from '../../src/platform/file-layer.js';
import type { ChunkRunner } from '../../src/transfer/chunk-runner.js';
import type { ChunkTask } from '../../src/transfer/requests.js';
import type { TransferResult } from '../../src/transfer/transfer-result.js';
import { makeFile, pairIn, scratchFolder } from '../support/copying.js';
import { FakeClock } from '../support/fake-clock.js';
import { type InlineOptions, inlineTransfer } from '../support/inline-copy.js';

const CHUNK = 64 * KiB;

/** A copy of sixteen chunks in fake time, which passes only where the test lets it. */
async function copyInFakeTime(clock: FakeClock, options: Partial<InlineOptions> = {}): Promise<TransferResult> {
  const { source, target } = pairIn(scratchFolder(), 16 * CHUNK);
  const sizes = { chunkBytes: CHUNK, blockBytes: 16 * KiB, lanes: 4 };
  return clock.runUntil(inlineTransfer({ source, target, clock, ...sizes, ...options }).run());
}

/** By how much the parts miss the lanes' time. */
function unexplained({ wallMs, spent }: PhaseAccount, lanes: number): number {
  const sum = Object.values(spent).reduce((total, ms) => total + ms, 0);
  return Math.abs(sum - wallMs * lanes) / (wallMs * lanes || 1);
}

function expectAllExplained(account: TimeAccount, elapsedMs: number): void {
  expect(unexplained(account.copying, account.lanes)).toBeLessThan(0.02);
  expect(unexplained(account.readingBack, account.lanes)).toBeLessThan(0.02);
  const phases = account.openingMs + account.copying.wallMs + account.readingBack.wallMs + account.committingMs;
  expect(Math.abs(phases - elapsedMs)).toBeLessThanOrEqual(2 + 0.02 * elapsedMs);
  expect(Math.abs(totalTime(account.byCause) - elapsedMs)).toBeLessThanOrEqual(2 + 0.02 * elapsedMs);
}

const largest = (account: PhaseAccount): string | undefined =>
  Object.entries(account.spent).sort(([, one], [, other]) => other - one)[0]?.[0];

test('the time under a limit is told as the time of the limit', async () => {
  const { spent, elapsedMs } = await copyInFakeTime(new FakeClock(), { rateBytesPerSecond: 4 * CHUNK });
  expect(spent.copying.wallMs).toBeGreaterThan(3500);
  expect(largest(spent.copying)).toBe('limitMs');
  expectAllExplained(spent, elapsedMs);
});

const mostly = ({ byCause }: TimeAccount): Cause =>
  CAUSES.reduce((most, cause) => ((byCause[cause] ?? 0) > (byCause[most] ?? 0) ? cause : most));

test('of several limits the time is told as that of the one that binds', async () => {
  for (const [own, ofClass, ofAll, expected] of [
    [2, 4, 8, 'limit'],
    [8, 2, 4, 'classLimit'],
    [0, 8, 2, 'windowLimit'],
  ] as const) {
    const paces = [newPaceLevel(ofClass * CHUNK, 'classLimit'), newPaceLevel(ofAll * CHUNK, 'windowLimit')];
    const { spent, elapsedMs } = await copyInFakeTime(new FakeClock(), { rateBytesPerSecond: own * CHUNK, paces });
    expect(mostly(spent)).toBe(expected);
    expect(spent.byCause[expected]).toBeGreaterThan(0.7 * elapsedMs);
    expectAllExplained(spent, elapsedMs);
  }
});

test('a limit that is lifted by a window and set by another is told by its new name from then on', async () => {
  const level = newPaceLevel(4 * CHUNK, 'classLimit');
  setPaceLevel(level, 4 * CHUNK, 'windowLimit');
  const { spent } = await copyInFakeTime(new FakeClock(), { paces: [level] });
  expect(mostly(spent)).toBe('windowLimit');
  expect(spent.byCause.classLimit).toBeUndefined();
});

test('a slow source, a slow target and a slow flush are told as what they are', async () => {
  const slow = (call: 'readSync' | 'writeSync' | 'fdatasyncSync', clock: FakeClock): Partial<InlineOptions> => {
    const before = (realFiles[call] as (...args: unknown[]) => unknown).bind(realFiles);
    const slowed = (...args: unknown[]): unknown => {
      clock.advance(20);
      return before(...args);
    };
    return { files: { ...realFiles, [call]: slowed }, lanes: 1 };
  };
  for (const [call, expected, calls] of [
    ['readSync', 'sourceReadMs', 64],
    ['writeSync', 'targetWriteMs', 64],
    ['fdatasyncSync', 'flushMs', 1],
  ] as const) {
    const clock = new FakeClock();
    const { spent, elapsedMs } = await copyInFakeTime(clock, slow(call, clock));
    expect(largest(spent.copying)).toBe(expected);
    expect(spent.copying.spent[expected]).toBeGreaterThanOrEqual(calls * 20);
    expectAllExplained(spent, elapsedMs);
  }
});

test('the wait before a retry is told as that, and the map shows which chunk was sent again', async () => {
  const { source, target } = pairIn(scratchFolder(), 16 * CHUNK);
  const clock = new FakeClock();
  let failures = 0;
  const around = (runner: ChunkRunner): ChunkRunner => ({
    workers: runner.workers,
    close: () => runner.close(),
    run: async (name, request) => {
      const fails = name === 'chunk' && (request as ChunkTask).chunk === 5 && failures++ < 2;
      if (fails) throw new TransferError('E_SOURCE_READ', 'the source does not answer');
      return runner.run(name, request);
    },
  });
  const transfer = inlineTransfer({ source, target, clock, chunkBytes: CHUNK, lanes: 4, around });
  const { spent, elapsedMs } = await clock.runUntil(transfer.run());
  expect(spent.copying.spent.retryMs).toBeGreaterThan(0);
  // The other lanes had nothing left to do meanwhile.
  expect(spent.copying.spent.idleMs).toBeGreaterThan(2 * spent.copying.spent.retryMs);
  expectAllExplained(spent, elapsedMs);
  expect(transfer.chunkMap(16)?.cells.indexOf('re-sent')).toBe(5);
});

test('reading back has its own account, as reading of the target', async () => {
  const { spent, elapsedMs } = await copyInFakeTime(new FakeClock({ lookMs: 1 }), { readBack: true });
  expect(spent.readingBack.spent.targetReadMs).toBeGreaterThan(0);
  expect(spent.readingBack.spent.targetWriteMs).toBe(0);
  expect(spent.copying.spent.targetReadMs).toBe(0);
  expectAllExplained(spent, elapsedMs);
});

test('every lane-second of a real copy with workers is explained, within 2 %', async () => {
  const { source, target } = pairIn(scratchFolder(), 96 * MiB);
  const { spent, elapsedMs } = await copy({ source, target, chunkBytes: MiB, workers: 2, readBack: true }).result;
  expect(spent).toMatchObject({ workers: 2 });
  expect(spent.lanes).toBeGreaterThan(1);
  expect(spent.copying.spent.hashMs).toBeGreaterThan(0);
  expectAllExplained(spent, elapsedMs);
});

/** Follows a copy and answers the last map before its end. */
async function mapsOf(run: CopyRun, seen: (event: TransferEvent) => void = () => undefined) {
  for await (const event of run) seen(event);
  await run.result;
  return run.chunkMap(16);
}

test('the map of a finished copy is on record throughout, and of one that was read back proven', async () => {
  const folder = join(scratchFolder(), 'in');
  mkdirSync(folder);
  const source = makeFile(join(folder, 'disk.img'), 16 * CHUNK) as string;
  const target = join(folder, 'copy.img');
  const recorded = await mapsOf(copy({ source, target, chunkBytes: CHUNK }));
  expect(recorded).toMatchObject({ chunks: 16, counts: { recorded: 16 } });
  const readBack = await mapsOf(copy({ source, target, chunkBytes: CHUNK, overwrite: true, readBack: true }));
  expect(new Set(readBack?.cells)).toEqual(new Set(['proven']));
});

test('what an interrupted copy had on record is proven in the map of the run that goes on', async () => {
  const { source, target } = pairIn(scratchFolder(), 64 * CHUNK);
  const options = { source, target, chunkBytes: CHUNK };
  const first = copy({ ...options, limitBytesPerSecond: 16 * CHUNK });
  for await (const event of first) if (event.type === 'checkpoint') await first.suspend();
  await expect(first.result).rejects.toMatchObject({ code: 'E_STOPPED' });
  const map = await mapsOf(copy(options));
  expect(map?.counts.proven).toBeGreaterThan(0);
  expect(map?.counts.recorded).toBe(64 - (map?.counts.proven ?? 0));
});

test('there is no map before both ends are known', () => {
  const { source, target } = pairIn(scratchFolder(), CHUNK);
  const run = copy({ source, target });
  expect(run.chunkMap(10)).toBeUndefined();
  return run.result;
});
