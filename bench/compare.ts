/** Compares a copy with its source byte by byte, without Blockferry: a bench that praises a wrong copy is worthless. */
import { type FileHandle, open } from 'node:fs/promises';
import { TransferError } from '../src/core/errors.js';
import { formatBytes, MiB } from '../src/core/units.js';
import { SPARSE_BYTES, type Stretch, stretchesOf } from './workspace.js';

const BLOCK_BYTES = 4 * MiB;
/** What a file system may keep for itself about a file with holes. */
const METADATA_BYTES_MAX = MiB;

/** @throws TransferError E_INTEGRITY unless both files hold the same bytes */
export async function assertSame(source: string, target: string, signal: AbortSignal): Promise<void> {
  const [one, other] = [await open(source), await open(target)];
  try {
    const size = (await one.stat()).size;
    const targetSize = (await other.stat()).size;
    if (targetSize !== size) throw wrongCopy(source, target, `it has ${targetSize} bytes, expected ${size}`);
    await compareRange({ source, target, one, other, range: { offset: 0, length: size }, signal });
  } finally {
    await Promise.all([one.close(), other.close()]);
  }
}

/**
 * The same for a sparse source, whose holes nobody can read to the end: the stretches are compared, and the rest of the
 * target must be holes. @throws TransferError E_INTEGRITY
 */
export async function assertSameSparse(
  source: string,
  target: string,
  dataBytes: number,
  signal: AbortSignal,
): Promise<void> {
  const [one, other] = [await open(source), await open(target)];
  try {
    const { size, blocks } = await other.stat();
    if (size !== SPARSE_BYTES) throw wrongCopy(source, target, `it has ${size} bytes, expected ${SPARSE_BYTES}`);
    for (const range of stretchesOf(dataBytes)) await compareRange({ source, target, one, other, range, signal });
    // Random bytes cannot be a hole, so what is allocated beyond the stretches is all there can be elsewhere.
    const elsewhere = blocks * 512 - dataBytes;
    if (elsewhere > METADATA_BYTES_MAX) {
      throw wrongCopy(source, target, `${formatBytes(elsewhere)} are allocated where the source has holes`);
    }
  } finally {
    await Promise.all([one.close(), other.close()]);
  }
}

interface Comparison {
  readonly source: string;
  readonly target: string;
  readonly one: FileHandle;
  readonly other: FileHandle;
  readonly range: Stretch;
  readonly signal: AbortSignal;
}

async function compareRange({ source, target, one, other, range, signal }: Comparison): Promise<void> {
  const [a, b] = [Buffer.alloc(BLOCK_BYTES), Buffer.alloc(BLOCK_BYTES)];
  for (let done = 0; done < range.length; ) {
    signal.throwIfAborted();
    const length = Math.min(BLOCK_BYTES, range.length - done);
    const [left, right] = await Promise.all([
      one.read(a, 0, length, range.offset + done),
      other.read(b, 0, length, range.offset + done),
    ]);
    const got = Math.min(left.bytesRead, right.bytesRead);
    if (got === 0 || !a.subarray(0, got).equals(b.subarray(0, got))) {
      throw wrongCopy(
        source,
        target,
        `bytes differ between ${range.offset + done} and ${range.offset + done + length}`,
      );
    }
    done += got;
  }
}

function wrongCopy(source: string, target: string, what: string): TransferError {
  return new TransferError('E_INTEGRITY', `${target} is no copy of ${source}: ${what}`);
}
