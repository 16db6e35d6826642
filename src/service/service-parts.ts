/** What a service is made of; which ones they are is decided where it is put together. */
import type { Clock } from '../core/clock.js';
import type { ChunkRunner } from '../transfer/chunk-runner.js';
import type { Job } from './job.js';
import type { JobStore } from './job-store.js';
import type { Policy } from './policy/policy.js';
import type { Told } from './told.js';

/** The rules, and how they are replaced. */
export interface PolicySource {
  readonly policy: Policy;
  readonly text: string;
  replace(text: string): Promise<Policy>;
  onChange(changed: (policy: Policy) => void): () => void;
  close(): void;
}

/** Who is told outside of the service. */
export interface Notices {
  tell(job: Job, told: Told): void;
  close(): Promise<void>;
}

export interface ServiceParts {
  readonly store: JobStore;
  readonly policies: PolicySource;
  /** `note`: of a job, for its owner. */
  readonly notices?: (note: (job: string, sentence: string) => void) => Notices;
  readonly newRunner: () => Promise<ChunkRunner>;
  readonly clock: Clock;
  readonly random: () => number;
  /** Files that wait for their names with all that they have open. */
  readonly heldMax?: number | undefined;
  /** Hears what concerns no single job. */
  readonly note: (sentence: string) => void;
}
