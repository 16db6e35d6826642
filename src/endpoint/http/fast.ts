/**
 * The fast way to read an HTTP source: kept connections, read without a stream between. It takes the straight case
 * alone; every request or answer that is not goes through undici, the plain way, which tells errors their names.
 */
import type { Dispatcher } from 'undici';
import { Call } from './call.js';
import { type ConnectionParts, HttpConnection } from './connection.js';
import type { HttpClient, HttpRequest } from './exchange.js';
import { CONNECTIONS_DEFAULT } from './plain.js';

const PLAIN_ORIGINS_MAX = 1000;

const PATH = /^\/[\x21-\x7e]*$/;
const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const VALUE = /^[\t\x20-\x7e]*$/;

export class FastClient implements HttpClient {
  readonly #plain: HttpClient;
  readonly #parts: ConnectionParts;
  readonly #pools = new Map<string, Pool>();
  /** Origins whose answers are not for the fast way: asking each time twice would make it the slow one. */
  readonly #plainOrigins = new Set<string>();

  constructor(plain: HttpClient, parts: ConnectionParts) {
    this.#plain = plain;
    this.#parts = parts;
  }

  dispatch(request: HttpRequest, handler: Dispatcher.DispatchHandler): boolean {
    const { origin } = request;
    // Whole files come with any framing, and are seldom asked for.
    const text = request.headers.range === undefined ? undefined : requestText(request);
    if (text === undefined || this.#plainOrigins.has(origin)) return this.#plain.dispatch(request, handler);
    const onRefused = (): void => {
      if (this.#plainOrigins.size >= PLAIN_ORIGINS_MAX) this.#plainOrigins.clear();
      this.#plainOrigins.add(origin);
      this.#plain.dispatch(request, handler);
    };
    const call = new Call({ text, handler, onRefused, headMsMax: this.#parts.silenceMsMax });
    call.begin();
    if (!call.over) this.#pool(origin).carry(call);
    return true;
  }

  /** Drops all connections; calls under way fail. */
  destroy(): void {
    for (const pool of [...this.#pools.values()]) pool.destroy();
  }

  #pool(origin: string): Pool {
    const known = this.#pools.get(origin);
    if (known !== undefined) return known;
    const pool = new Pool(new URL(origin), this.#parts, () => this.#pools.delete(origin));
    this.#pools.set(origin, pool);
    return pool;
  }
}

/** The connections to one origin; a call waits for one when there are as many as there may be. */
class Pool {
  readonly #origin: URL;
  readonly #parts: ConnectionParts;
  readonly #onEmpty: () => void;
  readonly #open = new Set<HttpConnection>();
  #idle: HttpConnection[] = [];
  readonly #waiting: Call[] = [];

  constructor(origin: URL, parts: ConnectionParts, onEmpty: () => void) {
    this.#origin = origin;
    this.#parts = parts;
    this.#onEmpty = onEmpty;
  }

  carry(call: Call): void {
    const idle = this.#idle.pop();
    if (idle !== undefined) idle.carry(call);
    else if (this.#open.size < (this.#parts.connections ?? CONNECTIONS_DEFAULT)) this.#connect(call);
    else this.#waiting.push(call);
  }

  destroy(): void {
    const waiting = this.#waiting.splice(0);
    for (const call of waiting) call.fail(new Error('all connections were closed'));
    for (const connection of [...this.#open]) connection.destroy();
  }

  #connect(call: Call): void {
    const connection = new HttpConnection(this.#origin, this.#parts, {
      onFree: () => {
        const next = this.#next();
        if (next === undefined) this.#idle.push(connection);
        else connection.carry(next);
      },
      onGone: () => this.#onGone(connection),
      // The connection is gone next, and a new one takes its place: that one has no second try.
      onUnheard: (unheard) => this.#waiting.unshift(unheard),
    });
    this.#open.add(connection);
    connection.carry(call);
  }

  #onGone(connection: HttpConnection): void {
    this.#open.delete(connection);
    this.#idle = this.#idle.filter((idle) => idle !== connection);
    const next = this.#next();
    if (next !== undefined) this.#connect(next);
    else if (this.#open.size === 0) this.#onEmpty();
  }

  /** The call that waits longest; those that were given up have ended meanwhile. */
  #next(): Call | undefined {
    for (;;) {
      const call = this.#waiting.shift();
      if (call === undefined || !call.over) return call;
    }
  }
}

/** The request as it is sent; undefined when undici should judge whether it may be. */
function requestText({ origin, path, headers }: HttpRequest): string | undefined {
  const fields = Object.entries({ host: new URL(origin).host, connection: 'keep-alive', ...headers });
  if (!PATH.test(path) || fields.some(([name, value]) => !NAME.test(name) || !VALUE.test(value))) return undefined;
  return `GET ${path} HTTP/1.1\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
}
