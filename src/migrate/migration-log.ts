/** What was told of migrations lately, and whoever listens to what is told next. */
import type { Clock } from '../core/clock.js';
import type { EventBody, NoteEvent, StepEvent } from '../core/events.js';
import type { MigrationTold } from './migration-service.js';

/** What is older is told by the journals alone. */
const KEPT_MAX = 2000;

export class MigrationLog {
  readonly #clock: Clock;
  readonly #wake = new Set<() => void>();
  #told: MigrationTold[] = [];
  #lastId = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  tell(migration: string, body: EventBody & { readonly type: 'step' | 'note' }): void {
    const event = { ...body, schema: 1, at: this.#clock.wallMs() } as StepEvent | NoteEvent;
    this.#told.push({ id: ++this.#lastId, migration, event });
    if (this.#told.length > KEPT_MAX * 2) this.#told = this.#told.slice(-KEPT_MAX);
    for (const wake of [...this.#wake]) wake();
  }

  async *after(
    { after = this.#lastId, migration }: { readonly after?: number; readonly migration?: string },
    signal: AbortSignal,
  ): AsyncGenerator<MigrationTold> {
    let seen = after;
    while (!signal.aborted) {
      const fresh = this.#told.filter(({ id }) => id > seen);
      for (const told of fresh) {
        seen = told.id;
        if (migration === undefined || told.migration === migration) yield told;
        if (signal.aborted) return;
      }
      if (fresh.length === 0) await this.#changed(signal);
    }
  }

  #changed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#wake.delete(done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      this.#wake.add(done);
      signal.addEventListener('abort', done);
      if (signal.aborted) done();
    });
  }
}
