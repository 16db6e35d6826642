/** What the service has to do, and has done since it was started: for a page, and for who watches many hosts. */
import type { JobState } from '../core/events.js';
import { PRIORITIES, type Priority } from './job.js';
import type { JobBook } from './job-book.js';
import type { JobDesk } from './job-desk.js';
import type { ServiceLoad } from './job-service.js';

const STATES: readonly JobState[] = [
  ...(['queued', 'connecting', 'transferring', 'suspended', 'error'] as const),
  ...(['transient-error', 'transferred', 'acknowledged', 'cancelled'] as const),
];

export function loadOf(book: JobBook, desk: JobDesk, startedAt: number): ServiceLoad {
  const states = Object.fromEntries(STATES.map((state) => [state, 0])) as Record<JobState, number>;
  const rates = perPriority();
  for (const job of book.all()) {
    states[job.state]++;
    rates[job.priority] += desk.runs.get(job.id)?.rate() ?? 0;
  }
  const { decisions, decisionMs } = desk.dispatcher.spent;
  const { writes, writeMs } = book.spent;
  const bytes = { ...desk.bytes };
  const totals = { bytes, decisions, decisionMs, storeWrites: writes, storeWriteMs: writeMs };
  return { rates, states, startedAt, lastEventId: book.log.lastId, totals };
}

export function perPriority(): Record<Priority, number> {
  return Object.fromEntries(PRIORITIES.map((priority) => [priority, 0])) as Record<Priority, number>;
}
