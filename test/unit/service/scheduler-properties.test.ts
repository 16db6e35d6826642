import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PRIORITIES } from '../../../src/service/job.js';
import { limitKeys } from '../../../src/service/places.js';
import { type Contender, type SchedulerPolicy, schedule } from '../../../src/service/scheduler.js';
import { contender, FakeService, rules } from '../../support/scheduling.js';

/** The limits once more, counted plainly. */
function fits(jobs: readonly Contender[], policy: SchedulerPolicy): boolean {
  const count = (of: (job: Contender) => boolean): number => jobs.filter(of).length;
  const paths = ['/1', '/2', '/3'];
  return (
    count(({ priority }) => priority === 'foreground') <= policy.foregroundAtOnce &&
    count(({ priority }) => priority !== 'foreground') <= policy.jobsAtOnce &&
    count(({ kind }) => kind === 'migration') <= policy.migrationsAtOnce &&
    paths.every((path) => count(({ sourcePaths }) => sourcePaths.includes(path)) <= policy.perSourcePath) &&
    paths.every((path) => count(({ targetPaths }) => targetPaths.includes(path)) <= policy.perTargetPath)
  );
}

const higher = (one: Contender, other: Contender): boolean =>
  PRIORITIES.indexOf(one.priority) < PRIORITIES.indexOf(other.priority);

const limit = fc.integer({ min: 1, max: 3 });
const limits = fc.record({
  jobsAtOnce: limit,
  foregroundAtOnce: limit,
  perSourcePath: limit,
  perTargetPath: limit,
  migrationsAtOnce: limit,
  lowSharePercent: fc.constantFrom(0, 5, 20),
});
const paths = fc.uniqueArray(fc.constantFrom('/1', '/2', '/3'), { minLength: 1, maxLength: 2 });
const priority = fc.constantFrom(...PRIORITIES);
const newJob = fc.record({
  priority,
  kind: fc.constantFrom('copy' as const, 'migration' as const),
  sourcePaths: paths,
  targetPaths: paths,
});
const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ does: fc.constant('add' as const), job: newJob }) },
  { weight: 5, arbitrary: fc.record({ does: fc.constant('pass' as const), ms: fc.integer({ min: 0, max: 20_000 }) }) },
  { weight: 2, arbitrary: fc.record({ does: fc.constant('end' as const), at: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('limits' as const), policy: limits }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('window' as const), classes: fc.subarray([...PRIORITIES]) }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** Walks through the steps, and has a look at the world after each. */
function walk(policy: Partial<SchedulerPolicy>, steps: readonly Step[], see: (service: FakeService) => void): void {
  const service = new FakeService(policy);
  for (const [index, move] of steps.entries()) {
    if (move.does === 'add') service.add(`job-${index}`, Number.POSITIVE_INFINITY, move.job);
    if (move.does === 'pass') service.runUntil(service.now + move.ms);
    if (move.does === 'limits') service.policy = rules(move.policy);
    if (move.does === 'window') service.allowed = { classes: move.classes, rule: 'window' };
    const running = [...service.running.keys()];
    if (move.does === 'end' && running.length > 0) service.end(running[move.at % running.length] ?? '');
    service.look();
    see(service);
  }
}

const waitingOf = (service: FakeService): readonly Contender[] =>
  [...service.left.keys()].map((id) => service.backlog.get(id)).filter((job) => job !== undefined);
const grantedOf = (service: FakeService): ReadonlySet<string> =>
  new Set(service.decisions.at(-1)?.shares.granted.map(({ id }) => id));

const walks = (see: (service: FakeService) => void): void =>
  fc.assert(
    fc.property(limits, fc.array(step, { maxLength: 40 }), (policy, steps) => walk(policy, steps, see)),
    { numRuns: 300 },
  );

test('never more run than any limit says, and nobody whom the window does not allow', () => {
  walks((service) => {
    const running = [...service.running.values()];
    expect(fits(running, service.policy)).toBe(true);
    expect(running.every((job) => service.allowed.classes.includes(job.priority))).toBe(true);
  });
});

test('nobody waits who would fit beside those who run', () => {
  walks((service) => {
    const running = [...service.running.values()];
    const idle = waitingOf(service)
      .filter((job) => service.allowed.classes.includes(job.priority))
      .filter((job) => fits([...running, job], service.policy));
    expect(idle).toEqual([]);
  });
});

test('nobody waits for the place of a lower job, unless that runs by its share', () => {
  walks((service) => {
    const granted = grantedOf(service);
    for (const job of waitingOf(service).filter((job) => service.allowed.classes.includes(job.priority))) {
      const stay = [...service.running.values()].filter((other) => granted.has(other.id) || !higher(job, other));
      expect(fits([...stay, job], service.policy)).toBe(false);
    }
  });
});

test('a job stops only for one that starts, and only where it is in its way', () => {
  walks((service) => {
    const last = service.decisions.at(-1);
    for (const { id, by, rule, again } of last?.preempt ?? []) {
      if (by === undefined) expect(['window', 'limit']).toContain(rule);
      const taker = by === undefined ? undefined : service.get(by);
      if (taker) expect(limitKeys(taker).some((key) => limitKeys(again).includes(key))).toBe(true);
      expect(service.running.has(id)).toBe(false);
    }
  });
});

test('asked again at once, it changes nothing, so that no two jobs push each other around', () => {
  walks((service) => {
    expect(service.look()).toMatchObject({ start: [], preempt: [] });
  });
});

test('the answer depends on nothing but the question, whatever order the jobs were added in', () => {
  fc.assert(
    fc.property(limits, fc.array(newJob, { maxLength: 20 }), fc.infiniteStream(fc.nat()), (policy, jobs, chance) => {
      const one = new FakeService(policy);
      const other = new FakeService(policy);
      const named = jobs.map((job, index) => contender(`job-${index}`, { ...job, since: index % 3 }));
      const keys = new Map(named.map((job) => [job, chance.next().value as number]));
      for (const job of named) one.backlog.add(job);
      const shuffled = [...named].sort((a, b) => (keys.get(a) ?? 0) - (keys.get(b) ?? 0));
      for (const job of shuffled) other.backlog.add(job);
      const answer = schedule(one.backlog, [], one.situation);
      expect(schedule(other.backlog, [], other.situation)).toEqual(answer);
      expect(schedule(one.backlog, [], one.situation)).toEqual(answer);
    }),
    { numRuns: 300 },
  );
});

const HOUR = 3_600_000;

/** Which of those who never end got no time at all in an hour. */
function starved(policy: Partial<SchedulerPolicy>, jobs: readonly Partial<Contender>[]): readonly string[] {
  const service = new FakeService(policy);
  for (const [index, job] of jobs.entries()) service.add(`job-${index}`, Number.POSITIVE_INFINITY, job);
  service.runUntil(HOUR);
  return [...service.left.keys()].filter((id) => !service.ran.get(id));
}

test('with a share above 0 every job gets to run, whoever else wants to', () => {
  const jobs = fc.array(newJob, { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(limits, fc.constantFrom(5, 20), jobs, (policy, lowSharePercent, all) => {
      expect(starved({ ...policy, lowSharePercent }, all)).toEqual([]);
    }),
    { numRuns: 40 },
  );
});

test('equals all get to run, whatever storages each of them needs', () => {
  const jobs = fc.array(newJob, { minLength: 1, maxLength: 12 });
  fc.assert(
    fc.property(limits, priority, jobs, (policy, same, all) => {
      const equals = all.map((job) => ({ ...job, priority: same }));
      expect(starved({ ...policy, lowSharePercent: 0 }, equals)).toEqual([]);
    }),
    { numRuns: 40 },
  );
});
