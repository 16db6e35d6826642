/**
 * The events of one job as an async iterable. A reader that is slow misses progress, which the next one makes good, and
 * nothing else.
 */
import type { EventBody, TransferEvent } from '../core/events.js';

/** Nobody may be reading at all; then the oldest go. */
const WAITING_MAX = 4096;

export class EventStream implements AsyncIterable<TransferEvent> {
  readonly #waiting: TransferEvent[] = [];
  readonly #wallMs: () => number;
  readonly #sleepers: (() => void)[] = [];
  #ended = false;

  constructor(wallMs: () => number) {
    this.#wallMs = wallMs;
  }

  emit(body: EventBody): void {
    const event = { schema: 1, at: this.#wallMs(), ...body } as TransferEvent;
    const last = this.#waiting.length - 1;
    if (event.type === 'progress' && this.#waiting[last]?.type === 'progress') this.#waiting[last] = event;
    else this.#waiting.push(event);
    if (this.#waiting.length > WAITING_MAX) this.#waiting.shift();
    this.#wakeAll();
  }

  end(): void {
    this.#ended = true;
    this.#wakeAll();
  }

  #wakeAll(): void {
    for (const wake of this.#sleepers.splice(0)) wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<TransferEvent> {
    for (;;) {
      for (let event = this.#waiting.shift(); event; event = this.#waiting.shift()) yield event;
      if (this.#ended) return;
      await new Promise<void>((resolve) => this.#sleepers.push(resolve));
    }
  }
}
