/** A service without transfers: jobs are so many milliseconds of work, and the clock goes from event to event. */
import { Backlog } from '../../src/service/backlog.js';
import { PRIORITIES } from '../../src/service/job.js';
import { DEFAULT_POLICY } from '../../src/service/policy/default-policy.js';
import {
  type AllowedClasses,
  type Contender,
  type Decision,
  NO_SHARES,
  type Running,
  type SchedulerPolicy,
  type Shares,
  type Situation,
  schedule,
} from '../../src/service/scheduler.js';

export const ALL_ALLOWED: AllowedClasses = { classes: PRIORITIES, rule: 'default' };

/** A policy with one slot, no other limit and slices of 10 s, unless a test says otherwise. */
export function rules(policy: Partial<SchedulerPolicy> = {}): SchedulerPolicy {
  const wide = { foregroundAtOnce: 100, perSourcePath: 100, perTargetPath: 100, migrationsAtOnce: 100 };
  return { ...DEFAULT_POLICY, ...wide, jobsAtOnce: 1, sliceMs: 10_000, lowSharePercent: 0, ...policy };
}

export function contender(id: string, about: Partial<Contender> = {}): Contender {
  const paths = { sourcePaths: ['/from'], targetPaths: ['/to'] };
  return { id, owner: 'ann', priority: 'normal', kind: 'copy', since: 0, ...paths, ...about };
}

export class FakeService {
  policy: SchedulerPolicy;
  allowed = ALL_ALLOWED;
  now = 0;
  readonly backlog = new Backlog();
  readonly running = new Map<string, Running>();
  /** Milliseconds of work that each job still has, and when it ended. */
  readonly left = new Map<string, number>();
  readonly ended = new Map<string, number>();
  /** Milliseconds that each job ran. */
  readonly ran = new Map<string, number>();
  readonly decisions: Decision[] = [];
  #shares: Shares = NO_SHARES;

  constructor(policy: Partial<SchedulerPolicy> = {}) {
    this.policy = rules(policy);
  }

  get situation(): Situation {
    return { policy: this.policy, allowed: this.allowed, shares: this.#shares, now: this.now };
  }

  get runningIds(): readonly string[] {
    return [...this.running.keys()].sort();
  }

  get(id: string): Contender | undefined {
    return this.running.get(id) ?? this.backlog.get(id);
  }

  add(id: string, workMs: number, about: Partial<Contender> = {}): void {
    this.left.set(id, workMs);
    this.backlog.add(contender(id, { since: this.now, ...about }));
  }

  end(id: string): void {
    this.running.delete(id);
    this.backlog.remove(id);
    this.left.delete(id);
    this.ended.set(id, this.now);
  }

  /** Asks the scheduler and does what it says. */
  look(): Decision {
    const decision = schedule(this.backlog, [...this.running.values()], this.situation);
    this.#shares = decision.shares;
    for (const { id, again } of decision.preempt) {
      if (!this.running.delete(id)) throw new Error(`${id} is preempted and does not run`);
      this.backlog.add(again);
    }
    for (const id of decision.start) {
      const job = this.backlog.get(id);
      if (!job) throw new Error(`${id} is started and does not wait`);
      this.backlog.remove(id);
      this.running.set(id, { ...job, startedAt: this.now });
    }
    this.decisions.push(decision);
    return decision;
  }

  /** Lets time pass until then, looking whenever a job ends and whenever the scheduler wanted to be asked. */
  runUntil(end: number): void {
    for (;;) {
      const { nextAt } = this.look();
      if (nextAt !== undefined && nextAt <= this.now) throw new Error('the scheduler wants to be asked for ever');
      const work = [...this.running.keys()].map((id) => this.now + (this.left.get(id) ?? 0));
      const then = Math.min(end, nextAt ?? end, ...work);
      this.#pass(then - this.now);
      if (this.now >= end) return;
    }
  }

  #pass(ms: number): void {
    this.now += ms;
    for (const id of [...this.running.keys()]) {
      const left = (this.left.get(id) ?? 0) - ms;
      this.left.set(id, left);
      this.ran.set(id, (this.ran.get(id) ?? 0) + ms);
      if (left <= 0) this.end(id);
    }
  }
}
