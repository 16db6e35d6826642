/** What the tables of a qcow2 image say of a range of guest bytes: spans in order and without gaps. */
import type { ByteRange } from '../../core/chunk.js';
import { diskError } from '../disk-bytes.js';
import { type Entry, entryAt, entryBytes, runFrom, SUBCLUSTERS, subclusterKind } from './entries.js';
import { l2Covers, type Qcow2Header } from './header.js';
import type { L2Tables } from './tables.js';

export type Span =
  | { readonly kind: 'data'; readonly length: number; readonly at: number }
  | { readonly kind: 'zero' | 'absent'; readonly length: number }
  /** A part of a cluster that is compressed: `skip` bytes of it come first. */
  | { readonly kind: 'compressed'; readonly length: number; readonly entry: Entry; readonly skip: number };

export interface SpanSource {
  readonly name: string;
  readonly fileBytes: number;
  readonly header: Pick<Qcow2Header, 'version' | 'size' | 'clusterBits' | 'clusterBytes' | 'subclusters'>;
  readonly tables: L2Tables;
  /** Only kinds are asked for: bytes of one span may stand anywhere in the file. */
  readonly anyPlace?: boolean;
}

/** @throws TransferError E_DISK_FORMAT naming the entry and where it is said to point */
export async function* spans(source: SpanSource, { offset, length }: ByteRange): AsyncGenerator<Span> {
  const covered = l2Covers(source.header);
  const end = offset + length;
  const last = Math.ceil(end / covered);
  for (let index = Math.floor(offset / covered); index < last; ) {
    const from = Math.max(offset, index * covered);
    const present = source.tables.firstFrom(index, last);
    const to = Math.min(end, Math.max(present, index + 1) * covered);
    const table = present === index ? await source.tables.table(index, last) : undefined;
    if (table) yield* joined(tableSpans(source, table, from, to));
    else yield { kind: 'absent', length: to - from };
    index = Math.max(present, index + 1);
  }
}

/** Spans of guest bytes `from` to `to`, all of which the table describes; neighbours come apart. */
function* tableSpans(source: SpanSource, table: Buffer, from: number, to: number): Generator<Span> {
  const { header, fileBytes, anyPlace = false } = source;
  const { clusterBytes } = header;
  const entries = table.length / entryBytes(header);
  for (let at = from; at < to; ) {
    const cluster = Math.floor(at / clusterBytes);
    const start = cluster * clusterBytes;
    const skip = at - start;
    const index = cluster % entries;
    const end = Math.ceil(to / clusterBytes) - cluster + index;
    const count = runFrom(table, index, header, { end, fileBytes, anyPlace });
    const length = Math.min(count * clusterBytes, to - start) - skip;
    const entry = entryAt(table, index, header);
    if (entry.problem && !entry.problem.doubtful) throw entryError(source, start, entry.problem);
    if (entry.kind === 'parted') yield* parts(source, { table, index, entry, start }, skip, length);
    else if (entry.kind === 'compressed') yield { kind: 'compressed', length, entry, skip };
    else if (entry.kind === 'data') {
      // Further clusters of a run are known to be whole in the file.
      demandInFile(source, start, entry.at + skip, Math.min(length, clusterBytes - skip));
      yield { kind: 'data', length, at: entry.at + skip };
    } else yield { kind: entry.kind, length };
    at += length;
  }
}

interface PartedCluster {
  readonly table: Buffer;
  readonly index: number;
  readonly entry: Entry;
  readonly start: number;
}

function* parts(source: SpanSource, cluster: PartedCluster, skip: number, length: number): Generator<Span> {
  const partBytes = source.header.clusterBytes / SUBCLUSTERS;
  for (let at = skip; at < skip + length; ) {
    const part = Math.floor(at / partBytes);
    const partLength = Math.min((part + 1) * partBytes, skip + length) - at;
    const kind = subclusterKind(cluster.table, cluster.index, part);
    if (kind === 'data') {
      demandInFile(source, cluster.start, cluster.entry.at + at, partLength);
      yield { kind, length: partLength, at: cluster.entry.at + at };
    } else yield { kind, length: partLength };
    at += partLength;
  }
}

/** Bytes past the end of the file would read as zero; but no tool leaves bytes of the guest out there. */
function demandInFile(source: SpanSource, start: number, at: number, length: number): void {
  if (at <= source.fileBytes - length) return;
  const expected = `${length} bytes inside the file of ${source.fileBytes} bytes`;
  throw entryError(source, start, { expected, found: `byte ${at}` });
}

function entryError({ name }: SpanSource, start: number, problem: { expected: string; found: string }): Error {
  return diskError(name, 'L2 entry of the cluster', start, problem.expected, problem.found);
}

/** Neighbours of one kind become one span, where their bytes stand one after the other. */
function* joined(pieces: Iterable<Span>): Generator<Span> {
  let open: Span | undefined;
  for (const piece of pieces) {
    const more = open && joinedWith(open, piece);
    if (!more && open) yield open;
    open = more ?? piece;
  }
  if (open) yield open;
}

function joinedWith(a: Span, b: Span): Span | undefined {
  if (a.kind === 'compressed' || b.kind === 'compressed' || a.kind !== b.kind) return undefined;
  const length = a.length + b.length;
  if (a.kind !== 'data' || b.kind !== 'data') return { ...a, length };
  return a.at + a.length === b.at ? { ...a, length } : undefined;
}
