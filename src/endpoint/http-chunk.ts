/**
 * One chunk of an HTTP source: one ranged GET, bound to the version that was opened. Every answer but exactly the range
 * that was asked for, of exactly that version, is an error with its own name: answers are never spliced.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { ByteRange } from '../core/chunk.js';
import type { ChunkReader, Version } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import { headerOf, statusError } from './http-errors.js';
import type { Exchange } from './http-exchange.js';

/** What gives ranges of one file. */
export interface RangeResource {
  /** For people: without secrets. */
  readonly name: string;
  get(headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Exchange>;
  /** Why a range is refused, where the status does not say all; undefined: it does. */
  explain?(status: number, range: ByteRange): Promise<TransferError | undefined>;
}

/** An HTTP source as it was opened. */
export interface HttpVersion {
  readonly size: number;
  readonly version: Version;
  /** The strong ETag or the Last-Modified date that `version` was made of, just as the server wrote it. */
  readonly validator?: string;
}

/** Strong ETag, else Last-Modified and size. A weak ETag promises no equal bytes (RFC 9110 §8.8.1): it is not one. */
export function versionOf(headers: IncomingHttpHeaders, size: number): HttpVersion {
  const etag = headerOf(headers, 'etag');
  if (etag !== undefined && isStrongEtag(etag)) {
    return { size, version: { strength: 'strong', value: `etag ${etag}` }, validator: etag };
  }
  const modified = headerOf(headers, 'last-modified');
  if (modified !== undefined && !Number.isNaN(Date.parse(modified))) {
    return { size, version: { strength: 'weak', value: `modified ${modified} size ${size}` }, validator: modified };
  }
  return { size, version: { strength: 'none', value: '' } };
}

function isStrongEtag(etag: string): boolean {
  return /^"[^"]*"$/.test(etag);
}

/** @throws TransferError E_SOURCE_CHANGED for an answer of another version, E_PROTOCOL when it does not say which. */
export function checkVersion(name: string, opened: HttpVersion, headers: IncomingHttpHeaders): void {
  if (opened.validator === undefined) return;
  const field = opened.version.strength === 'strong' ? 'etag' : 'last-modified';
  const now = headerOf(headers, field);
  if (now === opened.validator) return;
  if (now !== undefined && (field === 'last-modified' || isStrongEtag(now))) {
    throw sourceChanged(name, `${field} was ${opened.validator} and is ${now}`);
  }
  throw new TransferError('E_PROTOCOL', `${name}: the server no longer sends the ${field} that names the version`, {
    hint: 'Check whether several servers or caches answer for this URL.',
  });
}

export function sourceChanged(name: string, how: string): TransferError {
  return new TransferError('E_SOURCE_CHANGED', `${name}: the source changed since it was opened: ${how}`, {
    hint: 'What was copied is of the old version. Copy the new one with --discard, or put the old one back and resume.',
  });
}

export function noRanges(name: string, reason: string): TransferError {
  return new TransferError('E_NO_RANGES', `${name}: the server gives no byte ranges: ${reason}`, {
    hint: 'Without ranges nothing could be resumed. Turn them on at the server, or use another location for the file.',
  });
}

/** A `Content-Range` of RFC 9110 §14.4; a total that the server does not know is undefined. */
export function parseContentRange(value: string | undefined): { range?: ByteRange; total?: number } | undefined {
  const match = /^bytes (?:(\d+)-(\d+)|\*)\/(\d+|\*)$/i.exec(value ?? '');
  if (match === null) return undefined;
  const [, first, last, total] = match;
  return {
    ...(first === undefined ? {} : { range: { offset: Number(first), length: Number(last) - Number(first) + 1 } }),
    ...(total === '*' ? {} : { total: Number(total) }),
  };
}

export function rangeHeader(range: ByteRange): string {
  return `bytes=${range.offset}-${range.offset + range.length - 1}`;
}

/** @throws TransferError when the body would be anything but the bytes of the range as they are in the file. */
export function checkRange(name: string, exchange: Pick<Exchange, 'headers'>, range: ByteRange): void {
  const encoding = headerOf(exchange.headers, 'content-encoding');
  const answered = headerOf(exchange.headers, 'content-range');
  const got = parseContentRange(answered)?.range;
  const wrong =
    encoding !== undefined && encoding.toLowerCase() !== 'identity'
      ? `content-encoding ${encoding}`
      : got?.offset !== range.offset || got.length !== range.length
        ? `content-range ${answered ?? 'missing'}`
        : undefined;
  if (wrong === undefined) return;
  throw new TransferError('E_PROTOCOL', `${name}: asked for ${rangeHeader(range)}, was answered with ${wrong}`, {
    hint: 'Check the server and the proxies before it.',
    offset: range.offset,
  });
}

export class HttpChunkReader implements ChunkReader {
  readonly #resource: RangeResource;
  readonly #opened: HttpVersion;
  readonly #range: ByteRange;
  readonly #signal: AbortSignal;
  readonly #stop = new AbortController();
  readonly #onAbort = (): void => this.#stop.abort();
  #opening: Promise<Exchange> | undefined;
  #exchange: Exchange | undefined;
  #left: number;

  constructor(resource: RangeResource, opened: HttpVersion, range: ByteRange, signal: AbortSignal) {
    this.#resource = resource;
    this.#opened = opened;
    this.#range = range;
    this.#left = range.length;
    this.#signal = signal;
    if (signal.aborted) this.#stop.abort();
    else signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  next(into: Uint8Array): number | Promise<number> {
    const part = into.length > this.#left ? into.subarray(0, this.#left) : into;
    this.#left -= part.length;
    if (this.#exchange !== undefined) return this.#exchange.read(part);
    this.#opening ??= this.#open();
    return this.#opening.then((exchange) => exchange.read(part));
  }

  close(): void {
    this.#signal.removeEventListener('abort', this.#onAbort);
    this.#stop.abort();
  }

  async #open(): Promise<Exchange> {
    const { version, validator } = this.#opened;
    const exchange = await this.#resource.get(
      {
        range: rangeHeader(this.#range),
        ...(validator === undefined
          ? {}
          : { [version.strength === 'strong' ? 'if-match' : 'if-unmodified-since']: validator }),
      },
      this.#stop.signal,
    );
    try {
      this.#check(exchange);
    } catch (error) {
      exchange.abort();
      throw (await this.#resource.explain?.(exchange.status, this.#range)) ?? error;
    }
    exchange.expect(this.#range.length);
    this.#exchange = exchange;
    return exchange;
  }

  #check(exchange: Exchange): void {
    const { name } = this.#resource;
    const { status, headers } = exchange;
    if (status === 412 || status === 416) throw sourceChanged(name, `the server no longer has it (status ${status})`);
    if (status === 200) throw this.#wholeFile(headers);
    if (status !== 206) throw statusError(name, status, headers);
    checkVersion(name, this.#opened, headers);
    const total = parseContentRange(headerOf(headers, 'content-range'))?.total;
    if (total !== undefined && total !== this.#opened.size) throw sizeChanged(name, this.#opened.size, total);
    checkRange(name, exchange, this.#range);
  }

  /** What it means that a range was answered with the whole file. */
  #wholeFile(headers: IncomingHttpHeaders): TransferError {
    const { name } = this.#resource;
    const now = versionOf(headers, Number(headerOf(headers, 'content-length') ?? this.#opened.size));
    if (now.size !== this.#opened.size) return sizeChanged(name, this.#opened.size, now.size);
    if (now.version.strength === this.#opened.version.strength && now.validator !== this.#opened.validator) {
      return sourceChanged(name, `it was ${this.#opened.version.value} and is ${now.version.value}`);
    }
    return noRanges(name, 'it answered a range with the whole file');
  }
}

export function sizeChanged(name: string, expected: number, found: number): TransferError {
  return sourceChanged(name, `it had ${expected} bytes and has ${found}`);
}
