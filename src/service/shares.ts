/**
 * The small share that keeps jobs from starving under their betters. A class saves up running time while jobs of it
 * are outranked: its percentage of the time of those in its way. A whole slice of it lets one of them run for a slice,
 * and nobody outranks that one until then.
 */
import type { Priority } from './job.js';

type PerClass = Record<Priority, number>;

export interface Grant {
  readonly id: string;
  readonly priority: Priority;
  readonly until: number;
}

/** What the scheduler carries from one call to the next. Opaque: begin with {@link NO_SHARES}, hand back the last. */
export interface Shares {
  readonly at: number;
  /** Milliseconds of running. */
  readonly credit: Readonly<PerClass>;
  /** Milliseconds of running per millisecond that passes. */
  readonly earning: Readonly<PerClass>;
  readonly granted: readonly Grant[];
}

const NOTHING: Readonly<PerClass> = { foreground: 0, high: 0, normal: 0, low: 0 };
export const NO_SHARES: Shares = { at: 0, credit: NOTHING, earning: NOTHING, granted: [] };

/** Nobody saves up more than that, so that whoever waited for long does not come in a burst. */
const CREDIT_SLICES_MAX = 2;

/** The account of one call: what was earned since the last one, what is spent, and who runs by it. */
export class ShareBook {
  readonly #credit: PerClass;
  readonly #sliceMs: number;
  readonly #now: number;
  #granted: readonly Grant[];
  /** Whose grant is over now. */
  readonly #over: readonly Grant[];

  constructor(before: Shares, running: ReadonlySet<string>, sliceMs: number, now: number) {
    this.#sliceMs = sliceMs;
    this.#now = now;
    this.#credit = { ...before.credit };
    this.#granted = before.granted.filter(({ until }) => until > now);
    this.#over = before.granted.filter(({ until }) => until <= now);
    const passed = Math.max(0, now - before.at);
    for (const priority of Object.keys(this.#credit) as Priority[]) {
      this.#earn(priority, before.earning[priority] * passed);
    }
    for (const { id } of this.#granted) if (!running.has(id)) this.giveBack(id);
  }

  get granted(): readonly Grant[] {
    return this.#granted;
  }

  isGranted(id: string): boolean {
    return this.#granted.some((grant) => grant.id === id);
  }

  /** Rounding may keep a sum of small steps a hair below the whole. */
  hasSlice(priority: Priority): boolean {
    return this.#sliceMs - this.#credit[priority] < 0.001;
  }

  /** One whose grant is over; where nobody else of its class waits, it may as well go on. */
  overOf(priority: Priority): string | undefined {
    return this.#over.find((grant) => grant.priority === priority && !this.isGranted(grant.id))?.id;
  }

  spend(id: string, priority: Priority): void {
    this.#credit[priority] -= this.#sliceMs;
    this.#granted = [...this.#granted, { id, priority, until: this.#now + this.#sliceMs }];
  }

  /** What is left of a grant that ends early is saved for the next. */
  giveBack(id: string): void {
    const grant = this.#granted.find((other) => other.id === id);
    this.#granted = this.#granted.filter((other) => other !== grant);
    if (grant) this.#earn(grant.priority, grant.until - this.#now);
  }

  /** Savings are of those who wait: where nobody does they are gone. */
  forget(priority: Priority): void {
    this.#credit[priority] = 0;
  }

  /** When a class that earns so much may spend a slice; undefined: never. */
  sliceAt(priority: Priority, earning: number): number | undefined {
    if (earning <= 0) return undefined;
    // Whoever has it and could not spend it waits for the end of a grant, or was displaced in this very moment.
    if (this.hasSlice(priority)) return Math.min(...this.#granted.map(({ until }) => until), this.#now + this.#sliceMs);
    return this.#now + (this.#sliceMs - this.#credit[priority]) / earning;
  }

  close(earning: Readonly<PerClass>): Shares {
    return { at: this.#now, credit: this.#credit, earning, granted: this.#granted };
  }

  #earn(priority: Priority, ms: number): void {
    this.#credit[priority] = Math.min(this.#credit[priority] + ms, CREDIT_SLICES_MAX * this.#sliceMs);
  }
}
