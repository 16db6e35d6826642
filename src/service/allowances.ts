/** What the policy will let a job do, and until when: its windows as stretches, found once and kept for a minute. */
import type { Allowance } from '../transfer/deadline.js';
import type { Job, Priority } from './job.js';
import type { Policy, Rates } from './policy/policy.js';
import { classesAt, ratesAt } from './policy/windows.js';

interface Stretch {
  readonly from: number;
  readonly until: number;
  readonly classes: readonly Priority[];
  readonly rates: Rates;
}

/** Clocks are set, and zones change. */
const KEPT_MS = 60_000;

export class Allowances {
  readonly #policy: () => Policy;
  #of: Policy | undefined;
  #madeAt = Number.NEGATIVE_INFINITY;
  #stretches: Stretch[] = [];

  constructor(policy: () => Policy) {
    this.#policy = policy;
  }

  /** @param now both in milliseconds since 1970 */
  of({ priority, limitBytesPerSecond }: Job, at: number, now: number): Allowance {
    const { classes, rates, until } = this.#stretchAt(at, now);
    if (!classes.includes(priority)) return { bytesPerSecond: 0, until };
    const limits = [limitBytesPerSecond, rates[priority], rates.all].filter((limit) => limit > 0);
    return { bytesPerSecond: Math.min(Number.POSITIVE_INFINITY, ...limits), until };
  }

  #stretchAt(at: number, now: number): Stretch {
    const policy = this.#policy();
    if (policy !== this.#of || Math.abs(now - this.#madeAt) >= KEPT_MS) {
      [this.#of, this.#madeAt, this.#stretches] = [policy, now, []];
    }
    const known = this.#stretches.find(({ from, until }) => from <= at && at < until);
    if (known) return known;
    const [allowed, limits] = [classesAt(policy, at), ratesAt(policy, at)];
    const until = Math.min(allowed.until ?? Number.POSITIVE_INFINITY, limits.until ?? Number.POSITIVE_INFINITY);
    const stretch = { from: at, until, classes: allowed.classes, rates: limits.rates };
    this.#stretches.push(stretch);
    return stretch;
  }
}
