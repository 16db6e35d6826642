/**
 * Where the time of a job goes. The workers measure inside their tasks and the lanes between them; this puts the two
 * together, so that each moment of each lane is counted once and nothing is left over unexplained.
 */
import { type Clock, nowMs } from '../core/clock.js';
import type { Phase, PhaseAccount, TimeAccount, TimeSpent } from '../core/events.js';
import type { ControlBlock } from './control-block.js';

/** Time that lanes spend outside tasks, in milliseconds; the lanes themselves add to it. */
export interface LaneTime {
  taskMs: number;
  retryMs: number;
  flushMs: number;
  queuedMs: number;
  idleMs: number;
}

/** What was measured; what it leaves of the lanes' time is `otherMs`. */
type Measured = Omit<TimeSpent, 'otherMs'>;

interface PhaseTime {
  wallMs: number;
  measured: Measured;
}

const NOTHING: Measured = {
  sourceReadMs: 0,
  hashMs: 0,
  targetWriteMs: 0,
  targetReadMs: 0,
  limitMs: 0,
  workerMs: 0,
  flushMs: 0,
  retryMs: 0,
  queuedMs: 0,
  idleMs: 0,
};

export class TimeBook {
  readonly lanes: LaneTime = { taskMs: 0, retryMs: 0, flushMs: 0, queuedMs: 0, idleMs: 0 };
  laneCount = 0;
  readonly #control: ControlBlock;
  readonly #clock: Clock;
  readonly #phases = new Map<Phase, PhaseTime>();
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

  #book(): void {
    const atMs = nowMs(this.#clock);
    const all = this.#measured();
    const before = this.#phases.get(this.#phase) ?? { wallMs: 0, measured: NOTHING };
    const measured = combined(before.measured, combined(all, this.#booked, -1), 1);
    this.#phases.set(this.#phase, { wallMs: before.wallMs + atMs - this.#sinceMs, measured });
    this.#sinceMs = atMs;
    this.#booked = all;
  }

  #measured(): Measured {
    const { taskMs, ...waits } = this.lanes;
    const busyMs = this.#control.counter('busyNs') / 1e6;
    return { ...this.#control.spent(), workerMs: Math.max(0, taskMs - busyMs), ...waits };
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
    };
  }

  #phaseAccount(phase: Phase): PhaseAccount {
    const { wallMs, measured } = this.#phases.get(phase) ?? { wallMs: 0, measured: NOTHING };
    const known = Object.values(measured).reduce((sum, ms) => sum + ms, 0);
    return { wallMs, spent: { ...measured, otherMs: Math.max(0, wallMs * this.laneCount - known) } };
  }
}

function combined(one: Measured, other: Measured, sign: 1 | -1): Measured {
  const keys = Object.keys(NOTHING) as (keyof Measured)[];
  return Object.fromEntries(keys.map((key) => [key, one[key] + sign * other[key]])) as unknown as Measured;
}
