/**
 * Which jobs have a slot: keeps the line of those that wait and the set of those that run, asks the scheduler whenever
 * something changed, and has its answer carried out. It also sets the rates that the policy's windows say.
 */
import { type Clock, nowMs } from '../core/clock.js';
import { setPaceLevel } from '../core/pace-level.js';
import { Backlog } from './backlog.js';
import { PRIORITIES, type Priority } from './job.js';
import type { Policy } from './policy/policy.js';
import { classesAt, type RatesNow, ratesAt } from './policy/windows.js';
import { type Contender, NO_SHARES, type Preemption, type Running, type Situation, schedule } from './scheduler.js';
import { type WhyWaiting, whyWaiting } from './why-waiting.js';

export interface DispatcherParts {
  readonly clock: Clock;
  readonly policy: () => Policy;
  readonly classPaces: Readonly<Record<Priority, SharedArrayBuffer>>;
  readonly pace: SharedArrayBuffer;
  readonly start: (id: string) => void;
  readonly preempt: (id: string, why: Preemption) => void;
}

export class Dispatcher {
  readonly spent = { decisions: 0, decisionMs: 0 };
  readonly #parts: DispatcherParts;
  readonly #backlog = new Backlog();
  readonly #running = new Map<string, Running>();
  #shares = NO_SHARES;
  #nextAt: number | undefined;
  /** The classes that might run at the last tick: windows begin and end, and clocks are set. */
  #allowed = '';
  #due = false;
  #closed = false;

  constructor(parts: DispatcherParts) {
    this.#parts = parts;
  }

  /** It wants to run. One that runs or waits already goes on, as what it is now. */
  add(contender: Omit<Contender, 'since'>): void {
    const running = this.#running.get(contender.id);
    const waiting = this.#backlog.get(contender.id);
    if (running) this.#running.set(contender.id, { ...running, ...contender });
    else this.#backlog.add({ since: nowMs(this.#parts.clock), ...waiting, ...contender });
    this.look();
  }

  /** It waits no more, or its slot is free. */
  remove(id: string): void {
    if (this.#running.delete(id) || this.#backlog.remove(id)) this.look();
  }

  has(id: string): boolean {
    return this.#running.has(id) || this.#backlog.get(id) !== undefined;
  }

  close(): void {
    this.#closed = true;
  }

  /** Asks the scheduler soon: what happens at the same time is looked at together. */
  look(): void {
    if (this.#due) return;
    this.#due = true;
    queueMicrotask(() => {
      this.#due = false;
      if (!this.#closed) this.#carryOut();
    });
  }

  /** To be called about once a second: time alone may change who runs, and how fast. */
  tick(): void {
    const { clock, policy } = this.#parts;
    this.applyRates();
    const allowed = classesAt(policy(), clock.wallMs()).classes.join();
    const windowChanged = allowed !== this.#allowed;
    this.#allowed = allowed;
    if (windowChanged || (this.#nextAt !== undefined && nowMs(clock) >= this.#nextAt)) this.look();
  }

  /** The rates that hold now, and by which rule. */
  rates(): RatesNow {
    return ratesAt(this.#parts.policy(), this.#parts.clock.wallMs());
  }

  applyRates(): void {
    const { rates, own } = this.rates();
    for (const priority of PRIORITIES) {
      const cause = own?.[priority] === undefined ? 'classLimit' : 'windowLimit';
      setPaceLevel(this.#parts.classPaces[priority], rates[priority], cause);
    }
    setPaceLevel(this.#parts.pace, rates.all, own?.all === undefined ? 'allLimit' : 'windowLimit');
  }

  /** `until` is in milliseconds since 1970. */
  why(id: string, nameOf: (id: string) => string): WhyWaiting | undefined {
    const why = whyWaiting(id, this.#backlog, [...this.#running.values()], this.#situation(), nameOf);
    if (why?.until === undefined || why.rule === 'window') return why;
    const { clock } = this.#parts;
    return { ...why, until: Math.round(why.until - nowMs(clock) + clock.wallMs()) };
  }

  #situation(): Situation {
    const { clock, policy } = this.#parts;
    const rules = policy();
    const allowed = classesAt(rules, clock.wallMs());
    return { policy: rules, allowed, shares: this.#shares, now: nowMs(clock) };
  }

  #carryOut(): void {
    const before = nowMs(this.#parts.clock);
    const decision = schedule(this.#backlog, [...this.#running.values()], this.#situation());
    this.spent.decisions++;
    this.spent.decisionMs += nowMs(this.#parts.clock) - before;
    this.#shares = decision.shares;
    this.#nextAt = decision.nextAt;
    for (const preemption of decision.preempt) {
      this.#running.delete(preemption.id);
      this.#backlog.add(preemption.again);
      this.#parts.preempt(preemption.id, preemption);
    }
    for (const id of decision.start) {
      const contender = this.#backlog.get(id);
      if (!contender) continue;
      this.#backlog.remove(id);
      this.#running.set(id, { ...contender, startedAt: nowMs(this.#parts.clock) });
      this.#parts.start(id);
    }
  }
}
