/**
 * The requests of one chunk: a stop ends them at once, and when the chunk is over, whatever is still under way touches
 * none of its buffers any more.
 */
import { TransferError } from '../../core/errors.js';
import type { OpenFile, RemoteFile } from './file.js';

export class ChunkRequests {
  readonly #signal: AbortSignal;
  readonly #stopped: Promise<undefined>;
  #onAbort: () => void = () => undefined;
  #file: OpenFile | undefined;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    this.#stopped = new Promise((resolve) => {
      this.#onAbort = () => {
        this.#file?.session.giveUp(this);
        resolve(undefined);
      };
    });
    signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  /** The file as it is open now. */
  async opened(file: RemoteFile): Promise<OpenFile> {
    this.#file = await this.unlessStopped(file.opened());
    return this.#file;
  }

  /** What the work answers, which goes on for others after a stop. */
  async unlessStopped<T>(work: Promise<T>): Promise<T> {
    const answer = await Promise.race([work, this.#stopped]);
    if (!this.#signal.aborted) return answer as T;
    throw new TransferError('E_STOPPED', 'stopped; finished chunks are kept');
  }

  end(): void {
    this.#signal.removeEventListener('abort', this.#onAbort);
    this.#file?.session.giveUp(this);
  }
}
