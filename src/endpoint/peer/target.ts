/**
 * A file at a peer as a target. The daemon there has the part open, under a lease, and does with it what the local end
 * does here: one descriptor for all writes and flushes, a name given without replacing, a mark to know a commit by.
 */
import type { ByteRange } from '../../core/chunk.js';
import { type Algorithm, toHex } from '../../core/digest.js';
import type { ChunkReader, EndpointRef, Extent, FileIdentity, FileTimes } from '../../core/endpoint.js';
import { TransferError } from '../../core/errors.js';
import { BYTE_ROUTES, type CallAnswer, type CallName, type CallRequest, type Place } from '../../core/peer-wire.js';
import type { ChunkWriter, CommitRequest, Expected, PartMark, ReadBack, Target } from '../../core/target.js';
import type { PeerAddress } from './address.js';
import { type PeerRange, PeerReader, PeerWriter } from './bytes.js';
import { LeaseLost, type PeerClient, peerClient, REPEATS_BEGUN_MAX } from './client.js';
import { PeerLease } from './lease.js';
import { extentsInPages, hostIdentity, ownIdentity, shownPlace, toWire } from './source.js';

/** Holds the token: it may cross threads, and must not be written down. */
export interface PeerTargetRef extends EndpointRef {
  readonly scheme: 'peer';
  readonly address: PeerAddress;
  readonly place: Place;
  readonly host: string;
}

export interface PeerPartRef extends PeerTargetRef {
  /** See {@link PeerLease}. */
  readonly shared: SharedArrayBuffer;
  readonly size: number;
  readonly sync: boolean;
  /** As the peer knows it. */
  readonly part: FileIdentity;
  readonly readsPastCache: boolean;
}

type LeaseCall = Extract<
  CallName,
  'part-extents' | 'part-digest' | 'adopt' | 'zero' | 'flush' | 'mark' | 'commit' | 'close-target'
>;

const RENEWALS_MAX = 3;
/** What is asked of a part that is whole: where the peer has let go of it, the next run looks at what became of it. */
const NEVER_RENEWED: ReadonlySet<CallName> = new Set<CallName>(['mark', 'commit', 'close-target']);

export class PeerTarget implements Target {
  readonly ref: PeerPartRef;
  readonly openReadBack?: (range: ByteRange, signal: AbortSignal) => ReadBack;
  readonly #client: PeerClient;
  readonly #lease: PeerLease;

  constructor(ref: PeerPartRef) {
    this.ref = ref;
    this.#client = peerClient(ref.address);
    this.#lease = new PeerLease(ref.shared);
    if (ref.readsPastCache) {
      this.openReadBack = (range, signal) => ({ reader: this.#reader(range, signal, 1), pastCache: true });
    }
  }

  openChunk(range: ByteRange, signal: AbortSignal, algorithm?: Algorithm): ChunkWriter {
    return new PeerWriter(this.#bytes(range, signal, algorithm));
  }

  openChunkBack(range: ByteRange, signal: AbortSignal): ChunkReader {
    return this.#reader(range, signal);
  }

  async holds(range: ByteRange, { algorithm, digest }: Expected, signal: AbortSignal): Promise<boolean> {
    const answer = await this.#call('part-digest', { algorithm, ...span(range) }, signal);
    return answer.digest === toHex(digest);
  }

  async adopt(range: ByteRange, { algorithm, digest }: Expected, signal: AbortSignal): Promise<boolean> {
    return (await this.#call('adopt', { algorithm, digest: toHex(digest), ...span(range) }, signal)).adopted;
  }

  async zero(range: ByteRange): Promise<void> {
    await this.#call('zero', span(range));
  }

  async *extents(range: ByteRange, signal: AbortSignal): AsyncGenerator<Extent> {
    const ask = async (piece: ByteRange) => (await this.#call('part-extents', span(piece), signal)).extents;
    yield* extentsInPages(range, ask, this.#name);
  }

  /**
   * May be asked twice, since the peer counts the flushes that failed: one that failed where nobody heard of it fails
   * again, and never "succeeds" over what it has lost.
   */
  async flush(): Promise<void> {
    const seen = this.#lease.failures;
    const { failures } = await this.#call('flush', { seen });
    if (failures > seen) {
      this.#lease.failures = failures;
      throw this.#flushFailed('its storage could not make written data durable');
    }
    if (this.#lease.takeLost()) throw this.#flushFailed('the peer was started again');
  }

  async mark(times?: FileTimes): Promise<PartMark> {
    const { device, inode, ...rest } = await this.#call('mark', times ? { times } : {});
    return { ...hostIdentity(this.ref.host, { device, inode }), ...rest };
  }

  async commit(request: CommitRequest): Promise<readonly string[]> {
    return (await this.#call('commit', { commit: wireCommit(request) })).sentences;
  }

  async close(): Promise<void> {
    try {
      await this.#client.callOnce('close-target', { lease: this.#lease.value });
    } catch (thrown) {
      // A peer that is not there holds nothing open; one that is lets go by itself.
      if (!(thrown instanceof TransferError) || thrown.code === 'E_BUG') throw thrown;
    }
  }

  get #name(): string {
    return shownPlace(this.#client, this.ref.place);
  }

  #flushFailed(why: string): TransferError {
    return new TransferError('E_FLUSH', `${this.#name}: ${why}, so that what was written last may be lost`, {
      hint: 'What is on record is kept; the same command goes on from there.',
    });
  }

  #reader(range: ByteRange, signal: AbortSignal, past?: 1): ChunkReader {
    // A target that ends early answers short.
    const length = Math.max(0, Math.min(range.length, this.ref.size - range.offset));
    return new PeerReader(this.#bytes({ offset: range.offset, length }, signal, undefined, past));
  }

  #bytes(range: ByteRange, signal: AbortSignal, algorithm?: Algorithm, past?: 1): PeerRange {
    let lease = '';
    const path = (by: Algorithm): string => {
      lease = this.#lease.value;
      const query = new URLSearchParams({
        ...{ lease, offset: String(range.offset), length: String(range.length), algorithm: by },
        ...(past && { past: '1' }),
        ...(this.ref.leavesCache && { cache: 'leave' }),
        ...(this.ref.background && { background: '1' }),
      });
      return `${BYTE_ROUTES.part}?${query}`;
    };
    const recover = (error: unknown): Promise<boolean> => this.#recover(lease, error);
    return { client: this.#client, range, signal, algorithm, path, recover };
  }

  async #call<N extends LeaseCall>(
    call: N,
    request: Omit<CallRequest<N>, 'lease'>,
    signal?: AbortSignal,
  ): Promise<CallAnswer<N>> {
    for (let renewals = 0; ; renewals++) {
      const lease = this.#lease.value;
      try {
        const asked = { ...request, lease } as CallRequest<N>;
        return await this.#client.call(call, asked, signal, REPEATS_BEGUN_MAX);
      } catch (thrown) {
        if (renewals >= RENEWALS_MAX || NEVER_RENEWED.has(call) || !(await this.#recover(lease, thrown))) throw thrown;
      }
    }
  }

  /** Opens the part anew where the peer has let go of it; answers whether that was the trouble. */
  async #recover(lost: string, error: unknown): Promise<boolean> {
    if (!(error instanceof LeaseLost)) return false;
    const { place, size, sync, part } = this.ref;
    await this.#lease.renew(lost, async () => {
      const request = { place, size, sync, partial: 'reopen' } as const;
      const { lease, identity } = await this.#client.call('prepare-target', request, undefined, REPEATS_BEGUN_MAX);
      if (identity.device === part.device && identity.inode === part.inode) return lease;
      throw new TransferError('E_TARGET_CHANGED', `the partial copy of ${this.#name} is not the one it was`, {
        hint: 'Find out what cleans that folder at the peer, then copy again.',
      });
    });
    return true;
  }
}

function span({ offset, length }: ByteRange): ByteRange {
  return { offset, length };
}

export function wireCommit({ overwrite, sync, mode, attributes }: CommitRequest): CallRequest<'commit'>['commit'] {
  return {
    overwrite,
    sync,
    ...(mode !== undefined && { mode }),
    ...(attributes && { attributes: toWire(attributes) }),
  };
}

/** The mark as the peer knows it; undefined: another host made it. */
export function ownMark(host: string, { size, mtimeNs, ...identity }: PartMark): PartMark | undefined {
  const own = ownIdentity(host, identity);
  return own && { ...own, size, mtimeNs };
}
