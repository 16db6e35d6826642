/** How a job makes way for those who do not belong to the service: as it was asked to, or as its class does. */
import type { Goal, Yield } from '../yield/control-law.js';
import type { YieldDesk, YieldLease } from '../yield/desk.js';
import type { Job, Priority } from './job.js';
import type { Policy } from './policy/policy.js';

/** Somebody waits for foreground jobs, so these make way only when they are asked to. */
export type Yields = Readonly<Record<Exclude<Priority, 'foreground'>, Yield | 'none'>>;

type Asking = Pick<Job, 'priority' | 'kind' | 'options'>;

/** Undefined: it makes way for nobody. */
export function goalOfJob({ priority, kind, options }: Asking, { yields }: Policy): Goal | undefined {
  if (options.protectLatencyMs !== undefined) return { latencyMs: options.protectLatencyMs };
  if (options.yield !== undefined) return options.yield;
  // The machine of a migration stands still while the last of it is copied.
  if (priority === 'foreground' || kind === 'migration') return undefined;
  const manner = yields[priority];
  return manner === 'none' ? undefined : manner;
}

/** By its class it makes way only where others can be seen; when it was asked to, everywhere. */
export async function leaseOfJob(
  yields: YieldDesk,
  ends: Parameters<YieldDesk['lease']>[0],
  job: Asking,
  policy: Policy,
): Promise<YieldLease | undefined> {
  const goal = goalOfJob(job, policy);
  if (goal === undefined) return undefined;
  return isAsked(job) ? yields.lease(ends, goal) : yields.leaseWhereSeen(ends, goal);
}

function isAsked({ options }: Pick<Asking, 'options'>): boolean {
  return options.yield !== undefined || options.protectLatencyMs !== undefined;
}

/** Whether a lease that it got in another class still counts. */
export function stillYields({ priority, options }: Asking): boolean {
  return priority !== 'foreground' || isAsked({ options });
}
