/**
 * The two ends of a copy. An endpoint is opened once, from a location, and is then known by its `ref`: plain data from
 * which any thread of the process makes the same endpoint again without asking the storage. An end that lacks an
 * ability leaves the method out; nothing above asks what kind of end it is. Implementations throw TransferError only.
 */
import type { ByteRange } from './chunk.js';
import type { Algorithm, Digest } from './digest.js';
import type { HttpAsked } from './http-options.js';

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
  /** How its server is asked, where that is HTTP; may hold secrets. */
  readonly http?: HttpAsked;
}

/**
 * Plain, cloneable, and enough to attach to the same endpoint on another thread; the scheme says which file knows it.
 */
export interface EndpointRef {
  readonly scheme: string;
  /** Reads and writes leave the page cache of this machine as they find it, as far as that can be done. */
  readonly leavesCache?: boolean;
  /** Each read and each write is one request of its own size to the storage: none ahead, none put off. */
  readonly blockwise?: boolean;
  /** Who reads and writes gives way to others: little is ever left to be written out, and threads go last. */
  readonly background?: boolean;
}

/** The same ref, read and written as `other` is: an end that is made of others has them go about it as it does. */
export function inTheMannerOf<R extends EndpointRef>(other: EndpointRef, ref: R): R {
  const { leavesCache, blockwise, background } = other;
  return {
    ...ref,
    ...(leavesCache && { leavesCache }),
    ...(blockwise && { blockwise }),
    ...(background && { background }),
  };
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

/** Names a file beyond doubt while it exists: a commit that was cut short is told from somebody else's file by it. */
export interface FileIdentity {
  readonly device: string;
  readonly inode: string;
}

/** Whether both are known, and name one file. */
export function sameIdentity(a: FileIdentity | undefined, b: FileIdentity | undefined): boolean {
  return a !== undefined && b !== undefined && a.device === b.device && a.inode === b.inode;
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
  /** It can be read in one piece alone, from its start: all of it is one chunk, and a stop costs all of it. */
  readonly oneChunk?: true;
  /** The SHA-256 of all of it, in hex, where whoever serves it says so; nobody has proven it yet. */
  readonly sha256?: string;
  /**
   * Any chunk, in any order, any number of times. `algorithm`: the caller hashes all of it by that, and asks the reader
   * to {@link ChunkReader.verify} the digest; else the reader proves by itself what comes over a network.
   */
  openChunk(range: ByteRange, signal: AbortSignal, algorithm?: Algorithm): ChunkReader;
  /**
   * Extents of the range in order and without gaps. Absent: everything is data. May call data what is zero, never the
   * reverse.
   */
  extents?(range: ByteRange, signal: AbortSignal): Iterable<Extent> | AsyncIterable<Extent>;
  /**
   * The digest of a chunk, computed where the bytes are, which costs less than to send them. Absent: they are read.
   * @throws TransferError E_SOURCE_CHANGED
   */
  digest?(range: ByteRange, algorithm: Algorithm, signal: AbortSignal): Promise<Digest>;
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
  /**
   * Compares the digest of all that was read with what the other side says of it, by the algorithm that was named.
   * Absent: nobody says. @throws TransferError E_PROTOCOL when the bytes were changed on their way
   */
  verify?(digest: Digest): void;
  /** Gives up what the reader holds, connections included; harmless when called twice. */
  close(): void;
}
