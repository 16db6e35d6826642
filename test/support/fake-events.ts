/** The events of the fake service: kept ones have numbers, progress does not, and each listener has a queue. */
import type { EventBody, TransferEvent } from '../../src/core/events.js';
import type { Told } from '../../src/service/told.js';

interface Listener {
  readonly hears: (told: Told) => boolean;
  readonly queue: Told[];
  wake: () => void;
}

export class FakeEvents {
  readonly #told: Told[] = [];
  readonly #listeners = new Set<Listener>();
  #lastId = 0;
  #closed = false;

  get listeners(): number {
    return this.#listeners.size;
  }

  get lastId(): number {
    return this.#lastId;
  }

  /** Progress has the id of the event before it, and is not kept. */
  tell(job: string, body: EventBody, file?: number): Told {
    const kept = body.type !== 'progress';
    if (kept) this.#lastId++;
    const event = { ...body, schema: 1, at: Date.now() } as TransferEvent;
    const told: Told = { id: this.#lastId, job, ...(file !== undefined && { file }), event };
    if (kept) this.#told.push(told);
    for (const { hears, queue, wake } of this.#listeners) {
      if (!hears(told)) continue;
      queue.push(told);
      wake();
    }
    return told;
  }

  async *listen(hears: (told: Told) => boolean, after: number, signal: AbortSignal): AsyncIterable<Told> {
    const missed = this.#told.filter((told) => told.id > after && hears(told));
    const listener: Listener = { hears, queue: missed, wake: () => undefined };
    this.#listeners.add(listener);
    const onAbort = (): void => listener.wake();
    signal.addEventListener('abort', onAbort);
    try {
      while (!signal.aborted && !this.#closed) {
        const told = listener.queue.shift();
        if (told) yield told;
        else await new Promise<void>((resolve) => (listener.wake = resolve));
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
      this.#listeners.delete(listener);
    }
  }

  /** Ends all listening. */
  close(): void {
    this.#closed = true;
    for (const { wake } of this.#listeners) wake();
  }
}
