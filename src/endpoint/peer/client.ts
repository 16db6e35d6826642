/**
 * Exchanges with a peer, over connections that each thread keeps: calls with a message both ways, and bytes in frames.
 * What can be asked twice is asked again when the connection is lost; all else is for the engine to try again.
 */
import { systemClock } from '../../core/clock.js';
import { ERROR_KINDS, type ErrorCode, TransferError } from '../../core/errors.js';
import {
  CALLS,
  type CallAnswer,
  type CallName,
  type CallRequest,
  LEASE_HEADER,
  PROTOCOL,
  PROTOCOL_HEADER,
  WIRE_LIMITS,
} from '../../core/peer-wire.js';
import type { Shape } from '../../core/shape.js';
import { count, object, oneOf, text } from '../../core/shape.js';
import { type PeerAddress, peerName } from './address.js';
import { PeerConnection } from './connection.js';

const CONNECTIONS_MAX = 16;
/** Some thirteen seconds: a wrong address should be told soon. */
const REPEATS_MAX = 7;
/** Half a minute for what has begun: a host that is started again may need that. */
export const REPEATS_BEGUN_MAX = 10;
const FIRST_DELAY_MS = 100;
const DELAY_MS_MAX = 8_000;

/** Answered by a peer that does not hold the lease any more: as it was started again, say. */
export class LeaseLost extends TransferError {
  constructor(name: string) {
    super('E_NETWORK', `${name}: the peer was started again, or let go of the partial copy`, {
      hint: 'The partial copy is opened again there.',
    });
  }
}

const clients = new Map<string, PeerClient>();

/** The connections of this thread to that peer, made when they are first needed. */
export function peerClient(address: PeerAddress): PeerClient {
  const key = JSON.stringify(address);
  const client = clients.get(key) ?? new PeerClient(address);
  clients.set(key, client);
  return client;
}

/** Drops this thread's connections; exchanges under way fail. */
export function closePeers(): void {
  for (const client of clients.values()) client.destroy();
  clients.clear();
}

export class PeerClient {
  readonly name: string;
  readonly #address: PeerAddress;
  readonly #open = new Set<PeerConnection>();
  readonly #waiting: (() => void)[] = [];
  #idle: PeerConnection[] = [];
  #connections = 0;

  constructor(address: PeerAddress) {
    this.#address = address;
    this.name = `peer://${peerName(address)}`;
  }

  /** Asks, and asks again when the connection is lost: only for what may be said twice. */
  async call<N extends CallName>(
    call: N,
    request: CallRequest<N>,
    signal?: AbortSignal,
    repeatsMax = REPEATS_MAX,
  ): Promise<CallAnswer<N>> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.callOnce(call, request, signal);
      } catch (thrown) {
        const again = thrown instanceof TransferError && thrown.retryable && !(thrown instanceof LeaseLost);
        if (!again || attempt >= repeatsMax || signal?.aborted) throw thrown;
        const waitMs = Math.min(DELAY_MS_MAX, FIRST_DELAY_MS * 2 ** attempt);
        await systemClock.sleep(Math.max(waitMs, Math.min(thrown.detail.retryAfterMs ?? 0, 60_000)), signal);
      }
    }
  }

  async callOnce<N extends CallName>(call: N, request: CallRequest<N>, signal?: AbortSignal): Promise<CallAnswer<N>> {
    const body = Buffer.from(JSON.stringify(request));
    const head = this.head('POST', `/v1/${call}`, [`content-length: ${body.length}`, 'content-type: application/json']);
    const exchange = await this.open(signal);
    try {
      exchange.begin(head, body);
      const content = await exchange.content();
      return (CALLS[call].answer as Shape<CallAnswer<N>>)(JSON.parse(content.toString('utf8')));
    } catch (thrown) {
      if (thrown instanceof SyntaxError) throw notAnAnswer(this.name, thrown);
      throw thrown;
    } finally {
      exchange.end();
    }
  }

  /** A connection for one exchange. @throws TransferError E_STOPPED when the signal aborts */
  async open(signal?: AbortSignal): Promise<PeerExchange> {
    for (;;) {
      if (signal?.aborted) {
        // It may have been woken for a connection that somebody else waits for.
        this.#waiting.shift()?.();
        throw new TransferError('E_STOPPED', 'stopped');
      }
      const idle = this.#idle.pop();
      if (idle && !idle.gone) return new PeerExchange(this, idle, signal);
      if (idle) continue;
      if (this.#connections >= CONNECTIONS_MAX) {
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
        continue;
      }
      return new PeerExchange(this, await this.#connect(signal), signal);
    }
  }

  give(connection: PeerConnection): void {
    if (connection.free()) this.#idle.push(connection);
    this.#waiting.shift()?.();
  }

  destroy(): void {
    for (const connection of [...this.#open]) connection.drop();
  }

  head(method: string, path: string, lines: readonly string[] = []): string {
    const { token } = this.#address;
    const own = [
      `host: ${peerName(this.#address)}`,
      `authorization: Bearer ${token}`,
      `${PROTOCOL_HEADER}: ${PROTOCOL}`,
    ];
    return `${method} ${path} HTTP/1.1\r\n${[...own, ...lines].map((line) => `${line}\r\n`).join('')}\r\n`;
  }

  async #connect(signal: AbortSignal | undefined): Promise<PeerConnection> {
    this.#connections++;
    const connection: PeerConnection = new PeerConnection(this.#address, () => {
      this.#connections--;
      this.#open.delete(connection);
      this.#idle = this.#idle.filter((idle) => idle !== connection);
      this.#waiting.shift()?.();
    });
    this.#open.add(connection);
    const stop = (): void => connection.drop(new TransferError('E_STOPPED', 'stopped'));
    signal?.addEventListener('abort', stop, { once: true });
    try {
      await connection.ready;
      return connection;
    } finally {
      signal?.removeEventListener('abort', stop);
    }
  }
}

/** One request and its answer. */
export class PeerExchange {
  readonly #client: PeerClient;
  readonly #connection: PeerConnection;
  readonly #signal: AbortSignal | undefined;
  readonly #stop = (): void => this.#connection.drop(new TransferError('E_STOPPED', 'stopped'));
  #ended = false;

  constructor(client: PeerClient, connection: PeerConnection, signal?: AbortSignal) {
    this.#client = client;
    this.#connection = connection;
    this.#signal = signal;
    signal?.addEventListener('abort', this.#stop, { once: true });
    if (signal?.aborted) this.#stop();
  }

  begin(head: string, body?: Uint8Array): void {
    this.#connection.begin(head, body);
  }

  /** Sends more of the body. @throws TransferError also what the peer has answered before all of it was sent */
  async send(bytes: Uint8Array): Promise<void> {
    if (this.#connection.early) await this.answered();
    await this.#connection.send(bytes);
  }

  /** Waits for the head of a good answer. @throws TransferError what the peer says is wrong */
  async answered(): Promise<void> {
    const { status, headers } = await this.#connection.answer();
    if (status === 200) return;
    const length = Number(headers['content-length']);
    const body = Buffer.alloc(Math.min(length, WIRE_LIMITS.messageBytesMax));
    await this.read(body);
    throw errorOf(this.#client.name, status, { body, lease: headers[LEASE_HEADER] });
  }

  /** All of a small answer. */
  async content(): Promise<Buffer> {
    await this.answered();
    const { headers } = await this.#connection.answer();
    const length = Number(headers['content-length']);
    if (length > WIRE_LIMITS.messageBytesMax) throw notAnAnswer(this.#client.name);
    const body = Buffer.alloc(length);
    await this.read(body);
    return body;
  }

  read(into: Uint8Array): number | Promise<number> {
    return this.#connection.read(into);
  }

  /** Gives the connection back, or drops it where the answer was not taken whole; harmless when called twice. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#signal?.removeEventListener('abort', this.#stop);
    this.#client.give(this.#connection);
  }
}

const errorShape = object({
  error: object(
    { code: oneOf(...(Object.keys(ERROR_KINDS) as ErrorCode[])), message: text(4000) },
    { hint: text(2000), retryAfterMs: count(), offset: count() },
  ),
});

function errorOf(name: string, status: number, { body, lease }: { body: Buffer; lease: unknown }): TransferError {
  if (lease === 'restarted') return new LeaseLost(name);
  return errorIn(name, body) ?? notAnAnswer(name, `status ${status}`);
}

/** What the peer says went wrong, in its words; undefined when these are none. */
export function errorIn(name: string, content: Buffer): TransferError | undefined {
  try {
    const { code, message, ...detail } = errorShape(JSON.parse(content.toString('utf8'))).error;
    return new TransferError(code, `${name}: ${message}`, detail);
  } catch {
    // It is no error of a Blockferry; whoever asked says so.
    return undefined;
  }
}

function notAnAnswer(name: string, cause?: unknown): TransferError {
  return new TransferError('E_PROTOCOL', `${name}: the answer is not one that a Blockferry gives`, {
    hint: 'Check what listens there.',
    ...(cause !== undefined && { cause }),
  });
}
