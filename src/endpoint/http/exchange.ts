/**
 * One GET: its answer, and its body as it comes. The body waits in the socket while nobody reads it, so that memory is
 * bounded; it is complete only when the server ended it after exactly the expected bytes, and all else is an error.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { Dispatcher } from 'undici';
import { TransferError } from '../../core/errors.js';
import { KiB } from '../../core/units.js';
import { redactedUrl } from '../location.js';
import { networkError } from './errors.js';

/** The body may be ahead of its reader by this much, and by one read of the socket. */
export const AHEAD_BYTES_MAX = 256 * KiB;

export interface HttpRequest {
  /** Such as `https://host:8443`. */
  readonly origin: string;
  /** With the query. */
  readonly path: string;
  readonly method: 'GET';
  readonly headers: Record<string, string>;
}

/** A controller whose bytes are written over once it goes on: they are only good while it is paused. */
export interface LendingController extends Dispatcher.DispatchController {
  readonly lends: true;
}

/** What sends requests: undici's Dispatcher, or something that keeps its contract. */
export interface HttpClient {
  dispatch(request: HttpRequest, handler: Dispatcher.DispatchHandler): boolean;
}

interface Read {
  readonly into: Uint8Array;
  filled: number;
  readonly resolve: (filled: number) => void;
  readonly reject: (error: TransferError) => void;
}

interface Head {
  readonly resolve: (exchange: Exchange) => void;
  readonly reject: (error: TransferError) => void;
}

export class Exchange {
  readonly url: URL;
  readonly #signal: AbortSignal;
  readonly #onStop = (): void => this.#fail(new TransferError('E_STOPPED', 'stopped'));
  #status = 0;
  #headers: IncomingHttpHeaders = {};
  #head: Head | undefined;
  #controller: Dispatcher.DispatchController | undefined;
  #failure: TransferError | undefined;
  #read: Read | undefined;
  #ahead: Buffer[] = [];
  #aheadBytes = 0;
  #expected = Number.POSITIVE_INFINITY;
  #received = 0;
  #given = 0;
  #ended = false;

  private constructor(url: URL, signal: AbortSignal, head: Head) {
    this.url = url;
    this.#signal = signal;
    this.#head = head;
  }

  /** Sends the request and resolves when status and headers are there, whatever they say. @throws TransferError */
  static open(
    client: HttpClient,
    url: URL,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<Exchange> {
    return new Promise((resolve, reject) => {
      const exchange = new Exchange(url, signal, { resolve, reject });
      if (signal.aborted) return exchange.#onStop();
      signal.addEventListener('abort', exchange.#onStop, { once: true });
      const path = url.pathname + url.search;
      client.dispatch({ origin: url.origin, path, method: 'GET', headers: { ...headers } }, exchange.#handler());
    });
  }

  get status(): number {
    return this.#status;
  }

  get headers(): IncomingHttpHeaders {
    return this.#headers;
  }

  /** Says how many bytes the body must have; must be called before the first read. */
  expect(length: number): void {
    this.#expected = length;
    this.#checkLength();
  }

  /**
   * Fills `into`, which must not ask for more than is left of the expected bytes; answers at once when they are there.
   * The last of them are given only when the server has ended the body.
   */
  read(into: Uint8Array): number | Promise<number> {
    if (this.#failure !== undefined) throw this.#failure;
    const filled = this.#takeAhead(into);
    if (this.#isDone(filled, into)) {
      if (this.#aheadBytes === 0) this.#controller?.resume();
      return filled;
    }
    return new Promise((resolve, reject) => {
      this.#read = { into, filled, resolve, reject };
      this.#controller?.resume();
    });
  }

  /** Drops the connection unless the body has ended; harmless at any time. */
  abort(): void {
    this.#ahead = [];
    this.#onStop();
  }

  #handler(): Dispatcher.DispatchHandler {
    return {
      onRequestStart: (controller) => {
        this.#controller = controller;
        if (this.#failure !== undefined) controller.abort(this.#failure);
      },
      onResponseStart: (_controller, status, headers) => {
        if (status < 200) return;
        this.#status = status;
        this.#headers = headers;
        this.#head?.resolve(this);
        this.#head = undefined;
      },
      onResponseData: (controller, bytes) => this.#onData(controller, bytes),
      onResponseEnd: () => {
        this.#ended = true;
        this.#signal.removeEventListener('abort', this.#onStop);
        this.#checkLength();
        this.#settleRead();
      },
      onResponseError: (_controller, error) =>
        this.#fail(networkError(redactedUrl(this.url.href), error, this.#progress())),
    };
  }

  #onData(controller: Dispatcher.DispatchController, bytes: Buffer): void {
    this.#received += bytes.length;
    this.#checkLength();
    if (this.#failure !== undefined) return;
    let used = 0;
    if (this.#read !== undefined) {
      used = bytes.copy(this.#read.into, this.#read.filled);
      this.#read.filled += used;
      this.#given += used;
      this.#settleRead();
    }
    if (used < bytes.length) {
      this.#ahead.push(used === 0 ? bytes : bytes.subarray(used));
      this.#aheadBytes += bytes.length - used;
    }
    if (this.#mustPause(controller)) controller.pause();
  }

  #mustPause(controller: Dispatcher.DispatchController | LendingController): boolean {
    if ('lends' in controller) return this.#aheadBytes > 0;
    // With all bytes here there is nothing to hold back; and undici breaks when a server closes while it is paused.
    return this.#aheadBytes >= AHEAD_BYTES_MAX && this.#received < this.#expected;
  }

  #takeAhead(into: Uint8Array): number {
    let filled = 0;
    while (filled < into.length) {
      const first = this.#ahead[0];
      if (first === undefined) break;
      const count = first.copy(into, filled);
      filled += count;
      if (count === first.length) this.#ahead.shift();
      else this.#ahead[0] = first.subarray(count);
    }
    this.#aheadBytes -= filled;
    this.#given += filled;
    return filled;
  }

  #isDone(filled: number, into: Uint8Array): boolean {
    return filled === into.length && (this.#given < this.#expected || this.#ended);
  }

  #settleRead(): void {
    const read = this.#read;
    if (read === undefined || !this.#isDone(read.filled, read.into)) return;
    this.#read = undefined;
    read.resolve(read.filled);
  }

  #checkLength(): void {
    const hint = 'Check the server and the proxies before it, then resume.';
    if (this.#received > this.#expected) {
      const message = `${redactedUrl(this.url.href)}: the server sent more than the ${this.#expected} bytes asked for`;
      this.#fail(new TransferError('E_PROTOCOL', message, { hint }));
    } else if (this.#ended && this.#received < this.#expected && Number.isFinite(this.#expected)) {
      const message = `${redactedUrl(this.url.href)}: the server ended its answer${this.#progress()}`;
      this.#fail(new TransferError('E_NETWORK', message, { hint }));
    }
  }

  #progress(): string {
    return Number.isFinite(this.#expected) ? ` after ${this.#received} of ${this.#expected} bytes` : '';
  }

  #fail(error: TransferError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#ahead = [];
    this.#signal.removeEventListener('abort', this.#onStop);
    this.#head?.reject(error);
    this.#read?.reject(error);
    this.#read = undefined;
    // Aborting destroys the socket: draining the rest of a chunk would cost more than a new connection.
    if (!this.#ended) this.#controller?.abort(error);
  }
}
