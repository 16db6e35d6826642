/**
 * How long a machine is going to stand still, from what has to be moved meanwhile and how fast that was lately; and
 * what follows from it. It only reckons, so that every decision can be looked at. All times are milliseconds.
 */
import { formatBytes, formatDuration } from '../core/units.js';

/** As measured on this pair of ends, or assumed until they are. */
export interface Rates {
  /** Bytes per second: memory to a file, files to the target, files read there for the proof, a file to memory. */
  readonly saveBytesPerSecond: number;
  readonly copyBytesPerSecond: number;
  readonly proveBytesPerSecond: number;
  readonly loadBytesPerSecond: number;
  /** What takes as long however large all is: the processes, the jobs, the records. */
  readonly fixedMs: number;
  /** What is saved of the memory that is in use at most: pages of zeroes are not. Of 1. */
  readonly savedShare: number;
}

/** For a first migration between two ends: modest, so that the first prediction is rather too long than too short. */
export const ASSUMED_RATES: Rates = {
  saveBytesPerSecond: 500e6,
  copyBytesPerSecond: 200e6,
  proveBytesPerSecond: 500e6,
  loadBytesPerSecond: 500e6,
  fixedMs: 400,
  savedShare: 1,
};

export interface Load {
  /** What the guest has written since the last snapshot, in all its disks. */
  readonly deltaBytes: number;
  readonly memoryBytes: number;
  /** How fast the delta has grown since the last snapshot. */
  readonly deltaBytesPerSecond: number;
  /** The memory is saved at the source and copied from there; otherwise it is saved where it is loaded. */
  readonly memoryIsCopied: boolean;
}

export interface Prediction extends Load {
  readonly blackoutMs: number;
  /** The same without a delta: no round makes it shorter than this. */
  readonly leastMs: number;
  /** How long it takes to copy the delta while the guest runs, and what it has written by then. */
  readonly roundMs: number;
  readonly nextDeltaBytes: number;
}

export function predict(load: Load, rates: Rates): Prediction {
  const { deltaBytes, deltaBytesPerSecond } = load;
  const leastMs = blackout({ ...load, deltaBytes: 0 }, rates);
  const roundMs = rates.fixedMs + msFor(deltaBytes, rates.copyBytesPerSecond);
  return {
    ...load,
    blackoutMs: Math.round(blackout(load, rates)),
    leastMs: Math.round(leastMs),
    roundMs: Math.round(roundMs),
    nextDeltaBytes: Math.round((deltaBytesPerSecond * roundMs) / 1000),
  };
}

/** One after the other: saved, copied with the delta, proven with it, loaded. */
function blackout({ deltaBytes, memoryBytes: memoryInUse, memoryIsCopied }: Load, rates: Rates): number {
  const memoryBytes = memoryInUse * rates.savedShare;
  return (
    rates.fixedMs +
    msFor(memoryBytes, rates.saveBytesPerSecond) +
    msFor(deltaBytes + (memoryIsCopied ? memoryBytes : 0), rates.copyBytesPerSecond) +
    msFor(deltaBytes + memoryBytes, rates.proveBytesPerSecond) +
    msFor(memoryBytes, rates.loadBytesPerSecond)
  );
}

function msFor(bytes: number, bytesPerSecond: number): number {
  return bytes === 0 ? 0 : (bytes / bytesPerSecond) * 1000;
}

export type Decision = {
  readonly go: 'on' | 'round' | 'wait' | 'ask';
  /** A plain sentence. */
  readonly reason: string;
};

export interface Limits {
  /** Absent: however long it takes. */
  readonly maxBlackoutMs?: number | undefined;
  /** Rounds and waits that there were already. */
  readonly rounds: number;
  readonly waits: number;
}

/** More would only wear the storage: what did not help so often does not help. */
export const ROUNDS_MAX = 8;
export const WAITS_MAX = 6;
/** A round is worth its while when it leaves no more than this of the delta. */
const WORTH = 0.75;

/** What follows: into the blackout, another snapshot, a calmer moment, or the question whether it may take so long. */
export function decide(prediction: Prediction, { maxBlackoutMs, rounds, waits }: Limits): Decision {
  const { blackoutMs, leastMs, deltaBytes, memoryBytes, nextDeltaBytes } = prediction;
  const predicted = `it would stand still for ${formatDuration(blackoutMs)}`;
  if (maxBlackoutMs === undefined) return { go: 'on', reason: `${predicted}; there is no limit` };
  const limit = `${formatDuration(maxBlackoutMs)} at most were allowed`;
  if (blackoutMs <= maxBlackoutMs) return { go: 'on', reason: `${predicted}; ${limit}` };
  const over = `${predicted}, and ${limit}`;
  if (leastMs > maxBlackoutMs) {
    const memory = `its ${formatBytes(memoryBytes)} of memory alone take ${formatDuration(leastMs)}`;
    return { go: 'ask', reason: `${over}: ${memory}, so that no further snapshot helps` };
  }
  if (rounds < ROUNDS_MAX && nextDeltaBytes <= deltaBytes * WORTH) {
    const left = `${formatBytes(deltaBytes)} are copied first, and about ${formatBytes(nextDeltaBytes)} are left`;
    return { go: 'round', reason: `${over}: ${left}` };
  }
  const fast = rounds < ROUNDS_MAX ? 'it writes about as fast as can be copied' : `${rounds} snapshots did not help`;
  if (waits < WAITS_MAX) return { go: 'wait', reason: `${over}: ${fast}; a calmer moment is waited for` };
  return { go: 'ask', reason: `${over}: ${fast}, and no calmer moment came` };
}
