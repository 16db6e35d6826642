/** Why a job waits: the rule that binds it, who is in its way, until when, and what its user may do. */
import { formatDuration } from '../core/units.js';
import type { Backlog } from './backlog.js';
import { type Holder, type LimitKey, rankOf, sliceLeft } from './places.js';
import { Round } from './round.js';
import type { Contender, Running, Situation } from './scheduler.js';

/** A sentence names no more jobs than that. */
const NAMES_MAX = 5;

export interface WhyWaiting {
  /** One of `window`, `priority`, `share`, `path-limit`, `jobs-`, `foreground-` or `migrations-at-once`, and `next`. */
  readonly rule: string;
  readonly sentence: string;
  /** Ids of the jobs in its way. */
  readonly behind: readonly string[];
  /** On the clock of `now`, except for windows: milliseconds since 1970. */
  readonly until?: number;
  readonly hint?: string;
}

/** Of a job in the backlog; undefined when it is not there. `nameOf` a job as people know it; else by its id. */
export function whyWaiting(
  id: string,
  backlog: Backlog,
  running: readonly Running[],
  situation: Situation,
  nameOf: (id: string) => string = (other) => other,
): WhyWaiting | undefined {
  const job = backlog.get(id);
  if (!job) return undefined;
  const round = new Round(backlog, running, situation);
  if (!round.allows(job.priority)) return byWindow(job, situation);
  const blocked = round.places.roomFor(job, rankOf(job.priority));
  if (typeof blocked !== 'string') return next(blocked, nameOf);
  const outranked = round.places.outranked(job)[0];
  const key = outranked ?? blocked;
  const before = backlog.ahead(job);
  const queue = before === 0 ? '' : ` In the queue ${before === 1 ? '1 job is' : `${before} jobs are`} before it.`;
  const said = { key, round, situation, nameOf, queue };
  return outranked === undefined ? byLimit(job, said) : byPriority(job, said);
}

interface Said {
  readonly key: LimitKey;
  readonly round: Round;
  readonly situation: Situation;
  readonly nameOf: (id: string) => string;
  /** The end of the sentence: who else waits. */
  readonly queue: string;
}

function byWindow(job: Contender, { allowed }: Situation): WhyWaiting {
  const classes = allowed.classes.length === 0 ? 'no jobs run' : `only ${list(allowed.classes)} jobs run`;
  const another = allowed.classes.at(-1);
  return {
    rule: 'window',
    sentence: `In the maintenance window "${allowed.rule}" ${classes}, and this one is ${job.priority}.`,
    behind: [],
    ...(allowed.until === undefined ? {} : { until: allowed.until }),
    hint: another
      ? `Give it the priority ${another}, or change the window in the policy.`
      : 'Wait for the end of the window, or change it in the policy.',
  };
}

function byPriority(job: Contender, said: Said): WhyWaiting {
  const { key, round, situation, nameOf, queue } = said;
  const { policy, shares } = situation;
  const holders = round.places.at(key);
  const lower = holders.filter((holder) => rankOf(holder.job.priority) >= rankOf(job.priority));
  if (lower.length > 0) return byShare(lower, said);
  const until = round.book.sliceAt(job.priority, shares.earning[job.priority]);
  const share =
    policy.lowSharePercent === 0
      ? 'It waits until they are done, since low_share_percent is 0.'
      : `Its class still gets ${policy.lowSharePercent} percent of that time.`;
  return {
    rule: 'priority',
    sentence: `Jobs of higher priority hold ${placesOf(key, round)}: ${names(holders, nameOf)}. ${share}${queue}`,
    behind: holders.map((holder) => holder.job.id),
    ...(until === undefined ? {} : { until: Math.ceil(until) }),
    hint: 'Give it a higher priority, or suspend one of those.',
  };
}

/** A job that runs by its class's share yields to nobody. */
function byShare(lower: readonly Holder[], { key, round, nameOf, queue }: Said): WhyWaiting {
  const ids = lower.map((holder) => holder.job.id);
  const ends = round.book.granted.filter(({ id }) => ids.includes(id)).map(({ until }) => until);
  const run = lower.length === 1 ? 'runs by the share of its class' : 'run by the shares of their classes';
  return {
    rule: 'share',
    sentence: `Of ${placesOf(key, round)}, ${names(lower, nameOf)} ${run} until a slice is over.${queue}`,
    behind: ids,
    until: Math.ceil(Math.min(...ends)),
    hint: 'It starts after that by itself. low_share_percent in the policy is the size of the share.',
  };
}

function byLimit(job: Contender, { key, round, situation, nameOf, queue }: Said): WhyWaiting {
  const { policy, now } = situation;
  const holders = round.places.at(key);
  const { rule, setting } = limitOf(key);
  const equals = holders.filter(({ rank }) => rank === rankOf(job.priority));
  const ends = equals.map((holder) => now + sliceLeft(holder.job, policy.sliceMs, now));
  // After a slice of its own it waits for as long before it takes the place of an equal.
  const until = Math.max(job.since, Math.min(...ends));
  const taken = holders.length === 1 ? 'is taken' : 'are taken';
  const turns = equals.length > 0 ? ` Equals take turns, ${formatDuration(policy.sliceMs)} each.` : '';
  return {
    rule,
    sentence: `${capital(placesOf(key, round))} ${taken}: ${names(holders, nameOf)}.${turns}${queue}`,
    behind: holders.map((holder) => holder.job.id),
    ...(Number.isFinite(until) && until > now ? { until: Math.ceil(until) } : {}),
    hint: `Give it a higher priority, or raise ${setting} in the policy.`,
  };
}

function next(yielding: readonly Holder[], nameOf: (id: string) => string): WhyWaiting {
  const sentence =
    yielding.length === 0 ? 'There is a place for it.' : `It takes the place of ${names(yielding, nameOf)}.`;
  return { rule: 'next', sentence: `${sentence} It starts now.`, behind: yielding.map((holder) => holder.job.id) };
}

function limitOf(key: LimitKey): { readonly rule: string; readonly setting: string; readonly place: string } {
  if (key === 'jobs') return { rule: 'jobs-at-once', setting: 'jobs_at_once', place: 'for background jobs' };
  if (key === 'foreground') {
    return { rule: 'foreground-at-once', setting: 'foreground_at_once', place: 'for foreground jobs' };
  }
  if (key === 'migrations')
    return { rule: 'migrations-at-once', setting: 'migrations_at_once', place: 'for migrations' };
  const [, way, path] = /^(from|to) (.*)$/s.exec(key) ?? [];
  const setting = way === 'from' ? 'per_source_path' : 'per_target_path';
  return { rule: 'path-limit', setting, place: `for jobs that ${way === 'from' ? 'read from' : 'write to'} ${path}` };
}

/** `all 4 places for background jobs (jobs_at_once = 4)`. */
function placesOf(key: LimitKey, { places }: Round): string {
  const { setting, place } = limitOf(key);
  const limit = places.limit(key);
  return `${limit === 1 ? 'the one place' : `all ${limit} places`} ${place} (${setting} = ${limit})`;
}

function names(holders: readonly Holder[], nameOf: (id: string) => string): string {
  const shown = holders.slice(0, NAMES_MAX).map((holder) => nameOf(holder.job.id));
  const more = holders.length - shown.length;
  return more > 0 ? `${shown.join(', ')} and ${more} more` : list(shown);
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function list(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`;
}
