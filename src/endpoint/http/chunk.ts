/**
 * One chunk of an HTTP source: one ranged GET, bound to the version that was opened. Every answer but exactly the range
 * that was asked for, of exactly that version, is an error with its own name: answers are never spliced.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { ByteRange } from '../../core/chunk.js';
import type { ChunkReader, Version } from '../../core/endpoint.js';
import { TransferError } from '../../core/errors.js';
import { KiB } from '../../core/units.js';
import { BodyCheck, reprSha256 } from './digest.js';
import { assertIdentity, CHECK_SERVER, headerOf, statusError, wholeBytes } from './errors.js';
import type { Exchange } from './exchange.js';

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
  /** A weak ETag, where there is nothing better: no equal bytes follow from its being the same. */
  readonly weakEtag?: string;
  /** When it was last changed, in nanoseconds since 1970, as the server says. */
  readonly modifiedNs?: string;
  /** The SHA-256 of all of it, in hex, as the server says. */
  readonly sha256?: string;
  /** Ranges of it cannot be had: each reading is a GET of the whole. */
  readonly oneChunk?: true;
}

/** Strong ETag, else Last-Modified and size. A weak ETag promises no equal bytes (RFC 9110 §8.8.1): it is not one. */
export function versionOf(headers: IncomingHttpHeaders, size: number): HttpVersion {
  const etag = headerOf(headers, 'etag');
  const modified = headerOf(headers, 'last-modified') ?? '';
  const ms = Date.parse(modified);
  const sha256 = reprSha256(headers);
  const about = {
    size,
    ...(!Number.isNaN(ms) && { modifiedNs: String(BigInt(ms) * 1_000_000n) }),
    ...(sha256 !== undefined && { sha256 }),
  };
  if (etag !== undefined && isStrongEtag(etag))
    return { ...about, version: { strength: 'strong', value: `etag ${etag}` }, validator: etag };
  if (!Number.isNaN(ms))
    return { ...about, version: { strength: 'weak', value: `modified ${modified} size ${size}` }, validator: modified };
  return { ...about, version: { strength: 'none', value: '' }, ...(isWeakEtag(etag) && { weakEtag: etag }) };
}

const isWeakEtag = (etag: string | undefined): etag is string => /^W\/"[^"]*"$/.test(etag ?? '');

function isStrongEtag(etag: string): boolean {
  return /^"[^"]*"$/.test(etag);
}

/** @throws TransferError E_SOURCE_CHANGED for an answer of another version, E_PROTOCOL when it does not say which. */
export function checkVersion(name: string, opened: HttpVersion, headers: IncomingHttpHeaders): void {
  if (opened.validator === undefined) {
    const [before, after] = [opened.weakEtag, headerOf(headers, 'etag')];
    // That it is another one says enough (RFC 9110 §8.8.1).
    if (before !== undefined && isWeakEtag(after) && after !== before)
      throw sourceChanged(name, `its weak etag was ${before} and is ${after}`);
    return;
  }
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

export function noRanges(name: string, reason: string, more = ''): TransferError {
  const hint = 'Without ranges nothing could be resumed. Turn them on at the server, or use another location.';
  return new TransferError('E_NO_RANGES', `${name}: the server gives no byte ranges: ${reason}`, {
    hint: more === '' ? hint : `${hint}\n${more}`,
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

/** @throws TransferError E_PROTOCOL when the body would be anything but the bytes of the range as the file has them */
export function checkRange(name: string, { headers }: Pick<Exchange, 'headers'>, range: ByteRange): void {
  assertIdentity(name, headers);
  const answered = headerOf(headers, 'content-range');
  const got = parseContentRange(answered)?.range;
  if (got?.offset === range.offset && got.length === range.length) return;
  const what = `asked for ${rangeHeader(range)}, was answered with content-range ${answered ?? 'missing'}`;
  throw new TransferError('E_PROTOCOL', `${name}: ${what}`, { hint: CHECK_SERVER, offset: range.offset });
}

export function sizeChanged(name: string, expected: number, found: number): TransferError {
  return sourceChanged(name, `it had ${expected} bytes and has ${found}`);
}

const SKIP_BYTES = 64 * KiB;

export class HttpChunkReader implements ChunkReader {
  readonly #resource: RangeResource;
  readonly #opened: HttpVersion;
  readonly #range: ByteRange;
  readonly #signal: AbortSignal;
  readonly #stop = new AbortController();
  readonly #onAbort = (): void => this.#stop.abort();
  #opening: Promise<Exchange> | undefined;
  #exchange: Exchange | undefined;
  #check: BodyCheck | undefined;
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
    const last = this.#left === 0;
    const exchange = this.#exchange;
    if (exchange === undefined) {
      this.#opening ??= this.#open();
      return this.#opening.then(async (opened) => this.#checked(part, await opened.read(part), last));
    }
    const got = exchange.read(part);
    if (this.#check === undefined) return got;
    return typeof got === 'number' ? this.#checked(part, got, last) : got.then((n) => this.#checked(part, n, last));
  }

  close(): void {
    this.#signal.removeEventListener('abort', this.#onAbort);
    this.#stop.abort();
  }

  #checked(part: Uint8Array, got: number, last: boolean): number {
    this.#check?.update(part);
    if (last) this.#check?.end();
    return got;
  }

  async #open(): Promise<Exchange> {
    const { version, validator, oneChunk, size } = this.#opened;
    const exchange = await this.#resource.get(
      {
        ...(!oneChunk && { range: rangeHeader(this.#range) }),
        ...(validator !== undefined && {
          [version.strength === 'strong' ? 'if-match' : 'if-unmodified-since']: validator,
        }),
      },
      this.#stop.signal,
    );
    try {
      if (oneChunk) this.#checkWhole(exchange);
      else this.#checkRange(exchange);
      exchange.expect(oneChunk ? size : this.#range.length);
      if (oneChunk) await this.#skip(exchange);
    } catch (error) {
      exchange.abort();
      throw (await this.#resource.explain?.(exchange.status, this.#range)) ?? error;
    }
    const whole = this.#range.length === size;
    // Of a part of a whole nothing can be said.
    if (whole || !oneChunk) this.#check = BodyCheck.of(this.#resource.name, exchange.headers, whole);
    this.#exchange = exchange;
    return exchange;
  }

  /** What comes before the range. */
  async #skip(exchange: Exchange): Promise<void> {
    const scratch = new Uint8Array(SKIP_BYTES);
    for (let rest = this.#range.offset; rest > 0; rest -= SKIP_BYTES)
      await exchange.read(scratch.subarray(0, Math.min(SKIP_BYTES, rest)));
  }

  #assertThere({ status }: Exchange): void {
    if (status === 412 || status === 416)
      throw sourceChanged(this.#resource.name, `the server no longer has it (status ${status})`);
  }

  #checkRange(exchange: Exchange): void {
    const { name } = this.#resource;
    const { status, headers } = exchange;
    this.#assertThere(exchange);
    if (status === 200) throw this.#wholeFile(headers);
    if (status !== 206) throw statusError(name, status, headers);
    checkVersion(name, this.#opened, headers);
    const total = parseContentRange(headerOf(headers, 'content-range'))?.total;
    if (total !== undefined && total !== this.#opened.size) throw sizeChanged(name, this.#opened.size, total);
    checkRange(name, exchange, this.#range);
  }

  #checkWhole(exchange: Exchange): void {
    const { name } = this.#resource;
    const { status, headers } = exchange;
    this.#assertThere(exchange);
    if (status !== 200) throw statusError(name, status, headers);
    const size = wholeBytes(headers);
    if (size !== undefined && size !== this.#opened.size) throw sizeChanged(name, this.#opened.size, size);
    checkVersion(name, this.#opened, headers);
    assertIdentity(name, headers);
  }

  /** What it means that a range was answered with the whole file. */
  #wholeFile(headers: IncomingHttpHeaders): TransferError {
    const { name } = this.#resource;
    const now = versionOf(headers, wholeBytes(headers) ?? this.#opened.size);
    if (now.size !== this.#opened.size) return sizeChanged(name, this.#opened.size, now.size);
    if (now.version.strength === this.#opened.version.strength && now.validator !== this.#opened.validator) {
      return sourceChanged(name, `it was ${this.#opened.version.value} and is ${now.version.value}`);
    }
    return noRanges(name, 'it answered a range with the whole file');
  }
}
