/**
 * What was told of all jobs, for whoever listens: a slow listener misses progress, which the next one makes good, and
 * nothing else as long as it is not further behind than what is kept.
 */
import type { EventBody, ProgressEvent, TransferEvent } from '../core/events.js';
import type { Told } from './told.js';

const KEPT_MAX = 10_000;
/** Numbers of a start begin at a multiple of this: what a crash lost had numbers that must not be given again. */
const NUMBERS_PER_START = 2 ** 20;

interface Latest {
  readonly told: Told;
  /** Of all progress that was told. */
  readonly number: number;
}

export class EventLog {
  readonly #wallMs: () => number;
  readonly #kept: Told[];
  readonly #progress = new Map<string, Latest>();
  readonly #sleepers = new Set<() => void>();
  #lastId: number;
  #progressNumber = 0;

  constructor(wallMs: () => number, earlier: readonly Told[]) {
    this.#wallMs = wallMs;
    this.#kept = earlier.slice(-KEPT_MAX);
    this.#lastId = (Math.floor((this.#kept.at(-1)?.id ?? 0) / NUMBERS_PER_START) + 1) * NUMBERS_PER_START;
  }

  get lastId(): number {
    return this.#lastId;
  }

  /** Answers what was told, to be put on record with the state that it tells of. */
  tell(job: string, body: Exclude<EventBody, { type: 'progress' }>, file?: number): Told {
    const told = { id: ++this.#lastId, job, ...(file !== undefined && { file }), event: this.#stamped(body) };
    this.#kept.push(told);
    if (this.#kept.length > KEPT_MAX) this.#kept.shift();
    this.#wakeAll();
    return told;
  }

  tellProgress(job: string, progress: Omit<ProgressEvent, 'schema' | 'at'>): void {
    const told = { id: this.#lastId, job, event: this.#stamped(progress) };
    this.#progress.set(job, { told, number: ++this.#progressNumber });
    this.#wakeAll();
  }

  forgetProgress(job: string): void {
    this.#progress.delete(job);
  }

  #stamped(body: EventBody): TransferEvent {
    return { schema: 1, at: this.#wallMs(), ...body } as TransferEvent;
  }

  /** What was kept after that number (absent: nothing), then what comes, until the signal aborts. */
  async *listen(wanted: (told: Told) => boolean, after: number | undefined, signal: AbortSignal): AsyncGenerator<Told> {
    let seen = after ?? this.#lastId;
    let progressSeen = this.#progressNumber;
    while (!signal.aborted) {
      for (let at = this.#firstAfter(seen); at < this.#kept.length; at = this.#firstAfter(seen)) {
        const told = this.#kept[at] as Told;
        seen = told.id;
        if (wanted(told)) yield told;
        if (signal.aborted) return;
      }
      const fresh = [...this.#progress.values()].filter(({ number }) => number > progressSeen);
      progressSeen = this.#progressNumber;
      for (const { told } of fresh) if (wanted(told)) yield told;
      if (seen >= this.#lastId && progressSeen === this.#progressNumber) await this.#change(signal);
    }
  }

  /** Where in what is kept the first is that is newer. */
  #firstAfter(id: number): number {
    let [from, to] = [0, this.#kept.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      if ((this.#kept[middle] as Told).id > id) to = middle;
      else from = middle + 1;
    }
    return from;
  }

  #change(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#sleepers.delete(wake);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      this.#sleepers.add(wake);
      signal.addEventListener('abort', wake, { once: true });
    });
  }

  #wakeAll(): void {
    for (const wake of [...this.#sleepers]) wake();
  }
}
