/** How a copy makes way for others: what callers may ask for, and what the transfer gets for it. */
import { systemClock } from '../core/clock.js';
import type { Location } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import type { TransferParts } from '../transfer/transfer.js';
import { type Goal, LATENCY_MS_MAX, LATENCY_MS_MIN, YIELDS, type Yield } from '../yield/control-law.js';
import type { YieldLease } from '../yield/desk.js';

/** How a copy makes way for others who use its storage or its link. */
export interface YieldOptions {
  /**
   * Takes what is left by others who use the same disks or links: `gentle` gives way first, `greedy` last. Absent: it
   * goes as fast as it can, whoever suffers. A trickle always flows.
   */
  readonly yield?: Yield;
  /** Instead of `yield`: gives way so that 99 of 100 of their requests take no longer than so many milliseconds. */
  readonly protectLatencyMs?: number;
}

/** @throws TransferError E_USAGE */
export function goalOf({ yield: manner, protectLatencyMs: latencyMs }: YieldOptions): Goal | undefined {
  if (manner !== undefined && !YIELDS.includes(manner)) {
    throw new TransferError('E_USAGE', `yield is ${manner}; one of ${YIELDS.join(', ')} was expected`);
  }
  if (latencyMs === undefined) return manner;
  if (manner !== undefined) {
    throw new TransferError('E_USAGE', 'yield and a latency to protect were given; one of them was expected', {
      hint: 'A latency is a goal by itself: leave the other out.',
    });
  }
  if (latencyMs >= LATENCY_MS_MIN && latencyMs <= LATENCY_MS_MAX) return { latencyMs };
  throw new TransferError(
    'E_USAGE',
    `the latency to protect is ${latencyMs} ms; ${LATENCY_MS_MIN} to ${LATENCY_MS_MAX} ms were expected`,
  );
}

/** Undefined for a copy that makes way for nobody: then nothing is watched. */
export async function leaseFor(
  ends: { readonly source: Location; readonly target: Location },
  goal: Goal | undefined,
): Promise<YieldLease | undefined> {
  if (goal === undefined) return undefined;
  const { YieldDesk } = await import('../yield/desk.js');
  return new YieldDesk(systemClock).lease(ends, goal);
}

export function partsOf(lease: YieldLease | undefined): Pick<TransferParts, 'paces' | 'yielding'> {
  return lease ? { paces: lease.paces, yielding: lease } : {};
}

/** When the work has ended, however it did. */
export function releaseAfter(work: Promise<unknown>, lease: () => YieldLease | undefined): void {
  const release = (): void => lease()?.release();
  work.then(release, release);
}
