import { expect, test } from 'vitest';
import { newPaceLevel } from '../../../src/core/pace-level.js';
import { ControlBlock } from '../../../src/transfer/control-block.js';
import { Pace } from '../../../src/transfer/pace.js';
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
  expect(control.spent()).toMatchObject({
    sourceReadMs: 1.5,
    hashMs: 2.5,
    targetWriteMs: 3.5,
    targetReadMs: 0,
    limitMs: 4.5,
    classLimitMs: 0,
  });
  new Pace(other.pace, new FakeClock()).setRate(77);
  expect(new Pace(control.pace, new FakeClock()).rate()).toBe(77);
  expect(other.stopped).toBe(false);
  control.stop();
  expect(other.stopped).toBe(true);
});

test('a stop wakes those who wait for one, and is not the end of the endpoints', async () => {
  const control = ControlBlock.create();
  const woken: string[] = [];
  const waits = [
    control.untilHalted().then(() => woken.push('stopped')),
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
  await control.untilHalted();
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

test('a job that was preempted proceeds, and can be stopped meanwhile', async () => {
  const control = ControlBlock.create();
  const other = ControlBlock.attach(control.shared);
  const halted = other.untilHalted();
  control.preempt();
  control.preempt();
  await halted;
  expect({ running: other.running, stopped: other.stopped, preemptions: other.preemptions }).toEqual({
    running: false,
    stopped: false,
    preemptions: 1,
  });
  const proceeding = other.untilRunning();
  control.proceed();
  await proceeding;
  expect(other.running).toBe(true);
  control.preempt();
  const stopping = other.untilRunning();
  control.stop();
  await stopping;
  control.proceed();
  expect({ running: other.running, stopped: other.stopped }).toEqual({ running: false, stopped: true });
});

test('jobs that share a pace wait for each other, and one that has none of it does not', () => {
  const clock = new FakeClock();
  const shared = newPaceLevel(1_000_000);
  const [one, other, alone] = [ControlBlock.create([shared]), ControlBlock.create([shared]), ControlBlock.create()];
  const taken = new Pace(one.pace, clock).reserve(1_000_000, 1);
  const waits = new Pace(ControlBlock.attach(other.shared).pace, clock).reserve(1000, 1);
  expect(waits - taken).toBeGreaterThan(900);
  expect(new Pace(alone.pace, clock).limited).toBe(false);
  one.countPaces(() => false);
  expect(new Pace(ControlBlock.attach(one.shared).pace, clock).limited).toBe(false);
  one.countPaces((at) => at === 0);
  expect(new Pace(one.pace, clock).limited).toBe(true);
});
