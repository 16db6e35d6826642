import { expect, test } from 'vitest';
import { type ErrorCode, type ErrorDetail, TransferError } from '../../../src/core/errors.js';
import { withRetry } from '../../../src/transfer/retry.js';
import { FakeClock } from '../../support/fake-clock.js';

interface Attempt {
  readonly atMs: number;
  readonly waitMs: number;
}

/** Fails with the code so many times, then works; answers what happened in fake time. */
async function failing(times: number, code: ErrorCode, detail: ErrorDetail = {}, random = 1) {
  const clock = new FakeClock();
  const retries: Attempt[] = [];
  let calls = 0;
  const stop = new AbortController();
  const work = withRetry(
    async (attempt) => {
      expect(attempt).toBe(++calls);
      if (calls <= times) throw new TransferError(code, 'not now', detail);
      return 'done';
    },
    {
      clock,
      signal: stop.signal,
      random: () => random,
      onRetry: (_, waitMs) => retries.push({ atMs: clock.seconds * 1000, waitMs }),
    },
  );
  const outcome = await clock.runUntil(work).catch((thrown: TransferError) => thrown.code);
  return { outcome, calls, waits: retries.map(({ waitMs }) => waitMs) };
}

test('what may pass is tried again, each time after a longer wait at most', async () => {
  expect(await failing(5, 'E_NETWORK')).toEqual({ outcome: 'done', calls: 6, waits: [250, 500, 1000, 2000, 4000] });
});

test('the wait is anything between nothing and its ceiling, so that lanes do not come back together', async () => {
  expect((await failing(3, 'E_NETWORK', {}, 0)).waits).toEqual([0, 0, 0]);
  expect((await failing(3, 'E_NETWORK', {}, 0.5)).waits).toEqual([125, 250, 500]);
});

test('a network error is given up after eight attempts, a failing disk after three', async () => {
  expect(await failing(99, 'E_TIMEOUT')).toMatchObject({ outcome: 'E_TIMEOUT', calls: 8 });
  expect(await failing(99, 'E_SOURCE_READ')).toMatchObject({ outcome: 'E_SOURCE_READ', calls: 3 });
  expect(await failing(99, 'E_TARGET_WRITE')).toMatchObject({ outcome: 'E_TARGET_WRITE', calls: 3 });
});

test('a server may be away for half a minute, however the waits are drawn', async () => {
  const waits = [0, 0, 0, 0, 0, 0, 0, 30_000];
  for (const code of ['E_NETWORK', 'E_TIMEOUT'] as const) {
    expect(await failing(8, code, {}, 0)).toEqual({ outcome: 'done', calls: 9, waits });
    expect(await failing(99, code, {}, 0)).toEqual({ outcome: code, calls: 9, waits });
  }
  expect(await failing(99, 'E_PROTOCOL', {}, 0)).toMatchObject({ outcome: 'E_PROTOCOL', calls: 8 });
});

test('what is mended already does not count, unless it is so again and again', async () => {
  expect(await failing(1, 'E_NETWORK', { mended: true })).toEqual({ outcome: 'done', calls: 2, waits: [250] });
  expect(await failing(15, 'E_PROTOCOL', { mended: true })).toMatchObject({ outcome: 'done', calls: 16 });
  expect(await failing(99, 'E_PROTOCOL', { mended: true })).toMatchObject({ outcome: 'E_PROTOCOL', calls: 16 });
});

test('what cannot pass is not tried again', async () => {
  for (const code of ['E_SOURCE_CHANGED', 'E_NO_SPACE', 'E_INTEGRITY', 'E_STOPPED', 'E_BUG'] as const) {
    expect(await failing(1, code)).toEqual({ outcome: code, calls: 1, waits: [] });
  }
});

test('a server is not asked again before the time that it named', async () => {
  expect((await failing(2, 'E_UNAVAILABLE', { retryAfterMs: 7000 })).waits).toEqual([7000, 7000]);
});

test('a server that wants a wait of many minutes ends the chunk, and the job decides', async () => {
  const asked = { retryAfterMs: 3_600_000 };
  expect(await failing(1, 'E_UNAVAILABLE', asked)).toEqual({ outcome: 'E_UNAVAILABLE', calls: 1, waits: [] });
});

test('a stop ends the wait at once, and is told as a stop', async () => {
  const clock = new FakeClock();
  const stop = new AbortController();
  const work = withRetry(
    async () => {
      throw new TransferError('E_NETWORK', 'not now');
    },
    { clock, signal: stop.signal, random: () => 1, onRetry: () => setImmediate(() => stop.abort()) },
  );
  await expect(work).rejects.toMatchObject({ code: 'E_STOPPED', cause: { code: 'E_NETWORK' } });
  expect(clock.sleeping).toBe(0);
});
