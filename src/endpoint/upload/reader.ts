/** Reads what was written to a web server, by a ranged GET; what ends early answers short. */
import type { ByteRange } from '../../core/chunk.js';
import type { ChunkReader } from '../../core/endpoint.js';
import { TransferError } from '../../core/errors.js';
import { parseContentRange, rangeHeader } from '../http/chunk.js';
import { headerOf } from '../http/errors.js';
import type { OpenAnswer } from './client.js';
import { refusal } from './errors.js';
import type { UploadPlace } from './place.js';

const NOTHING = Buffer.alloc(0);

export class UploadReader implements ChunkReader {
  readonly #place: UploadPlace;
  readonly #url: URL;
  readonly #range: ByteRange;
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  readonly #onAbort = (): void => this.#stop.abort();
  #pieces: AsyncIterator<Buffer> | undefined;
  #rest: Buffer = NOTHING;
  #left: number;

  constructor(place: UploadPlace, url: URL, range: ByteRange, signal: AbortSignal) {
    this.#place = place;
    this.#url = url;
    this.#range = range;
    this.#left = range.length;
    this.#signal = signal;
    if (signal.aborted) this.#stop.abort();
    else signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  async next(into: Uint8Array): Promise<number> {
    if (this.#left === 0) return 0;
    this.#pieces ??= await this.#open();
    let filled = 0;
    while (filled < into.length && this.#left > 0) {
      if (this.#rest.length === 0) this.#rest = await this.#nextPiece();
      const count = this.#rest.copy(into, filled);
      this.#rest = this.#rest.subarray(count);
      filled += count;
      this.#left -= count;
    }
    if (this.#left === 0) this.#place.wasRead();
    return filled;
  }

  close(): void {
    this.#signal.removeEventListener('abort', this.#onAbort);
    this.#stop.abort();
  }

  async #open(): Promise<AsyncIterator<Buffer>> {
    if (this.#range.length === 0) return NOTHING_MORE;
    const request = { method: 'GET', url: this.#url, headers: { range: rangeHeader(this.#range) } } as const;
    const answer = await this.#place.open(request, this.#stop.signal);
    const { body } = answer;
    body.on('error', () => undefined);
    const length = this.#lengthOf(answer);
    if (typeof length !== 'number') {
      body.destroy();
      throw length;
    }
    this.#left = Math.min(this.#left, length);
    if (length > 0) return body[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    body.destroy();
    return NOTHING_MORE;
  }

  /** How many bytes of the range there are, or what is wrong with the answer. */
  #lengthOf({ status, headers }: OpenAnswer): number | TransferError {
    const name = this.#place.nameOf(this.#url);
    if (status === 416) return 0;
    const { offset, length } = this.#range;
    const whole = headerOf(headers, 'content-length');
    // A server without ranges answers with the whole file, which a range from its start begins with.
    if (status === 200 && offset === 0 && whole !== undefined) return Math.min(length, Number(whole));
    if (status === 404 || status === 410) return lost(name);
    if (status !== 206) return refusal(name, 'cannot be read back', { status, headers });
    const found = parseContentRange(headerOf(headers, 'content-range'))?.range;
    if (found?.offset === offset && found.length <= length) return found.length;
    const what = `asked for ${rangeHeader(this.#range)}, was answered with ${headerOf(headers, 'content-range')}`;
    return new TransferError('E_PROTOCOL', `${name}: ${what}`, { hint: 'Check the server and the proxies before it.' });
  }

  async #nextPiece(): Promise<Buffer> {
    const progress = `after ${this.#range.length - this.#left} of ${this.#range.length} bytes`;
    try {
      const { value, done } = (await this.#pieces?.next()) ?? { value: undefined, done: true };
      if (!done) return value;
    } catch (thrown) {
      if (this.#stop.signal.aborted) throw new TransferError('E_STOPPED', 'stopped', { cause: thrown });
      throw this.#place.bodyError(this.#url, thrown, ` ${progress}`);
    }
    throw new TransferError('E_NETWORK', `${this.#place.nameOf(this.#url)}: the server ended its answer ${progress}`, {
      hint: 'Check the server and the proxies before it, then resume.',
    });
  }
}

const NOTHING_MORE: AsyncIterator<Buffer> = { next: async () => ({ value: undefined, done: true }) };

function lost(name: string): TransferError {
  return new TransferError('E_TARGET_CHANGED', `the partial copy ${name} was removed while it was written`, {
    hint: 'See what else writes there. Run the same command again.',
  });
}
