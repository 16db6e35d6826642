/** Why a job is where it is, in a sentence, with the rule that binds it and what one may do. */

import { formatRate } from '../core/units.js';
import { type JobBook, maySee } from './job-book.js';
import type { JobDesk } from './job-desk.js';
import type { JobRecord } from './job-record.js';
import type { BehindView, Caller, Explanation, TimeView } from './job-service.js';
import { totalsOfTime } from './job-time.js';
import type { Rates } from './policy/policy.js';

/** That others are before it is told to everybody, and which ones to those who may see them. */
export function whyTo(by: Caller, job: JobRecord, desk: JobDesk, book: JobBook): Explanation {
  const seen = (id: string): JobRecord | undefined => {
    const other = book.find(id);
    return other && maySee(other, by) ? other : undefined;
  };
  const { behind = [], ...why } = explain(job, desk, (id) => seen(id)?.name ?? "another owner's job");
  const known = behind.filter(seen);
  return { ...why, ...(known.length > 0 && { behind: known }) };
}

/** And by when it is to be done, and where its time went. */
export function explainTo(by: Caller, job: JobRecord, desk: JobDesk, book: JobBook): Explanation {
  const time = timeTo(by, job, book);
  const deadline = desk.deadlines.view(job.id);
  return { ...whyTo(by, job, desk, book), ...(deadline && { deadline }), ...(time && { time }) };
}

/** Brought up to now. Of jobs of others only the time is told. */
export function timeTo(by: Caller, job: JobRecord, book: JobBook): TimeView | undefined {
  book.times.bring(job);
  const { time } = job;
  if (!time) return undefined;
  const behind = time.behind.map(({ job: id, ms, preempted }): BehindView => {
    const other = book.find(id);
    if (other ? !maySee(other, by) : !by.admin) return { ms, preempted };
    return { job: id, ...(other && { name: other.name }), ms, preempted };
  });
  const longestFirst = behind.sort((one, other) => other.ms - one.ms);
  return { from: time.from, until: time.until, total: totalsOfTime(time), spans: time.spans, behind: longestFirst };
}

function explain(job: JobRecord, desk: JobDesk, nameOf: (id: string) => string): Explanation {
  const { state, reason, error, retryAt } = job;
  switch (state) {
    case 'queued': {
      const why = desk.dispatcher.why(job.id, nameOf);
      if (!why) return { state, sentence: reason };
      const { rule, sentence, behind, until, hint } = why;
      return {
        ...{ state, sentence, rule },
        ...(behind.length > 0 && { behind }),
        ...(until !== undefined && { until }),
        ...(hint !== undefined && { hint }),
      };
    }
    case 'connecting':
    case 'transferring':
      return { state, ...whatLimits(job, desk) };
    case 'transient-error':
      return {
        ...{ state, sentence: reason, rule: 'retry' },
        ...(retryAt !== undefined && { until: retryAt }),
        hint: error?.hint ?? 'It tries again by itself; resume makes it try now.',
      };
    case 'error':
      return { state, sentence: reason, hint: error?.hint ?? 'Mend what it says, then resume it.' };
    case 'transferred':
      return { state, sentence: reason, hint: 'complete gives the files their names; cancel throws them away.' };
    case 'suspended':
      return { state, sentence: reason, hint: 'resume lets it go on.' };
    default:
      return { state, sentence: reason };
  }
}

function whatLimits(job: JobRecord, desk: JobDesk): Pick<Explanation, 'sentence' | 'rule' | 'until'> {
  const { rates, own, rule, until } = desk.dispatcher.rates();
  const byPolicy = (key: keyof Rates, jobs: string) => {
    const binding = own?.[key] === undefined ? 'default' : rule;
    return { bytes: rates[key], rule: binding, what: `the limit of ${jobs} jobs (policy: ${binding})`, until };
  };
  const limits = [
    { bytes: job.limitBytesPerSecond, rule: 'rate', what: 'the limit of the job', until: undefined },
    ...[byPolicy(job.priority, job.priority), byPolicy('all', 'all')],
  ].filter(({ bytes }) => bytes > 0);
  const [least] = limits.sort((one, other) => one.bytes - other.bytes);
  if (!least) return { sentence: job.reason };
  const ends = least.until;
  const sentence = `${job.reason}, at ${formatRate(least.bytes)} at most: ${least.what}`;
  return { sentence, rule: least.rule, ...(ends !== undefined && { until: ends }) };
}
