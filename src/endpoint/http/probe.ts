/** The first look at an HTTP source: how large it is, which version, and whether ranges of it can be had. */
import type { IncomingHttpHeaders } from 'node:http';
import type { ByteRange } from '../../core/chunk.js';
import { systemClock } from '../../core/clock.js';
import { TransferError } from '../../core/errors.js';
import { checkRange, parseContentRange, rangeHeader, versionOf } from './chunk.js';
import { assertIdentity, headerOf, statusError, wholeBytes } from './errors.js';
import type { Exchange } from './exchange.js';
import type { HttpResource } from './resource.js';

export interface Found {
  readonly size: number;
  readonly headers: IncomingHttpHeaders;
  /** Why ranges of it cannot be had; absent: they can. */
  readonly rangeless?: string;
}

const FIRST_BYTE: ByteRange = { offset: 0, length: 1 };
/** Dates count in seconds. */
const GRAIN_MS = 2000;
const LOOKS_MAX = 4;

/**
 * As {@link probe}, once a later change would show. A date tells none within its second, and of a file so young some
 * servers call the ETag weak that is a strong one a moment later (RFC 9110 §8.8.2.2): as another version it would be
 * refused when the copy goes on.
 */
export async function probeSettled(resource: HttpResource): Promise<Found> {
  for (let look = 1; ; look++) {
    const found = await probe(resource);
    const waitMs = look === LOOKS_MAX ? 0 : unsettledMs(found);
    if (waitMs === 0) return found;
    await systemClock.sleep(waitMs);
  }
}

/** By the server's own clock. */
function unsettledMs({ headers, size }: Found): number {
  if (versionOf(headers, size).version.strength === 'strong') return 0;
  const [now, modified] = ['date', 'last-modified'].map((name) => Date.parse(headerOf(headers, name) ?? ''));
  const ageMs = (now ?? NaN) - (modified ?? NaN);
  return ageMs >= 0 && ageMs < GRAIN_MS ? GRAIN_MS - ageMs : 0;
}

/**
 * Reads the first byte, which tells size and version as the chunks will see them: only a real answer to a range proves
 * that there are ranges. A HEAD would promise, not prove.
 */
export async function probe(resource: HttpResource): Promise<Found> {
  const signal = new AbortController().signal;
  const exchange = await resource.get({ range: rangeHeader(FIRST_BYTE) }, signal);
  try {
    if (exchange.status === 416) return await probeWhole(resource, signal);
    if (exchange.status === 200) return wholeFile(resource.name, exchange, 'it answered a range with the whole file');
    if (exchange.status !== 206) throw statusError(resource.name, exchange.status, exchange.headers);
    checkRange(resource.name, exchange, FIRST_BYTE);
    const total = parseContentRange(headerOf(exchange.headers, 'content-range'))?.total;
    if (total === undefined) throw noSize(resource.name);
    exchange.expect(FIRST_BYTE.length);
    await exchange.read(new Uint8Array(FIRST_BYTE.length));
    return { size: total, headers: exchange.headers };
  } finally {
    exchange.abort();
  }
}

/** An empty file has no first byte to give (RFC 9110 §14.1.2); a GET of the whole tells whether that is the reason. */
async function probeWhole(resource: HttpResource, signal: AbortSignal): Promise<Found> {
  const exchange = await resource.get({}, signal);
  try {
    if (exchange.status !== 200) throw statusError(resource.name, exchange.status, exchange.headers);
    return wholeFile(resource.name, exchange, 'it refuses to give the first byte');
  } finally {
    exchange.abort();
  }
}

function wholeFile(name: string, { headers }: Exchange, rangeless: string): Found {
  assertIdentity(name, headers);
  const size = wholeBytes(headers);
  if (size === undefined) throw noSize(name);
  return size === 0 ? { size, headers } : { size, headers, rangeless };
}

function noSize(name: string): TransferError {
  return new TransferError('E_NO_SIZE', `${name}: the server does not say how large the file is`, {
    hint: 'Blockferry copies files of known size: serve it as a file, not as a stream made on the fly.',
  });
}
