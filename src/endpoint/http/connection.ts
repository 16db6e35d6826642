/**
 * One connection to an HTTP/1.1 server, for one call after the other. Bytes come through one buffer that is used again
 * and again, because most of the cost of a fast download is making a new one for each read.
 */
import { connect, isIP, type OnReadOpts, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { watchSilence } from '../../core/clock.js';
import { KiB } from '../../core/units.js';
import { type Call, type Carrier, httpError } from './call.js';

/** Large enough that a fast server seldom wakes us for less than a block. */
const READ_BYTES = 512 * KiB;
/** The plain text of one TLS record (RFC 8446 §5.1). */
const RECORD_BYTES = 16 * KiB;
const CONNECT_MS_MAX = 10_000;
/** Servers close idle connections after 5 s and more; one that is closed first is not found dead later. */
const IDLE_MS_MAX = 4_000;

export interface ConnectionParts {
  readonly silenceMsMax: number;
  /** What is trusted instead of Node's own certificate authorities, and what this side shows. */
  readonly tls?: Pick<ConnectionOptions, 'ca' | 'cert' | 'key'>;
  /** Connections to one origin at the same time. */
  readonly connections?: number;
}

export interface ConnectionOwner {
  onFree(connection: HttpConnection): void;
  onGone(connection: HttpConnection): void;
  /** The server ended the kept connection instead of answering: a GET may be sent again, on a new connection. */
  onUnheard(call: Call): void;
}

export class HttpConnection implements Carrier {
  readonly #socket: Socket;
  readonly #silenceMsMax: number;
  readonly #owner: ConnectionOwner;
  #call: Call | undefined;
  #kept = false;
  #answered = false;
  #gone = false;

  constructor(origin: URL, parts: ConnectionParts, owner: ConnectionOwner) {
    this.#silenceMsMax = parts.silenceMsMax;
    this.#owner = owner;
    const secure = origin.protocol === 'https:';
    const socket = secure
      ? this.#connectTls(origin, parts)
      : connect({ ...place(origin), onread: this.#onread(false) });
    this.#socket = socket;
    watchSilence(socket, Math.min(CONNECT_MS_MAX, parts.silenceMsMax));
    socket.setNoDelay(true);
    socket.once(secure ? 'secureConnect' : 'connect', () => watchSilence(socket, parts.silenceMsMax));
    socket.on('timeout', () => this.#onSilence());
    socket.on('error', (error) => this.#lose(error, true));
    for (const event of ['end', 'close']) {
      socket.on(event, () => this.#lose(new Error('the server closed the connection'), true));
    }
  }

  carry(call: Call): void {
    this.#call = call;
    this.#answered = false;
    call.sentOn(this);
    this.#socket.ref();
    if (this.#kept) watchSilence(this.#socket, this.#silenceMsMax);
    this.#socket.write(call.text, 'latin1');
  }

  readOn(): void {
    // The time that the reader took is not the server's silence.
    watchSilence(this.#socket, this.#silenceMsMax);
    this.#socket.resume();
  }

  free(): void {
    this.#call = undefined;
    if (this.#gone) return;
    this.#kept = true;
    // An idle connection listens, so that its end is noticed, but keeps no process alive.
    this.#socket.unref();
    watchSilence(this.#socket, IDLE_MS_MAX);
    this.#socket.resume();
    this.#owner.onFree(this);
  }

  drop(): void {
    this.#call = undefined;
    this.#lose(new Error('the connection was dropped'));
  }

  /** Ends the connection, and the call on it. */
  destroy(): void {
    this.#lose(new Error('all connections were closed'));
  }

  #connectTls(origin: URL, { tls }: ConnectionParts): Socket {
    const { host, port } = place(origin);
    return connectTls({
      ...tls,
      host,
      port,
      // RFC 6066 §3: an address is no server name; the certificate is then checked against the address.
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ALPNProtocols: ['http/1.1'],
      onread: this.#onread(true),
    } as ConnectionOptions);
  }

  /**
   * TLS gives all records that it has decrypted, paused or not: those that come in a pause get buffers of their own.
   * TCP reads nothing in a pause, so that its one buffer is safe.
   */
  #onread(secure: boolean): OnReadOpts {
    const own = Buffer.allocUnsafeSlow(READ_BYTES);
    return {
      buffer: secure ? () => (this.#call?.paused ? Buffer.allocUnsafeSlow(RECORD_BYTES) : own) : own,
      callback: (count, buffer) => this.#onBytes(Buffer.from(buffer.buffer, buffer.byteOffset, count)),
    };
  }

  /** Answers whether to read on. */
  #onBytes(bytes: Buffer): boolean {
    const call = this.#call;
    if (call === undefined) {
      // Nothing was asked for: this connection is out of step.
      this.drop();
      return false;
    }
    this.#answered = true;
    call.take(bytes);
    return !call.paused;
  }

  #onSilence(): void {
    if (this.#call?.paused) return;
    this.#lose(httpError('ETIMEDOUT', 'the server was silent'));
  }

  /** `repeatable` when it was not we who ended it. */
  #lose(error: Error, repeatable = false): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#socket.destroy();
    const call = this.#call;
    this.#call = undefined;
    const again = repeatable && this.#kept && !this.#answered && call !== undefined;
    if (again) this.#owner.onUnheard(call);
    this.#owner.onGone(this);
    if (!again && !call?.arrived) call?.fail(error);
  }
}

function place(origin: URL): { readonly host: string; readonly port: number } {
  const host = origin.hostname.replace(/^\[(.*)\]$/, '$1');
  return { host, port: Number(origin.port || (origin.protocol === 'https:' ? 443 : 80)) };
}
