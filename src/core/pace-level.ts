/**
 * The memory of one level of a pace: how fast those may go who share it, and, where somebody is to find out how fast
 * that should be, what their blocks took. All threads read and write it with Atomics.
 */
import { PACE_CAUSES, type PaceCause } from './causes.js';

/** Nanoseconds: when the next byte is due. */
export const FREE = 0;
/** Bytes per second; 0: no limit. */
export const RATE = 1;
/** Bytes of a block at most; 0: as large as they are. */
export const BLOCK_MAX = 2;
/** Nanoseconds of rate that a late wake-up is made good for; 0: as ever. */
export const BURST = 3;
/** Which blocks are measured; 0: none. */
const METERED = 4;
/** Since the level began: blocks that were measured, their bytes, microseconds that they took, and the squares. */
const BLOCKS = 5;
const BYTES = 6;
const TOOK = 7;
const TOOK_SQUARED = 8;
/** Microseconds of the quickest block, or 0, since this was last asked for. */
const FASTEST = 9;
/** Which of {@link PACE_CAUSES} its waits are told as. */
export const CAUSE = 10;

export const PACE_LEVEL_CELLS = 11;
export const PACE_LEVEL_BYTES = PACE_LEVEL_CELLS * BigInt64Array.BYTES_PER_ELEMENT;

export type Metered = 'reads' | 'writes';
const KINDS: Readonly<Record<Metered, bigint>> = { reads: 1n, writes: 2n };
/** So that one block that hangs for days does not overflow what is added up. */
const TOOK_MAX_NS = 60_000_000_000n;

/** A level that several jobs share; `cause` is what its waits are told as. */
export function newPaceLevel(bytesPerSecond = 0, cause: PaceCause = 'limit', metered?: Metered): SharedArrayBuffer {
  const shared = new SharedArrayBuffer(PACE_LEVEL_BYTES);
  Atomics.store(new BigInt64Array(shared), METERED, metered ? KINDS[metered] : 0n);
  setPaceLevel(shared, bytesPerSecond, cause);
  return shared;
}

/** Without a `cause` its waits are told as before. */
export function setPaceLevel(level: SharedArrayBuffer, bytesPerSecond: number, cause?: PaceCause): void {
  const cells = new BigInt64Array(level);
  if (cause !== undefined) Atomics.store(cells, CAUSE, BigInt(PACE_CAUSES.indexOf(cause)));
  Atomics.store(cells, RATE, BigInt(Math.floor(bytesPerSecond)));
}

/** How a level gives way: in which blocks, and how little is made good when a timer was late. */
export function setPaceShape(level: SharedArrayBuffer, shape: { blockBytesMax: number; burstMs: number }): void {
  const cells = new BigInt64Array(level);
  Atomics.store(cells, BLOCK_MAX, BigInt(Math.floor(shape.blockBytesMax)));
  Atomics.store(cells, BURST, BigInt(Math.floor(shape.burstMs * 1e6)));
}

/** Whether blocks of this kind count for the level. */
export function isMetered(cells: BigInt64Array, kind: Metered): boolean {
  return cells[METERED] === KINDS[kind];
}

/** A block was read or written, which took so many nanoseconds. */
export function meter(cells: BigInt64Array, bytes: number, tookNs: bigint): void {
  const tookUs = (tookNs > TOOK_MAX_NS ? TOOK_MAX_NS : tookNs) / 1000n;
  Atomics.add(cells, BLOCKS, 1n);
  Atomics.add(cells, BYTES, BigInt(bytes));
  Atomics.add(cells, TOOK, tookUs);
  Atomics.add(cells, TOOK_SQUARED, tookUs * tookUs);
  for (;;) {
    const fastest = Atomics.load(cells, FASTEST);
    if (fastest !== 0n && fastest <= tookUs) return;
    if (Atomics.compareExchange(cells, FASTEST, fastest, tookUs || 1n) === fastest) return;
  }
}

export interface MeterReading {
  readonly bytes: number;
  readonly blocks: number;
  readonly latencyMs: number;
  readonly latencyMs2: number;
  /** 0: there was none. */
  readonly fastestMs: number;
}

/** All that was measured so far, but for the quickest, which is that since the last reading. */
export function readMeter(level: SharedArrayBuffer): MeterReading {
  const cells = new BigInt64Array(level);
  const of = (cell: number): number => Number(Atomics.load(cells, cell));
  return {
    ...{ bytes: of(BYTES), blocks: of(BLOCKS) },
    ...{ latencyMs: of(TOOK) / 1e3, latencyMs2: of(TOOK_SQUARED) / 1e6 },
    fastestMs: Number(Atomics.exchange(cells, FASTEST, 0n)) / 1e3,
  };
}
