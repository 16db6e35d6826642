/** Keeps a job's pace to what its deadline needs, and says once when it will not be done in time. */
import { type Clock, nowMs } from '../core/clock.js';
import type { DeadlineView, EventBody } from '../core/events.js';
import { timeText } from '../core/finish-by.js';
import { newPaceLevel, setPaceLevel } from '../core/pace-level.js';
import { formatDuration, formatRate, MiB } from '../core/units.js';
import { AHEAD_MS_MAX, type Allowance, aimOf, reckonDeadline } from './deadline.js';

export interface DeadlineParts {
  readonly clock: Clock;
  readonly finishBy: number;
  /** What limits and windows allow at a moment, milliseconds since 1970. */
  readonly allowedAt: (at: number) => Allowance;
  /** Since when the job has had it, milliseconds since 1970. */
  readonly since: number;
  /** Of the job's paces, the one that it sets; absent: one of its own. */
  readonly level?: SharedArrayBuffer;
}

/** As it is now. */
export interface DeadlineState {
  readonly bytesLeft: number;
  /** Over the last few seconds; absent while it does not run. */
  readonly bytesPerSecond: number | undefined;
  /** That are read once more at the end. */
  readonly bytesAfter: number;
}

export type ProgressBody = Extract<EventBody, { type: 'progress' }>;

/** @param readings of the whole once more, at the end */
export function stateOf({ bytesTotal, bytesDone, rateBytesPerSecond }: ProgressBody, readings: number): DeadlineState {
  return {
    bytesLeft: bytesTotal - bytesDone,
    bytesPerSecond: rateBytesPerSecond,
    bytesAfter: bytesTotal * readings,
  };
}

/** What is read again at the end goes about as fast as this. */
const READ_AGAIN_RATE = 100 * MiB;
/** What goes slower than it may shows what its ends give; so much slower, for so long. */
const SLOWER = 0.85;
const MEASURE_MS = 10_000;
/** Nobody is told of less. */
const LATE_MS_MIN = 60_000;
const LATE_SHARE_MIN = 0.05;
/** A source that rests for a moment is no reason to worry anybody. */
const LATE_FOR_MS = 15_000;

/** Of a job that only its own limit holds back, which may change; it begins now. */
export function deadlineOf(finishBy: number | undefined, clock: Clock, limit: () => number): DeadlinePace | undefined {
  if (finishBy === undefined) return undefined;
  const forEver = Number.POSITIVE_INFINITY;
  const allowedAt = (): Allowance => ({ bytesPerSecond: limit() || forEver, until: forEver });
  return new DeadlinePace({ clock, finishBy, since: clock.wallMs(), allowedAt });
}

export class DeadlinePace {
  /** To be one of the job's paces. */
  readonly level: SharedArrayBuffer;
  readonly #parts: DeadlineParts;
  readonly #aim: number;
  #rate = 0;
  #slowerSince: number | undefined;
  #lateSince: number | undefined;
  #lateByMs = 0;
  #told = false;

  constructor(parts: DeadlineParts) {
    this.#parts = parts;
    this.level = parts.level ?? newPaceLevel(0, 'deadline');
    this.#aim = aimOf(parts.since, parts.finishBy);
  }

  get view(): DeadlineView {
    const { finishBy } = this.#parts;
    return { finishBy, ...(this.#lateByMs > 0 && { lateByMs: this.#lateByMs }) };
  }

  /** Sets the pace anew; to be called about once a second. Answers what its user is to be told, once. */
  look(state: DeadlineState): string | undefined {
    const { clock, finishBy, allowedAt } = this.#parts;
    const now = clock.wallMs();
    const { bytesLeft } = state;
    const afterMs = (state.bytesAfter / READ_AGAIN_RATE) * 1000;
    const measured = this.#measured(
      state,
      Math.min(allowedAt(now).bytesPerSecond, this.#rate || Number.POSITIVE_INFINITY),
    );
    const question = { now, finishBy, aim: this.#aim, bytesLeft, afterMs, allowedAt };
    const { bytesPerSecond, earliest } = reckonDeadline({ ...question, measured });
    this.#rate = bytesPerSecond;
    setPaceLevel(this.level, bytesPerSecond);
    const late = earliest - finishBy;
    // Limits and windows alone say it at once, and for sure; what was measured has to last, and to matter.
    const impossible = late > 0 && reckonDeadline(question).earliest > finishBy;
    const counts = impossible || late > Math.max(LATE_MS_MIN, LATE_SHARE_MIN * (finishBy - now));
    this.#lateByMs = counts ? Math.round(Math.min(late, AHEAD_MS_MAX)) : 0;
    return this.#tell(impossible, earliest, measured);
  }

  #tell(impossible: boolean, earliest: number, measured: number | undefined): string | undefined {
    const at = nowMs(this.#parts.clock);
    if (this.#lateByMs === 0) this.#lateSince = undefined;
    else this.#lateSince ??= at;
    const lasts = this.#lateSince !== undefined && at - this.#lateSince >= LATE_FOR_MS;
    if (this.#told || !(impossible || lasts)) return undefined;
    this.#told = true;
    const by = timeText(this.#parts.finishBy);
    const when = Number.isFinite(earliest) ? `at ${timeText(earliest)} at the earliest` : 'not within two months';
    if (impossible) return `it cannot be done by ${by}: limits and windows let it be done ${when}`;
    if (this.#lateByMs >= AHEAD_MS_MAX) return `it will be late, since nothing moves now: it was to be done by ${by}`;
    const rate = measured === undefined ? '' : ` at the ${formatRate(measured)} that its ends give`;
    return `it will be late by about ${formatDuration(this.#lateByMs)}${rate}: it was to be done by ${by}`;
  }

  /** What the ends give, where that is less than they were asked for and nobody else held it back. */
  #measured({ bytesPerSecond, bytesLeft }: DeadlineState, asked: number): number | undefined {
    const at = nowMs(this.#parts.clock);
    const slower = bytesPerSecond !== undefined && bytesLeft > 0 && bytesPerSecond < asked * SLOWER;
    if (!slower) this.#slowerSince = undefined;
    else this.#slowerSince ??= at;
    return this.#slowerSince !== undefined && at - this.#slowerSince >= MEASURE_MS
      ? Math.max(1, bytesPerSecond ?? 0)
      : undefined;
  }
}
