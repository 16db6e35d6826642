/**
 * Requests with other methods than GET, and with bodies, for what is written over HTTP. One answer each: redirects are
 * not followed, since a body that was sent is gone, and what an answer says is bounded. The connections are the
 * thread's own.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import type { Agent, Dispatcher } from 'undici';
import { TransferError } from '../../core/errors.js';
import { KiB } from '../../core/units.js';
import { type HttpAccess, headersFor, proxyFor, tlsFor } from '../http/access.js';
import { networkError } from '../http/errors.js';
import { CONNECTIONS_DEFAULT } from '../http/plain.js';
import { asSentThrough } from '../http/proxy.js';
import { redactedUrl } from '../location.js';

export const SILENCE_MS_MAX = 60_000;
/** A server may copy the whole file once more before it answers, at so many bytes in a millisecond. */
const COPIED_PER_MS = 32 * KiB;
const ANSWER_BYTES_MAX = 256 * KiB;
const HEAD_BYTES_MAX = 64 * KiB;
/** Servers that do not say how long they keep an idle connection keep it for 5 s and more. */
const IDLE_MS_MAX = 3_000;

export interface WebRequest {
  readonly method: 'HEAD' | 'GET' | 'PUT' | 'DELETE' | 'MOVE' | 'PROPFIND';
  /** Without user and password. */
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | Readable;
  /** How long the server may be silent before its answer begins, or while it takes the body. */
  readonly silenceMsMax?: number;
}

export interface WebAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
}

/** The answer and its body, which comes as it is read; it has to be read to its end, or destroyed. */
export interface OpenAnswer extends WebAnswer {
  readonly body: Readable;
}

const agents = new Map<string, Promise<Agent>>();

/** Drops this thread's connections; requests under way fail. The next request makes new ones. */
export async function closeUploads(): Promise<void> {
  const closing = [...agents.values()];
  agents.clear();
  await Promise.all(closing.map(async (agent) => (await agent).destroy()));
}

/** How long a server may be silent before it says that it has stored, or moved, a file of so many bytes. */
export function untilStored(bytes: number, silenceMsMax = SILENCE_MS_MAX): number {
  return silenceMsMax + Math.ceil(bytes / COPIED_PER_MS);
}

/** @throws TransferError E_NETWORK, E_TIMEOUT, E_PROTOCOL, E_STOPPED; a status of any kind is an answer */
export async function send(access: HttpAccess, request: WebRequest, signal: AbortSignal): Promise<OpenAnswer> {
  const { url, method, body, headers, silenceMsMax = SILENCE_MS_MAX } = request;
  try {
    const agent = await agentFor(access, url);
    const asked = {
      origin: url.origin,
      path: url.pathname + url.search,
      method: method as Dispatcher.HttpMethod,
      headers: {
        'user-agent': 'blockferry',
        'accept-encoding': 'identity',
        ...headersFor(access, url),
        ...headers,
      },
      body: body ?? null,
      headersTimeout: silenceMsMax,
      bodyTimeout: silenceMsMax,
      signal,
    };
    const sent = asSentThrough(proxyFor(access, url), asked);
    const { statusCode, headers: answered, body: answer } = await agent.request(sent);
    return { status: statusCode, headers: answered, body: answer };
  } catch (thrown) {
    throw sendError(redactedUrl(url.href), thrown, signal);
  }
}

/** As {@link send}, with the whole body, which may be so long. */
export async function ask(
  access: HttpAccess,
  request: WebRequest,
  signal: AbortSignal,
  bytesMax = ANSWER_BYTES_MAX,
): Promise<WebAnswer & { readonly bytes: Buffer }> {
  const { status, headers, body } = await send(access, request, signal);
  const pieces: Buffer[] = [];
  let length = 0;
  try {
    for await (const piece of body as AsyncIterable<Buffer>) {
      length += piece.length;
      if (length > bytesMax) break;
      pieces.push(piece);
    }
  } catch (thrown) {
    throw sendError(redactedUrl(request.url.href), thrown, signal);
  }
  if (length <= bytesMax) return { status, headers, bytes: Buffer.concat(pieces) };
  throw new TransferError('E_PROTOCOL', `${redactedUrl(request.url.href)}: an answer of more than ${bytesMax} bytes`, {
    hint: 'Check what answers there: server, proxy or another service.',
  });
}

function sendError(name: string, thrown: unknown, signal: AbortSignal): TransferError {
  if (signal.aborted) return new TransferError('E_STOPPED', 'stopped', { cause: thrown });
  return thrown instanceof TransferError ? thrown : networkError(name, thrown, '');
}

function agentFor(access: HttpAccess, url: URL): Promise<Agent> {
  const [tls, proxy] = [tlsFor(access, url), proxyFor(access, url)];
  const secure = url.protocol === 'https:';
  const key = JSON.stringify([tls, proxy, secure, access.connections]);
  const known = agents.get(key);
  if (known !== undefined) return known;
  const made = makeAgent(access, { tls, proxy, secure });
  agents.set(key, made);
  return made;
}

interface Way {
  readonly tls: ReturnType<typeof tlsFor>;
  readonly proxy: ReturnType<typeof proxyFor>;
  readonly secure: boolean;
}

async function makeAgent(
  { connections = CONNECTIONS_DEFAULT }: HttpAccess,
  { tls, proxy, secure }: Way,
): Promise<Agent> {
  const undici = await import('undici');
  const options = {
    ...{ connections, pipelining: 1, allowH2: false, maxHeaderSize: HEAD_BYTES_MAX },
    keepAliveTimeout: IDLE_MS_MAX,
  };
  if (proxy === undefined) return new undici.Agent({ ...options, connect: tls });
  if (secure) {
    const { tunnelConnector } = await import('../http/tunnel.js');
    return new undici.Agent({ ...options, connect: tunnelConnector({ proxy, tls, silenceMsMax: SILENCE_MS_MAX }) });
  }
  return new undici.Agent({ ...options, connect: tls.ca === undefined ? {} : { ca: tls.ca } });
}
