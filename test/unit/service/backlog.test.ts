import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Backlog, byPlace } from '../../../src/service/backlog.js';
import { PRIORITIES } from '../../../src/service/job.js';
import { type Contender, NO_SHARES, schedule } from '../../../src/service/scheduler.js';
import { ALL_ALLOWED, contender, rules } from '../../support/scheduling.js';

/** Contenders that count each look at their place, which is what every comparison takes. */
class Counted {
  looks = 0;

  contender(index: number): Contender {
    const counted = this;
    const priority = PRIORITIES[index % PRIORITIES.length] ?? 'low';
    const since = (index * 7919) % 100_003;
    return {
      ...contender(`job-${index}`, { priority, sourcePaths: [`/${index % 5}`] }),
      get since() {
        counted.looks++;
        return since;
      },
    };
  }

  of(work: () => void): number {
    const before = this.looks;
    work();
    return this.looks - before;
  }
}

function costs(length: number): { readonly add: number; readonly remove: number; readonly schedule: number } {
  const counted = new Counted();
  const backlog = new Backlog();
  for (let index = 0; index < length; index++) backlog.add(counted.contender(index));
  const running = [0, 1, 2, 3].map((index) => ({ ...contender(`running-${index}`), startedAt: 0 }));
  const policy = rules({ jobsAtOnce: 6, foregroundAtOnce: 4, lowSharePercent: 5 });
  const situation = { policy, allowed: ALL_ALLOWED, shares: NO_SHARES, now: 200_000 };
  const one = counted.contender(length);
  return {
    schedule: counted.of(() => expect(schedule(backlog, running, situation).start.length).toBeGreaterThan(2)),
    add: counted.of(() => backlog.add(one)),
    remove: counted.of(() => backlog.remove(one.id)),
  };
}

test('adding, removing and scheduling cost no more with 100,000 waiting jobs than with 100', () => {
  const few = costs(100);
  const many = costs(100_000);
  // Ten binary digits more, and two looks at each.
  expect(many.add).toBeLessThanOrEqual(few.add + 2 * 2 * 10);
  expect(many.remove).toBeLessThanOrEqual(few.remove + 2 * 2 * 10);
  expect(many.schedule).toBeLessThanOrEqual(2 * few.schedule);
});

test('a backlog is what a plain list in order would be, after any additions and removals', () => {
  const id = fc.integer({ min: 0, max: 15 }).map(String);
  const path = fc.constantFrom('/a', '/b');
  const added = fc.record({ id, since: fc.nat(9), path, priority: fc.constantFrom(...PRIORITIES) });
  fc.assert(
    fc.property(fc.array(fc.oneof(added, fc.record({ remove: id }))), (steps) => {
      const backlog = new Backlog();
      const plain = new Map<string, Contender>();
      for (const step of steps) {
        if ('remove' in step) expect(backlog.remove(step.remove)).toBe(plain.delete(step.remove));
        else {
          const job = contender(step.id, { ...step, sourcePaths: [step.path] });
          backlog.add(job);
          plain.set(job.id, job);
        }
      }
      expect(backlog.size).toBe(plain.size);
      for (const priority of PRIORITIES) {
        const lines = Array.from({ length: backlog.lines(priority).length }, (_, at) => backlog.lines(priority).at(at));
        const expected = [...plain.values()].filter((job) => job.priority === priority).sort(byPlace);
        const found = lines.flatMap((line) =>
          Array.from({ length: line?.jobs.length ?? 0 }, (_, at) => line?.jobs.at(at)),
        );
        expect(found.filter((job) => job !== undefined).sort(byPlace)).toEqual(expected);
        expect(lines[0]?.jobs.at(0)).toEqual(expected[0]);
        for (const job of expected) {
          const before = [...plain.values()].filter(
            (other) => PRIORITIES.indexOf(other.priority) < PRIORITIES.indexOf(priority),
          );
          expect(backlog.ahead(job)).toBe(before.length + expected.indexOf(job));
        }
      }
    }),
    { numRuns: 300 },
  );
});
