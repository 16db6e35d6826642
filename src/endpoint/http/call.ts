/**
 * One request on its way through a kept connection: takes the bytes of its answer as they come and tells the handler,
 * in undici's words, what they are. It takes nothing but a final status and, of a 206, a body of one Content-Length;
 * all else is refused before the handler has heard of it, so that somebody else may ask again.
 */
import type { Dispatcher } from 'undici';
import { nowMs, systemClock } from '../../core/clock.js';
import { SURPLUS_BYTES } from './errors.js';
import type { LendingController } from './exchange.js';
import { HeadReader, keepsConnection, parseHead, plainBodyBytes } from './head.js';

/** The connection that carries a call. */
export interface Carrier {
  /** Reads on after a pause. */
  readOn(): void;
  /** The call is over, and the connection is in step for the next one. */
  free(): void;
  /** The call is over, and so is the connection. */
  drop(): void;
}

export interface CallParts {
  /** The request as it is sent. */
  readonly text: string;
  readonly handler: Dispatcher.DispatchHandler;
  /** The answer may be right, but not for this way of reading. */
  readonly onRefused: () => void;
  /** The longest time that a head may take. */
  readonly headMsMax: number;
}

export class Call implements LendingController {
  readonly lends = true;
  readonly text: string;
  readonly #parts: CallParts;
  #carrier: Carrier | undefined;
  #phase: 'waiting' | 'head' | 'body' | 'over' = 'waiting';
  readonly #reader = new HeadReader();
  #headByMs = 0;
  #keep = false;
  #left = 0;
  #paused = false;
  #held: Buffer[] = [];
  #reason: Error | null = null;

  constructor(parts: CallParts) {
    this.#parts = parts;
    this.text = parts.text;
  }

  get paused(): boolean {
    return this.#paused;
  }

  get aborted(): boolean {
    return this.#reason !== null;
  }

  get reason(): Error | null {
    return this.#reason;
  }

  get over(): boolean {
    return this.#phase === 'over';
  }

  /** All bytes of the answer are here, though the handler may not have taken them yet. */
  get arrived(): boolean {
    return this.#phase === 'over' || (this.#phase === 'body' && this.#left === 0);
  }

  begin(): void {
    this.#parts.handler.onRequestStart?.(this, {});
  }

  /** The request is being sent, and its answer will come from there. */
  sentOn(carrier: Carrier): void {
    this.#carrier = carrier;
    this.#phase = 'head';
    this.#headByMs = nowMs(systemClock) + this.#parts.headMsMax;
  }

  /** The handler may use the bytes until this returns and, when it has paused the call, until it resumes it. */
  take(bytes: Buffer): void {
    const body = this.#phase === 'head' ? this.#takeHead(bytes) : bytes;
    if (body === undefined || this.#phase !== 'body') return;
    if (body.length > this.#left) {
      this.fail(httpError(SURPLUS_BYTES, 'bytes after the end of the answer'));
      return;
    }
    this.#left -= body.length;
    if (this.#paused) this.#held.push(body);
    else if (body.length > 0) this.#parts.handler.onResponseData?.(this, body);
    this.#endIfDone();
  }

  pause(): void {
    this.#paused = true;
  }

  /** Gives what came during the pause, and then the end: a connection is never free while its bytes are in use. */
  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    while (!this.#paused && this.#phase === 'body') {
      const bytes = this.#held.shift();
      if (bytes === undefined) break;
      this.#parts.handler.onResponseData?.(this, bytes);
    }
    this.#endIfDone();
    if (!this.#paused && this.#phase === 'body') this.#carrier?.readOn();
  }

  abort(reason: Error): void {
    this.#reason ??= reason;
    this.fail(reason);
  }

  fail(error: Error): void {
    if (!this.#finish()) return;
    this.#carrier?.drop();
    this.#parts.handler.onResponseError?.(this, error);
  }

  /** The body, as far as it came with the end of the head. */
  #takeHead(bytes: Buffer): Buffer | undefined {
    const rest = this.#reader.take(bytes);
    if (rest === 'more') {
      if (nowMs(systemClock) > this.#headByMs) this.fail(httpError('ETIMEDOUT', 'the head of the answer never ended'));
      return undefined;
    }
    const head = rest === 'refused' ? undefined : parseHead(this.#reader.text);
    const length = head && plainBodyBytes(head);
    if (rest === 'refused' || head === undefined || (head.status === 206 && length === undefined)) {
      this.#refuse();
      return undefined;
    }
    this.#phase = 'body';
    this.#left = length ?? 0;
    this.#keep = keepsConnection(head);
    this.#parts.handler.onResponseStart?.(this, head.status, head.headers);
    if (head.status === 206) return rest;
    // Redirects and refusals are told by their heads; what may follow is not worth keeping a connection for.
    this.fail(httpError('BODY_DROPPED', `the body of status ${head.status} is not read`));
    return undefined;
  }

  #refuse(): void {
    if (!this.#finish()) return;
    this.#carrier?.drop();
    this.#parts.onRefused();
  }

  #endIfDone(): void {
    if (this.#phase !== 'body' || this.#left > 0 || this.#paused) return;
    this.#finish();
    if (this.#keep) this.#carrier?.free();
    else this.#carrier?.drop();
    this.#parts.handler.onResponseEnd?.(this, {});
  }

  #finish(): boolean {
    if (this.#phase === 'over') return false;
    this.#phase = 'over';
    this.#held = [];
    return true;
  }
}

export function httpError(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}
