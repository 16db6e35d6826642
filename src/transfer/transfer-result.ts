/** What a finished copy of one file answers. */
import type { Algorithm, DigestOf } from '../core/digest.js';
import type { ProofLevel, TimeAccount } from '../core/events.js';
import type { Checksum } from './checksum.js';
import type { ControlBlock } from './control-block.js';
import type { OpenedJob } from './opening.js';
import type { Progress } from './progress.js';

export interface TransferResult {
  readonly source: string;
  readonly target: string;
  readonly bytesTotal: number;
  /** Proven from an earlier run, and not sent again. */
  readonly bytesReused: number;
  /** Taken over from the target that was replaced, and not sent. */
  readonly bytesAdopted: number;
  readonly bytesZero: number;
  /** Written in this run. */
  readonly bytesCopied: number;
  /** Shared with the source instead of written (reflinks). */
  readonly bytesCloned: number;
  /** On record from an earlier run, but not what the storage held: copied again. */
  readonly bytesMismatched: number;
  /** Read back, found wrong, and written again. */
  readonly bytesRepaired: number;
  readonly proof: ProofLevel;
  readonly algorithm: Algorithm;
  readonly chunkBytes: number;
  /** The hash over all chunk digests, in hex; empty when a damaged journal of an earlier run was all that was left. */
  readonly root: string;
  /** What root and checksum are of: the content that a guest sees, or the file itself, the container. */
  readonly of: DigestOf;
  /** The manifest that was written. */
  readonly manifest?: string;
  /** Of the whole target, where it was asked for. */
  readonly checksum?: Checksum;
  readonly elapsedMs: number;
  /** Where that time went. */
  readonly spent: TimeAccount;
}

type Known = 'source' | 'target' | 'bytesRepaired' | 'elapsedMs' | 'root' | 'manifest' | 'checksum' | 'spent';

export function resultOf(
  { algorithm, grid, source }: OpenedJob,
  progress: Progress,
  control: ControlBlock,
  known: Pick<TransferResult, Known>,
): TransferResult {
  const { bytesTotal, bytesReused, bytesAdopted, bytesZero, bytesMismatched, proof } = progress;
  const bytesCloned = control.counter('clonedBytes');
  return {
    ...known,
    ...{ bytesTotal, bytesReused: bytesReused - bytesAdopted, bytesAdopted, bytesZero, bytesMismatched },
    ...{ bytesCopied: control.counter('writtenBytes') - bytesCloned, bytesCloned },
    ...{ proof, algorithm, chunkBytes: grid.chunkBytes, of: source.of ?? 'container' },
  };
}
