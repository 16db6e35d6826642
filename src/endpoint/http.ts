/**
 * The http(s) source. It is opened by reading one byte, since only a real answer to a range proves that ranges work.
 * Every chunk is then bound to the version that this answer named: a changed source is told, never mixed.
 */
import type { ByteRange } from '../core/chunk.js';
import type { ChunkReader, EndpointRef, Location, Source, Version } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import {
  checkRange,
  checkVersion,
  HttpChunkReader,
  type HttpVersion,
  noRanges,
  parseContentRange,
  rangeHeader,
  sizeChanged,
  versionOf,
} from './http-chunk.js';
import { headerOf, statusError } from './http-errors.js';
import type { Exchange, HttpClient } from './http-exchange.js';
import { FastClient } from './http-fast.js';
import { PlainClient } from './http-plain.js';
import { HttpResource } from './http-resource.js';

/** Holds the URL with its secrets: it may cross threads, and must not be written down. */
export interface HttpRef extends EndpointRef, HttpVersion {
  readonly scheme: 'http';
  readonly url: string;
  readonly finalUrl: string;
}

const SILENCE_MS_MAX = 60_000;
const FIRST_BYTE: ByteRange = { offset: 0, length: 1 };

interface Clients {
  readonly plain: PlainClient;
  readonly fast: FastClient;
}

let clients: Clients | undefined;

/** The connections of this thread, made when they are first needed. */
export function httpClient(): HttpClient {
  if (clients === undefined) {
    const plain = new PlainClient(SILENCE_MS_MAX);
    clients = { plain, fast: new FastClient(plain, { silenceMsMax: SILENCE_MS_MAX }) };
  }
  return clients.fast;
}

/** Drops this thread's connections; requests under way fail. The next source makes new ones. */
export async function closeHttp(): Promise<void> {
  const closing = clients;
  clients = undefined;
  closing?.fast.destroy();
  await closing?.plain.destroy();
}

/**
 * Opens the file at an http or https URL, following redirects.
 * @throws TransferError E_SOURCE_MISSING, E_AUTH, E_NO_RANGES, E_NO_SIZE, E_UNAVAILABLE, E_HTTP_STATUS, E_NETWORK,
 * E_TIMEOUT, E_PROTOCOL
 */
export async function openHttpSource(location: Location, client: HttpClient = httpClient()): Promise<Source> {
  const resource = new HttpResource(client, location.text);
  const { size, headers } = await probe(resource);
  return new HttpSource(resource, versionOf(headers, size), modifiedNs(headers));
}

/** The source that `ref` was taken from, without asking the server. */
export function attachHttpSource(ref: EndpointRef, client: HttpClient = httpClient()): Source {
  const { url, finalUrl, ...opened } = ref as HttpRef;
  return new HttpSource(new HttpResource(client, url, finalUrl), opened);
}

class HttpSource implements Source {
  readonly readsPerWorker = 4;
  readonly sizeIs = 'exact';
  readonly #resource: HttpResource;
  readonly #opened: HttpVersion;
  readonly modifiedNs?: string;

  constructor(resource: HttpResource, opened: HttpVersion, modifiedNs?: string) {
    this.#resource = resource;
    this.#opened = opened;
    if (modifiedNs !== undefined) this.modifiedNs = modifiedNs;
  }

  get ref(): HttpRef {
    const { size, version, validator } = this.#opened;
    const { url, finalUrl } = this.#resource;
    return { scheme: 'http', url, finalUrl, size, version, ...(validator === undefined ? {} : { validator }) };
  }

  get name(): string {
    return this.#resource.name;
  }

  get fileName(): string {
    return lastSegment(this.#resource.url);
  }

  get size(): number {
    return this.#opened.size;
  }

  get version(): Version {
    return this.#opened.version;
  }

  openChunk(range: ByteRange, signal: AbortSignal): ChunkReader {
    return new HttpChunkReader(this.#resource, this.#opened, range, signal);
  }

  async assertUnchanged(): Promise<undefined> {
    const { size, headers } = await probe(this.#resource);
    if (size !== this.size) throw sizeChanged(this.name, this.size, size);
    checkVersion(this.name, this.#opened, headers);
  }

  async close(): Promise<void> {
    // The connections belong to the thread: closeHttp() drops them.
  }
}

interface Found {
  readonly size: number;
  readonly headers: Exchange['headers'];
}

function modifiedNs(headers: Exchange['headers']): string | undefined {
  const ms = Date.parse(headerOf(headers, 'last-modified') ?? '');
  return Number.isNaN(ms) ? undefined : String(BigInt(ms) * 1_000_000n);
}

/** Reads the first byte, which tells size and version as the chunks will see them. A HEAD would promise, not prove. */
async function probe(resource: HttpResource): Promise<Found> {
  const signal = new AbortController().signal;
  const exchange = await resource.get({ range: rangeHeader(FIRST_BYTE) }, signal);
  try {
    if (exchange.status === 416) return await probeEmpty(resource, signal);
    if (exchange.status === 200)
      return emptyOrNoRanges(resource.name, exchange, 'it answered a range with the whole file');
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
async function probeEmpty(resource: HttpResource, signal: AbortSignal): Promise<Found> {
  const exchange = await resource.get({}, signal);
  try {
    if (exchange.status !== 200) throw statusError(resource.name, exchange.status, exchange.headers);
    return emptyOrNoRanges(resource.name, exchange, 'it refuses to give the first byte');
  } finally {
    exchange.abort();
  }
}

function emptyOrNoRanges(name: string, exchange: Exchange, reason: string): Found {
  const length = headerOf(exchange.headers, 'content-length');
  if (length === undefined) throw noSize(name);
  if (Number(length) !== 0) throw noRanges(name, reason);
  return { size: 0, headers: exchange.headers };
}

function noSize(name: string): TransferError {
  return new TransferError('E_NO_SIZE', `${name}: the server does not say how large the file is`, {
    hint: 'Blockferry copies files of known size: serve it as a file, not as a stream made on the fly.',
  });
}

/** The last part of the path, decoded where it can be: the target's end judges whether it is a name. */
function lastSegment(url: string): string {
  const segment = new URL(url).pathname.split('/').at(-1) ?? '';
  try {
    return decodeURIComponent(segment);
  } catch (thrown) {
    if (thrown instanceof URIError) return segment;
    throw thrown;
  }
}
