/**
 * The plain way to read an HTTP source: undici, which knows all of HTTP/1.1, and proxies. It is loaded when it is first
 * needed, because loading it costs every thread more than reading 100 MiB the fast way.
 */
import type { Dispatcher } from 'undici';
import type { HttpTls } from './access.js';
import type { HttpClient, HttpRequest } from './exchange.js';
import { asSentThrough, type ProxyServer } from './proxy.js';

export const CONNECTIONS_DEFAULT = 8;

export interface PlainParts {
  readonly silenceMsMax: number;
  readonly tls?: HttpTls;
  /** Through which all requests go. */
  readonly proxy?: ProxyServer | undefined;
  /** Connections to one origin at the same time. */
  readonly connections?: number;
}

export class PlainClient implements HttpClient {
  readonly #parts: PlainParts;
  #agent: Promise<Dispatcher> | undefined;

  constructor(parts: PlainParts) {
    this.#parts = parts;
  }

  dispatch(request: HttpRequest, handler: Dispatcher.DispatchHandler): boolean {
    this.#agent ??= this.#load(request.origin);
    this.#agent
      .then((agent) => agent.dispatch(asSentThrough(this.#parts.proxy, request), handler))
      .catch((error) => handler.onResponseError?.(NOTHING_SENT, error));
    return true;
  }

  async destroy(): Promise<void> {
    const agent = await this.#agent;
    await agent?.destroy();
  }

  async #load(origin: string): Promise<Dispatcher> {
    const { silenceMsMax, tls = {}, proxy, connections = CONNECTIONS_DEFAULT } = this.#parts;
    const undici = await import('undici');
    const options = {
      ...{ connections, pipelining: 1, allowH2: false },
      ...{ headersTimeout: silenceMsMax, bodyTimeout: silenceMsMax },
    };
    if (proxy === undefined) return new undici.Agent({ ...options, connect: tls });
    if (!isSecure(origin)) return new undici.Agent({ ...options, connect: tls.ca === undefined ? {} : { ca: tls.ca } });
    const { tunnelConnector } = await import('./tunnel.js');
    return new undici.Agent({ ...options, connect: tunnelConnector({ proxy, tls, silenceMsMax }) });
  }
}

const isSecure = (origin: string): boolean => origin.startsWith('https:');

const NOTHING_SENT: Dispatcher.DispatchController = {
  aborted: true,
  paused: false,
  reason: null,
  abort: () => undefined,
  pause: () => undefined,
  resume: () => undefined,
};
