import { expect, test } from 'vitest';
import { CAUSES, totalTime } from '../../../src/core/causes.js';
import {
  newJobTime,
  preemptedBy,
  spentTime,
  stoodBehind,
  takenUp,
  totalsOfTime,
} from '../../../src/service/job-time.js';
import { Seeded } from '../../support/seeded.js';

const AT = 1_800_000_000_000;

test('a job is told in few stretches however long it lasts, and they add up to the time that passed', () => {
  const { random } = new Seeded(7);
  let time = newJobTime(AT);
  let passed = 0;
  for (let step = 0; step < 5000; step++) {
    const ms = Math.round(random() * 400) + 1;
    const [one, other] = [CAUSES[step % 8] ?? 'hash', CAUSES[Math.floor(random() * CAUSES.length)] ?? 'hash'];
    passed += ms;
    time = spentTime(time, ms, { [one]: random(), [other]: 1 }, AT + passed);
  }
  expect(time.spans.length).toBeLessThanOrEqual(48);
  expect(time.spans.length).toBeGreaterThan(20);
  expect(Math.abs(totalTime(totalsOfTime(time)) - passed) / passed).toBeLessThan(0.0001);
  // None of them is most of it: the picture stays a picture.
  expect(Math.max(...time.spans.map(totalTime))).toBeLessThan(passed / 10);
});

test('a wait of hours is one stretch, whatever came before and comes after', () => {
  let time = newJobTime(AT);
  for (let hour = 0; hour < 5; hour++) time = spentTime(time, 3_600_000, { queue: 1 }, AT + (hour + 1) * 3_600_000);
  time = spentTime(time, 500, { sourceRead: 3, hash: 1 }, time.until + 500);
  expect(time.spans).toEqual([{ queue: 18_000_000 }, { sourceRead: 375, hash: 125 }]);
});

test('what the service was not there for is told as that, and what waits for its user as waiting for its user', () => {
  const running = takenUp(newJobTime(AT), 'transferring', AT + 5000);
  expect(totalsOfTime(running)).toEqual({ away: 5000 });
  const suspended = takenUp(newJobTime(AT), 'suspended', AT + 5000);
  expect(totalsOfTime(suspended)).toEqual({ suspended: 5000 });
  // A clock that was set back takes nothing away.
  expect(takenUp(suspended, 'suspended', AT - 9000)).toMatchObject({ until: AT - 9000, spans: [{ suspended: 5000 }] });
});

test('whom a job stood behind is kept, the longest when they are many, and who made it stop', () => {
  let time = newJobTime(AT);
  for (let job = 0; job < 100; job++) time = stoodBehind(time, [`job-${job}`, 'all along'], job);
  time = preemptedBy(preemptedBy(time, 'all along'), 'job-99');
  expect(time.behind).toHaveLength(20);
  expect(time.behind).toContainEqual({ job: 'all along', ms: 4950, preempted: 1 });
  expect(time.behind).toContainEqual({ job: 'job-99', ms: 99, preempted: 1 });
});
