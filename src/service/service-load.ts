/** What the service has to do, and has done since it was started: for a page, and for who watches many hosts. */
import { JOB_STATES, type JobState } from '../core/events.js';
import { byPriority } from './job.js';
import type { JobBook } from './job-book.js';
import type { JobDesk } from './job-desk.js';
import type { ServiceLoad } from './job-service.js';

export function loadOf(book: JobBook, desk: JobDesk, startedAt: number): ServiceLoad {
  const states = Object.fromEntries(JOB_STATES.map((state) => [state, 0])) as Record<JobState, number>;
  const rates = byPriority(() => 0);
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
