/** A job that makes way for another: its tasks end at the next block, and nothing that was finished is done again. */
import { statSync } from 'node:fs';
import { expect, test } from 'vitest';
import { createRunner } from '../../src/compose.js';
import { systemClock } from '../../src/core/clock.js';
import type { TransferEvent } from '../../src/core/events.js';
import { newPaceLevel, setPaceLevel } from '../../src/core/pace-level.js';
import { KiB, MiB } from '../../src/core/units.js';
import { parseLocation } from '../../src/endpoint/location.js';
import { Transfer, type TransferRequest } from '../../src/transfer/transfer.js';
import { CHUNK, expectDone, pairIn, scratchFolder } from '../support/copying.js';

const SIZE = 24 * MiB + 4097;

async function transferOf(pair: { source: string; target: string }, more: Partial<TransferRequest> = {}) {
  const runner = await createRunner(2);
  const pace = newPaceLevel(0);
  const request: TransferRequest = {
    ...{ source: parseLocation(pair.source), target: parseLocation(pair.target), algorithm: 'xxh64', lanes: 3 },
    ...{ chunkBytes: CHUNK, rateBytesPerSecond: 0, overwrite: false, discard: false, sync: true, readBack: false },
    ...{ reflink: 'never', ...more },
  };
  const transfer = new Transfer(request, { runner, clock: systemClock, random: Math.random, paces: [pace] });
  return { runner, pace, transfer };
}

/** The first progress event that says what is wanted. */
async function until(events: AsyncIterator<TransferEvent>, wanted: (bytesDone: number, phase: string) => boolean) {
  for (;;) {
    const { value, done } = await events.next();
    if (done) throw new Error('the transfer ended too early');
    if (value.type === 'progress' && wanted(value.bytesDone, value.phase)) return value.bytesDone;
  }
}

test('a job that is preempted writes nothing more, and proceeds without doing anything finished again', async () => {
  const pair = pairIn(scratchFolder(), SIZE);
  const { runner, pace, transfer } = await transferOf(pair);
  setPaceLevel(pace, 6 * MiB);
  const running = transfer.run();
  const events = transfer.events[Symbol.asyncIterator]();
  try {
    await until(events, (done) => done > 4 * MiB);
    transfer.preempt();
    // What was written when nothing was under way any more; two looks at progress lie in between.
    const before = await settled(events);
    expect(await until(events, () => true)).toBe(before);
    expect(before).toBeLessThan(SIZE);
    setPaceLevel(pace, 0);
    transfer.proceed();
    const result = await running;
    expect(result.bytesCopied).toBe(SIZE);
    expect(result.bytesReused).toBe(0);
    expect(result.spent.copying.spent.queuedMs).toBeGreaterThan(0);
    expectDone(pair);
  } finally {
    await runner.close();
  }
});

/** Progress never falls, so it stands still as soon as two looks are the same. */
async function settled(events: AsyncIterator<TransferEvent>): Promise<number> {
  for (let last = -1; ; ) {
    const now = await until(events, () => true);
    if (now === last) return now;
    last = now;
  }
}

test('a job is preempted and proceeds again and again, while it copies, reads back and hashes', async () => {
  const pair = pairIn(scratchFolder(), SIZE);
  const { runner, transfer } = await transferOf(pair, { readBack: true, checksum: { algorithm: 'sha256' } });
  const running = transfer.run();
  const ended = running.then(
    () => true,
    () => true,
  );
  try {
    for (let turn = 0; !(await Promise.race([ended, systemClock.sleep(turn % 7)])); turn++) {
      transfer.preempt();
      if (turn % 3 === 0) await systemClock.sleep(1);
      transfer.proceed();
    }
    const { checksum, root } = await running;
    expect(checksum?.value).toMatch(/^[0-9a-f]{64}$/);
    expect(root).not.toBe('');
    expectDone(pair);
  } finally {
    await runner.close();
  }
});

test('a preempted job that is suspended ends at once, and another run goes on from what it had', async () => {
  const pair = pairIn(scratchFolder(), SIZE);
  const { runner, pace, transfer } = await transferOf(pair);
  setPaceLevel(pace, 6 * MiB);
  const failing = transfer.run().catch((thrown: unknown) => thrown);
  const events = transfer.events[Symbol.asyncIterator]();
  await until(events, (done) => done > 6 * MiB);
  transfer.preempt();
  const done = await settled(events);
  transfer.suspend();
  expect(await failing).toMatchObject({ code: 'E_STOPPED' });
  await runner.close();
  const again = await transferOf(pair);
  const result = await again.transfer.run();
  await again.runner.close();
  // Chunks that were under way when it was preempted had not been finished.
  expect(result.bytesReused).toBeGreaterThanOrEqual(done - 3 * CHUNK);
  expect(result.bytesCopied + result.bytesReused).toBe(SIZE);
  expectDone(pair);
});

test('the last block of a preempted chunk is no chunk: what is counted is what is on record', async () => {
  const pair = pairIn(scratchFolder(), 3 * CHUNK);
  const { runner, pace, transfer } = await transferOf(pair, { lanes: 1, blockBytes: 16 * KiB });
  setPaceLevel(pace, CHUNK);
  const running = transfer.run();
  const events = transfer.events[Symbol.asyncIterator]();
  try {
    await until(events, (done) => done > CHUNK / 4);
    transfer.preempt();
    await settled(events);
    setPaceLevel(pace, 0);
    transfer.proceed();
    const { bytesCopied } = await running;
    expect(bytesCopied).toBe(3 * CHUNK);
    expect(statSync(pair.target).size).toBe(3 * CHUNK);
    expectDone(pair);
  } finally {
    await runner.close();
  }
});
