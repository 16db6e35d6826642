/** Reading for a digest alone, block by block through one buffer, and what every task on a thread works with. */
import type { Clock } from '../core/clock.js';
import type { Digest, Hasher } from '../core/digest.js';
import type { ChunkReader } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import type { BlockBuffers } from './block-buffers.js';
import type { ControlBlock } from './control-block.js';
import type { Pace } from './pace.js';

export interface ChunkHost {
  readonly control: ControlBlock;
  readonly pace: Pace;
  readonly clock: Clock;
  readonly buffers: BlockBuffers;
  readonly newHasher: () => Hasher;
  /** Aborts when the job is stopped, so that waits on the network end. */
  readonly signal: AbortSignal;
}

export function assertRunning(host: ChunkHost): void {
  if (!host.control.running) throw new TransferError('E_STOPPED', 'stopped; finished chunks are kept');
}

export interface HashedRange {
  /** Of what the reader had: of fewer bytes than were asked for when it ended early. */
  readonly digest: Digest;
  readonly bytes: number;
}

/** What it waits for is counted by its cause. */
export function takePaced(pace: Pace, bytes: number, { control, signal }: ChunkHost): Promise<void> {
  return pace.take(bytes, signal, (cause, ns) => control.add(`${cause}Ns`, ns));
}

export interface HashWish {
  /** Bytes. */
  readonly length: number;
  readonly blockBytes: number;
  /** Which end the time of reading counts for. */
  readonly of: 'source' | 'target';
}

/** Takes from the pace where one is given. Closes the reader. */
export async function hashRange(
  reader: ChunkReader,
  about: HashWish,
  host: ChunkHost,
  pace?: Pace,
): Promise<HashedRange> {
  const hasher = host.newHasher();
  const buffer = host.buffers.take(about.blockBytes);
  let bytes = 0;
  try {
    while (bytes < about.length) {
      assertRunning(host);
      const length = Math.min(about.length - bytes, pace?.blockBytes(buffer.length) ?? buffer.length);
      if (pace?.limited) await takePaced(pace, length, host);
      const block = buffer.subarray(0, length);
      const t0 = host.clock.nowNs();
      const got = await reader.next(block);
      const t1 = host.clock.nowNs();
      host.control.add(about.of === 'source' ? 'readNs' : 'readTargetNs', t1 - t0);
      host.control.add('readBytes', BigInt(got));
      pace?.measured('reads', got, t1 - t0);
      if (got === 0) break;
      hasher.update(block.subarray(0, got));
      host.control.add('hashNs', host.clock.nowNs() - t1);
      bytes += got;
    }
    return { digest: hasher.digest(), bytes };
  } finally {
    reader.close();
    host.buffers.give(buffer);
  }
}
