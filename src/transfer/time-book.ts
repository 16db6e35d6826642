/**
 * Where the time of a job goes. The workers measure inside their tasks and the lanes between them; this puts the two
 * together, so that each moment of each lane is counted once and nothing is left over unexplained. What is under way
 * counts as it goes on, so that a wait of an hour is told while it lasts.
 */
import { addedTimes, byPaceCause, type Cause, type TimeByCause, totalTime } from '../core/causes.js';
import { type Clock, nowMs } from '../core/clock.js';
import type { Phase, PhaseAccount, TimeAccount, TimeSpent } from '../core/events.js';
import type { ControlBlock } from './control-block.js';

/** What lanes wait for outside of tasks. */
export type LaneWait = 'retryMs' | 'flushMs' | 'queuedMs' | 'idleMs';

/** How many lanes wait, since when the sum was not brought up to date, and the sum. */
interface Waiting {
  lanes: number;
  sinceMs: number;
  ms: number;
}

/** What was measured; what it leaves of the lanes' time is `otherMs`. */
type Measured = Omit<TimeSpent, 'otherMs'>;

interface PhaseTime {
  wallMs: number;
  measured: Measured;
}

const CAUSE_OF: Readonly<Record<keyof Measured, Cause>> = {
  ...{ sourceReadMs: 'sourceRead', hashMs: 'hash', targetWriteMs: 'targetWrite', targetReadMs: 'readBack' },
  ...byPaceCause((cause) => cause),
  ...{ workerMs: 'worker', flushMs: 'flush', retryMs: 'retry', queuedMs: 'queue', idleMs: 'idle' },
};
const MEASURED = Object.keys(CAUSE_OF) as (keyof Measured)[];
const NOTHING = Object.fromEntries(MEASURED.map((key) => [key, 0])) as unknown as Measured;

/** What a phase's time is, as far as nothing in it was measured. */
const REST_OF: Readonly<Record<Phase, Cause>> = {
  opening: 'opening',
  copying: 'between',
  'reading-back': 'between',
  checksumming: 'readBack',
  committing: 'committing',
  merging: 'between',
  done: 'committing',
};

export class TimeBook {
  laneCount = 0;
  readonly #control: ControlBlock;
  readonly #clock: Clock;
  readonly #phases = new Map<Phase, PhaseTime>();
  readonly #waiting = new Map<LaneWait, Waiting>();
  /** In tasks, from the asking to the answer. */
  #taskMs = 0;
  #phase: Phase = 'opening';
  #sinceMs: number;
  /** All that was measured up to then. */
  #booked: Measured = NOTHING;

  constructor(control: ControlBlock, clock: Clock) {
    this.#control = control;
    this.#clock = clock;
    this.#sinceMs = nowMs(clock);
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** What was measured since the last one belongs to the phase that ends. */
  enter(phase: Phase): void {
    this.#book();
    this.#phase = phase;
  }

  /** A task of a lane, from the asking to the answer. */
  async task<T>(work: Promise<T>): Promise<T> {
    const before = nowMs(this.#clock);
    try {
      return await work;
    } finally {
      this.#taskMs += nowMs(this.#clock) - before;
    }
  }

  /** So many lanes wait for it, until it has settled. */
  async during<T>(wait: LaneWait, waited: Promise<T>, lanes = 1): Promise<T> {
    this.change(wait, lanes);
    try {
      return await waited;
    } finally {
      this.change(wait, -lanes);
    }
  }

  /** So many lanes more wait from now on. */
  change(wait: LaneWait, lanes: number): void {
    const atMs = nowMs(this.#clock);
    const before = this.#waiting.get(wait) ?? { lanes: 0, sinceMs: atMs, ms: 0 };
    const ms = before.ms + before.lanes * (atMs - before.sinceMs);
    this.#waiting.set(wait, { lanes: before.lanes + lanes, sinceMs: atMs, ms });
  }

  #book(): void {
    const atMs = nowMs(this.#clock);
    const all = this.#measured(atMs);
    const before = this.#phases.get(this.#phase) ?? { wallMs: 0, measured: NOTHING };
    const measured = combined(before.measured, combined(all, this.#booked, -1), 1);
    this.#phases.set(this.#phase, { wallMs: before.wallMs + atMs - this.#sinceMs, measured });
    this.#sinceMs = atMs;
    this.#booked = all;
  }

  #measured(atMs: number): Measured {
    const waited = (wait: LaneWait): number => {
      const { lanes, sinceMs, ms } = this.#waiting.get(wait) ?? { lanes: 0, sinceMs: atMs, ms: 0 };
      return ms + lanes * (atMs - sinceMs);
    };
    return {
      ...this.#control.spent(),
      workerMs: Math.max(0, this.#taskMs - this.#control.counter('busyNs') / 1e6),
      retryMs: waited('retryMs'),
      flushMs: waited('flushMs'),
      queuedMs: waited('queuedMs'),
      idleMs: waited('idleMs'),
    };
  }

  /** So far, over all phases in which something is read or written. */
  spent(): TimeSpent {
    const { copying, readingBack } = this.account(0);
    const checksumming = this.#phases.get('checksumming')?.measured ?? NOTHING;
    const measured = combined(combined(copying.spent, readingBack.spent, 1), checksumming, 1);
    return { ...measured, otherMs: copying.spent.otherMs + readingBack.spent.otherMs };
  }

  account(workers: number): TimeAccount {
    this.#book();
    const wallMs = (phase: Phase): number => this.#phases.get(phase)?.wallMs ?? 0;
    return {
      lanes: this.laneCount,
      workers,
      openingMs: wallMs('opening'),
      copying: this.#phaseAccount('copying'),
      readingBack: this.#phaseAccount('reading-back'),
      checksummingMs: wallMs('checksumming'),
      committingMs: wallMs('committing') + wallMs('done'),
      byCause: this.#byCause(),
    };
  }

  /** So far, as time on the clock; it adds up to the time that passed. */
  byCause(): TimeByCause {
    this.#book();
    return this.#byCause();
  }

  #byCause(): TimeByCause {
    return [...this.#phases].reduce<TimeByCause>((sum, [phase, time]) => {
      const lanes = phase === 'copying' || phase === 'reading-back' ? this.laneCount || 1 : 1;
      return addedTimes(sum, wallTimes(phase, time, lanes));
    }, {});
  }

  #phaseAccount(phase: Phase): PhaseAccount {
    const { wallMs, measured } = this.#phases.get(phase) ?? { wallMs: 0, measured: NOTHING };
    const known = Object.values(measured).reduce((sum, ms) => sum + ms, 0);
    return { wallMs, spent: { ...measured, otherMs: Math.max(0, wallMs * this.laneCount - known) } };
  }
}

/** What was measured by more at once than is known of, as a proof at the end, is made to fit. */
function wallTimes(phase: Phase, { wallMs, measured }: PhaseTime, lanes: number): TimeByCause {
  const parts = (Object.entries(measured) as [keyof Measured, number][]).filter(([, ms]) => ms > 0);
  const known = parts.reduce((sum, [, ms]) => sum + ms, 0) / lanes;
  const by = known > wallMs ? wallMs / known : 1;
  const times: { [C in Cause]?: number } = {};
  for (const [key, ms] of parts) times[CAUSE_OF[key]] = (ms / lanes) * by;
  const rest = wallMs - totalTime(times);
  return rest > 0 ? addedTimes(times, { [REST_OF[phase]]: rest }) : times;
}

function combined(one: Measured, other: Measured, sign: 1 | -1): Measured {
  return Object.fromEntries(MEASURED.map((key) => [key, one[key] + sign * other[key]])) as unknown as Measured;
}
