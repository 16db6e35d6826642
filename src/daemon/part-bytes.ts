/**
 * The bytes of partial copies that are open here: written, read back, zeroed and hashed, by whoever holds the lease.
 * Each piece is written only while the lease stands, so that nothing of an old run reaches what a new one has taken.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ByteRange } from '../core/chunk.js';
import type { Clock } from '../core/clock.js';
import { type Algorithm, loadHasher, toHex } from '../core/digest.js';
import type { ChunkReader, Extent } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import { newStop } from '../core/stop.js';
import { type Expected, openBack, type Target } from '../core/target.js';
import { KiB } from '../core/units.js';
import type { EndpointScheme } from '../endpoint/registry.js';
import type { BlockBuffers } from '../transfer/block-buffers.js';
import type { Pace } from '../transfer/pace.js';
import { sayGoingOn } from './exchange.js';
import type { LeaseNews } from './host.js';
import type { LeaseView } from './leases.js';
import { receiveRange } from './receive-range.js';
import { sendRange } from './send-range.js';
import {
  assertAwaited,
  assertInside,
  assertRange,
  assertRight,
  type BytesQuery,
  readQuery,
  signalOf,
} from './source-bytes.js';
import type { TokenEntry } from './tokens.js';

export interface PartBytesParts {
  readonly local: EndpointScheme;
  readonly clock: Clock;
  readonly buffers: BlockBuffers;
  readonly pace: Pace;
  readonly ask: (request: { readonly lease: string; readonly client: string }) => Promise<LeaseView>;
}

/** A lease as this thread knows it. */
interface Held extends Pick<LeaseView, 'ref' | 'shown' | 'root' | 'client' | 'size'> {
  readonly target: Target;
  /** The same, for those who give way. */
  behind?: Promise<Target>;
  /** Aborted when the lease is not held any more. */
  readonly stop: AbortController;
  sealed: boolean;
  revoked: boolean;
}

const BLOCK_BYTES = 256 * KiB;
/** Others have their turn at least so often while a range is hashed. */
const BLOCKS_PER_TURN = 16;
const REMEMBERED_MAX = 10_000;

export class PartBytes {
  readonly #parts: PartBytesParts;
  readonly #held = new Map<string, Held>();
  readonly #revoked = new Set<string>();

  constructor(parts: PartBytesParts) {
    this.#parts = parts;
  }

  /** The main thread says what has become of a lease; when this returns, no descriptor of it is used any more. */
  tell({ lease, what }: LeaseNews): void {
    const held = this.#held.get(lease);
    if (what === 'sealed') {
      if (held) held.sealed = true;
      return;
    }
    if (this.#revoked.size >= REMEMBERED_MAX) this.#revoked.clear();
    this.#revoked.add(lease);
    this.#held.delete(lease);
    if (!held) return;
    held.revoked = true;
    held.stop.abort();
    void held.target.detach?.();
    void held.behind?.then((target) => target.detach?.());
  }

  close(): void {
    for (const lease of [...this.#held.keys()]) this.tell({ lease, what: 'revoked' });
  }

  async receive(
    query: URLSearchParams,
    client: TokenEntry,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const { buffers, pace, clock } = this.#parts;
    const asked = readQuery(query);
    const { range, algorithm } = asked;
    const held = await this.#take(query.get('lease') ?? '', client, range);
    const newHasher = await loadHasher(algorithm);
    const target = await this.#targetOf(held, asked);
    const signal = signalOf(response);
    await receiveRange(request, {
      ...{ length: range.length, algorithm, buffers, pace, clock, signal },
      writer: target.openChunk(range, signal),
      hasher: newHasher(),
      assertOpen: () => assertWritable(held),
      goesOn: () => sayGoingOn(response),
    });
  }

  async send(query: URLSearchParams, client: TokenEntry, response: ServerResponse): Promise<void> {
    const { buffers, pace } = this.#parts;
    const asked = readQuery(query);
    const { range, algorithm } = asked;
    const held = await this.#take(query.get('lease') ?? '', client, range);
    const newHasher = await loadHasher(algorithm);
    const target = await this.#targetOf(held, asked);
    const signal = signalOf(response);
    const past = query.get('past') === '1';
    assertOpen(held);
    const open = (piece: ByteRange): ChunkReader =>
      (past ? target.openReadBack?.(piece, signal).reader : undefined) ?? openBack(target, piece, signal);
    const extents = target.extents?.(range, signal) as Iterable<Extent> | undefined;
    await sendRange(response, {
      ...{ range, algorithm, buffers, pace, signal, extents, open },
      hasher: newHasher(),
      assertOpen: () => assertOpen(held),
    });
  }

  async zero(lease: string, client: TokenEntry, range: ByteRange): Promise<void> {
    const held = await this.#take(lease, client, range);
    assertWritable(held);
    await held.target.zero?.(range);
  }

  async adopt(
    lease: string,
    client: TokenEntry,
    { offset, length, signal, ...expected }: ByteRange & Expected & { readonly signal: AbortSignal },
  ): Promise<boolean> {
    const range = { offset, length };
    const held = await this.#take(lease, client, range);
    assertWritable(held);
    // Whoever has left may be asking again, or send the chunk: what comes late must not write over that.
    assertAwaited(signal);
    const over = new AbortController();
    const end = (): void => over.abort();
    signal.addEventListener('abort', end);
    held.stop.signal.addEventListener('abort', end);
    try {
      return (await held.target.adopt?.(range, expected, over.signal)) ?? false;
    } finally {
      held.stop.signal.removeEventListener('abort', end);
    }
  }

  async extents(lease: string, client: TokenEntry, range: ByteRange): Promise<Iterable<Extent> | undefined> {
    const { target } = await this.#take(lease, client, undefined);
    return target.extents?.(range, new AbortController().signal) as Iterable<Extent> | undefined;
  }

  async digest(
    lease: string,
    client: TokenEntry,
    about: ByteRange & { readonly algorithm: Algorithm; readonly signal: AbortSignal },
  ): Promise<string> {
    const { offset, length, algorithm, signal } = about;
    const held = await this.#take(lease, client, { offset, length });
    const assert = (): void => {
      assertOpen(held);
      assertAwaited(signal);
    };
    const reader = openBack(held.target, { offset, length }, signal);
    return hashReader(reader, { length, algorithm }, { ...this.#parts, assertOpen: assert });
  }

  /** @throws TransferError where there is no such lease, or not of this client */
  async #take(lease: string, client: TokenEntry, range: ByteRange | undefined): Promise<Held> {
    const known = this.#held.get(lease);
    const held = known?.client === client.name ? known : await this.#hold(lease, client);
    assertRight(client, held.root, 'write');
    if (range) {
      assertRange(range);
      assertInside(range, held.size);
    }
    return held;
  }

  async #hold(lease: string, { name }: TokenEntry): Promise<Held> {
    const view = await this.#parts.ask({ lease, client: name });
    const target = await this.#attach(view.ref);
    const first = this.#held.get(lease);
    if (first) return first;
    const held: Held = { ...view, target, stop: newStop(), revoked: this.#revoked.has(lease) };
    assertOpen(held);
    this.#held.set(lease, held);
    return held;
  }

  async #targetOf(held: Held, { leavesCache, background }: BytesQuery): Promise<Target> {
    if (!background) return leavesCache ? this.#attach({ ...held.ref, leavesCache }) : held.target;
    // It is kept, since it knows what is on its way to the disk.
    held.behind ??= this.#attach({ ...held.ref, leavesCache, background });
    return held.behind;
  }

  async #attach(ref: LeaseView['ref']): Promise<Target> {
    const target = await this.#parts.local.attachTarget?.(ref);
    if (!target) throw new TransferError('E_BUG', 'the local end attaches to no target');
    return target;
  }
}

function assertOpen({ revoked, shown }: Held): void {
  if (!revoked) return;
  throw new TransferError('E_LOCKED', `${shown}: another run has taken this partial copy over, or given it up`, {
    hint: 'Let that run end, then run the same command again.',
  });
}

function assertWritable(held: Held): void {
  assertOpen(held);
  if (!held.sealed) return;
  throw new TransferError('E_TARGET_CHANGED', `${held.shown}: the copy is whole, and is not written to any more`, {
    hint: 'Run the same command again.',
  });
}

export interface HashParts {
  readonly clock: Clock;
  readonly buffers: BlockBuffers;
  readonly assertOpen: () => void;
}

/** The digest of what a reader gives, in hex. Closes the reader. */
export async function hashReader(
  reader: ChunkReader,
  { length, algorithm }: { readonly length: number; readonly algorithm: Algorithm },
  { clock, buffers, assertOpen: assert }: HashParts,
): Promise<string> {
  const hasher = (await loadHasher(algorithm))();
  const buffer = buffers.take(BLOCK_BYTES);
  try {
    for (let left = length, blocks = 1; left > 0; blocks++) {
      assert();
      const got = await reader.next(buffer.subarray(0, Math.min(left, BLOCK_BYTES)));
      if (got === 0) break;
      hasher.update(buffer.subarray(0, got));
      left -= got;
      if (blocks % BLOCKS_PER_TURN === 0) await clock.sleep(0);
    }
    return toHex(hasher.digest());
  } finally {
    reader.close();
    buffers.give(buffer);
  }
}
