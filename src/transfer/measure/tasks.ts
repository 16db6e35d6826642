/** What the benchmark asks of a worker, as plain data: which pattern, where, for how long, and what came of it. */
import type { ByteRange } from '../../core/chunk.js';
import type { Algorithm } from '../../core/digest.js';
import type { EndpointRef } from '../../core/endpoint.js';
import type { SharedControl } from '../control-block.js';

/**
 * direct: past the page cache (O_DIRECT) · cold: through a page cache that was emptied first · cached: from it.
 */
export type ReadAccess = 'direct' | 'cold' | 'cached';

export interface ReadPattern {
  readonly kind: 'read';
  readonly access: ReadAccess;
  readonly order: 'sequential' | 'random';
  readonly blockBytes: number;
}

/**
 * Writes over what is there, in order; `flush` end: one fdatasync within the measured time · each: after each block.
 */
export interface WritePattern {
  readonly kind: 'write';
  readonly access: 'direct' | 'buffered';
  readonly flush: 'none' | 'end' | 'each';
  readonly blockBytes: number;
}

export interface HashPattern {
  readonly kind: 'hash';
  readonly algorithm: Algorithm;
  readonly blockBytes: number;
}

/** Reads any source as the engine does: `lanes` chunks under way on each thread. `blockBytes` is one chunk. */
export interface FetchPattern {
  readonly kind: 'fetch';
  readonly order: 'sequential' | 'random';
  readonly lanes: number;
  readonly blockBytes: number;
}

export type Pattern = ReadPattern | WritePattern | HashPattern | FetchPattern;

export interface TimeBudget {
  /** How long it is measured, after a short warming. */
  readonly seconds: number;
  /** Writes end here, warming included; absent: no bound. */
  readonly bytesMax?: number;
}

export interface FileTask extends TimeBudget {
  readonly pattern: ReadPattern | WritePattern;
  readonly path: string;
  /** What this thread has to itself; a whole number of blocks. */
  readonly range: ByteRange;
}

export interface HashTask extends TimeBudget {
  readonly pattern: HashPattern;
}

export interface FetchTask extends TimeBudget {
  readonly pattern: FetchPattern;
  readonly ref: EndpointRef;
  readonly range: ByteRange;
}

/** Threads that measure together begin together, once the last of them is warm: `arrived` is one counter. */
export interface Gate {
  readonly arrived: SharedArrayBuffer;
  readonly threads: number;
}

export type MeasureTask = (FileTask | HashTask | FetchTask) & {
  readonly control: SharedControl;
  readonly gate?: Gate;
};

/** What one thread did in its time. */
export interface Measured {
  readonly bytes: number;
  /** Of {@link Clock.nowNs}, which is the same on every thread. */
  readonly startNs: bigint;
  readonly endNs: bigint;
  /** Processor time of the whole process between start and end. */
  readonly cpuMs: number;
  /** Of each block (fetch: until a chunk's first bytes; with order random the whole chunk), in nanoseconds. */
  readonly latenciesNs: Float64Array;
}

/** `refused`: why this cannot be measured here, as the end of a sentence. */
export type MeasureOutcome = Measured | { readonly refused: string };

/** What a local path is, as far as a benchmark cares. */
export interface Place {
  readonly kind: 'folder' | 'file' | 'device';
  /** Readable bytes of a file or device; 0 for a folder. */
  readonly bytes: number;
  /** A file: fewer bytes than it has are stored, so some of it is holes. */
  readonly hasHoles: boolean;
  readonly freeBytes?: number;
  /** Such as `ext4`, where it is known. */
  readonly fileSystem?: string;
  /** Scratch folders of killed runs that were found and removed. */
  readonly removed: number;
}

/** A folder of our own inside a location, which ends with the benchmark. */
export interface Scratch {
  /** Its name, to be shown and removed. */
  readonly path: string;
  /** Holds the folder; what is done in it goes by `folder`, which leads through this descriptor. */
  readonly folderFd: number;
  readonly folder: string;
  /** Holds the lock that tells a living run from a killed one. */
  readonly lockFd: number;
}

/** The only name in the scratch folder under which copies are made. */
export const SCRATCH_COPY = 'copy';

export interface FillTask {
  readonly scratch: Scratch;
  readonly bytesMax: number;
  /** A slow storage makes the file smaller instead of the wait longer. */
  readonly secondsMax: number;
  readonly bytesMin: number;
  readonly control: SharedControl;
}

export interface Filled {
  readonly path: string;
  readonly bytes: number;
  readonly bytesPerSecond: number;
}

/** The benchmark's entries in the table of work. */
export interface MeasureWork {
  /** Looks at a local path, and removes what killed runs left in it; undefined: there is nothing. */
  'look-at-place': { in: { path: string }; out: Place | undefined };
  'open-scratch': { in: { folder: string }; out: Scratch };
  'fill-scratch': { in: FillTask; out: Filled };
  /** `copy`: only what a copy left; `all`: the folder with everything, and its lock. */
  'clear-scratch': { in: { scratch: Scratch; what: 'copy' | 'all' }; out: void };
  measure: { in: MeasureTask; out: MeasureOutcome };
}
