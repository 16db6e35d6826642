/**
 * An object as a source. It is read as any HTTP file is, by ranged GETs that are bound to the ETag that it was opened
 * with, each signed; so a changed object is told, never mixed.
 */
import type { ByteRange } from '../../core/chunk.js';
import type { ChunkReader, EndpointRef, FileIdentity, Location, Source, Version } from '../../core/endpoint.js';
import { TransferError } from '../../core/errors.js';
import { NEVER } from '../../core/stop.js';
import {
  checkRange,
  checkVersion,
  HttpChunkReader,
  type HttpVersion,
  noRanges,
  parseContentRange,
  type RangeResource,
  rangeHeader,
  sizeChanged,
  versionOf,
} from '../http/chunk.js';
import { signedClient } from '../http/client.js';
import { headerOf } from '../http/errors.js';
import { Exchange } from '../http/exchange.js';
import { ask, signedFor } from './client.js';
import { type S3Answer, s3Error } from './errors.js';
import { identityOf, nameOf, placeOf, type S3Place, urlOf } from './place.js';
import { UNSIGNED } from './sign.js';

interface S3SourceRef extends EndpointRef, HttpVersion {
  readonly scheme: 's3';
  readonly place: S3Place;
}

/** Statuses that have many reasons. */
const UNEXPLAINED = new Set([301, 307, 400, 401, 403, 404]);
const FIRST_BYTE: ByteRange = { offset: 0, length: 1 };

/** @throws TransferError E_USAGE, E_SOURCE_MISSING, E_SOURCE_ACCESS, E_AUTH, E_NETWORK and others */
export async function openS3Source(location: Location): Promise<Source> {
  return openPlace(placeOf(location));
}

export async function openPlace(place: S3Place): Promise<Source> {
  if (place.key === '' || place.key.endsWith('/')) {
    throw new TransferError('E_SOURCE_KIND', `${nameOf(place)} names no object`, {
      hint: 'Give the whole key of one object: buckets and prefixes are not copied.',
    });
  }
  const { version, modifiedNs } = await look(new S3Object(place));
  return new S3Source(place, version, modifiedNs);
}

/** The source that `ref` was taken from, without asking the server. */
export function attachS3Source(ref: EndpointRef): Source {
  const { place, size, version, validator } = ref as S3SourceRef;
  return new S3Source(place, { size, version, ...(validator !== undefined && { validator }) });
}

class S3Source implements Source {
  readonly readsPerWorker = 4;
  readonly sizeIs = 'exact';
  readonly #object: S3Object;
  readonly #opened: HttpVersion;
  readonly modifiedNs?: string;

  constructor(place: S3Place, opened: HttpVersion, modifiedNs?: string) {
    this.#object = new S3Object(place);
    this.#opened = opened;
    if (modifiedNs !== undefined) this.modifiedNs = modifiedNs;
  }

  get ref(): S3SourceRef {
    return { scheme: 's3', place: this.#object.place, ...this.#opened };
  }

  get name(): string {
    return this.#object.name;
  }

  get fileName(): string {
    return this.#object.place.key.split('/').at(-1) ?? '';
  }

  get size(): number {
    return this.#opened.size;
  }

  get version(): Version {
    return this.#opened.version;
  }

  get identity(): FileIdentity {
    const { place } = this.#object;
    return { device: identityOf(place), inode: place.key };
  }

  openChunk(range: ByteRange, signal: AbortSignal): ChunkReader {
    return new HttpChunkReader(this.#object, this.#opened, range, signal);
  }

  async assertUnchanged(): Promise<undefined> {
    const { version, headers } = await look(this.#object);
    if (version.size !== this.size) throw sizeChanged(this.name, this.size, version.size);
    checkVersion(this.name, this.#opened, headers);
  }

  async close(): Promise<void> {
    // The connections belong to the thread.
  }
}

/** The object, as what gives ranges. */
class S3Object implements RangeResource {
  readonly place: S3Place;
  readonly name: string;

  constructor(place: S3Place) {
    this.place = place;
    this.name = nameOf(place);
  }

  async get(headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Exchange> {
    const url = urlOf(this.place, versionQuery(this.place));
    const toSign = { method: 'GET', url, headers: { ...headers, 'accept-encoding': 'identity' }, payload: UNSIGNED };
    const signed = await signedFor(this.place, toSign);
    const sent = { ...signed.headers, 'user-agent': 'blockferry' };
    const exchange = await Exchange.open(signedClient(), url, sent, signal);
    // It is what somebody said of the object when he stored it, whose bytes are given as they are stored.
    delete exchange.headers['content-encoding'];
    return exchange;
  }

  /** The fast way of reading gives no bodies but those of ranges, and a refusal's reason is in its body. */
  async explain(status: number, range: ByteRange): Promise<TransferError | undefined> {
    if (!UNEXPLAINED.has(status)) return undefined;
    const headers = { range: rangeHeader({ offset: range.offset, length: 1 }) };
    const answer = await ask(this.place, { method: 'GET', query: versionQuery(this.place), headers });
    return answer.status === 206 ? undefined : s3Error(this.name, answer, 'source');
  }
}

interface Looked {
  readonly version: HttpVersion;
  readonly headers: S3Answer['headers'];
  readonly modifiedNs?: string;
}

/** Reads the first byte, which tells size and version as the chunks will see them, and a refusal its reason. */
async function look(object: S3Object): Promise<Looked> {
  const { name, place } = object;
  const exchange = await object.get({ range: rangeHeader(FIRST_BYTE) }, NEVER);
  try {
    const { status, headers } = exchange;
    if (status === 416) return await lookAtEmpty(place);
    if (status === 200) throw noRanges(name, 'it answered a range with the whole object');
    if (status !== 206)
      throw (await object.explain(status, FIRST_BYTE)) ?? s3Error(name, { status, headers, text: '' }, 'source');
    checkRange(name, exchange, FIRST_BYTE);
    const total = parseContentRange(headerOf(headers, 'content-range'))?.total;
    if (total === undefined) throw noSize(name);
    exchange.expect(FIRST_BYTE.length);
    await exchange.read(new Uint8Array(FIRST_BYTE.length));
    return looked(exchange, total);
  } finally {
    exchange.abort();
  }
}

/** An empty object has no first byte to give. */
async function lookAtEmpty(place: S3Place): Promise<Looked> {
  const name = nameOf(place);
  const answer = await ask(place, { method: 'HEAD', query: versionQuery(place) });
  if (answer.status !== 200) throw s3Error(name, answer, 'source');
  if (headerOf(answer.headers, 'content-length') !== '0') throw noRanges(name, 'it refuses to give the first byte');
  return looked(answer, 0);
}

function looked({ headers }: Pick<S3Answer, 'headers'>, size: number): Looked {
  const ms = Date.parse(headerOf(headers, 'last-modified') ?? '');
  return {
    version: versionOf(headers, size),
    headers,
    ...(!Number.isNaN(ms) && { modifiedNs: String(BigInt(ms) * 1_000_000n) }),
  };
}

function versionQuery({ version }: S3Place): Readonly<Record<string, string>> {
  return version === undefined ? {} : { versionId: version };
}

function noSize(name: string): TransferError {
  return new TransferError('E_NO_SIZE', `${name}: the server does not say how large the object is`, {
    hint: 'Check the endpoint, and the proxies before it.',
  });
}
