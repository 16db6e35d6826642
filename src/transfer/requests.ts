/** What the control plane asks of a worker: plain data in, plain data out, one entry for each kind of work. */
import type { ByteRange } from '../core/chunk.js';
import type { Algorithm, Digest } from '../core/digest.js';
import type {
  CloneProbe,
  CommitRequest,
  EndpointRef,
  FileAttributes,
  FileTimes,
  Location,
  PartMark,
  PreparedTarget,
  PrepareRequest,
  Source,
  TargetSite,
  Token,
} from '../core/endpoint.js';
import type { JournalContent, JournalHeader, JournalRef, OpenedJournal } from '../journal/journal.js';
import type { ChecksumTask } from './checksum.js';

/** An opened source, as the control plane sees it: what crosses a thread. */
export type SourceInfo = Pick<
  Source,
  | 'ref'
  | 'name'
  | 'fileName'
  | 'size'
  | 'sizeIs'
  | 'version'
  | 'mode'
  | 'modifiedNs'
  | 'identity'
  | 'allocatedBytes'
  | 'readsPerWorker'
>;

/** What a map says of each chunk. */
export const MAP = { data: 0, mixed: 1, zero: 2 } as const;

/**
 * copy: source to target · prove: the target's bytes are still those of `expected` · zero: make the target read as
 * zero · read-back: as prove, past the cache.
 */
export type ChunkWork = 'copy' | 'prove' | 'zero' | 'read-back';

export interface ChunkTask {
  readonly work: ChunkWork;
  readonly chunk: number;
  readonly range: ByteRange;
  readonly source: EndpointRef;
  readonly target: EndpointRef;
  readonly algorithm: Algorithm;
  readonly blockBytes: number;
  /** copy: leave holes for runs of zeroes that fill whole pieces of so many bytes; 0: write everything. */
  readonly sparseBytes: number;
  /** copy: the target is known to read as zero here, so that zero blocks need nothing. */
  readonly knownZero: boolean;
  /** copy: share the blocks of the source, where the target can (auto) or else fail (always). */
  readonly clone?: 'auto' | 'always' | undefined;
  /** prove: the source must give these bytes too, since it has no version that could vouch for them. */
  readonly alsoSource: boolean;
  /** prove, read-back. */
  readonly expected?: Digest;
  readonly control: SharedArrayBuffer;
}

export interface ChunkOutcome {
  /** Of what was read: the chunk's digest after a copy; after a proof, only telling together with `same`. */
  readonly digest: Digest;
  readonly token?: Token;
  /** prove, read-back: the bytes are those that were expected. */
  readonly same: boolean;
  /** read-back: the bytes came from the storage, and not from a cache of this machine. */
  readonly pastCache: boolean;
}

export interface CompareTask {
  readonly range: ByteRange;
  readonly one: EndpointRef;
  readonly other: EndpointRef;
  readonly algorithm: Algorithm;
  readonly blockBytes: number;
  readonly control: SharedArrayBuffer;
}

export interface CompareOutcome {
  /** Of `one`. */
  readonly digest: Digest;
  /** Ranges that differ, merged where they touch; at most some hundred a chunk. */
  readonly differing: readonly ByteRange[];
}

export interface CheckpointRequest {
  /** Absent: nothing to flush. */
  readonly target?: EndpointRef;
  readonly journal: JournalRef;
  readonly position: number;
  readonly lines: string;
  readonly sync: boolean;
}

export interface Work {
  'open-source': { in: { location: Location }; out: SourceInfo };
  'map-source': { in: { ref: EndpointRef; chunkBytes: number }; out: Uint8Array | undefined };
  'source-attributes': { in: { ref: EndpointRef }; out: FileAttributes | undefined };
  /** What stands under the name of a located target since its commit, as a source. */
  'open-committed': { in: { ref: EndpointRef }; out: SourceInfo };
  'check-source': { in: { ref: EndpointRef }; out: void };
  'close-source': { in: { ref: EndpointRef }; out: void };
  'locate-target': { in: { location: Location; sourceName: string }; out: TargetSite };
  'probe-clone': { in: { source: EndpointRef; target: EndpointRef }; out: CloneProbe };
  'prepare-target': { in: { ref: EndpointRef; request: PrepareRequest }; out: PreparedTarget };
  'map-target': { in: { ref: EndpointRef; size: number; chunkBytes: number }; out: Uint8Array | undefined };
  'commit-target': { in: { ref: EndpointRef; request: CommitRequest }; out: readonly string[] };
  'finish-commit': { in: { ref: EndpointRef; part: PartMark; request: CommitRequest }; out: boolean };
  'mark-target': { in: { ref: EndpointRef; times?: FileTimes }; out: PartMark };
  'discard-partial': { in: { ref: EndpointRef }; out: void };
  'close-target': { in: { ref: EndpointRef }; out: void };
  'open-journal': { in: { path: string; forget: boolean }; out: OpenedJournal };
  'peek-journal': { in: { path: string }; out: JournalContent | undefined };
  'begin-journal': { in: { ref: JournalRef; header: JournalHeader; sync: boolean }; out: number };
  'take-up-journal': { in: { ref: JournalRef; goodBytes: number; header: JournalHeader; sync: boolean }; out: number };
  checkpoint: { in: CheckpointRequest; out: { position: number } };
  'drop-journal': { in: { ref: JournalRef; sync: boolean }; out: void };
  'close-journal': { in: { ref: JournalRef }; out: void };
  /** The SHA-256 of the whole, in hex. */
  checksum: { in: ChecksumTask; out: string };
  chunk: { in: ChunkTask; out: ChunkOutcome };
  compare: { in: CompareTask; out: CompareOutcome };
}

export type WorkName = keyof Work;
