/** Services for tests: real transfers of real files, a store that outlives them, and rules that a test may change. */
import { onTestFinished } from 'vitest';
import { systemClock } from '../../src/core/clock.js';
import type { JobState } from '../../src/core/events.js';
import type { Caller, JobView } from '../../src/service/job-service.js';
import { DEFAULT_POLICY } from '../../src/service/policy/default-policy.js';
import type { Policy } from '../../src/service/policy/policy.js';
import { Service } from '../../src/service/service.js';
import type { PolicySource, ServiceParts } from '../../src/service/service-parts.js';
import { PoolRunner } from '../../src/transfer/pool-runner.js';
import { MemoryStore, type Shelf } from './memory-store.js';

export const OWNER: Caller = { name: 'ann', admin: true };

export class TestPolicies implements PolicySource {
  policy: Policy;
  readonly text = '';
  readonly #changed = new Set<(policy: Policy) => void>();

  constructor(change: Partial<Policy> = {}) {
    this.policy = { ...DEFAULT_POLICY, ...change };
  }

  change(change: Partial<Policy>): void {
    this.policy = { ...this.policy, ...change };
    for (const changed of this.#changed) changed(this.policy);
  }

  async replace(): Promise<Policy> {
    return this.policy;
  }

  onChange(changed: (policy: Policy) => void): () => void {
    this.#changed.add(changed);
    return () => this.#changed.delete(changed);
  }

  close(): void {
    this.#changed.clear();
  }
}

export interface TestService {
  readonly service: Service;
  readonly policies: TestPolicies;
  readonly notes: string[];
}

/** Closed when the test ends, if it is not before. */
export async function testService(
  shelf: Shelf,
  change: Partial<Policy> = {},
  parts: Partial<Pick<ServiceParts, 'clock' | 'heldMax' | 'newRunner' | 'store'>> = {},
): Promise<TestService> {
  const policies = new TestPolicies(change);
  const notes: string[] = [];
  const service = await Service.start({
    ...{ store: new MemoryStore(shelf), policies, clock: systemClock, random: () => 0 },
    newRunner: async () => new PoolRunner(2),
    note: (sentence) => notes.push(sentence),
    ...parts,
  });
  onTestFinished(async () => void (await service.close()));
  return { service, policies, notes };
}

/** What the job is when it is in one of the states; what it is by then when it never comes there. */
export async function reaches(service: Service, id: string, ...states: readonly JobState[]): Promise<JobView> {
  const stop = new AbortController();
  const listening = service.events(OWNER, { job: id }, stop.signal)[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = listening.next();
      const job = service.get(id, OWNER);
      if (states.includes(job.state)) return job;
      if (['error', 'acknowledged', 'cancelled'].includes(job.state)) {
        throw new Error(`the job is ${job.state}: ${job.reason}`);
      }
      await next;
    }
  } finally {
    stop.abort();
  }
}

/** Resolves when the job has so many bytes. */
export async function moves(service: Service, id: string, bytes: number): Promise<void> {
  while (service.get(id, OWNER).progress.bytesDone < bytes) await systemClock.sleep(20);
}
