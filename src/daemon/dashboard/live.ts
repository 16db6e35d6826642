/**
 * The stream of events, for as long as the page is open: a browser takes it up again by itself where the connection
 * broke, and this does where the answer was an error.
 */
import { systemClock } from '../../core/clock.js';
import type { TransferEvent } from '../../core/events.js';
import type { MigrationTold } from '../../migrate/migration-service.js';
import type { Told } from '../../service/told.js';

const EVENT_TYPES: readonly TransferEvent['type'][] = [
  ...(['state', 'progress', 'file', 'retry', 'checkpoint', 'step', 'limit', 'note'] as const),
];
/** As long as the service asks a browser to wait. */
export const RETRY_MS = 1000;

export interface LiveListener {
  told(told: Told): void;
  /** Asked for where it is there. */
  migrated?: (told: MigrationTold) => void;
  /** The stream is there, at first and again. */
  opened(): void;
  lost(): void;
  /** The service answers with an error: whether to go on trying. */
  refused(): Promise<boolean>;
}

export class Live {
  readonly #listener: LiveListener;
  #source: EventSource;
  #lastId: string;

  /** After that event. */
  constructor(listener: LiveListener, after: number) {
    this.#listener = listener;
    this.#lastId = String(after);
    this.#source = this.#connect();
  }

  get isOpen(): boolean {
    return this.#source.readyState === EventSource.OPEN;
  }

  #connect(): EventSource {
    const { migrated } = this.#listener;
    const source = new EventSource(`/v1/events?after=${this.#lastId}${migrated ? '&migrations=1' : ''}`);
    source.addEventListener('open', () => this.#listener.opened());
    for (const type of EVENT_TYPES) {
      source.addEventListener(type, (event) => {
        if (event.lastEventId !== '') this.#lastId = event.lastEventId;
        this.#listener.told(JSON.parse(event.data) as Told);
      });
    }
    source.addEventListener('migration', ({ data }) => migrated?.(JSON.parse(data) as MigrationTold));
    source.addEventListener('error', () => {
      this.#listener.lost();
      if (source.readyState === EventSource.CLOSED) void this.#again();
    });
    return source;
  }

  async #again(): Promise<void> {
    await systemClock.sleep(RETRY_MS);
    if (await this.#listener.refused()) this.#source = this.#connect();
  }
}
