/**
 * What a job tells about itself: bytes, rate, time left, and what holds it back. Everything is derived from the
 * counters that the workers keep; telling costs the data plane nothing.
 */
import { CAUSE_NAMES, type PaceCause } from '../core/causes.js';
import { type Clock, nowMs } from '../core/clock.js';
import type { DeadlineView, EventBody, LimitEvent, Phase, ProofLevel, TimeSpent } from '../core/events.js';
import { formatRate } from '../core/units.js';
import type { ControlBlock } from './control-block.js';
import type { Pace } from './pace.js';
import { TimeBook } from './time-book.js';
import type { Yielding } from './yielding.js';

/** At most four progress events a second. */
export const TICK_MS = 250;
const RATE_WINDOW_MS = 5000;
/** What takes less than this share of the lanes' time holds nobody back. */
const BINDING_SHARE = 0.4;

export class Progress {
  readonly time: TimeBook;
  proof: ProofLevel = 'written';
  deadline: DeadlineView | undefined;
  bytesTotal = 0;
  bytesReused = 0;
  /** Of those: taken over from the target that is replaced. */
  bytesAdopted = 0;
  bytesZero = 0;
  /** On record from an earlier run, and not what the storage holds now. */
  bytesMismatched = 0;
  /** Bytes that were written and have to be written again. */
  bytesVoid = 0;
  readonly #control: ControlBlock;
  readonly #pace: Pace;
  readonly #clock: Clock;
  readonly #counts: 'writtenBytes' | 'readBytes';
  readonly #yielding: Yielding | undefined;
  readonly #samples: { readonly atMs: number; readonly bytes: number }[] = [];
  #doneMax = 0;
  #readBack: { readonly from: number; readonly bytesTotal: number } | undefined;
  #limit: LimitEvent['limit'] = 'none';
  #lastSpent: TimeSpent | undefined;

  constructor(parts: {
    readonly control: ControlBlock;
    readonly pace: Pace;
    readonly clock: Clock;
    readonly yielding?: Yielding | undefined;
    /** What counts as done: bytes written, or, for a comparison, bytes read. */
    readonly counts?: 'writtenBytes' | 'readBytes';
  }) {
    this.#control = parts.control;
    this.#pace = parts.pace;
    this.#clock = parts.clock;
    this.#yielding = parts.yielding;
    this.#counts = parts.counts ?? 'writtenBytes';
    this.time = new TimeBook(parts.control, parts.clock);
    this.#samples.push({ atMs: nowMs(this.#clock), bytes: 0 });
  }

  get phase(): Phase {
    return this.time.phase;
  }

  set phase(phase: Phase) {
    this.time.enter(phase);
  }

  /** From here on reading counts, up to `bytesTotal`. */
  startReading(phase: 'reading-back' | 'checksumming', bytesTotal: number): void {
    this.phase = phase;
    this.#readBack = { from: this.#control.counter('readBytes'), bytesTotal };
    this.#samples.length = 0;
  }

  get #reads(): boolean {
    return this.phase === 'reading-back' || this.phase === 'checksumming';
  }

  #readBackDone(): { readonly bytesDone: number; readonly bytesTotal: number } | undefined {
    if (!this.#readBack || !this.#reads) return undefined;
    const { from, bytesTotal } = this.#readBack;
    return { bytesDone: Math.min(bytesTotal, this.#control.counter('readBytes') - from), bytesTotal };
  }

  event(): Extract<EventBody, { type: 'progress' }> {
    const sent = this.#control.counter(this.#counts) - this.bytesVoid;
    this.#doneMax = Math.max(this.#doneMax, Math.min(this.bytesTotal, sent + this.bytesReused + this.bytesZero));
    const rate = this.#rate();
    const readBack = this.#readBackDone();
    const rest = readBack ? readBack.bytesTotal - readBack.bytesDone : this.bytesTotal - this.#doneMax;
    return {
      type: 'progress',
      phase: this.phase,
      proof: this.proof,
      bytesDone: this.#doneMax,
      bytesTotal: this.bytesTotal,
      bytesReused: this.bytesReused,
      bytesZero: this.bytesZero,
      ...(readBack && { readBack }),
      rateBytesPerSecond: Math.round(rate),
      ...(rate > 0 && { remainingMs: Math.round((rest / rate) * 1000) }),
      spent: this.time.spent(),
      ...(this.deadline && { deadline: this.deadline }),
    };
  }

  /** What moves now, whichever way: bytes that are sent or taken over, or read for a proof. */
  #rate(): number {
    const atMs = nowMs(this.#clock);
    const sent = this.#control.counter('writtenBytes') + this.bytesAdopted;
    const bytes = this.#reads ? this.#control.counter('readBytes') : sent;
    this.#samples.push({ atMs, bytes });
    while (this.#samples.length > 2 && atMs - (this.#samples[0]?.atMs ?? atMs) > RATE_WINDOW_MS) this.#samples.shift();
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    if (!first || !last || last.atMs <= first.atMs) return 0;
    return Math.max(0, ((last.bytes - first.bytes) * 1000) / (last.atMs - first.atMs));
  }

  /** A limit event when something else holds the job back than at the last look; undefined otherwise. */
  limitEvent(): EventBody | undefined {
    const spent = this.time.spent();
    const before = this.#lastSpent;
    this.#lastSpent = spent;
    if (!before) return undefined;
    const limit = binding(spent, before);
    const others = limit === 'pressure' ? this.#yielding?.reason() : undefined;
    if (limit === this.#limit) return undefined;
    this.#limit = limit;
    return { type: 'limit', limit, reason: others ?? this.#reason(limit, spent, before) };
  }

  #reason(limit: LimitEvent['limit'], now: TimeSpent, before: TimeSpent): string {
    if (limit !== 'rate') return REASONS[limit];
    const longest = RATE_CAUSES.reduce((most, cause) => {
      const ms = (of: typeof cause): number => now[`${of}Ms`] - before[`${of}Ms`];
      return ms(cause) > ms(most) ? cause : most;
    });
    if (longest === 'limit') return `the limit of ${formatRate(this.#pace.rate())} that was set`;
    return CAUSE_NAMES[longest];
  }
}

const RATE_CAUSES = ['limit', 'classLimit', 'allLimit', 'windowLimit'] as const;
const PRESSURES = ['sourcePressure', 'targetPressure', 'linkPressure'] as const;

const REASONS: Readonly<Record<Exclude<LimitEvent['limit'], 'rate'>, string>> = {
  deadline: 'no more is needed to be done by its deadline',
  pressure: 'others need what it reads from, writes to or sends over, and it gives way',
  source: 'reading the source takes most of the time',
  target: 'writing to the target, or reading it again, takes most of the time',
  cpu: 'hashing takes most of the time',
  flush: 'the target takes long to make written data durable',
  retry: 'waiting to try again after an error',
  none: 'nothing in particular holds it back',
};

function binding(now: TimeSpent, before: TimeSpent): LimitEvent['limit'] {
  const held = (causes: readonly PaceCause[]): number =>
    causes.reduce((sum, cause) => sum + now[`${cause}Ms`] - before[`${cause}Ms`], 0);
  const shares: readonly (readonly [LimitEvent['limit'], number])[] = [
    ['rate', held(RATE_CAUSES)],
    ['deadline', held(['deadline'])],
    ['pressure', held(PRESSURES)],
    ['source', now.sourceReadMs - before.sourceReadMs],
    ['target', now.targetWriteMs - before.targetWriteMs + now.targetReadMs - before.targetReadMs],
    ['cpu', now.hashMs - before.hashMs],
    ['flush', now.flushMs - before.flushMs],
    ['retry', now.retryMs - before.retryMs],
  ];
  const total = shares.reduce((sum, [, ms]) => sum + ms, 0);
  const [limit, ms] = shares.reduce((most, share) => (share[1] > most[1] ? share : most));
  return total > 0 && ms / total >= BINDING_SHARE ? limit : 'none';
}
