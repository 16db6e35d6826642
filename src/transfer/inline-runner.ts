/** Runs work on this very thread: for tests, and for ends that exist on one thread only. */
import { TransferError } from '../core/errors.js';
import { type ChunkRunner, rebuild } from './chunk-runner.js';
import type { Performer } from './perform.js';
import type { Work, WorkName } from './requests.js';

export class InlineRunner implements ChunkRunner {
  readonly workers: number;
  readonly #performer: Performer;

  constructor(performer: Performer, workers = 1) {
    this.#performer = performer;
    this.workers = workers;
  }

  async run<N extends WorkName>(name: N, request: Work[N]['in']): Promise<Work[N]['out']> {
    try {
      return await this.#performer.perform(name, request);
    } catch (thrown) {
      // The same trip through JSON that an error makes between threads, so that nothing comes to rely on more.
      throw rebuild(TransferError.from(thrown).toJSON());
    }
  }

  async close(): Promise<boolean> {
    return true;
  }
}
