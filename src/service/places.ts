/**
 * The places that running jobs hold, limit by limit, and who yields to whom: a higher job displaces a lower one, equals
 * displace each other when a slice is over or when one had passed another in line, and nobody a job that runs by its
 * class's share.
 */
import { byPlace } from './backlog.js';
import { PRIORITIES, type Priority } from './job.js';
import type { Contender, Running, SchedulerPolicy } from './scheduler.js';

/** A limit as a key: `jobs`, `foreground`, `migrations`, `from PATH` or `to PATH`. */
export type LimitKey = string;

/** Before foreground: what runs by a share. */
export const GRANTED = -1;

export interface Holder {
  readonly job: Running;
  /** The least is the highest: {@link GRANTED}, then the classes from 0. */
  readonly rank: number;
}

export function rankOf(priority: Priority): number {
  return PRIORITIES.indexOf(priority);
}

/** Of those the first is the one that all jobs of a class have in common. */
export function limitKeys(job: Contender): readonly LimitKey[] {
  return [
    job.priority === 'foreground' ? 'foreground' : 'jobs',
    ...(job.kind === 'migration' ? ['migrations'] : []),
    ...job.sourcePaths.map((path) => `from ${path}`),
    ...job.targetPaths.map((path) => `to ${path}`),
  ];
}

/** What is left of a job's slice, in milliseconds; not above 0: it is over. */
export function sliceLeft(job: Running, sliceMs: number, now: number): number {
  return sliceMs - (job.usedMs ?? 0) - Math.max(0, now - job.startedAt);
}

export class Places {
  readonly #policy: SchedulerPolicy;
  readonly #now: number;
  readonly #holders = new Map<LimitKey, Map<string, Holder>>();

  constructor(policy: SchedulerPolicy, now: number) {
    this.#policy = policy;
    this.#now = now;
  }

  add(holder: Holder): void {
    for (const key of limitKeys(holder.job)) {
      const holders = this.#holders.get(key);
      if (holders) holders.set(holder.job.id, holder);
      else this.#holders.set(key, new Map([[holder.job.id, holder]]));
    }
  }

  remove(job: Running): void {
    for (const key of limitKeys(job)) this.#holders.get(key)?.delete(job.id);
  }

  at(key: LimitKey): readonly Holder[] {
    return [...(this.#holders.get(key)?.values() ?? [])];
  }

  limit(key: LimitKey): number {
    if (key === 'jobs') return this.#policy.jobsAtOnce;
    if (key === 'foreground') return this.#policy.foregroundAtOnce;
    if (key === 'migrations') return this.#policy.migrationsAtOnce;
    return key.startsWith('from ') ? this.#policy.perSourcePath : this.#policy.perTargetPath;
  }

  /** The limits that leave no place for one more such job. */
  fullFor(job: Contender): readonly LimitKey[] {
    return limitKeys(job).filter((key) => (this.#holders.get(key)?.size ?? 0) >= this.limit(key));
  }

  /** Whether a limit is held by its betters alone, so that no turn among equals will ever reach it. */
  outranked(job: Contender): readonly LimitKey[] {
    const own = rankOf(job.priority);
    return this.fullFor(job).filter((key) => this.at(key).every(({ rank }) => rank < own));
  }

  /**
   * Who has to stop so that it fits. A key: nobody who holds that limit yields to it. One that stops in vain, since
   * another holds all that it does, finds its place again when its own turn comes in the same round.
   */
  roomFor(job: Contender, rank: number): readonly Holder[] | LimitKey {
    const full = this.fullFor(job);
    const chosen: Holder[] = [];
    const helps = (holder: Holder, key: LimitKey): boolean => this.#holders.get(key)?.has(holder.job.id) ?? false;
    for (const key of full) {
      if (chosen.some((holder) => helps(holder, key))) continue;
      const yielding = this.at(key).filter((holder) => this.#yields(holder, job, rank));
      const covers = (holder: Holder): number => full.filter((other) => helps(holder, other)).length;
      const first = yielding.sort((one, other) => this.firstToGo(one, other, covers))[0];
      if (!first) return key;
      chosen.push(first);
    }
    return chosen;
  }

  /** The lowest first; of equals who makes most room, whose slice is over, and then the last in line. */
  firstToGo(one: Holder, other: Holder, covers: (holder: Holder) => number = () => 0): number {
    const over = ({ job }: Holder): number => (this.#sliceLeft(job) <= 0 ? 1 : 0);
    return (
      other.rank - one.rank || covers(other) - covers(one) || over(other) - over(one) || byPlace(other.job, one.job)
    );
  }

  #yields(holder: Holder, job: Contender, rank: number): boolean {
    if (holder.rank !== rank) return holder.rank > rank;
    if (rank === GRANTED) return false;
    return holder.job.since > job.since || (this.#sliceLeft(holder.job) <= 0 && job.since <= this.#now);
  }

  #sliceLeft(job: Running): number {
    return sliceLeft(job, this.#policy.sliceMs, this.#now);
  }
}
