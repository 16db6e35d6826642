/** The first look at an HTTP source: how large it is, which version, and whether ranges of it can be had. */
import type { IncomingHttpHeaders } from 'node:http';
import type { ByteRange } from '../core/chunk.js';
import { TransferError } from '../core/errors.js';
import { checkRange, parseContentRange, rangeHeader } from './http-chunk.js';
import { assertIdentity, headerOf, statusError, wholeBytes } from './http-errors.js';
import type { Exchange } from './http-exchange.js';
import type { HttpResource } from './http-resource.js';

export interface Found {
  readonly size: number;
  readonly headers: IncomingHttpHeaders;
  /** Why ranges of it cannot be had; absent: they can. */
  readonly rangeless?: string;
}

const FIRST_BYTE: ByteRange = { offset: 0, length: 1 };

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
