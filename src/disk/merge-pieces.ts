/**
 * The runs that a merge carries over, cut and joined into pieces that are good to read and write, and, where the parent
 * asks for it, into whole units.
 */
import type { ByteRange } from '../core/chunk.js';
import { MiB } from '../core/units.js';
import type { DiskChain } from './chain.js';
import { diskError } from './disk-bytes.js';
import type { Run } from './image.js';

/** Read and written in one go: what fits into a processor's cache. 4 MiB take three times as long. */
export const PIECE_BYTES = MiB;
/** Runs that are made, and units, are not cut. */
export const MADE_BYTES_MAX = 2 * MiB;

/** A run with its place in the disk. */
export type Piece = Run & ByteRange;
type Runs = Iterable<Run> | AsyncIterable<Run>;

/** Runs that go on in the disk and in the file are joined, up to the size of a piece, and larger ones are cut. */
export async function* pieces(runs: Runs, from: number): AsyncGenerator<Piece> {
  let held: Extract<Piece, { kind: 'data' }> | undefined;
  let offset = from;
  for await (const run of runs) {
    const joins = held && run.kind === 'data' && held.at + held.length === run.at;
    if (held && joins) held = { ...held, length: held.length + run.length };
    else {
      if (held) yield held;
      held = run.kind === 'data' ? { ...run, offset } : undefined;
      if (run.kind !== 'data') yield { ...run, offset };
    }
    while (held && held.length >= PIECE_BYTES) {
      yield { ...held, length: PIECE_BYTES };
      held =
        held.length > PIECE_BYTES ? (slice(held, PIECE_BYTES, held.length - PIECE_BYTES) as typeof held) : undefined;
    }
    offset += run.length;
  }
  if (held) yield held;
}

function slice(piece: Piece, from: number, length: number): Piece {
  const range = { offset: piece.offset + from, length };
  if (piece.kind === 'data') return { ...piece, ...range, at: piece.at + from };
  if (piece.kind !== 'made') return { ...piece, ...range };
  return { ...piece, ...range, make: async () => (await piece.make()).subarray(from, from + length) };
}

/**
 * Pieces that begin and end with units. A unit that is of several kinds, or that the child holds a part of, comes as a
 * whole, as the chain has it; what the child leaves open is left out.
 */
export async function* inUnits(all: AsyncIterable<Piece>, unitBytes: number, chain: DiskChain): AsyncGenerator<Piece> {
  let passed = 0;
  for await (const piece of all) {
    if (piece.kind === 'absent') continue;
    const end = piece.offset + piece.length;
    let at = Math.max(piece.offset, passed);
    while (at < end) {
      const unit = Math.floor(at / unitBytes) * unitBytes;
      const unitEnd = Math.min(unit + unitBytes, chain.size);
      const wholeEnd = end === chain.size ? end : Math.floor(end / unitBytes) * unitBytes;
      if (at === unit && unitEnd <= wholeEnd) {
        yield slice(piece, at - piece.offset, wholeEnd - at);
        at = wholeEnd;
      } else {
        yield madeOf(chain, { offset: unit, length: unitEnd - unit });
        at = unitEnd;
      }
      passed = at;
    }
  }
}

function madeOf(chain: DiskChain, range: ByteRange): Piece {
  return { kind: 'made', ...range, make: () => contentOf(chain, range) };
}

/** What a guest reads there. */
export async function contentOf(chain: DiskChain, range: ByteRange): Promise<Uint8Array> {
  const into = Buffer.alloc(range.length);
  let at = 0;
  for await (const run of chain.runs(range)) {
    if (run.kind === 'made') into.set(await run.make(), at);
    if (run.kind === 'data') {
      const link = chain.links[run.link];
      if (!link) throw diskError('chain', 'link', range.offset, 'an image', String(run.link));
      into.set(await link.bytes.read({ offset: run.at, length: run.length }, 'data'), at);
    }
    at += run.length;
  }
  return into;
}
