/** One request and its answer: where it goes, how long it may take, and what each way to fail means. */
import type { Readable } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import type { buildConnector, Dispatcher } from 'undici';
import { ERROR_KINDS, type ErrorJson, errnoOf, TransferError } from '../core/errors.js';

/** Where the service is: its socket, or `http://` or `https://` with a token. */
export type ServiceAddress =
  | { readonly socketPath: string }
  | {
      readonly url: string;
      readonly token: string;
      /** PEM: the authority that has signed its certificate, instead of the system's. */
      readonly ca?: string;
      /** SHA-256 of its certificate, in hex: that one, whoever signed it. */
      readonly pin?: string;
    };

export type Query = Readonly<Record<string, string>>;

interface Request {
  readonly method: Dispatcher.HttpMethod;
  readonly path: string;
  readonly query?: Query;
  /** A text is sent as it is, anything else as JSON. */
  readonly content?: unknown;
  readonly answerMsMax?: number;
  readonly signal?: AbortSignal;
}

const CONNECT_MS_MAX = 10_000;
const ANSWER_MS_MAX = 60_000;
/** The service says each 15 seconds that it is still there. */
const SILENCE_MS_MAX = 45_000;
/** Files are read again before they get their names, which takes as long as they are large. */
export const LONG_ANSWER_MS_MAX = 24 * 60 * 60 * 1000;
/** What comes before anything is sent. */
const UNTRUSTED = /CERT|SELF_SIGNED|UNABLE_TO_VERIFY|ALTNAME/;
const UNREACHED = /^(ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|UND_ERR_CONNECT_TIMEOUT)$/;
const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;

export class ClientCalls {
  /** For people. */
  readonly name: string;
  readonly #at: ServiceAddress;
  readonly #origin: string;
  #agent: Promise<Dispatcher> | undefined;

  /** @throws TransferError E_USAGE for an address that cannot be used */
  constructor(at: ServiceAddress) {
    this.#at = at;
    this.name = 'socketPath' in at ? at.socketPath : at.url;
    this.#origin = 'socketPath' in at ? 'http://localhost' : originOf(at.url);
  }

  get<T>(path: string, query: Query = {}): Promise<T> {
    return this.#json({ method: 'GET', path, query });
  }

  send<T>(method: 'POST' | 'PATCH' | 'PUT', path: string, content?: unknown, answerMsMax?: number): Promise<T> {
    return this.#json({ method, path, content, ...(answerMsMax !== undefined && { answerMsMax }) });
  }

  async text(path: string): Promise<string> {
    return (await this.#answer({ method: 'GET', path })).text();
  }

  /** The body of an answer that goes on and on. */
  stream(path: string, query: Query, signal: AbortSignal): Promise<Readable> {
    return this.#answer({ method: 'GET', path, query, signal });
  }

  async close(): Promise<void> {
    const agent = await this.#agent;
    this.#agent = undefined;
    await agent?.destroy();
  }

  /** What broke a connection, as it is told. */
  failure(thrown: unknown): TransferError {
    if (thrown instanceof TransferError) return thrown;
    const code = errnoOf(thrown) ?? '';
    if (code === 'ENOENT' || code === 'ECONNREFUSED') {
      return new TransferError('E_NO_SERVICE', `no Blockferry service listens at ${this.name}`, {
        hint: 'Start one: blockferry serve. Where it has another state folder, say the same --state here.',
        cause: thrown,
      });
    }
    if (code === 'EACCES') {
      return new TransferError('E_FORBIDDEN', `${this.name}: the service is another user's`, {
        hint: 'Call it as that user, or over HTTP with a token.',
        cause: thrown,
      });
    }
    if (UNTRUSTED.test(code)) {
      return new TransferError('E_AUTH', `the certificate of the service at ${this.name} is not trusted (${code})`, {
        hint: 'Nothing was sent to it. Give --pin with the fingerprint that "blockferry serve" prints, or --ca FILE.',
        cause: thrown,
      });
    }
    const kind = code.includes('TIMEOUT') ? 'E_TIMEOUT' : 'E_NETWORK';
    return new TransferError(kind, `the service at ${this.name} did not answer (${code || String(thrown)})`, {
      hint: UNREACHED.test(code)
        ? 'Nothing was sent to it. Check its address and the network.'
        : 'Whether it did what was asked is not known: look at the job before you ask again.',
      cause: thrown,
    });
  }

  async #json<T>(request: Request): Promise<T> {
    const body = await this.#answer(request);
    const text = await body.text().catch((thrown) => Promise.reject(this.failure(thrown)));
    return this.#parse(text) as T;
  }

  async #answer({ method, path, query = {}, content, answerMsMax = ANSWER_MS_MAX, signal }: Request) {
    const plain = typeof content === 'string';
    const type = plain ? 'text/plain' : 'application/json';
    try {
      const dispatcher = await this.#open();
      const { statusCode, body } = await dispatcher.request({
        ...{ origin: this.#origin, method, path, query, headersTimeout: answerMsMax, bodyTimeout: SILENCE_MS_MAX },
        headers: { ...this.#authorization(), ...(content !== undefined && { 'content-type': type }) },
        ...(content !== undefined && { body: plain ? content : JSON.stringify(content) }),
        ...(signal && { signal }),
      });
      if (statusCode < 400) return body;
      throw this.#refusal(statusCode, await body.text());
    } catch (thrown) {
      throw this.failure(thrown);
    }
  }

  #authorization(): { readonly authorization?: string } {
    return 'token' in this.#at ? { authorization: `Bearer ${this.#at.token}` } : {};
  }

  #refusal(status: number, text: string): TransferError {
    const { error } = this.#parse(text) as { readonly error?: Partial<ErrorJson> };
    const { code, message } = error ?? {};
    if (code !== undefined && code in ERROR_KINDS && typeof message === 'string') {
      return TransferError.fromJSON({ ...error, code, message });
    }
    return this.#notOurs(`it answers with status ${status}`);
  }

  #parse(text: string): unknown {
    try {
      return JSON.parse(text);
    } catch {
      throw this.#notOurs('its answer is no JSON');
    }
  }

  #notOurs(why: string): TransferError {
    return new TransferError('E_PROTOCOL', `${this.name} does not answer as a Blockferry service does: ${why}`, {
      hint: 'Check the address, and that both are of the same version.',
    });
  }

  #open(): Promise<Dispatcher> {
    this.#agent ??= openAgent(this.#at);
    return this.#agent;
  }
}

function originOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const usable = url?.protocol === 'https:' || (url?.protocol === 'http:' && LOOPBACK.test(url.hostname));
  if (url && usable) return url.origin;
  throw new TransferError('E_USAGE', 'the address of a service is https://, or http:// on this machine', {
    hint: 'As in https://backup.example:7422. Over plain http a token could be read on the way.',
  });
}

async function openAgent(at: ServiceAddress): Promise<Dispatcher> {
  const { Agent, buildConnector: build } = await import('undici');
  if ('socketPath' in at) return new Agent({ connect: { socketPath: at.socketPath, timeout: CONNECT_MS_MAX } });
  const { ca, pin } = at;
  const trust = pin === undefined ? { ...(ca !== undefined && { ca }) } : { rejectUnauthorized: false };
  const connect = build({ ...trust, timeout: CONNECT_MS_MAX, maxCachedSessions: 0 });
  return new Agent({ connect: pin === undefined ? connect : pinned(connect, pin) });
}

/** Nothing is sent, the token least of all, before the certificate is known to be the right one. */
function pinned(connect: buildConnector.connector, pin: string): buildConnector.connector {
  return (options, callback) =>
    connect(options, (...[error, socket]) => {
      if (error) return callback(error, null);
      const { fingerprint256 = '' } = (socket as Partial<TLSSocket>).getPeerCertificate?.() ?? {};
      const found = fingerprint256.replaceAll(':', '').toLowerCase();
      if (found === pin.toLowerCase()) return callback(null, socket);
      socket.destroy();
      const message = `the service shows another certificate than the pinned one: sha256:${found}`;
      callback(new TransferError('E_AUTH', message, { hint: 'Nothing was sent to it.' }), null);
    });
}
