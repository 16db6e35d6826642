/**
 * The two ends of a copy. An endpoint is opened once, from a location, and is then known by its `ref`: plain data from
 * which any thread of the process makes the same endpoint again without asking the storage. An end that lacks an
 * ability leaves the method out; nothing above asks what kind of end it is. Implementations throw TransferError only.
 */
import type { ByteRange } from './chunk.js';
import type { Digest } from './digest.js';

/**
 * What a user typed, understood: the scheme (`file` for paths) and the rest. `text` may hold secrets, `name` never
 * does.
 */
export interface Location {
  readonly scheme: string;
  readonly text: string;
  readonly name: string;
  /** What people call it, where the text means nothing to them. */
  readonly shown?: string;
  /** refuse: it must not be a symbolic link. */
  readonly links?: 'refuse';
}

/**
 * Plain, cloneable, and enough to attach to the same endpoint on another thread; the scheme says which file knows it.
 */
export interface EndpointRef {
  readonly scheme: string;
  /** Reads and writes leave the page cache of this machine as they find it, as far as that can be done. */
  readonly leavesCache?: boolean;
}

/**
 * What tells that a source changed. Two equal versions that are not 'none' mean the same bytes, as far as the strength
 * goes: `strong` a validator made for it (strong ETag; size + mtime + inode on a local file system) · `weak` size +
 * time, which a quick second change can escape · `none` nothing: a resume reads the source again.
 */
export interface Version {
  readonly strength: 'strong' | 'weak' | 'none';
  readonly value: string;
  /** When anything about it was changed last (ctime). Another one, with the same value, is reason to read it again. */
  readonly changedNs?: string;
}

export interface Extent extends ByteRange {
  readonly kind: 'data' | 'zero';
}

export interface FileTimes {
  /** Nanoseconds since 1970, in decimal. */
  readonly accessedNs: string;
  readonly modifiedNs: string;
}

/** What `--preserve` keeps of a file, besides its bytes. */
export interface FileAttributes extends FileTimes {
  /** POSIX permission bits, set-user-id, set-group-id and sticky bit included. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Extended attributes, access control lists included; absent where they cannot be read here. */
  readonly extended?: readonly (readonly [name: string, value: Uint8Array])[];
  /** What could not be read and so cannot be kept, as sentences. */
  readonly unread?: readonly string[];
}

export interface Source {
  readonly ref: EndpointRef;
  /** For people: the location without secrets. */
  readonly name: string;
  /** What a copy inside a folder is called; may be hostile, and not fit to be shown. */
  readonly fileName: string;
  /** The bytes are what the guest of a disk image sees. Absent: they are those of the file itself, the container. */
  readonly of?: 'content';
  /** Bytes. */
  readonly size: number;
  /** `capacity`: a device, which may be larger than what somebody put on it. */
  readonly sizeIs: 'exact' | 'capacity';
  /** Bytes of storage that the source takes, where that is known: holes take none. */
  readonly allocatedBytes?: number;
  readonly version: Version;
  /** POSIX permission bits, where there are any. */
  readonly mode?: number;
  /** When it was last changed, in nanoseconds since 1970, where that is all that is known of its attributes. */
  readonly modifiedNs?: string;
  /** What tells that source and target are one file, where there is such a thing. */
  readonly identity?: FileIdentity;
  /** Other files that are read, too: none of them can be the target. */
  readonly alsoReads?: readonly FileIdentity[];
  /**
   * Chunks worth having under way on each worker. Where reads block the thread: 2, one read and the next one waiting.
   */
  readonly readsPerWorker: number;
  /** Any chunk, in any order, any number of times. */
  openChunk(range: ByteRange, signal: AbortSignal): ChunkReader;
  /**
   * Extents of the range in order and without gaps. Absent: everything is data. May call data what is zero, never the
   * reverse.
   */
  extents?(range: ByteRange, signal: AbortSignal): Iterable<Extent> | AsyncIterable<Extent>;
  /** What `--preserve` keeps. Absent: there is nothing of the kind, or nothing but {@link modifiedNs}. */
  attributes?(): FileAttributes;
  /** Whether somebody of this machine has it open for writing; undefined, or absent: that cannot be told. */
  isOpenForWriting?(): boolean | undefined;
  /**
   * Answers what {@link Version.changedNs} is by now, where there is one. @throws TransferError E_SOURCE_CHANGED when
   * the source is no longer the version that was opened
   */
  assertUnchanged(): Promise<string | undefined>;
  /** Lets go of what this thread holds; the source stays open for the others. */
  detach?(): void | Promise<void>;
  /** Closes the source for all threads. */
  close(): Promise<void>;
}

/** Reads the bytes of one chunk, in order. */
export interface ChunkReader {
  /**
   * Fills `into` from its start and returns how much was filled: all of it, except at the end of the range. Local ends
   * answer synchronously. A source that ends early is E_SOURCE_CHANGED, never a short answer.
   */
  next(into: Uint8Array): number | Promise<number>;
  /** Gives up what the reader holds, connections included; harmless when called twice. */
  close(): void;
}

/** What a finished chunk is known by at a target that hands out names for parts, such as an S3 ETag. */
export type Token = string;

export interface ChunkLimits {
  readonly chunkBytesMin: number;
  readonly chunkBytesMax: number;
  readonly chunkCountMax: number;
}

/** Names a file beyond doubt while it exists: a commit that was cut short is told from somebody else's file by it. */
export interface FileIdentity {
  readonly device: string;
  readonly inode: string;
}

/** Whether both are known, and name one file. */
export function sameIdentity(a: FileIdentity | undefined, b: FileIdentity | undefined): boolean {
  return a !== undefined && b !== undefined && a.device === b.device && a.inode === b.inode;
}

/** A part as it is when it is whole and proven; nothing that writes to it later leaves the mark as it is. */
export interface PartMark extends FileIdentity {
  readonly size: number;
  readonly mtimeNs: string;
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
  /** What is written is kept nowhere, so that there is nothing to look at. */
  readonly forgets?: true;
  /** Partial data exists, of this or of another job, and takes this many bytes of storage. */
  readonly partial?: { readonly identity: FileIdentity; readonly allocatedBytes: number };
  /** The target itself exists. */
  readonly existing?: FileIdentity;
  /** Bytes that can still be stored there, if that can be known. */
  readonly freeBytes?: number;
  /** Chunks worth having under way on each worker, as for {@link Source.readsPerWorker}. */
  readonly writesPerWorker: number;
}

/**
 * How a target lays out what it gets: decided before the first write, kept by the journal, and understood by the
 * target's own scheme alone.
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
  /** Writing a chunk twice is the same as writing it once. */
  openChunk(range: ByteRange, signal: AbortSignal): ChunkWriter;
  /**
   * Makes the range share the blocks of the same range of the source, instead of writing it. Answers why that cannot be
   * done here, and then nothing was changed; undefined: it is done.
   */
  clone?(source: EndpointRef, range: ByteRange): string | undefined;
  /** Makes the range read as zero, with a hole where the storage can. */
  zero(range: ByteRange): void | Promise<void>;
  /** Extents of the partial data, as in {@link Source.extents}: what is zero there needs no zeroing. */
  extents?(range: ByteRange, signal: AbortSignal): Iterable<Extent> | AsyncIterable<Extent>;
  /** Reads what was written; a target that ends early answers short. */
  openChunkBack(range: ByteRange, signal: AbortSignal): ChunkReader;
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
  mark(times?: FileTimes): PartMark;
  /**
   * Makes the target visible under its name, whole; may be called again after a crash. Answers in sentences which
   * attributes could not be kept. @throws TransferError E_TARGET_EXISTS
   */
  commit(request: CommitRequest): Promise<readonly string[]>;
  /** Lets go of what this thread holds; the target stays open for the others. */
  detach?(): void | Promise<void>;
  /** Closes the target for all threads; partial data stays. */
  close(): Promise<void>;
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
