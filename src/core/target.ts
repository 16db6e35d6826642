/** The end that is written to: where it would be, how it is prepared, written, and given its name. */
import { type ByteRange, CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, CHUNK_COUNT_MAX } from './chunk.js';
import type { Algorithm, Digest } from './digest.js';
import type { ChunkReader, EndpointRef, Extent, FileAttributes, FileIdentity, FileTimes } from './endpoint.js';
import { TransferError } from './errors.js';

/** What a finished chunk is known by at a target that hands out names for parts, such as an S3 ETag. */
export type Token = string;

export interface ChunkLimits {
  readonly chunkBytesMin: number;
  readonly chunkBytesMax: number;
  readonly chunkCountMax: number;
}

/** Of a target that takes whatever it gets. */
export const CHUNK_LIMITS: ChunkLimits = {
  chunkBytesMin: CHUNK_BYTES_MIN,
  chunkBytesMax: CHUNK_BYTES_MAX,
  chunkCountMax: CHUNK_COUNT_MAX,
};

/** A part as it is when it is whole and proven; nothing that writes to it later leaves the mark as it is. */
export interface PartMark extends FileIdentity {
  readonly size: number;
  readonly mtimeNs: string;
}

/** What a journal says of a partial copy. */
export interface PartialOnRecord {
  readonly source: string;
  readonly bytesTotal: number;
  /** On record as copied; proven again when the copy goes on. */
  readonly bytesClaimed: number;
  readonly bytesZero: number;
  readonly chunkBytes: number;
  readonly startedAt: number;
  readonly lastOpened?: { readonly pid: number; readonly host: string; readonly at: number };
  /** Absent: the last run was killed, or is still at it. */
  readonly stopped?: { readonly at: number; readonly code: string; readonly message: string };
  readonly damagedRecords: number;
}

/** Where a target would be, and what is there now; looking has changed nothing. */
export interface TargetSite {
  readonly ref: EndpointRef;
  readonly name: string;
  /** What it is called in its folder, byte for byte; not fit to be shown. */
  readonly fileName: string;
  /** Always a local path. */
  readonly journalPath: string;
  readonly publish: 'atomic' | 'in-place';
  readonly limits: ChunkLimits;
  /** Chunks go to other places than their own, which a layout says, and more is written when all are there. */
  readonly laysOut?: true;
  /** Only whole chunks can be written, each in one go: there are no holes, and zeroes are written like all else. */
  readonly wholeChunks?: true;
  /** What is written can be read when the target has its name, and not before. */
  readonly unreadable?: true;
  /** Where the partial data is, the layout on record alone says, which is decided before anything is written. */
  readonly partialOnRecord?: true;
  /**
   * Its flush makes nothing durable, and only tells when a connection broke: then what is on record is in doubt, too,
   * and is proven again.
   */
  readonly vouchesForNothing?: true;
  /** What is written is kept nowhere, so that there is nothing to look at. */
  readonly forgets?: true;
  /** Partial data exists, of this or of another job, and takes this many bytes of storage. */
  readonly partial?: { readonly identity: FileIdentity; readonly allocatedBytes: number };
  /** Of a copy that the target's own host makes, with its journal beside it: what that says. */
  readonly recordThere?: PartialOnRecord;
  /** The target itself exists. */
  readonly existing?: FileIdentity;
  /** A new copy can take over those chunks of it that stay the same. */
  readonly adopts?: boolean;
  /** Bytes that can still be stored there, if that can be known. */
  readonly freeBytes?: number;
  /** Chunks worth having under way on each worker, as for {@link Source.readsPerWorker}. */
  readonly writesPerWorker: number;
  /** What it cannot promise, as sentences for people. */
  readonly notes?: readonly string[];
}

/**
 * How a target lays out what it gets, or where: decided before the first write, kept by the journal, and understood by
 * the target's own scheme alone.
 */
export type TargetLayout = Readonly<Record<string, string | number>>;

export interface PrepareRequest {
  /** Bytes that the target will have. */
  readonly size: number;
  /** Of this run, or of the one that began the partial data. Absent: byte for byte. */
  readonly layout?: TargetLayout;
  /** Make the partial data anew, or open what is there; both are refused where they are not possible safely. */
  readonly partial: 'create' | 'reopen';
  /** The journal says that this part was about to be published, so it may belong to its later owner already. */
  readonly committed?: FileIdentity;
  /** Make the names durable too. */
  readonly sync: boolean;
}

export interface PreparedTarget {
  /** The prepared end: it can write. */
  readonly ref: EndpointRef;
  readonly identity: FileIdentity;
  /** A chunk that was never issued is known to read as zero. */
  readonly zeroed: boolean;
}

export interface CommitRequest {
  /** Take the place of an existing target. */
  readonly overwrite: boolean;
  /** Permission bits of the source, for a target that is new; the process's umask is taken off. */
  readonly mode?: number;
  /** All attributes of the source, which win over `mode` and over those of a target that is replaced. */
  readonly attributes?: FileAttributes;
  /** What each chunk is known by, where the target gave them names; by the number of the chunk. */
  readonly tokens?: ReadonlyMap<number, Token>;
  readonly sync: boolean;
}

export interface CompleteRequest {
  readonly sync: boolean;
  /** Read from the storage itself what was written. @throws TransferError E_INTEGRITY */
  readonly readBack: boolean;
}

/** Whether a target could share blocks with a source, as far as it can be known before anything is written. */
export type CloneProbe = 'shares' | 'unknown' | { readonly refused: string };

export interface Target {
  readonly ref: EndpointRef;
  /**
   * Writing a chunk twice is the same as writing it once. `algorithm`: of the digest that `finish` gets, which then is
   * of all that was written and passed over; absent: nothing can be told from that digest.
   */
  openChunk(range: ByteRange, signal: AbortSignal, algorithm?: Algorithm): ChunkWriter;
  /**
   * Makes the range share the blocks of the same range of the source, instead of writing it. Answers why that cannot be
   * done here, and then nothing was changed; undefined: it is done.
   */
  clone?(source: EndpointRef, range: ByteRange): string | undefined;
  /** Makes the range read as zero, with a hole where the storage can. Absent: only whole chunks can be written. */
  zero?(range: ByteRange): void | Promise<void>;
  /** Extents of the partial data, as in {@link Source.extents}: what is zero there needs no zeroing. */
  extents?(range: ByteRange, signal: AbortSignal): Iterable<Extent> | AsyncIterable<Extent>;
  /** Reads what was written; a target that ends early answers short. Absent: not before the commit. */
  openChunkBack?(range: ByteRange, signal: AbortSignal): ChunkReader;
  /**
   * Makes the range what the file that is to be replaced has there, if that has this digest; false: it has another, and
   * the range is still to be written: it is as it was, or reads as zero. Absent: it can't be done here.
   */
  adopt?(range: ByteRange, expected: Expected, signal: AbortSignal): Promise<boolean>;
  /**
   * Asks the storage whether the chunk that it holds is the one of this digest, which costs less than to read it.
   * Absent: it is read.
   */
  holds?(range: ByteRange, expected: Expected, signal: AbortSignal): Promise<boolean>;
  /**
   * Reads what was written from the storage itself, past every cache of this machine. Absent: it can't be done here.
   */
  openReadBack?(range: ByteRange, signal: AbortSignal): ReadBack;
  /**
   * Writes what makes the target whole besides its chunks, each step durable before the next; to be called once all
   * chunks are on record, and again after a crash. Absent: the chunks are all that there is.
   */
  complete?(request: CompleteRequest): Promise<void>;
  /** What was finished before the call is durable after it. @throws TransferError E_FLUSH, E_NO_SPACE */
  flush(): Promise<void>;
  /** The mark of the partial data, which gets these times first; to be asked after the last write. */
  mark(times?: FileTimes): PartMark | Promise<PartMark>;
  /**
   * Makes the target visible under its name, whole; may be called again after a crash. Answers in sentences what could
   * not be kept or promised. @throws TransferError E_TARGET_EXISTS
   */
  commit(request: CommitRequest): Promise<readonly string[]>;
  /** Lets go of what this thread holds; the target stays open for the others. */
  detach?(): void | Promise<void>;
  /** Closes the target for all threads; partial data stays. */
  close(): Promise<void>;
}

/** Reads what was written to a target that is not committed yet. @throws TransferError E_USAGE where that can't be */
export function openBack(target: Target, range: ByteRange, signal: AbortSignal): ChunkReader {
  if (target.openChunkBack) return target.openChunkBack(range, signal);
  throw new TransferError('E_USAGE', 'what is written there can be read when it has its name, and not before', {
    hint: 'Leave out what reads the partial copy; `verify` reads the finished one.',
  });
}

/** What a chunk was when it was written. */
export interface Expected {
  readonly algorithm: Algorithm;
  readonly digest: Digest;
  readonly token?: Token;
}

/** A reader of the storage itself, or, where that is refused, of what the cache says of it. */
export interface ReadBack {
  readonly reader: ChunkReader;
  readonly pastCache: boolean;
}

/** Writes the bytes of one chunk, in order. */
export interface ChunkWriter {
  /** Takes all of the block before it returns or resolves. */
  write(block: Uint8Array): void | Promise<void>;
  /** Passes over bytes that are known to be zero already. */
  skip(length: number): void;
  finish(digest: Digest): Promise<Token | undefined> | Token | undefined;
  abort(): void;
}
