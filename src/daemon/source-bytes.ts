/** The bytes of a file below a root, for whoever may read them: `GET` of a range of one version. */
import type { ServerResponse } from 'node:http';
import type { ByteRange } from '../core/chunk.js';
import { type Algorithm, DIGEST_BYTES, loadHasher } from '../core/digest.js';
import { TransferError } from '../core/errors.js';
import { type Place, type Right, WIRE_LIMITS } from '../core/peer-wire.js';
import type { EndpointScheme } from '../endpoint/registry.js';
import type { BlockBuffers } from '../transfer/block-buffers.js';
import type { Pace } from '../transfer/pace.js';
import { assertSame, type OpenSources } from './open-sources.js';
import { ROOT_HINT } from './roots.js';
import { sendRange } from './send-range.js';
import { mayUse, type TokenEntry } from './tokens.js';

export interface SourceBytesParts {
  readonly sources: OpenSources;
  readonly local: EndpointScheme;
  readonly buffers: BlockBuffers;
  readonly pace: Pace;
}

export class SourceBytes {
  readonly #parts: SourceBytesParts;

  constructor(parts: SourceBytesParts) {
    this.#parts = parts;
  }

  async send(query: URLSearchParams, client: TokenEntry, response: ServerResponse): Promise<void> {
    const { local, sources, buffers, pace } = this.#parts;
    const place: Place = { root: query.get('root') ?? '', path: query.get('path') ?? '' };
    assertRight(client, place.root, 'read', place.path);
    const { range, algorithm, leavesCache } = readQuery(query);
    const newHasher = await loadHasher(algorithm);
    await sources.use(place, query.get('version') ?? '', async (opened) => {
      assertInside(range, opened.size);
      const source = leavesCache ? await local.attachSource?.({ ...opened.ref, leavesCache }) : opened;
      if (!source) throw new TransferError('E_BUG', 'the local end attaches to no source');
      const signal = signalOf(response);
      await sendRange(response, {
        ...{ range, algorithm, buffers, pace, signal },
        extents: source.extents?.(range, signal) as Iterable<never> | undefined,
        open: (piece) => source.openChunk(piece, signal),
        hasher: newHasher(),
        assertOpen: () => undefined,
        assertSame: () => assertSame(source),
      });
    });
  }
}

export interface BytesQuery {
  readonly range: ByteRange;
  readonly algorithm: Algorithm;
  readonly leavesCache: boolean;
  readonly background: boolean;
}

/** @throws TransferError E_PROTOCOL */
export function readQuery(query: URLSearchParams): BytesQuery {
  const number = (name: string): number => {
    const given = query.get(name) ?? '';
    const value = /^\d{1,16}$/.test(given) ? Number(given) : Number.NaN;
    if (Number.isSafeInteger(value)) return value;
    throw new TransferError('E_PROTOCOL', `${name} is no number`, { hint: 'Check the client.' });
  };
  const range = { offset: number('offset'), length: number('length') };
  assertRange(range);
  const algorithm = query.get('algorithm') ?? '';
  if (!Object.hasOwn(DIGEST_BYTES, algorithm)) {
    throw new TransferError('E_PROTOCOL', 'the digest is of an unknown algorithm', { hint: 'Check the client.' });
  }
  const [leavesCache, background] = [query.get('cache') === 'leave', query.get('background') === '1'];
  return { range, algorithm: algorithm as Algorithm, leavesCache, background };
}

export function assertRange({ offset, length }: ByteRange): void {
  if (length <= WIRE_LIMITS.rangeBytesMax && Number.isSafeInteger(offset + length)) return;
  throw new TransferError('E_PROTOCOL', `a range of ${length} bytes is larger than a chunk may be`, {
    hint: 'Check the client.',
  });
}

export function assertInside({ offset, length }: ByteRange, size: number): void {
  if (offset + length <= size) return;
  throw new TransferError('E_PROTOCOL', `bytes ${offset} to ${offset + length} of a file of ${size}`, {
    hint: 'Check the client.',
  });
}

export function assertRight(client: TokenEntry, root: string, right: Right, path?: string): void {
  if (mayUse(client, root, right, path)) return;
  throw new TransferError('E_AUTH', `the token may not ${right} in the root ${root}`, ROOT_HINT);
}

/** Aborts when the client has left. */
export function signalOf(response: ServerResponse): AbortSignal {
  const left = new AbortController();
  response.once('close', () => left.abort());
  return left.signal;
}

/** @throws TransferError where nobody waits for the answer any more */
export function assertAwaited(signal: AbortSignal): void {
  if (signal.aborted) throw new TransferError('E_NETWORK', 'the client has left');
}
