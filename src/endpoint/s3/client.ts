/**
 * Requests to S3 but those that read an object: signed, sent through undici, and answered with a small document. Each
 * thread has its own connections, made when they are first needed.
 */
import { hash } from 'node:crypto';
import type { Agent, Dispatcher } from 'undici';
import { systemClock } from '../../core/clock.js';
import { TransferError } from '../../core/errors.js';
import { NEVER } from '../../core/stop.js';
import { MiB } from '../../core/units.js';
import { networkError } from '../http/errors.js';
import { asSentThrough, type ProxyServer, proxyOf, proxyRules } from '../http/proxy.js';
import { credentialsFor } from './credentials.js';
import { type S3Answer, type S3End, s3Error } from './errors.js';
import { nameOf, type S3Place, urlOf } from './place.js';
import { type Signed, sign } from './sign.js';

const SILENCE_MS_MAX = 60_000;
/** A server may put thousands of parts together before it says a word. */
const SILENCE_MS_MAX_AT_COMMIT = 300_000;
/** As many as there are chunks under way on one thread, and some. */
const CONNECTIONS_MAX = 32;
/** A thousand parts take a third of it. */
const ANSWER_BYTES_MAX = 2 * MiB;
const ATTEMPTS = 4;
const FIRST_DELAY_MS = 250;
const RETRY_AFTER_MS_MAX = 30_000;

export interface S3Request {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Of the bucket itself, not of the object. */
  readonly ofBucket?: true;
  /** The server may need long. */
  readonly patient?: true;
}

/** One for each way: straight there, and through each proxy. */
const agents = new Map<string, Promise<Agent>>();

/** Drops this thread's connections; requests under way fail. The next request makes new ones. */
export async function closeS3(): Promise<void> {
  const closing = [...agents.values()];
  agents.clear();
  await Promise.all(closing.map(async (agent) => (await agent).destroy()));
}

/** Sends a request and gives the answer, whatever it says. @throws TransferError when there was none */
export async function ask(place: S3Place, request: S3Request, signal: AbortSignal = NEVER): Promise<S3Answer> {
  const { method, query = {}, headers = {}, body = '', ofBucket, patient } = request;
  const url = ofBucket ? urlOf(place, query, '') : urlOf(place, query);
  const toSign = { method, url, headers, payload: hash('sha256', body) };
  const signed = await signedFor(place, toSign);
  return exchange({ name: nameOf(place), method, url, headers: signed.headers, body, patient }, signal);
}

/** As {@link ask}; what passes is waited for, a few times. @throws TransferError for an answer that is not wanted */
export async function insist(
  place: S3Place,
  request: S3Request,
  wanted: { readonly statuses: readonly number[]; readonly end: S3End },
): Promise<S3Answer> {
  for (let attempt = 1; ; attempt++) {
    const answer = await ask(place, request).catch(passing);
    if (!(answer instanceof TransferError) && wanted.statuses.includes(answer.status) && !failedLate(answer))
      return answer;
    const error = answer instanceof TransferError ? answer : s3Error(nameOf(place), answer, wanted.end);
    const askedMs = error.detail.retryAfterMs ?? 0;
    if (!error.retryable || attempt === ATTEMPTS || askedMs > RETRY_AFTER_MS_MAX) throw error;
    await systemClock.sleep(Math.max(askedMs, Math.random() * FIRST_DELAY_MS * 2 ** attempt));
  }
}

/** Amazon begins a long answer before it knows how things will end. */
function failedLate({ status, text }: S3Answer): boolean {
  return status === 200 && /^[^<]*(<\?[^>]*>)?\s*<Error[\s>]/.test(text);
}

function passing(thrown: unknown): TransferError {
  if (thrown instanceof TransferError && thrown.retryable) return thrown;
  throw thrown;
}

export async function signedFor(place: S3Place, request: Parameters<typeof sign>[0]): Promise<Signed> {
  return sign(request, place.region, await credentialsFor(place));
}

export interface Outgoing {
  readonly name: string;
  readonly method: S3Request['method'];
  readonly url: URL;
  readonly headers: Record<string, string>;
  readonly body: string | AsyncIterable<Uint8Array>;
  readonly patient?: true | undefined;
}

/** One request and its whole answer, which is bounded in size and time. */
export async function exchange(outgoing: Outgoing, signal: AbortSignal): Promise<S3Answer> {
  const { name, method, url, body, patient } = outgoing;
  const proxy = proxyOf(proxyRules(process.env), url);
  const dispatcher = await agentFor(proxy, url.protocol === 'https:');
  const headers = { ...outgoing.headers, 'user-agent': 'blockferry' };
  const options = {
    ...asSentThrough(proxy, { origin: url.origin, path: url.pathname + url.search, method, headers }),
    ...(body !== '' && { body: body as Dispatcher.DispatchOptions['body'] & string }),
    ...(patient && { headersTimeout: SILENCE_MS_MAX_AT_COMMIT, bodyTimeout: SILENCE_MS_MAX_AT_COMMIT }),
  };
  return new Promise((resolve, reject) => {
    const handler = new AnswerHandler(name, signal, resolve, reject);
    if (!signal.aborted) dispatcher.dispatch(options, handler);
  });
}

class AnswerHandler implements Dispatcher.DispatchHandler {
  readonly #name: string;
  readonly #signal: AbortSignal;
  readonly #resolve: (answer: S3Answer) => void;
  readonly #reject: (error: TransferError) => void;
  readonly #stop = (): void => this.#fail(new TransferError('E_STOPPED', 'stopped'));
  #controller: Dispatcher.DispatchController | undefined;
  #failure: TransferError | undefined;
  #head: Pick<S3Answer, 'status' | 'headers'> = { status: 0, headers: {} };
  #body: Buffer[] = [];
  #bytes = 0;

  constructor(
    name: string,
    signal: AbortSignal,
    resolve: (answer: S3Answer) => void,
    reject: (error: TransferError) => void,
  ) {
    this.#name = name;
    this.#signal = signal;
    this.#resolve = resolve;
    this.#reject = reject;
    if (signal.aborted) this.#stop();
    else signal.addEventListener('abort', this.#stop, { once: true });
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#failure !== undefined) controller.abort(this.#failure);
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: S3Answer['headers']): void {
    if (status >= 200) this.#head = { status, headers };
  }

  onResponseData(_: Dispatcher.DispatchController, bytes: Buffer): void {
    this.#bytes += bytes.length;
    if (this.#bytes <= ANSWER_BYTES_MAX) this.#body.push(bytes);
    else this.#fail(tooLong(this.#name));
  }

  onResponseEnd(): void {
    this.#signal.removeEventListener('abort', this.#stop);
    this.#resolve({ ...this.#head, text: Buffer.concat(this.#body).toString() });
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    this.#fail(networkError(this.#name, error, ''));
  }

  #fail(error: TransferError): void {
    this.#signal.removeEventListener('abort', this.#stop);
    this.#failure ??= error;
    this.#body = [];
    this.#reject(this.#failure);
    this.#controller?.abort(this.#failure);
  }
}

function tooLong(name: string): TransferError {
  return new TransferError('E_PROTOCOL', `${name}: the server's answer is longer than any that makes sense`, {
    hint: 'Check the endpoint, and the proxies before it.',
  });
}

function agentFor(proxy: ProxyServer | undefined, secure: boolean): Promise<Agent> {
  const key = JSON.stringify([proxy, secure]);
  const agent = agents.get(key) ?? loadAgent(proxy, secure);
  agents.set(key, agent);
  return agent;
}

async function loadAgent(proxy: ProxyServer | undefined, secure: boolean): Promise<Agent> {
  const undici = await import('undici');
  const options = {
    ...{ connections: CONNECTIONS_MAX, pipelining: 1, allowH2: false },
    ...{ headersTimeout: SILENCE_MS_MAX, bodyTimeout: SILENCE_MS_MAX },
  };
  if (proxy === undefined || !secure) return new undici.Agent(options);
  const { tunnelConnector } = await import('../http/tunnel.js');
  return new undici.Agent({ ...options, connect: tunnelConnector({ proxy, tls: {}, silenceMsMax: SILENCE_MS_MAX }) });
}
