/**
 * The plain way to read an HTTP source: undici, which knows all of HTTP/1.1. It is loaded when it is first needed,
 * because loading it costs every thread more than reading 100 MiB the fast way.
 */
import type { Agent, Dispatcher } from 'undici';
import type { HttpClient, HttpRequest } from './http-exchange.js';

export const CONNECTIONS_PER_ORIGIN_MAX = 8;

export class PlainClient implements HttpClient {
  readonly #silenceMsMax: number;
  #agent: Promise<Agent> | undefined;

  constructor(silenceMsMax: number) {
    this.#silenceMsMax = silenceMsMax;
  }

  dispatch(request: HttpRequest, handler: Dispatcher.DispatchHandler): boolean {
    this.#agent ??= this.#load();
    this.#agent
      .then((agent) => agent.dispatch(request, handler))
      .catch((error) => handler.onResponseError?.(NOTHING_SENT, error));
    return true;
  }

  async destroy(): Promise<void> {
    const agent = await this.#agent;
    await agent?.destroy();
  }

  async #load(): Promise<Agent> {
    const undici = await import('undici');
    return new undici.Agent({
      connections: CONNECTIONS_PER_ORIGIN_MAX,
      pipelining: 1,
      allowH2: false,
      headersTimeout: this.#silenceMsMax,
      bodyTimeout: this.#silenceMsMax,
    });
  }
}

const NOTHING_SENT: Dispatcher.DispatchController = {
  aborted: true,
  paused: false,
  reason: null,
  abort: () => undefined,
  pause: () => undefined,
  resume: () => undefined,
};
