/**
 * The connections of one thread. Each way to a server (its certificates, the proxy before it) has its own, made when
 * they are first needed, and shared by all sources that ask the same way.
 */
import type { Dispatcher } from 'undici';
import { type HttpAccess, proxyFor, tlsFor } from './access.js';
import type { HttpClient, HttpRequest } from './exchange.js';
import { FastClient } from './fast.js';
import { CONNECTIONS_DEFAULT, PlainClient } from './plain.js';
import { proxyRules } from './proxy.js';

const SILENCE_MS_MAX = 60_000;
/** Redirects may lead anywhere; what was left behind closes its idle connections itself. */
const ORIGINS_MAX = 1000;

const clients = new Map<string, AccessClient>();

/** How many of the connections to one server are those of one of so many threads. */
export function connectionsOfThread({ connections = CONNECTIONS_DEFAULT }: HttpAccess, threads: number): number {
  return Math.max(1, Math.floor(connections / threads));
}

/** This thread's client for all that is asked so. */
export function clientFor(access: HttpAccess, threads: number): HttpClient {
  const { tls, proxies, origin } = access;
  const connections = connectionsOfThread(access, threads);
  const key = JSON.stringify([tls, proxies, tls.cert === undefined ? '' : origin, connections]);
  const known = clients.get(key);
  if (known !== undefined) return known;
  const client = new AccessClient(access, connections);
  clients.set(key, client);
  return client;
}

/** This thread's client for requests that say in their own headers who asks. */
export function signedClient(): HttpClient {
  return clientFor({ origin: '', headers: {}, tls: {}, proxies: proxyRules(process.env) }, 1);
}

/** Drops this thread's connections; requests under way fail. The next source makes new ones. */
export async function closeHttp(): Promise<void> {
  const closing = [...clients.values()];
  clients.clear();
  await Promise.all(closing.map((client) => client.destroy()));
}

interface Way {
  readonly client: HttpClient;
  destroy(): Promise<void>;
}

class AccessClient implements HttpClient {
  readonly #access: HttpAccess;
  readonly #connections: number;
  readonly #ways = new Map<string, Way>();

  constructor(access: HttpAccess, connections: number) {
    this.#access = access;
    this.#connections = connections;
  }

  dispatch(request: HttpRequest, handler: Dispatcher.DispatchHandler): boolean {
    return this.#wayTo(request.origin).client.dispatch(request, handler);
  }

  async destroy(): Promise<void> {
    await Promise.all([...this.#ways.values()].map((way) => way.destroy()));
  }

  #wayTo(origin: string): Way {
    const known = this.#ways.get(origin);
    if (known !== undefined) return known;
    if (this.#ways.size >= ORIGINS_MAX) this.#ways.clear();
    const way = this.#newWay(new URL(origin));
    this.#ways.set(origin, way);
    return way;
  }

  /** Proxies are for the plain way. */
  #newWay(url: URL): Way {
    const tls = tlsFor(this.#access, url);
    const proxy = proxyFor(this.#access, url);
    const parts = { silenceMsMax: SILENCE_MS_MAX, tls, connections: this.#connections };
    const plain = new PlainClient({ ...parts, proxy });
    if (proxy !== undefined) return { client: plain, destroy: () => plain.destroy() };
    const fast = new FastClient(plain, parts);
    const destroy = async (): Promise<void> => {
      fast.destroy();
      await plain.destroy();
    };
    return { client: fast, destroy };
  }
}
