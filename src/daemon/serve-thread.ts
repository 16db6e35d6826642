/**
 * One thread of the daemon: its connections, and all that is done with their bytes. Threads share the listening
 * descriptor; what concerns the partial copies of all is asked of the main thread.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { MessagePort } from 'node:worker_threads';
import { type Clock, systemClock } from '../core/clock.js';
import { TransferError } from '../core/errors.js';
import { BYTE_ROUTES, CALLS, type CallName, WIRE_LIMITS } from '../core/peer-wire.js';
import type { Shape } from '../core/shape.js';
import { ThreadLink } from '../core/thread-link.js';
import { ability, type Registry, schemeOf } from '../endpoint/registry.js';
import { BlockBuffers } from '../transfer/block-buffers.js';
import { Pace } from '../transfer/pace.js';
import { type AuthParts, answer, answerError, assertProtocol, authenticate, beating, readMessage } from './exchange.js';
import type { HostForThread, LeaseNews } from './host.js';
import { OpenSources } from './open-sources.js';
import { PartBytes } from './part-bytes.js';
import type { Root } from './roots.js';
import { SourceBytes, signalOf } from './source-bytes.js';
import { type ThreadCalls, threadCalls } from './thread-calls.js';
import { TokenBook } from './tokens.js';

/** Plain, so that it can be handed to a thread. */
export interface ThreadData {
  readonly cert: string;
  readonly key: string;
  readonly roots: readonly Root[];
  readonly folder: string;
  readonly host: string;
  readonly instance: string;
  readonly connectionsMax: number;
  /** Of one address, on this thread. */
  readonly connectionsPerAddressMax: number;
  /** See {@link Pace}. */
  readonly pace: SharedArrayBuffer;
}

export type ListenAt = { readonly host: string; readonly port: number } | { readonly fd: number };

/** The quickest first; all of TLS 1.3. */
const CIPHERS = 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256';
const SILENCE_MS_MAX = 60_000;
const HANDSHAKE_MS_MAX = 10_000;
const HEAD_MS_MAX = 10_000;
const IDLE_MS_MAX = 60_000;
const CHECK_MS = 2_000;
const SWEEP_MS = 10_000;
const ORIGIN = 'https://peer';

/** Serves until the main thread says otherwise; to be called once a thread. */
export async function serveThread(port: MessagePort, data: ThreadData, registry: Registry): Promise<void> {
  const local = await schemeOf(registry, 'file');
  ability(local, 'file', 'openSource');
  const thread = new ServeThread(data, systemClock);
  const link = new ThreadLink<HostForThread>(port, {
    listen: (at: ListenAt) => thread.listen(at),
    tell: (about: LeaseNews) => thread.parts.tell(about),
    close: () => thread.close(),
  });
  const shared = { clock: systemClock, buffers: new BlockBuffers(), pace: paceOf(data), local };
  const sources = new OpenSources({ ...shared, roots: data.roots });
  const parts = new PartBytes({ ...shared, ask: (request) => link.ask('lease', request) });
  thread.serve({
    ...{ sources, parts },
    bytes: new SourceBytes({ ...shared, sources }),
    calls: threadCalls(data, { sources, parts, link }),
    delegated: (hash) => link.ask('delegated', { hash }),
  });
  port.postMessage('ready');
}

function paceOf({ pace }: ThreadData): Pace {
  return new Pace([new BigInt64Array(pace)], systemClock);
}

interface Served {
  readonly sources: OpenSources;
  readonly parts: PartBytes;
  readonly bytes: SourceBytes;
  readonly calls: ThreadCalls;
  readonly delegated: AuthParts['delegated'];
}

class ServeThread {
  readonly #clock: Clock;
  readonly #book: TokenBook;
  readonly #server: Server;
  readonly #perAddress = new Map<string, number>();
  /** The last answer of a connection. */
  readonly #answers = new WeakMap<Socket, ServerResponse>();
  /** Those with a request that waits for the answer before. */
  readonly #waiting = new WeakSet<Socket>();
  readonly #closing = new AbortController();
  #served: Served | undefined;

  constructor(data: ThreadData, clock: Clock) {
    this.#clock = clock;
    this.#book = new TokenBook(data.folder);
    const { cert, key } = data;
    this.#server = createServer(
      {
        ...{ cert, key, minVersion: 'TLSv1.3', ciphers: CIPHERS, honorCipherOrder: true },
        ...{ handshakeTimeout: HANDSHAKE_MS_MAX, headersTimeout: HEAD_MS_MAX, keepAliveTimeout: IDLE_MS_MAX },
        // A large chunk takes what it takes; what comes too slowly is cut off elsewhere.
        ...{ requestTimeout: 0, connectionsCheckingInterval: CHECK_MS, maxHeaderSize: WIRE_LIMITS.headBytesMax },
        noDelay: true,
      },
      (request, response) => void this.#serve(request, response),
    );
    this.#server.timeout = SILENCE_MS_MAX;
    this.#server.maxConnections = data.connectionsMax;
    this.#server.on('connection', (socket: TLSSocket) => this.#admit(socket, data.connectionsPerAddressMax));
    this.#server.on('tlsClientError', (_error, socket) => socket.destroy());
    this.#server.on('clientError', (_error, socket) => socket.destroy());
  }

  get parts(): PartBytes {
    return this.#now.parts;
  }

  serve(served: Served): void {
    this.#served = served;
    void this.#sweep(served);
  }

  /** What is kept open for a while must not keep the space of files that were deleted meanwhile. */
  async #sweep({ sources }: Served): Promise<void> {
    while (!this.#closing.signal.aborted) {
      await this.#clock.sleep(SWEEP_MS, this.#closing.signal);
      await sources.closeOld();
    }
  }

  /** Answers where it listens: the descriptor is what the other threads listen on. */
  listen(at: ListenAt): Promise<{ readonly fd: number; readonly port: number }> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(at, () => {
        this.#server.off('error', reject);
        const address = this.#server.address();
        const { _handle: handle } = this.#server as Server & { readonly _handle?: { readonly fd?: number } };
        resolve({ fd: handle?.fd ?? -1, port: typeof address === 'object' && address ? address.port : 0 });
      });
    });
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#server.close();
    this.#server.closeAllConnections();
    await this.#now.sources.close();
    this.#now.parts.close();
  }

  get #now(): Served {
    if (!this.#served) throw new TransferError('E_BUG', 'a thread was asked before it was ready');
    return this.#served;
  }

  /** Before the handshake, which is what costs. */
  #admit(socket: TLSSocket, max: number): void {
    const address = socket.remoteAddress ?? '';
    const count = (this.#perAddress.get(address) ?? 0) + 1;
    if (count > max) {
      socket.destroy();
      return;
    }
    this.#perAddress.set(address, count);
    socket.once('close', () => {
      const left = (this.#perAddress.get(address) ?? 1) - 1;
      if (left > 0) this.#perAddress.set(address, left);
      else this.#perAddress.delete(address);
    });
  }

  /**
   * One request of a connection after the other. The next may come before we know that its answer was taken; whoever
   * sends more, and waits for no answers, would have each of them take memory.
   */
  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // Whoever breaks a connection breaks it for what was under way, which finds out by itself.
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    const { socket } = request;
    const before = this.#answers.get(socket);
    this.#answers.set(socket, response);
    if (before && !before.closed) {
      if (this.#waiting.has(socket)) socket.destroy();
      this.#waiting.add(socket);
      await new Promise((resolve) => before.once('close', resolve));
      this.#waiting.delete(socket);
    }
    if (!socket.destroyed) await this.#handle(request, response);
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const client = await authenticate(request, this.#book, { clock: this.#clock, delegated: this.#now.delegated });
      assertProtocol(request);
      const given = request.url ?? '';
      const url = URL.canParse(given, ORIGIN) ? new URL(given, ORIGIN) : new URL(ORIGIN);
      const route = `${request.method} ${url.pathname}`;
      const query = url.searchParams;
      if (route === `GET ${BYTE_ROUTES.source}`) await this.#now.bytes.send(query, client, response);
      else if (route === `GET ${BYTE_ROUTES.part}`) await this.#now.parts.send(query, client, response);
      else if (route === `PUT ${BYTE_ROUTES.part}`) {
        await this.#now.parts.receive(query, client, request, response);
        answer(response, {});
      } else {
        const name = callName(route);
        const asked = (CALLS[name].request as Shape<never>)(await readMessage(request, this.#clock));
        const work = this.#now.calls[name](asked, client, signalOf(response)) as Promise<unknown>;
        answer(response, await beating(response, this.#clock, work));
      }
    } catch (thrown) {
      answerError(request, response, { error: TransferError.from(thrown), clock: this.#clock });
    }
  }
}

function callName(route: string): CallName {
  const [, name = ''] = /^POST \/v1\/([a-z-]+)$/.exec(route) ?? [];
  if (Object.hasOwn(CALLS, name)) return name as CallName;
  throw new TransferError('E_USAGE', 'there is nothing of that name here', {
    hint: 'Check the version of the client.',
  });
}
