import { describe, expect, test } from 'vitest';
import { MiB } from '../../../src/core/units.js';
import { decide, predict, type Rates, ROUNDS_MAX, WAITS_MAX } from '../../../src/migrate/predict.js';

const RATES: Rates = {
  saveBytesPerSecond: 100 * MiB,
  copyBytesPerSecond: 50 * MiB,
  proveBytesPerSecond: 200 * MiB,
  loadBytesPerSecond: 100 * MiB,
  fixedMs: 300,
  savedShare: 1,
};
const NONE = { rounds: 0, waits: 0 };
const COPIED = { memoryIsCopied: true };

describe('the predicted blackout', () => {
  test('is the fixed costs, and each file at the rate of what is done with it', () => {
    const load = { ...COPIED, deltaBytes: 100 * MiB, memoryBytes: 100 * MiB, deltaBytesPerSecond: 10 * MiB };
    // 0.3 s, 1 s to save, 4 s to copy both, 1 s to prove both, 1 s to load.
    expect(predict(load, RATES)).toMatchObject({
      blackoutMs: 7300,
      // Without the delta: 0.3 + 1 + 2 + 0.5 + 1.
      leastMs: 4800,
      roundMs: 2300,
      nextDeltaBytes: 23 * MiB,
    });
  });

  test('counts no copy of a memory that is saved where it is loaded', () => {
    const load = { deltaBytes: 0, memoryBytes: 100 * MiB, deltaBytesPerSecond: 0 };
    const [copied, inPlace] = [true, false].map((memoryIsCopied) => predict({ ...load, memoryIsCopied }, RATES));
    expect([copied?.blackoutMs, inPlace?.blackoutMs]).toEqual([4800, 2800]);
  });

  test('counts of the memory in use what was saved of it before', () => {
    const load = { ...COPIED, deltaBytes: 0, memoryBytes: 200 * MiB, deltaBytesPerSecond: 0 };
    expect(predict(load, { ...RATES, savedShare: 0.5 }).blackoutMs).toBe(4800);
  });

  test('of a machine without memory and changes is the fixed costs', () => {
    expect(predict({ ...COPIED, deltaBytes: 0, memoryBytes: 0, deltaBytesPerSecond: 0 }, RATES).blackoutMs).toBe(300);
  });
});

describe('what follows from the prediction', () => {
  const writing = (deltaMiB: number, perSecondMiB: number, memoryMiB = 10) =>
    predict(
      { ...COPIED, deltaBytes: deltaMiB * MiB, memoryBytes: memoryMiB * MiB, deltaBytesPerSecond: perSecondMiB * MiB },
      RATES,
    );

  test('without a limit it goes on, however long that takes', () => {
    expect(decide(writing(10_000, 100), NONE)).toMatchObject({ go: 'on' });
  });

  test('it goes on when all fits, and not when a millisecond is missing', () => {
    const prediction = writing(10, 1);
    expect(decide(prediction, { ...NONE, maxBlackoutMs: prediction.blackoutMs }).go).toBe('on');
    expect(decide(prediction, { ...NONE, maxBlackoutMs: prediction.blackoutMs - 1 }).go).toBe('round');
  });

  test('another snapshot is taken while that leaves less than it copies', () => {
    expect(decide(writing(500, 5), { ...NONE, maxBlackoutMs: 2000 })).toEqual({
      go: 'round',
      reason: [
        'it would stand still for 13 s, and 2.0 s at most were allowed:',
        '500 MiB are copied first, and about 51.5 MiB are left',
      ].join(' '),
    });
  });

  test('a calmer moment is waited for when the guest writes as fast as can be copied', () => {
    const decision = decide(writing(500, 60), { ...NONE, maxBlackoutMs: 2000 });
    expect(decision.go).toBe('wait');
    expect(decision.reason).toContain('it writes about as fast as can be copied');
  });

  test('it asks when no calmer moment came, and when no snapshot helped', () => {
    expect(decide(writing(500, 60), { rounds: 0, waits: WAITS_MAX, maxBlackoutMs: 2000 }).go).toBe('ask');
    const often = decide(writing(500, 5), { rounds: ROUNDS_MAX, waits: WAITS_MAX, maxBlackoutMs: 2000 });
    expect(often).toMatchObject({ go: 'ask', reason: expect.stringContaining(`${ROUNDS_MAX} snapshots did not help`) });
  });

  test('it asks at once when the memory alone takes too long', () => {
    const decision = decide(writing(1, 0, 500), { ...NONE, maxBlackoutMs: 2000 });
    expect(decision).toMatchObject({ go: 'ask', reason: expect.stringContaining('its 500 MiB of memory alone take') });
  });
});
