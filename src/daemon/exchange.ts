/** The small things of an HTTP exchange: who asks, what was asked, and answers that say plainly what went wrong. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Clock, nowMs } from '../core/clock.js';
import { sha256Hex } from '../core/digest.js';
import { ERROR_KINDS, TransferError } from '../core/errors.js';
import { LEASE_HEADER, PROTOCOL, PROTOCOL_HEADER, WIRE_LIMITS } from '../core/peer-wire.js';
import { MiB } from '../core/units.js';
import { DELEGATED, type Lent } from './delegations.js';
import { lostState } from './leases.js';
import { withoutDescriptors } from './roots.js';
import type { TokenBook, TokenEntry } from './tokens.js';

/** A guess costs this, so that guessing is hopeless. */
const REFUSED_MS = 500;
/** Shorter than the silence after which either side gives up. */
const BEAT_MS = 15_000;
const MESSAGE_MS_MAX = 60_000;
const UNHEARD_BYTES_MAX = 64 * MiB;
const UNHEARD_MS_MAX = 30_000;

export interface AuthParts {
  readonly clock: Clock;
  /** Who has lent a token of this hash, and for which file. */
  readonly delegated: (hash: string) => Promise<Lent | undefined>;
}

/** @throws TransferError E_AUTH without a token that counts, after a while */
export async function authenticate(
  request: IncomingMessage,
  book: TokenBook,
  { clock, delegated }: AuthParts,
): Promise<TokenEntry> {
  const [, token] = /^Bearer ([\w-]{1,200})$/.exec(request.headers.authorization ?? '') ?? [];
  const hash = token === undefined ? '' : sha256Hex(Buffer.from(token));
  const entry = known(book, hash, clock);
  if (entry) return entry;
  const lent = token?.startsWith(DELEGATED) ? await delegated(hash) : undefined;
  const lender = lent && known(book, lent.lender, clock);
  if (lent && lender) return { ...lender, only: lent.place };
  await clock.sleep(REFUSED_MS);
  throw new TransferError('E_AUTH', 'the token is unknown here, has expired or was removed', {
    hint: 'Ask whoever runs the peer for a token: blockferry serve token add NAME. Then: blockferry peer add.',
  });
}

/** Where the list lies, and what is wrong with it, is for whoever runs the peer. */
function known(book: TokenBook, hash: string, clock: Clock): TokenEntry | undefined {
  try {
    return book.find(hash, clock.wallMs());
  } catch (cause) {
    throw new TransferError('E_UNAVAILABLE', 'the peer cannot read its list of tokens', {
      hint: 'Whoever runs it sees why with: blockferry serve token list',
      cause,
    });
  }
}

/** @throws TransferError E_USAGE where the client speaks another protocol */
export function assertProtocol(request: IncomingMessage): void {
  const spoken = request.headers[PROTOCOL_HEADER];
  if (spoken === String(PROTOCOL)) return;
  throw new TransferError(
    'E_USAGE',
    `this Blockferry speaks protocol ${PROTOCOL} between hosts, not ${spoken ?? 'none'}`,
    {
      hint: 'Bring both hosts to the same version.',
    },
  );
}

/** @throws TransferError E_PROTOCOL for what is no JSON, or too much of it */
export async function readMessage(request: IncomingMessage, clock: Clock): Promise<unknown> {
  const pieces: Buffer[] = [];
  const beginMs = nowMs(clock);
  let bytes = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > WIRE_LIMITS.messageBytesMax) throw badMessage('it is too long');
    if (nowMs(clock) - beginMs > MESSAGE_MS_MAX) throw badMessage('it comes too slowly');
    pieces.push(piece);
  }
  try {
    return JSON.parse(Buffer.concat(pieces).toString('utf8'));
  } catch {
    throw badMessage('it is no JSON');
  }
}

function badMessage(why: string): TransferError {
  return new TransferError('E_PROTOCOL', `a message cannot be read: ${why}`, { hint: 'Check the client.' });
}

export function answer(response: ServerResponse, content: unknown): void {
  const body = Buffer.from(JSON.stringify(content));
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length });
  response.end(body);
}

/**
 * What is still coming is taken and thrown away, so that the answer is heard: a connection that is closed on its sender
 * may lose it. Whoever has no token is not listened to any more.
 */
export function answerError(
  request: IncomingMessage,
  response: ServerResponse,
  { error, clock }: { readonly error: TransferError; readonly clock: Clock },
): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const { code, hint } = error;
  const message = withoutDescriptors(error.message);
  const { retryAfterMs, offset } = error.detail;
  const told = {
    code,
    message,
    ...(hint && { hint }),
    ...(retryAfterMs && { retryAfterMs }),
    ...(offset && { offset }),
  };
  const body = Buffer.from(JSON.stringify({ error: told }));
  const lost = lostState(error);
  response.writeHead(statusOf(error), {
    'content-type': 'application/json',
    'content-length': body.length,
    ...(lost && { [LEASE_HEADER]: lost }),
    ...(code === 'E_AUTH' && !request.complete && { connection: 'close' }),
  });
  response.end(body);
  if (!request.complete) void throwAway(request, clock);
}

/** Neither much of it nor for long: a client that has its answer stops sending. */
async function throwAway(request: IncomingMessage, clock: Clock): Promise<void> {
  const over = new AbortController();
  let rest = 0;
  request.on('data', (piece: Buffer) => {
    rest += piece.length;
    if (rest > UNHEARD_BYTES_MAX) request.destroy();
  });
  for (const event of ['end', 'close']) request.once(event, () => over.abort());
  request.resume();
  await clock.sleep(UNHEARD_MS_MAX, over.signal);
  if (!request.complete) request.destroy();
}

function statusOf({ code }: TransferError): number {
  if (code === 'E_AUTH') return 401;
  if (code === 'E_SOURCE_MISSING') return 404;
  if (code === 'E_PART_LOST') return 410;
  if (code === 'E_UNAVAILABLE') return 503;
  return ERROR_KINDS[code].exitCode === 2 || code === 'E_PROTOCOL' ? 400 : 500;
}

/** 102, RFC 2518 §10.1: so that the client does not take the peer for gone. */
export function sayGoingOn(response: ServerResponse): void {
  if (!response.headersSent && !response.destroyed) response.writeProcessing();
}

/** While work takes long, the client hears now and then that it goes on. */
export async function beating<T>(response: ServerResponse, clock: Clock, work: Promise<T>): Promise<T> {
  const done = new AbortController();
  const beat = async (): Promise<void> => {
    for (;;) {
      await clock.sleep(BEAT_MS, done.signal);
      if (done.signal.aborted) return;
      sayGoingOn(response);
    }
  };
  const beats = beat();
  try {
    return await work;
  } finally {
    done.abort();
    await beats;
  }
}
