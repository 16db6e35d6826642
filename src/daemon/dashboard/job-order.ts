/** Which jobs are shown, in which order and under which headings. */
import type { JobState } from '../../core/events.js';
import { type JobKind, PRIORITIES } from '../../service/job.js';
import type { JobView } from '../../service/job-service.js';
import { PRIORITY_WORDS, STATE_WORDS, STATES_SHOWN } from './words.js';

export type Grouping = 'state' | 'priority' | 'newest';

export interface Wanted {
  readonly kind?: JobKind | undefined;
  readonly state?: JobState | undefined;
  /** In the name, the reason or the id; in any case of letters. */
  readonly text: string;
  readonly grouping: Grouping;
}

const byState = (job: JobView): number => STATES_SHOWN.indexOf(job.state);
const byPriority = (job: JobView): number => PRIORITIES.indexOf(job.priority);
const oldestFirst = (job: JobView): number => job.createdAt;
const newestFirst = (job: JobView): number => -job.createdAt;

const KEYS: Readonly<Record<Grouping, readonly ((job: JobView) => number)[]>> = {
  state: [byState, byPriority, oldestFirst],
  priority: [byPriority, byState, oldestFirst],
  newest: [newestFirst],
};

export function wantedJobs(jobs: Iterable<JobView>, { kind, state, text, grouping }: Wanted): readonly JobView[] {
  const sought = text.trim().toLowerCase();
  const fits = (job: JobView): boolean =>
    (kind === undefined || job.kind === kind) &&
    (state === undefined || job.state === state) &&
    (sought === '' || [job.name, job.reason, job.id].some((words) => words.toLowerCase().includes(sought)));
  const keyed = [...jobs].filter(fits).map((job) => ({ job, keys: KEYS[grouping].map((key) => key(job)) }));
  keyed.sort((a, b) => {
    const at = a.keys.findIndex((key, index) => key !== b.keys[index]);
    return at === -1 ? 0 : (a.keys[at] as number) - (b.keys[at] as number);
  });
  return keyed.map(({ job }) => job);
}

/** The heading above a job; the same one for all of its group. */
export function groupOf(job: JobView, grouping: Grouping): string | undefined {
  if (grouping === 'state') return STATE_WORDS[job.state];
  return grouping === 'priority' ? `${PRIORITY_WORDS[job.priority]} priority` : undefined;
}

export function countStates(jobs: Iterable<JobView>, kind?: JobKind): ReadonlyMap<JobState, number> {
  const counts = new Map<JobState, number>();
  for (const job of jobs) {
    if (kind === undefined || job.kind === kind) counts.set(job.state, (counts.get(job.state) ?? 0) + 1);
  }
  return counts;
}
