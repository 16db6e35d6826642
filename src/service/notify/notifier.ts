/** Tells the outside that a job changed its state: a program of the user's is run, and a webhook is called. */
import type { Clock } from '../../core/clock.js';
import type { Job } from '../job.js';
import type { Told } from '../told.js';

export interface NotifierParts {
  readonly clock: Clock;
  /** From 0 up to 1. */
  readonly random: () => number;
  /** Hears what could not be delivered, as a sentence for the job's owner. */
  readonly note: (job: string, sentence: string) => void;
}

export class Notifier {
  readonly #parts: NotifierParts;

  constructor(parts: NotifierParts) {
    this.#parts = parts;
  }

  /** Returns at once. What is no state of a whole job, or a state that nobody waits for, is left out. */
  tell(_job: Job, _told: Told): void {
    void this.#parts;
  }

  /** Gives what is under way a moment, and ends it then. */
  async close(): Promise<void> {
    // Nothing is under way yet.
  }
}
