/** What a serving thread answers to each call: files by itself, partial copies with the main thread. */
import { ChunkGrid } from '../core/chunk.js';
import { systemClock } from '../core/clock.js';
import type { Extent, Source } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import {
  type CallAnswer,
  type CallName,
  type CallRequest,
  PROTOCOL,
  type SourceFacts,
  WIRE_LIMITS,
  type WireExtent,
} from '../core/peer-wire.js';
import type { ThreadLink } from '../core/thread-link.js';
import { BlockBuffers } from '../transfer/block-buffers.js';
import type { HostCall, HostForThread } from './host.js';
import { machineCalls } from './machine-calls.js';
import { assertSame, type OpenSources } from './open-sources.js';
import { hashReader, type PartBytes } from './part-bytes.js';
import { ROOT_HINT } from './roots.js';
import type { ThreadData } from './serve-thread.js';
import { assertAwaited, assertInside, assertRange, assertRight } from './source-bytes.js';
import { mayUse, type TokenEntry } from './tokens.js';

export type ThreadCalls = {
  /** The signal aborts when nobody waits for the answer any more. */
  [N in CallName]: (request: CallRequest<N>, client: TokenEntry, signal: AbortSignal) => Promise<CallAnswer<N>>;
};

interface CallParts {
  readonly sources: OpenSources;
  readonly parts: PartBytes;
  readonly link: ThreadLink<HostForThread>;
}

export function threadCalls(data: ThreadData, { sources, parts, link }: CallParts): ThreadCalls {
  const { host, instance, roots } = data;
  const buffers = new BlockBuffers();
  return {
    hello: async (_request, client) => {
      const offered = roots.map(({ name }) => {
        return { name, rights: (['read', 'write'] as const).filter((right) => mayUse(client, name, right)) };
      });
      return { protocols: [PROTOCOL], host, instance, roots: offered.filter(({ rights }) => rights.length > 0) };
    },
    'open-source': async (place, client) => {
      assertRight(client, place.root, 'read', place.path);
      return sources.use(place, undefined, async (source) => ({ host, facts: factsOf(source) }));
    },
    'source-extents': async ({ place, version, offset, length }, client) => {
      assertRight(client, place.root, 'read', place.path);
      return sources.use(place, version, async (source) => {
        assertInside({ offset, length }, source.size);
        const range = { offset, length };
        const page = pageOf(
          source.extents?.(range, new AbortController().signal) as Iterable<Extent> | undefined,
          range,
        );
        assertSame(source);
        return page;
      });
    },
    'source-digests': async ({ place, version, algorithm, chunkBytes, offset, length }, client, signal) => {
      assertRight(client, place.root, 'read', place.path);
      const grid = new ChunkGrid(length, chunkBytes);
      if (chunkBytes === 0 || grid.count > WIRE_LIMITS.digestsPerAnswer) {
        throw new TransferError('E_PROTOCOL', `at most ${WIRE_LIMITS.digestsPerAnswer} digests are told at once`);
      }
      return sources.use(place, version, async (source) => {
        assertInside({ offset, length }, source.size);
        const digests: string[] = [];
        for (let chunk = 0; chunk < grid.count; chunk++) {
          const range = grid.range(chunk);
          const reader = source.openChunk({ ...range, offset: range.offset + offset }, signal);
          const about = { length: range.length, algorithm };
          const assertOpen = (): void => assertAwaited(signal);
          digests.push(await hashReader(reader, about, { clock: systemClock, buffers, assertOpen }));
        }
        return { digests };
      });
    },
    ...handedOn(link),
    ...machineCalls(roots, link),
    ...partCalls(parts),
  };
}

function partCalls(parts: PartBytes): Pick<ThreadCalls, 'part-extents' | 'part-digest' | 'adopt' | 'zero'> {
  return {
    'part-extents': async ({ lease, offset, length }, client) => {
      const range = { offset, length };
      return pageOf(await parts.extents(lease, client, range), range);
    },
    'part-digest': async ({ lease, ...about }, client, signal) => {
      assertRange(about);
      return { digest: await parts.digest(lease, client, { ...about, signal }) };
    },
    adopt: async ({ lease, digest, ...about }, client, signal) => {
      assertRange(about);
      return { adopted: await parts.adopt(lease, client, { ...about, digest: Buffer.from(digest, 'hex'), signal }) };
    },
    zero: async ({ lease, offset, length }, client) => {
      await parts.zero(lease, client, { offset, length });
      return {};
    },
  };
}

/** What the main thread does, once it is clear that the client may ask for it. */
function handedOn(link: CallParts['link']): Pick<ThreadCalls, HostCall> {
  const handOn = async <N extends HostCall>(call: N, request: CallRequest<N>, client: TokenEntry) =>
    (await link.ask('call', { call, request, client: client.name, token: client.hash })) as CallAnswer<N>;
  const inPlace =
    <N extends Extract<HostCall, 'locate-target' | 'prepare-target' | 'finish-commit' | 'discard' | 'pull'>>(call: N) =>
    async (request: CallRequest<N>, client: TokenEntry): Promise<CallAnswer<N>> => {
      assertRight(client, request.place.root, 'write');
      return handOn(call, request, client);
    };
  const ofPull =
    <N extends Extract<HostCall, 'pull-news' | 'pull-rate' | 'pull-stop'>>(call: N) =>
    async (request: CallRequest<N>, client: TokenEntry): Promise<CallAnswer<N>> => {
      assertWriter(client);
      return handOn(call, request, client);
    };
  const underLease =
    <N extends Extract<HostCall, 'flush' | 'mark' | 'commit' | 'close-target'>>(call: N) =>
    async (request: CallRequest<N>, client: TokenEntry): Promise<CallAnswer<N>> => {
      assertWriter(client);
      return handOn(call, request, client);
    };
  return {
    'locate-target': inPlace('locate-target'),
    'prepare-target': inPlace('prepare-target'),
    'finish-commit': inPlace('finish-commit'),
    discard: inPlace('discard'),
    delegate: async (place, client) => {
      // Not by one that was delegated itself: it would outlive its time.
      if (client.only) throw new TransferError('E_AUTH', 'such a token makes no others');
      assertRight(client, place.root, 'read', place.path);
      return handOn('delegate', place, client);
    },
    pull: inPlace('pull'),
    'pull-news': ofPull('pull-news'),
    'pull-rate': ofPull('pull-rate'),
    'pull-stop': ofPull('pull-stop'),
    flush: underLease('flush'),
    mark: underLease('mark'),
    commit: underLease('commit'),
    'close-target': underLease('close-target'),
  };
}

/** A lease or a pull is known to whoever opened it; a token that this client has lent writes nothing all the same. */
function assertWriter({ rights, only }: TokenEntry): void {
  if (rights.includes('write') && !only) return;
  throw new TransferError('E_AUTH', 'the token may not write', ROOT_HINT);
}

function pageOf(extents: Iterable<Extent> | undefined, range: { readonly offset: number; readonly length: number }) {
  const page: WireExtent[] = [];
  const whole: Extent = { ...range, kind: 'data' };
  for (const { offset, length, kind } of extents ?? [whole]) {
    if (length > 0) page.push([[offset, length], kind === 'data']);
    if (page.length === WIRE_LIMITS.extentsPerAnswer) break;
  }
  return { extents: page };
}

function factsOf(source: Source): SourceFacts {
  const { size, version, identity, mode, allocatedBytes } = source;
  const attributes = source.attributes?.();
  if (!identity || !attributes) throw new TransferError('E_BUG', 'a local file that has no identity');
  const { extended, ...plain } = attributes;
  return {
    ...{ size, version, identity, mode: mode ?? 0o600 },
    holes: source.extents !== undefined,
    ...(allocatedBytes !== undefined && { allocatedBytes }),
    attributes: {
      ...plain,
      ...(extended && {
        extended: extended.map(([name, value]) => [name, Buffer.from(value).toString('base64')] as const),
      }),
    },
  };
}
