/**
 * The SHA-256 of a whole file. It cannot be had from chunks that come in any order, so it is a reading of its own, from
 * the first byte to the last, before the target gets its name: one task, which obeys the limit and can be stopped.
 */
import { type ByteRange, CHUNK_BYTES_DEFAULT } from '../core/chunk.js';
import { type Clock, orLate } from '../core/clock.js';
import { toHex } from '../core/digest.js';
import type { ChunkReader, EndpointRef, Source } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import { openBack, type Target } from '../core/target.js';
import { MiB } from '../core/units.js';
import type { ChunkRunner } from './chunk-runner.js';
import type { ControlBlock, SharedControl } from './control-block.js';
import { type ChunkHost, hashRange } from './hash-range.js';
import { whenAllowed } from './preempted.js';
import type { Progress } from './progress.js';

export interface ChecksumRequest {
  readonly algorithm: 'sha256';
  /** 64 hex digits, in lower case: what the value must be. */
  readonly expected?: string;
}

/** What is hashed, and what is known of it. */
export interface ChecksumSubject extends Pick<ChecksumTask, 'end' | 'ref' | 'size' | 'pastCache'> {
  readonly name: string;
  /** What the server of the source says that the value is. */
  readonly said?: string | undefined;
}

export interface Checksum {
  readonly algorithm: 'sha256';
  /** 64 hex digits, in lower case. */
  readonly value: string;
  /** It was asked for, and is the value. */
  readonly expected?: string;
}

export interface ChecksumTask {
  /** A partial target, or what stands under the name of a target since a commit of an earlier run. */
  readonly end: 'part' | 'committed';
  readonly ref: EndpointRef;
  readonly size: number;
  readonly algorithm: 'sha256';
  /** Read from the storage itself, where that can be. */
  readonly pastCache: boolean;
  readonly control: SharedControl;
}

/** How long a stop waits for a task that is stuck in a system call. */
const STUCK_MS = 2000;
const BLOCK_BYTES = MiB;
const RANGE_BYTES = CHUNK_BYTES_DEFAULT;

export interface ChecksumParts {
  readonly runner: ChunkRunner;
  readonly clock: Clock;
  readonly control: ControlBlock;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** @throws TransferError E_INTEGRITY when it is not the expected one, E_STOPPED */
export async function checksumOf(
  { algorithm, expected }: ChecksumRequest,
  target: ChecksumSubject,
  { runner, clock, control, progress, signal }: ChecksumParts,
): Promise<Checksum> {
  const { name, said, ...about } = target;
  progress.startReading('checksumming', target.size);
  const task: ChecksumTask = { ...about, algorithm, control: control.shared };
  const waiting = (wait: Promise<void>): Promise<void> => progress.time.during('queuedMs', wait);
  const hashing = whenAllowed(() => runner.run('checksum', task), { control, waiting });
  const value = await orLate(hashing, clock, STUCK_MS, signal);
  if (value === 'late') throw new TransferError('E_STOPPED', 'stopped; finished chunks are kept');
  const other = [expected, said].find((known) => known !== undefined && known !== value);
  if (other === undefined) return { algorithm, value, ...(expected !== undefined && { expected }) };
  const whose = other === expected ? '' : ', which its source is said to have';
  throw new TransferError('E_INTEGRITY', `${name}: the SHA-256 is ${value}, and not ${other}${whose}`, {
    hint: HINTS[target.end],
  });
}

const HINTS: Readonly<Record<ChecksumTask['end'], string>> = {
  part:
    'The copy is what the source holds, so the source or the expected value is wrong. The copy got no name; it is ' +
    'kept: with the right value the same command goes on from it, --discard throws it away.',
  committed:
    'An earlier run had proven this target and given it its name, before the value was compared. Do not use it until ' +
    'you know whether the source or the expected value is wrong.',
};

/** On a worker: the checksum in hex. @throws TransferError E_TARGET_CHANGED when the file ends early */
export async function hashWhole(task: ChecksumTask, end: Source | Target, host: ChunkHost): Promise<string> {
  const about = { length: task.size, blockBytes: BLOCK_BYTES, of: 'target' } as const;
  const { digest, bytes } = await hashRange(readInRanges(task, end, host.signal), about, host, host.pace);
  if (bytes === task.size) return toHex(digest);
  throw new TransferError('E_TARGET_CHANGED', `the copy ended at byte ${bytes}, before its ${task.size} bytes`, {
    hint: 'Find out what else writes to it, then run the same command again.',
  });
}

/** One range after the other, as the chunks are read: an end that clears up behind a reader does so all along. */
function readInRanges(task: ChecksumTask, end: Source | Target, signal: AbortSignal): ChunkReader {
  let position = 0;
  let reader: ChunkReader | undefined;
  return {
    next: async (into) => {
      if (position % RANGE_BYTES === 0) {
        reader?.close();
        const length = Math.min(RANGE_BYTES, task.size - position);
        reader = readerOf(task.pastCache, end, { offset: position, length }, signal);
      }
      const left = RANGE_BYTES - (position % RANGE_BYTES);
      const got = (await reader?.next(into.subarray(0, left))) ?? 0;
      position += got;
      return got;
    },
    close: () => reader?.close(),
  };
}

function readerOf(pastCache: boolean, end: Source | Target, range: ByteRange, signal: AbortSignal): ChunkReader {
  if (!('commit' in end)) return end.openChunk(range, signal);
  const past = pastCache ? end.openReadBack?.(range, signal) : undefined;
  return past?.reader ?? openBack(end, range, signal);
}
