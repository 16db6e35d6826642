/** What the control plane asks of a worker: plain data in, plain data out, one entry for each kind of work. */

import type { ByteRange } from '../core/chunk.js';
import type { Algorithm, Digest } from '../core/digest.js';
import type { EndpointRef, FileAttributes, FileTimes, Location, Source } from '../core/endpoint.js';
import type {
  CloneProbe,
  CommitRequest,
  CompleteRequest,
  PartMark,
  PreparedTarget,
  PrepareRequest,
  TargetLayout,
  TargetSite,
  Token,
} from '../core/target.js';
import type {
  FileGroup,
  FilesOutcome,
  FilesRequest,
  FinishedFile,
  Listing,
  SourceTree,
  TargetTree,
  TreeRef,
} from '../core/tree.js';
import type { Leftover } from '../endpoint/registry.js';
import type { JournalContent, JournalHeader, JournalRef, OpenedJournal } from '../journal/journal.js';
import type { OpenedTreeJournal, TreeJournalRef, TreeJournalRequest } from '../journal/tree-journal.js';
import type { ChecksumTask } from './checksum.js';
import type { SharedControl } from './control-block.js';
import type { DiskWork } from './disk/tasks.js';
import type { GateReport } from './gate.js';
import type { MeasureWork } from './measure/tasks.js';

/** An opened source, as the control plane sees it: what crosses a thread. */
export type SourceInfo = Pick<
  Source,
  | 'ref'
  | 'name'
  | 'fileName'
  | 'of'
  | 'size'
  | 'sizeIs'
  | 'version'
  | 'mode'
  | 'modifiedNs'
  | 'identity'
  | 'alsoReads'
  | 'allocatedBytes'
  | 'readsPerWorker'
  | 'oneChunk'
  | 'sha256'
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
  /** copy: take over what the target that is to be replaced has there, if it is the same. */
  readonly delta?: boolean;
  /** prove: the source must give these bytes too, since its version does not vouch for them. */
  readonly alsoSource: boolean;
  /** prove, read-back. */
  readonly expected?: Digest;
  /** prove: what the target called the chunk. */
  readonly token?: Token;
  readonly control: SharedControl;
}

export interface ChunkOutcome {
  /** Of what was read: the chunk's digest after a copy; after a proof, only telling together with `same`. */
  readonly digest: Digest;
  readonly token?: Token;
  /** copy: the bytes were taken over from the target that is to be replaced. */
  readonly adopted?: true;
  /** prove, read-back: the bytes are those that were expected. */
  readonly same: boolean;
  /** read-back: the bytes came from the storage, and not from a cache of this machine. */
  readonly pastCache: boolean;
}

export interface FilesTask extends FilesRequest {
  readonly journal: TreeJournalRef;
  readonly algorithm: Algorithm;
  readonly blockBytes: number;
  readonly control: SharedControl;
}

export interface CompareTask {
  readonly range: ByteRange;
  readonly one: EndpointRef;
  readonly other: EndpointRef;
  readonly algorithm: Algorithm;
  readonly blockBytes: number;
  readonly control: SharedControl;
}

export interface CompareOutcome {
  /** Of `one`. */
  readonly digest: Digest;
  /** Ranges that differ, merged where they touch; at most some hundred a chunk. */
  readonly differing: readonly ByteRange[];
}

export interface HashTask {
  readonly range: ByteRange;
  readonly source: EndpointRef;
  readonly algorithm: Algorithm;
  readonly blockBytes: number;
  readonly control: SharedControl;
}

/** Files below a folder, each compared with digests, or with the file of the same path below another folder. */
export interface VerifyFilesTask {
  readonly folder: string;
  readonly otherFolder?: string;
  readonly files: readonly FileToVerify[];
  readonly blockBytes: number;
  readonly control: SharedControl;
}

/** A whole file, or the range of a large one that this task is about. */
export interface FileToVerify {
  readonly path: string;
  /** Bytes of the whole file. */
  readonly size: number;
  readonly range: ByteRange;
  /** Absent: compare with the other folder, where it may be a symbolic link. */
  readonly digests?: { readonly algorithm: Algorithm; readonly chunkBytes: number; readonly bytes: Uint8Array };
  readonly link?: boolean;
}

/**
 * missing: nothing of that name · kind: no regular file, or behind a symbolic link · size: another one · different:
 * other bytes in these ranges · unreadable: whether it is the same cannot be told.
 */
export type FileProblem =
  | { readonly problem: 'missing' }
  | { readonly problem: 'kind'; readonly reason: string }
  | { readonly problem: 'unreadable'; readonly reason: string }
  | { readonly problem: 'size'; readonly size: number; readonly expectedSize: number }
  | { readonly problem: 'different'; readonly differing: readonly ByteRange[] };

/** What is wrong with the file at this place of the task's list; of files that are right nothing is said. */
export type FileFinding = FileProblem & { readonly at: number };

export interface CheckpointRequest {
  /** Absent: nothing to flush. */
  readonly target?: EndpointRef;
  readonly journal: JournalRef;
  readonly position: number;
  readonly lines: string;
  readonly sync: boolean;
  /** Another append follows at once and makes these lines durable, too. */
  readonly moreFollows?: boolean;
}

export interface Work extends MeasureWork, DiskWork {
  'open-source': { in: { location: Location }; out: SourceInfo };
  /** Undefined: there is nothing to say of it. */
  'gate-source': { in: { ref: EndpointRef; control: SharedControl }; out: GateReport | undefined };
  'gate-target': { in: { ref: EndpointRef; size: number; control: SharedControl }; out: GateReport | undefined };
  'map-source': { in: { ref: EndpointRef; chunkBytes: number }; out: Uint8Array | undefined };
  'source-attributes': { in: { ref: EndpointRef }; out: FileAttributes | undefined };
  /** What stands under the name of a located target since its commit, as a source. */
  'open-committed': { in: { ref: EndpointRef; layout?: TargetLayout | undefined }; out: SourceInfo };
  'check-source': { in: { ref: EndpointRef }; out: string | undefined };
  'close-source': { in: { ref: EndpointRef }; out: void };
  'locate-target': { in: { location: Location; sourceName: string }; out: TargetSite };
  'probe-clone': { in: { source: EndpointRef; target: EndpointRef }; out: CloneProbe };
  'lay-out-target': {
    in: { source: EndpointRef; target: EndpointRef; chunkBytes: number };
    out: TargetLayout | undefined;
  };
  'prepare-target': { in: { ref: EndpointRef; request: PrepareRequest }; out: PreparedTarget };
  'map-target': { in: { ref: EndpointRef; size: number; chunkBytes: number }; out: Uint8Array | undefined };
  'commit-target': { in: { ref: EndpointRef; request: CommitRequest }; out: readonly string[] };
  'finish-commit': { in: { ref: EndpointRef; part: PartMark; request: CommitRequest }; out: boolean };
  /** Outside of a checkpoint: for whom the journal is elsewhere. */
  'flush-target': { in: { ref: EndpointRef }; out: void };
  /** Whether what was written can be read past the cache. */
  'reads-past-cache': { in: { ref: EndpointRef }; out: boolean };
  'complete-target': { in: { ref: EndpointRef; request: CompleteRequest }; out: void };
  'mark-target': { in: { ref: EndpointRef; times?: FileTimes }; out: PartMark };
  'discard-partial': { in: { ref: EndpointRef; layout?: TargetLayout | undefined }; out: void };
  leftovers: { in: { location: Location; abortBeforeMs?: number }; out: readonly Leftover[] };
  'close-target': { in: { ref: EndpointRef }; out: void };
  'open-journal': { in: { path: string; forget: boolean }; out: OpenedJournal };
  'peek-journal': { in: { path: string }; out: JournalContent | undefined };
  'begin-journal': { in: { ref: JournalRef; header: JournalHeader; sync: boolean }; out: number };
  'take-up-journal': { in: { ref: JournalRef; goodBytes: number; header: JournalHeader; sync: boolean }; out: number };
  checkpoint: { in: CheckpointRequest; out: { position: number } };
  'drop-journal': { in: { ref: JournalRef; sync: boolean }; out: void };
  'close-journal': { in: { ref: JournalRef }; out: void };
  'open-source-tree': { in: { location: Location; recursive: boolean }; out: SourceTree };
  'open-target-tree': { in: { location: Location; dryRun: boolean }; out: TargetTree };
  'open-tree-journal': { in: TreeJournalRequest; out: OpenedTreeJournal };
  'list-folder': { in: { ref: TreeRef; folder: string }; out: Listing };
  'copy-files': { in: FilesTask; out: FilesOutcome };
  'locate-in-tree': { in: { ref: TreeRef; folder: string; name: string }; out: { location: Location; fd: number } };
  'record-files': { in: { journal: TreeJournalRef; files: readonly FinishedFile[]; sync: boolean }; out: void };
  'unrecord-file': { in: { journal: TreeJournalRef; file: FinishedFile; sync: boolean }; out: void };
  /** A flush failed: what was never flushed may be lost, whoever wrote it. */
  'doubt-tree': { in: { journal: TreeJournalRef }; out: void };
  'write-tree-manifest': { in: { journal: OpenedTreeJournal; path: string; sync: boolean }; out: void };
  'finish-folders': { in: { target: TreeRef; groups: readonly FileGroup[] }; out: string[] };
  'restrict-folders': {
    in: { target: TreeRef; folders: FilesOutcome['restrict']; journal: TreeJournalRef };
    out: string[];
  };
  'sweep-folders': { in: { target: TreeRef; folders: readonly string[]; tag: string }; out: void };
  /** The tree is complete: all of it durable, and on record as that; `folders`: one on each other file system in it. */
  'settle-tree': { in: { target: TreeRef; folders: readonly string[]; journal: TreeJournalRef }; out: void };
  'close-in-tree': { in: { scheme: string; fd: number }; out: void };
  /** The SHA-256 of the whole, in hex. */
  checksum: { in: ChecksumTask; out: string };
  chunk: { in: ChunkTask; out: ChunkOutcome };
  compare: { in: CompareTask; out: CompareOutcome };
  hash: { in: HashTask; out: Digest };
  'verify-files': { in: VerifyFilesTask; out: FileFinding[] };
}

export type WorkName = keyof Work;
