/**
 * What the page knows of the jobs: what the list said, and what events told since. Whoever shows it is called at most
 * once a frame, however much happens.
 */
import type { JobState, ProgressEvent } from '../../core/events.js';
import { isFinal } from '../../service/job.js';
import type { JobView } from '../../service/job-service.js';
import type { Told } from '../../service/told.js';

export interface Change {
  readonly job: JobView;
  readonly before: JobState;
}

export class JobBook {
  readonly #jobs = new Map<string, JobView>();
  readonly #watchers = new Set<() => void>();
  /** Of which more has changed than the events told. */
  readonly #stale = new Set<string>();
  #due = false;
  #order = 0;
  #wake: () => void = () => undefined;

  /** Moves whenever jobs came, went, or changed in what they are sorted by; progress leaves it alone. */
  get order(): number {
    return this.#order;
  }

  get all(): Iterable<JobView> {
    return this.#jobs.values();
  }

  get size(): number {
    return this.#jobs.size;
  }

  get(id: string): JobView | undefined {
    return this.#jobs.get(id);
  }

  /** Until the signal aborts; without one, for ever. */
  watch(watcher: () => void, signal?: AbortSignal): void {
    this.#watchers.add(watcher);
    signal?.addEventListener('abort', () => this.#watchers.delete(watcher), { once: true });
  }

  /**
   * The whole list. With `keepEnded`, jobs that ended while the page was open stay on it, so that nobody wonders where
   * they went.
   */
  replace(jobs: readonly JobView[], keepEnded: boolean): void {
    const listed = new Set(jobs.map(({ id }) => id));
    for (const [id, { state }] of this.#jobs) {
      if (!listed.has(id) && !(keepEnded && isFinal(state))) this.#jobs.delete(id);
    }
    for (const job of jobs) this.#jobs.set(job.id, job);
    this.#changed(true);
  }

  put(job: JobView): void {
    const before = this.#jobs.get(job.id);
    this.#jobs.set(job.id, job);
    const { state, priority, name } = before ?? {};
    this.#changed(job.state !== state || job.priority !== priority || job.name !== name);
  }

  remove(id: string): void {
    if (this.#jobs.delete(id)) this.#changed(true);
  }

  /** Those that ended are not wanted any more. */
  dropEnded(): void {
    for (const [id, { state }] of this.#jobs) if (isFinal(state)) this.#jobs.delete(id);
    this.#changed(true);
  }

  /** Answers the job if it got into another state. */
  apply({ job: id, file, event }: Told): Change | undefined {
    const job = this.#jobs.get(id);
    if (event.type === 'progress') {
      if (job && file === undefined) this.put(withProgress(job, event));
      return undefined;
    }
    if (event.type === 'checkpoint' || event.type === 'limit') return undefined;
    this.ask(id);
    if (!job || event.type !== 'state' || file !== undefined || event.state === job.state) return undefined;
    const { error: _error, retryAt: _retryAt, ...rest } = job;
    const { state, reason, error } = event;
    const now: JobView = { ...rest, state, reason, ...(error && { error }) };
    this.put(now);
    return { job: now, before: job.state };
  }

  /** Has it asked for again, soon. */
  ask(id: string): void {
    this.#stale.add(id);
    this.#wake();
  }

  /** Resolves when jobs have to be asked for again. */
  someStale(): Promise<void> {
    if (this.#stale.size > 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  takeStale(): readonly string[] {
    const taken = [...this.#stale];
    this.#stale.clear();
    return taken;
  }

  #changed(inOrder: boolean): void {
    if (inOrder) this.#order++;
    if (this.#due) return;
    this.#due = true;
    requestAnimationFrame(() => {
      this.#due = false;
      for (const watcher of this.#watchers) watcher();
    });
  }
}

function withProgress(job: JobView, event: ProgressEvent): JobView {
  const { bytesDone, bytesTotal, bytesReused, bytesZero, rateBytesPerSecond, remainingMs, files } = event;
  const { filesDone, filesTotal } = job.progress;
  const counts = { filesDone: files?.done ?? filesDone, filesTotal: files?.total ?? filesTotal };
  const left = remainingMs === undefined ? {} : { remainingMs };
  return {
    ...job,
    progress: { bytesDone, bytesTotal, bytesReused, bytesZero, rateBytesPerSecond, ...left, ...counts },
  };
}
