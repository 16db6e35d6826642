import { expect, test } from 'vitest';
import { ControlBlock } from '../../../src/transfer/control-block.js';
import { FakeClock } from '../../support/fake-clock.js';

test('all who attach to the shared memory see the same job, counters, pace and stop', () => {
  const control = ControlBlock.create();
  const other = ControlBlock.attach(control.shared);
  expect(other.job).toBe(control.job);
  expect(ControlBlock.create().job).not.toBe(control.job);
  other.add('writtenBytes', 5n * 2n ** 40n);
  control.add('writtenBytes', -1n);
  expect(control.counter('writtenBytes')).toBe(5 * 2 ** 40 - 1);
  other.add('readNs', 1_500_000n);
  other.add('hashNs', 2_500_000n);
  other.add('writeNs', 3_500_000n);
  other.add('limitNs', 4_500_000n);
  expect(control.spent()).toEqual({
    sourceReadMs: 1.5,
    hashMs: 2.5,
    targetWriteMs: 3.5,
    targetReadMs: 0,
    limitMs: 4.5,
  });
  other.pace[1] = 77n;
  expect(control.pace[1]).toBe(77n);
  expect(other.stopped).toBe(false);
  control.stop();
  expect(other.stopped).toBe(true);
});

test('a stop wakes those who wait for one, and is not the end of the endpoints', async () => {
  const control = ControlBlock.create();
  const woken: string[] = [];
  const waits = [
    control.untilStopped().then(() => woken.push('stopped')),
    control.untilClosed().then(() => woken.push('closed')),
  ];
  control.stop();
  control.stop();
  await waits[0];
  expect(woken).toEqual(['stopped']);
  control.closeAll();
  await Promise.all(waits);
  expect(woken).toEqual(['stopped', 'closed']);
});

test('whoever comes late to a stop or a close does not wait for it', async () => {
  const control = ControlBlock.create();
  control.closeAll();
  await control.untilStopped();
  await control.untilClosed();
  expect(control.stopped).toBe(true);
});

test('the control plane learns when the last worker has let go, or that one has not', async () => {
  const control = ControlBlock.create();
  const clock = new FakeClock();
  expect(await control.untilDetached(clock, 2000)).toBe(true);
  control.attachWorker();
  control.attachWorker();
  const both = control.untilDetached(clock, 2000);
  control.detachWorker();
  control.detachWorker();
  expect(await both).toBe(true);
  control.attachWorker();
  expect(await clock.runUntil(control.untilDetached(clock, 2000))).toBe(false);
  expect(clock.sleeping).toBe(0);
});
