/**
 * How fast a job has to go to be done in time: what is left, over the time that is left, within what limits and windows
 * allow meanwhile. A deadline never makes a job faster than these; without need it makes it slower, so that the
 * storage is there for others. Pure: the same question has the same answer, and it is asked anew as time goes by.
 */
import { MiB } from '../core/units.js';

/** What limits and windows allow from some moment on. */
export interface Allowance {
  /** Infinite: no limit; 0: it may not run. */
  readonly bytesPerSecond: number;
  /** Milliseconds since 1970; infinite: for ever. */
  readonly until: number;
}

export interface DeadlineQuestion {
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly finishBy: number;
  /** When it wants to be done: earlier, for what cannot be foreseen. */
  readonly aim: number;
  /** That are not copied yet. */
  readonly bytesLeft: number;
  /** What comes after the last byte takes so long, such as reading it back. */
  readonly afterMs: number;
  readonly allowedAt: (at: number) => Allowance;
  /** What both ends give, in bytes per second, as far as it was seen; absent: it is not known. */
  readonly measured?: number | undefined;
}

export interface DeadlineAnswer {
  /** Enough to be done when it aims to; 0: as fast as it goes. */
  readonly bytesPerSecond: number;
  /** When it is done at the earliest, milliseconds since 1970; infinite: not within what can be foreseen. */
  readonly earliest: number;
}

/** Slower helps nobody, and what is on its way would be so for long. */
export const DEADLINE_RATE_MIN = MiB;
/** Of the time that there is: the part that is kept back, and how much at most. */
const MARGIN_SHARE = 0.1;
const MARGIN_MS_MAX = 30 * 60_000;
/** More windows than that in a row are not looked at, nor what is further away. */
const SPANS_MAX = 2000;
export const AHEAD_MS_MAX = 60 * 86_400_000;

/** When a job aims to be done that has from `start` to `finishBy`. */
export function aimOf(start: number, finishBy: number): number {
  return finishBy - Math.min(MARGIN_MS_MAX, Math.max(0, finishBy - start) * MARGIN_SHARE);
}

export function reckonDeadline(question: DeadlineQuestion): DeadlineAnswer {
  const { aim, afterMs, bytesLeft } = question;
  const rate = enough(bytesLeft, spansUntil(question, aim - afterMs));
  return { bytesPerSecond: rate === 0 ? 0 : Math.max(DEADLINE_RATE_MIN, rate), earliest: earliest(question) };
}

interface Span {
  readonly seconds: number;
  readonly most: number;
}

function spansUntil({ now, allowedAt }: DeadlineQuestion, end: number): Span[] {
  const spans: Span[] = [];
  for (let at = now; at < end && spans.length < SPANS_MAX; ) {
    const { bytesPerSecond, until } = allowedAt(at);
    const next = Math.min(end, Math.max(until, at + 1));
    spans.push({ seconds: (next - at) / 1000, most: bytesPerSecond });
    at = next;
  }
  return spans;
}

/** The one rate that moves all of it, where each stretch takes at most what it allows; 0: there is none. */
function enough(bytes: number, spans: readonly Span[]): number {
  if (bytes <= 0) return 0;
  const slowestFirst = [...spans].sort((one, other) => one.most - other.most);
  let seconds = spans.reduce((sum, span) => sum + span.seconds, 0);
  let left = bytes;
  for (const span of slowestFirst) {
    if (seconds <= 0) return 0;
    const rate = left / seconds;
    if (rate <= span.most) return rate;
    left -= span.most * span.seconds;
    seconds -= span.seconds;
  }
  return 0;
}

function earliest({ now, bytesLeft, afterMs, allowedAt, measured }: DeadlineQuestion): number {
  let left = bytesLeft;
  let at = now;
  for (let spans = 0; left > 0 && spans < SPANS_MAX && at < now + AHEAD_MS_MAX; spans++) {
    const { bytesPerSecond, until } = allowedAt(at);
    const rate = Math.min(bytesPerSecond, measured ?? Number.POSITIVE_INFINITY);
    const needs = rate > 0 ? (left / rate) * 1000 : Number.POSITIVE_INFINITY;
    if (at + needs <= until) return at + needs + afterMs;
    if (!Number.isFinite(until)) break;
    const next = Math.max(until, at + 1);
    left -= (rate * (next - at)) / 1000;
    at = next;
  }
  return left > 0 ? Number.POSITIVE_INFINITY : at + afterMs;
}
