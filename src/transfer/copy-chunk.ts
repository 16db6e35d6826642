/**
 * The data plane: one chunk, read, hashed and written block by block through one buffer that the task owns from its
 * first read to its last write. Nothing here knows what kind of end it serves, which thread it runs on, or which chunk
 * comes next.
 */
import { type Digest, sameBytes } from '../core/digest.js';
import type { ChunkReader, Source } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import { type ChunkWriter, openBack, type ReadBack, type Target } from '../core/target.js';
import { assertRunning, type ChunkHost, type HashedRange, hashRange, takePaced } from './hash-range.js';
import type { ChunkOutcome, ChunkTask } from './requests.js';

export async function runChunk(
  task: ChunkTask,
  source: Source,
  target: Target,
  host: ChunkHost,
): Promise<ChunkOutcome> {
  const before = host.clock.nowNs();
  try {
    if (task.work === 'copy')
      return (
        (await cloneChunk(task, source, target, host)) ??
        (await adoptChunk(task, source, target, host)) ??
        (await copyChunk(task, source, target, host))
      );
    if (task.work === 'zero') return await zeroChunk(task, target, host);
    return await proveChunk(task, source, target, host);
  } catch (thrown) {
    throw TransferError.from(thrown).with({ chunk: task.chunk, offset: task.range.offset });
  } finally {
    host.control.add('busyNs', host.clock.nowNs() - before);
  }
}

/**
 * Shares the blocks of the source and hashes what the target then holds; undefined where blocks are not to be or cannot
 * be shared. The limit counts the bytes as they are read, since that is what loads the storage.
 */
async function cloneChunk(
  task: ChunkTask,
  source: Source,
  target: Target,
  host: ChunkHost,
): Promise<ChunkOutcome | undefined> {
  if (!task.clone) return undefined;
  const { control, clock, signal } = host;
  assertRunning(host);
  // Opening it is what finds that the source has changed.
  source.openChunk(task.range, signal).close();
  const before = clock.nowNs();
  const refused = target.clone ? target.clone(task.source, task.range) : 'the target is no local file';
  if (refused !== undefined && task.clone === 'always') throw cannotClone(source.name, refused);
  if (refused !== undefined) return undefined;
  // As at the end of a chunk that is read: what was shared is of the version that was asked for.
  source.openChunk(task.range, signal).close();
  control.add('writeNs', clock.nowNs() - before);
  const { length } = task.range;
  const reader = openBack(target, task.range, signal);
  const { digest, bytes } = await hashRange(
    reader,
    { length, blockBytes: task.blockBytes, of: 'target' },
    host,
    host.pace,
  );
  if (bytes < length) throw new TransferError('E_TARGET_CHANGED', 'the partial copy became shorter while it was made');
  control.add('writtenBytes', BigInt(length));
  control.add('clonedBytes', BigInt(length));
  return { digest, same: true, pastCache: false };
}

/** Takes over what the target that is to be replaced has of the chunk; undefined where that is not the same. */
async function adoptChunk(
  task: ChunkTask,
  source: Source,
  target: Target,
  host: ChunkHost,
): Promise<ChunkOutcome | undefined> {
  const { range, algorithm, blockBytes } = task;
  if (!task.delta || !target.adopt) return undefined;
  assertRunning(host);
  const digest = source.digest
    ? await source.digest(range, algorithm, host.signal)
    : (await hashRange(source.openChunk(range, host.signal), { length: range.length, blockBytes, of: 'source' }, host))
        .digest;
  const before = host.clock.nowNs();
  const same = await target.adopt(range, { algorithm, digest }, host.signal);
  host.control.add('writeNs', host.clock.nowNs() - before);
  return same ? { digest, same, pastCache: false, adopted: true } : undefined;
}

export function cannotClone(name: string, why: string): TransferError {
  return new TransferError('E_USAGE', `--reflink always: the blocks of ${name} cannot be shared: ${why}`, {
    hint: 'With --reflink auto such a file is copied instead.',
  });
}

async function copyChunk(task: ChunkTask, source: Source, target: Target, host: ChunkHost): Promise<ChunkOutcome> {
  const { control, clock } = host;
  const hasher = host.newHasher();
  const buffer = host.buffers.take(task.blockBytes);
  const reader = source.openChunk(task.range, host.signal, task.algorithm);
  const writer = target.openChunk(task.range, host.signal, task.algorithm);
  const sink = task.sparseBytes > 0 ? sparseSink(task, target, writer) : writer;
  let counted = 0;
  try {
    for (let rest = task.range.length; rest > 0; ) {
      const block = await nextBlock(buffer, rest, host);
      const t0 = clock.nowNs();
      const read = fillBlock(reader, block);
      if (read !== undefined) await read;
      const t1 = clock.nowNs();
      hasher.update(block);
      const t2 = clock.nowNs();
      const written = sink.write(block);
      if (written !== undefined) await written;
      control.add('readNs', t1 - t0);
      control.add('hashNs', t2 - t1);
      const t3 = clock.nowNs();
      control.add('writeNs', t3 - t2);
      host.pace.measured('reads', block.length, t1 - t0);
      host.pace.measured('writes', block.length, t3 - t2);
      control.add('writtenBytes', BigInt(block.length));
      counted += block.length;
      rest -= block.length;
    }
    const digest = hasher.digest();
    reader.verify?.(digest);
    const before = clock.nowNs();
    const token = await writer.finish(digest);
    control.add('writeNs', clock.nowNs() - before);
    return { digest, same: true, pastCache: false, ...(token !== undefined && { token }) };
  } catch (thrown) {
    control.add('writtenBytes', BigInt(-counted));
    writer.abort();
    throw thrown;
  } finally {
    reader.close();
    host.buffers.give(buffer);
  }
}

/** The room for the next block, as large as the pace allows, once it is due. */
export function nextBlock(buffer: Uint8Array, rest: number, host: ChunkHost): Uint8Array | Promise<Uint8Array> {
  assertRunning(host);
  if (!host.pace.limited) return rest < buffer.length ? buffer.subarray(0, rest) : buffer;
  const block = buffer.subarray(0, Math.min(rest, host.pace.blockBytes(buffer.length)));
  return pacedBlock(block, host);
}

async function pacedBlock(block: Uint8Array, host: ChunkHost): Promise<Uint8Array> {
  await takePaced(host.pace, block.length, host);
  assertRunning(host);
  return block;
}

/** Fills the block from a source, which never ends early: undefined when that happened at once. */
export function fillBlock(reader: ChunkReader, block: Uint8Array): Promise<void> | undefined {
  const got = reader.next(block);
  if (typeof got === 'number') assertFull(got, block);
  else return got.then((bytes) => assertFull(bytes, block));
  return undefined;
}

function assertFull(got: number, block: Uint8Array): void {
  if (got === block.length) return;
  throw new TransferError('E_BUG', `a source answered ${got} bytes for a block of ${block.length}`);
}

/** Leaves holes for runs of zeroes: by writing nothing where zero is known, by punching elsewhere. */
function sparseSink(task: ChunkTask, target: Target, writer: ChunkWriter): Pick<ChunkWriter, 'write'> {
  const zeroes = new Uint8Array(task.sparseBytes);
  let offset = task.range.offset;
  return {
    write: async (block) => {
      for (let at = 0; at < block.length; ) {
        const { zero, length } = nextRun(block.subarray(at), offset, zeroes);
        if (!zero) await writer.write(block.subarray(at, at + length));
        else writer.skip(length);
        if (zero && !task.knownZero) await target.zero?.({ offset, length });
        at += length;
        offset += length;
      }
    },
  };
}

/** The run of zero or of other pieces that the bytes begin with; pieces lie on their grid in the file. */
function nextRun(bytes: Uint8Array, offset: number, zeroes: Uint8Array): { zero: boolean; length: number } {
  const pieceAt = (at: number): Uint8Array => {
    const end = at + zeroes.length - ((offset + at) % zeroes.length);
    return bytes.subarray(at, Math.min(bytes.length, end));
  };
  const isZero = (piece: Uint8Array): boolean => {
    return piece[0] === 0 && sameBytes(piece, zeroes.subarray(0, piece.length));
  };
  const zero = isZero(pieceAt(0));
  let length = 0;
  while (length < bytes.length) {
    const piece = pieceAt(length);
    if (isZero(piece) !== zero) break;
    length += piece.length;
  }
  return { zero, length };
}

async function zeroChunk(task: ChunkTask, target: Target, { control, clock }: ChunkHost): Promise<ChunkOutcome> {
  const before = clock.nowNs();
  if (!target.zero) throw new TransferError('E_BUG', 'the target takes only whole chunks, and was to zero one');
  await target.zero(task.range);
  control.add('writeNs', clock.nowNs() - before);
  return { digest: new Uint8Array(0), same: true, pastCache: false };
}

async function proveChunk(task: ChunkTask, source: Source, target: Target, host: ChunkHost): Promise<ChunkOutcome> {
  const expected = task.expected as Digest;
  const about = { length: task.range.length, blockBytes: task.blockBytes };
  const outcome = (await askTarget(task, target, host)) ?? (await readTarget(task, target, host));
  if (!outcome.same || !task.alsoSource) return outcome;
  const reader = source.openChunk(task.range, host.signal);
  const again = await hashRange(reader, { ...about, of: 'source' }, host, host.pace);
  return { ...outcome, same: sameBytes(again.digest, expected) };
}

/** Undefined: what was written has to be read. */
async function askTarget(task: ChunkTask, target: Target, host: ChunkHost): Promise<ChunkOutcome | undefined> {
  if (task.work !== 'prove' || !target.holds) return undefined;
  assertRunning(host);
  const { algorithm, token } = task;
  const digest = task.expected as Digest;
  const before = host.clock.nowNs();
  const expected = { algorithm, digest, ...(token !== undefined && { token }) };
  const same = await target.holds(task.range, expected, host.signal);
  host.control.add('readNs', host.clock.nowNs() - before);
  return { digest, same, pastCache: false };
}

async function readTarget(task: ChunkTask, target: Target, host: ChunkHost): Promise<ChunkOutcome> {
  const { reader, pastCache } = readerOfTarget(task, target, host);
  const about = { length: task.range.length, blockBytes: task.blockBytes, of: 'target' } as const;
  const { digest } = await hashRange(reader, about, host).catch(unreadable);
  return { digest, same: sameBytes(digest, task.expected as Digest), pastCache };
}

/** What cannot be read back is as good as wrong: writing it again may help, and tells plainly where it does not. */
function unreadable(thrown: unknown): HashedRange {
  if (thrown instanceof TransferError && thrown.code === 'E_TARGET_WRITE')
    return { digest: new Uint8Array(0), bytes: 0 };
  throw thrown;
}

function readerOfTarget(task: ChunkTask, target: Target, host: ChunkHost): ReadBack {
  const readBack = task.work === 'read-back' ? target.openReadBack?.(task.range, host.signal) : undefined;
  return readBack ?? { reader: openBack(target, task.range, host.signal), pastCache: false };
}
