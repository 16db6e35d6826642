/**
 * The http(s) source. It is opened by reading one byte, since only a real answer to a range proves that ranges work.
 * Every chunk is then bound to the version that this answer named: a changed source is told, never mixed.
 */
import { type ByteRange, CHUNK_BYTES_DEFAULT } from '../core/chunk.js';
import type { ChunkReader, EndpointRef, FileIdentity, Location, Source, Version } from '../core/endpoint.js';
import type { TransferError } from '../core/errors.js';
import { formatBytes } from '../core/units.js';
import { type HttpAccess, httpAccess } from './http/access.js';
import { checkVersion, HttpChunkReader, type HttpVersion, noRanges, sizeChanged, versionOf } from './http/chunk.js';
import { clientFor } from './http/client.js';
import type { HttpClient } from './http/exchange.js';
import { probe, probeSettled } from './http/probe.js';
import { HttpResource, parseUrl } from './http/resource.js';
import { identityAt } from './url-path.js';

/** Holds the URL with its secrets: it may cross threads, and must not be written down. */
export interface HttpRef extends EndpointRef, HttpVersion {
  readonly scheme: 'http';
  readonly url: string;
  readonly finalUrl: string;
  readonly access: HttpAccess;
}

/** Reads that keep one thread busy; those for which it has no connection wait for one. */
const READS_PER_WORKER = 4;

export interface HttpParts {
  /** Default: this thread's own. */
  readonly client?: HttpClient | undefined;
  /** Among which the connections are divided. Default 1. */
  readonly threads?: number;
}

/**
 * Opens the file at an http or https URL, following redirects.
 * @throws TransferError E_USAGE, E_SOURCE_MISSING, E_AUTH, E_NO_RANGES, E_NO_SIZE, E_UNAVAILABLE, E_HTTP_STATUS,
 * E_NETWORK, E_TIMEOUT, E_PROTOCOL
 */
export async function openHttpSource(location: Location, { client, threads = 1 }: HttpParts = {}): Promise<Source> {
  const access = await httpAccess(parseUrl(location.text), location.http);
  const resource = new HttpResource(client ?? clientFor(access, threads), access, location.text);
  const { size, headers, rangeless } = await probeSettled(resource);
  if (rangeless !== undefined && size > CHUNK_BYTES_DEFAULT && !location.http?.noResumeOk)
    throw noRangesForLarge(resource.name, size, rangeless);
  const opened: HttpVersion = { ...versionOf(headers, size), ...(rangeless !== undefined && { oneChunk: true }) };
  return new HttpSource(resource, opened);
}

/** The source that `ref` was taken from, without asking the server. */
export function attachHttpSource(ref: EndpointRef, { client, threads = 1 }: HttpParts = {}): Source {
  const { url, finalUrl, access, ...opened } = ref as HttpRef;
  const resource = new HttpResource(client ?? clientFor(access, threads), access, url, finalUrl);
  return new HttpSource(resource, opened);
}

class HttpSource implements Source {
  readonly sizeIs = 'exact';
  readonly readsPerWorker = READS_PER_WORKER;
  readonly modifiedNs?: string;
  readonly oneChunk?: true;
  readonly sha256?: string;
  readonly #resource: HttpResource;
  readonly #opened: HttpVersion;

  constructor(resource: HttpResource, opened: HttpVersion) {
    this.#resource = resource;
    this.#opened = opened;
    const { modifiedNs, oneChunk, sha256 } = opened;
    if (modifiedNs !== undefined) this.modifiedNs = modifiedNs;
    if (oneChunk) this.oneChunk = oneChunk;
    if (sha256 !== undefined) this.sha256 = sha256;
  }

  get ref(): HttpRef {
    const { url, finalUrl, access } = this.#resource;
    return { scheme: 'http', url, finalUrl, access, ...this.#opened };
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

  /** By where it is: a target at the same place would be written over while it is read. */
  get identity(): FileIdentity {
    return identityAt(new URL(this.#resource.finalUrl));
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

function noRangesForLarge(name: string, size: number, reason: string): TransferError {
  const [most, has] = [formatBytes(CHUNK_BYTES_DEFAULT), formatBytes(size)];
  const what = `without them no more than ${most} are copied, and it has ${has}`;
  return noRanges(name, `${reason}; ${what}`, 'With --no-resume-ok it is copied in one stream, and a stop costs all.');
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
