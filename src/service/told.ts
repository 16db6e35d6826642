/** What the service tells of jobs: the events of their transfers, each with its job and a number that only grows. */
import type { TransferEvent } from '../core/events.js';

/**
 * One event of a job. `id` grows by one with each event that is kept (state, retry, step, file, note, limit);
 * progress is not kept, and has the id of the event before it.
 */
export interface Told {
  readonly id: number;
  readonly job: string;
  /** Which of its files; absent: the job as a whole. */
  readonly file?: number;
  readonly event: TransferEvent;
}
