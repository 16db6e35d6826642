/** Reads a disk through its chain, and says where it is not what it must be. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import type { ByteRange } from '../../src/core/chunk.js';
import { GiB, MiB } from '../../src/core/units.js';
import type { ChainRun, DiskChain } from '../../src/disk/chain.js';
import { diskBytes } from '../../src/disk/disk-bytes.js';
import type { DiskBytes } from '../../src/disk/image.js';
import { isZero, SparseContent, type Stretch } from './sparse-content.js';

const READ_BYTES = MiB;
const RUNS_BYTES_MAX = GiB;
const EXTENT_BYTES_MAX = 16 * MiB;
/** What a run that the image makes may have at most; see `Run`. */
const MADE_BYTES_MAX = 2 * MiB;

export interface OpenFile {
  readonly bytes: DiskBytes;
  readonly close: () => void;
}

export function openFile(path: string): OpenFile {
  const fd = openSync(path, 'r');
  const { size } = fstatSync(fd);
  const openChunk = ({ offset }: ByteRange) => {
    let at = offset;
    const next = (into: Uint8Array): number => {
      const length = readSync(fd, into, 0, into.length, at);
      at += length;
      return length;
    };
    return { next, close: () => undefined };
  };
  return { bytes: diskBytes({ name: path, size, openChunk }), close: () => closeSync(fd) };
}

export const wholeOf = ({ size }: { readonly size: number }): ByteRange => ({ offset: 0, length: size });

/** Where the content is not the expected one, as a sentence; undefined: it is all as it must be. */
export async function contentDifference(chain: DiskChain, expected: SparseContent): Promise<string | undefined> {
  if (chain.size !== expected.size) return `${chain.size} bytes, and not ${expected.size}`;
  const found = await allocationDifference(chain, expected);
  if (found !== undefined || chain.size <= RUNS_BYTES_MAX) return found ?? difference(chain, expected, wholeOf(chain));
  // Millions of blocks that are not there are asked for together, as a copy does.
  let offset = 0;
  for await (const { kind, length } of chain.allocation(wholeOf(chain))) {
    for (const range of kind === 'data' ? worthReading({ offset, length }, expected) : []) {
      const differs = await difference(chain, expected, range);
      if (differs !== undefined) return differs;
    }
    offset += length;
  }
  return undefined;
}

/** All of an extent, or of a huge one both ends, and what is around that which is not zero. */
function worthReading(extent: ByteRange, { stretches }: SparseContent): readonly ByteRange[] {
  const end = extent.offset + extent.length;
  if (extent.length <= EXTENT_BYTES_MAX) return [extent];
  const around = stretches.map(
    ({ offset, bytes }) => [offset - READ_BYTES, offset + bytes.length + READ_BYTES] as const,
  );
  return [[extent.offset, extent.offset + READ_BYTES] as const, [end - READ_BYTES, end] as const, ...around]
    .map(([from, to]) => [Math.max(extent.offset, from), Math.min(end, to)] as const)
    .filter(([from, to]) => from < to)
    .map(([from, to]) => ({ offset: from, length: to - from }));
}

/** The same for the runs of a range. */
export async function difference(
  chain: DiskChain,
  expected: SparseContent,
  range: ByteRange,
): Promise<string | undefined> {
  let { offset } = range;
  const end = range.offset + range.length;
  for await (const run of chain.runs(range)) {
    if (!(Number.isSafeInteger(run.length) && run.length > 0)) return `a run of ${run.length} bytes at ${offset}`;
    if (run.length > end - offset) return `a run at ${offset} goes past the range, which ends at ${end}`;
    const found = await runDifference(chain, run, expected, offset);
    if (found !== undefined) return found;
    offset += run.length;
  }
  return offset === end ? undefined : `the runs end at ${offset}, and the range at ${end}`;
}

/** All of a small disk. */
export async function contentOf(chain: DiskChain): Promise<SparseContent> {
  const stretches: Stretch[] = [];
  let offset = 0;
  for await (const run of chain.runs(wholeOf(chain))) {
    const at = offset;
    await readRun(chain, run, (bytes, done) => stretches.push({ offset: at + done, bytes: Buffer.from(bytes) }));
    offset += run.length;
  }
  return SparseContent.of(chain.size, stretches);
}

/** Reads all of it. @throws TransferError where it cannot be read */
export async function readAll(chain: DiskChain): Promise<void> {
  let offset = 0;
  for await (const { kind, length } of chain.allocation(wholeOf(chain))) {
    if (kind === 'data') for await (const run of chain.runs({ offset, length })) await readRun(chain, run);
    offset += length;
  }
}

type Take = (bytes: Uint8Array, done: number) => void;

async function readRun(chain: DiskChain, run: ChainRun, take: Take = () => undefined): Promise<void> {
  if (run.kind === 'made') take(await run.make(), 0);
  if (run.kind !== 'data') return;
  for (let done = 0; done < run.length; done += READ_BYTES) {
    const length = Math.min(READ_BYTES, run.length - done);
    const bytes = await chain.links[run.link]?.bytes.read({ offset: run.at + done, length }, 'data');
    if (bytes) take(bytes, done);
  }
}

async function runDifference(
  chain: DiskChain,
  run: ChainRun,
  expected: SparseContent,
  offset: number,
): Promise<string | undefined> {
  const where = `${run.kind} at ${offset}, ${run.length} bytes`;
  if (run.kind === 'zero') return expected.isZero({ offset, length: run.length }) ? undefined : `${where}: not zero`;
  if (run.kind === 'made') {
    const made = await run.make();
    if (made.length !== run.length || made.length > MADE_BYTES_MAX) return `${where}: ${made.length} bytes were made`;
    return expected.slice({ offset, length: run.length }).equals(made) ? undefined : `${where}: other bytes`;
  }
  for (let done = 0; done < run.length; done += READ_BYTES) {
    const length = Math.min(READ_BYTES, run.length - done);
    const read = await chain.links[run.link]?.bytes.read({ offset: run.at + done, length }, 'data');
    const wanted = { offset: offset + done, length };
    const same = read && (expected.isZero(wanted) ? isZero(read) : read.equals(expected.slice(wanted)));
    if (!same) return `${where}: other bytes after ${done}`;
  }
  return undefined;
}

/** Where the tables call zero what is not, or leave a gap; undefined: nowhere. */
export async function allocationDifference(
  chain: DiskChain,
  expected: SparseContent,
  range: ByteRange = wholeOf(chain),
): Promise<string | undefined> {
  let { offset } = range;
  const end = range.offset + range.length;
  for await (const { kind, length } of chain.allocation(range)) {
    if (!(Number.isSafeInteger(length) && length > 0 && length <= end - offset)) {
      return `${kind} at ${offset}, ${length} bytes, of a range that ends at ${end}`;
    }
    if (kind === 'zero' && !expected.isZero({ offset, length })) return `zero at ${offset}, ${length} bytes: not zero`;
    offset += length;
  }
  return offset === end ? undefined : `the allocation ends at ${offset}, and the range at ${end}`;
}
