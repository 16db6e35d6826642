/**
 * A file at a peer as a source. Nothing is held open there: each range is asked for by path and version, so that a
 * daemon that was started again, or a file that was changed, is met at the next range.
 */
import type { ByteRange } from '../../core/chunk.js';
import { type Algorithm, DIGEST_BYTES, type Digest } from '../../core/digest.js';
import type {
  ChunkReader,
  EndpointRef,
  Extent,
  FileAttributes,
  FileIdentity,
  Source,
  Version,
} from '../../core/endpoint.js';
import { TransferError } from '../../core/errors.js';
import {
  BYTE_ROUTES,
  type Place,
  type SourceFacts,
  type WireAttributes,
  type WireExtent,
} from '../../core/peer-wire.js';
import type { PeerAddress } from './address.js';
import { PeerReader } from './bytes.js';
import { type PeerClient, peerClient } from './client.js';

/** Holds the token: it may cross threads, and must not be written down. */
export interface PeerSourceRef extends EndpointRef {
  readonly scheme: 'peer';
  readonly address: PeerAddress;
  readonly place: Place;
  readonly host: string;
  readonly facts: SourceFacts;
}

/** Inodes of two hosts may have the same numbers. */
export function hostIdentity(host: string, { device, inode }: FileIdentity): FileIdentity {
  return { device: `${host}/${device}`, inode };
}

/** As the host itself knows it; undefined: it is another host's. */
export function ownIdentity(host: string, { device, inode }: FileIdentity): FileIdentity | undefined {
  return device.startsWith(`${host}/`) ? { device: device.slice(host.length + 1), inode } : undefined;
}

export function shownPlace(client: PeerClient, { root, path }: Place): string {
  return `${client.name}/${root}${path === '' ? '' : `/${path}`}`;
}

export class PeerSource implements Source {
  readonly ref: PeerSourceRef;
  readonly name: string;
  readonly sizeIs = 'exact';
  readonly readsPerWorker = 4;
  readonly allocatedBytes?: number;
  readonly extents?: (range: ByteRange, signal: AbortSignal) => AsyncIterable<Extent>;
  readonly #client: PeerClient;

  constructor(ref: PeerSourceRef) {
    this.ref = ref;
    this.#client = peerClient(ref.address);
    this.name = shownPlace(this.#client, ref.place);
    const { allocatedBytes, holes } = ref.facts;
    if (allocatedBytes !== undefined) this.allocatedBytes = allocatedBytes;
    if (holes) this.extents = (range, signal) => this.#extents(range, signal);
  }

  get fileName(): string {
    return this.ref.place.path.split('/').at(-1) ?? '';
  }

  get size(): number {
    return this.ref.facts.size;
  }

  get version(): Version {
    return this.ref.facts.version;
  }

  get mode(): number {
    return this.ref.facts.mode & 0o777;
  }

  get identity(): FileIdentity {
    return hostIdentity(this.ref.host, this.ref.facts.identity);
  }

  attributes(): FileAttributes {
    return fromWire(this.ref.facts.attributes);
  }

  openChunk(range: ByteRange, signal: AbortSignal, algorithm?: Algorithm): ChunkReader {
    const { place, facts, leavesCache } = this.ref;
    const path = (by: Algorithm): string => {
      const query = new URLSearchParams({
        ...place,
        ...{ version: facts.version.value, offset: String(range.offset), length: String(range.length), algorithm: by },
        ...(leavesCache && { cache: 'leave' }),
      });
      return `${BYTE_ROUTES.source}?${query}`;
    };
    return new PeerReader({ client: this.#client, range, signal, algorithm, path });
  }

  async digest(range: ByteRange, algorithm: Algorithm, signal: AbortSignal): Promise<Digest> {
    const { place, facts } = this.ref;
    const { offset, length } = range;
    const request = { place, version: facts.version.value, algorithm, chunkBytes: length, offset, length };
    const [digest, ...more] = (await this.#client.call('source-digests', request, signal)).digests;
    if (digest?.length === DIGEST_BYTES[algorithm] * 2 && more.length === 0) return Buffer.from(digest, 'hex');
    throw new TransferError('E_PROTOCOL', `${this.name}: the peer answered a range with what is no digest of it`, {
      hint: 'Check the peer.',
    });
  }

  async assertUnchanged(): Promise<string | undefined> {
    const { facts, host } = await this.#client.call('open-source', this.ref.place);
    const { version, size } = this.ref.facts;
    if (facts.version.value !== version.value || facts.size !== size || host !== this.ref.host) {
      throw new TransferError('E_SOURCE_CHANGED', `${this.name} was changed while it was copied`, {
        hint: 'Nothing was put under the name of the target. Stop what writes to the source, then copy with --discard.',
      });
    }
    return facts.version.changedNs;
  }

  async close(): Promise<void> {
    // Nothing is held for it, here or there; connections belong to the thread.
  }

  async *#extents(range: ByteRange, signal: AbortSignal): AsyncGenerator<Extent> {
    const { place, facts } = this.ref;
    const ask = async ({ offset, length }: ByteRange): Promise<readonly WireExtent[]> => {
      const request = { place, version: facts.version.value, offset, length };
      return (await this.#client.call('source-extents', request, signal)).extents;
    };
    yield* extentsInPages(range, ask, this.name);
  }
}

/** All extents of a range that is asked about piece by piece; each answer must go on where the one before ended. */
export async function* extentsInPages(
  range: ByteRange,
  ask: (range: ByteRange) => Promise<readonly WireExtent[]>,
  name: string,
): AsyncGenerator<Extent> {
  const end = range.offset + range.length;
  for (let at = range.offset; at < end; ) {
    const page = await ask({ offset: at, length: end - at });
    for (const [[offset, length], data] of page) {
      if (offset !== at || length === 0 || length > end - at) throw notExtents(name);
      yield { offset, length, kind: data ? 'data' : 'zero' };
      at += length;
    }
    if (page.length === 0) throw notExtents(name);
  }
}

function notExtents(name: string): TransferError {
  return new TransferError('E_PROTOCOL', `${name}: what the peer says of its holes does not fit together`, {
    hint: 'Check the peer.',
  });
}

function fromWire({ extended, ...rest }: WireAttributes): FileAttributes {
  if (!extended) return rest;
  return { ...rest, extended: extended.map(([name, value]) => [name, Buffer.from(value, 'base64')] as const) };
}

export function toWire({ extended, unread, ...rest }: FileAttributes): WireAttributes {
  return {
    ...rest,
    ...(unread && { unread }),
    ...(extended && {
      extended: extended.map(([name, value]) => [name, Buffer.from(value).toString('base64')] as const),
    }),
  };
}
