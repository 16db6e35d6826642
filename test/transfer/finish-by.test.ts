/** Copies that are to be done by some time, in real time and with real files. */
import { expect, test } from 'vitest';
import { systemClock } from '../../src/core/clock.js';
import type { TransferEvent } from '../../src/core/events.js';
import { MiB } from '../../src/core/units.js';
import { copy } from '../../src/index.js';
import { CHUNK, expectDone, pairIn, scratchFolder } from '../support/copying.js';

const SIZE = 24 * MiB;
const inSeconds = (seconds: number): string => new Date(systemClock.wallMs() + seconds * 1000).toISOString();

test('a copy with time enough takes most of it, and says what it waited for', async () => {
  const pair = pairIn(scratchFolder(), SIZE);
  const seconds = 6;
  const { elapsedMs, spent } = await copy({ ...pair, chunkBytes: CHUNK, finishBy: inSeconds(seconds) }).result;
  expect(elapsedMs).toBeGreaterThan(0.5 * seconds * 1000);
  expect(elapsedMs).toBeLessThan(1.5 * seconds * 1000);
  expect(spent.byCause.deadline).toBeGreaterThan(0.6 * elapsedMs);
  expectDone(pair);
});

test('a deadline that the limit makes impossible is told at once, with the earliest time', async () => {
  const pair = pairIn(scratchFolder(), SIZE);
  const run = copy({ ...pair, chunkBytes: CHUNK, limitBytesPerSecond: MiB, finishBy: inSeconds(4) });
  const events: TransferEvent[] = [];
  for await (const event of run) {
    events.push(event);
    if (event.type === 'progress' && event.bytesDone > 0) break;
  }
  const note = events.find((event) => event.type === 'note' && event.message.startsWith('it cannot be'));
  expect(note).toMatchObject({
    message: expect.stringMatching(/limits and windows let it be done at .* at the earliest/),
  });
  expect(events.at(-1)).toMatchObject({ deadline: { lateByMs: expect.any(Number) } });
  await run.setLimit(0);
  await run.result;
  expectDone(pair);
});
