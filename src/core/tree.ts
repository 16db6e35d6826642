/**
 * Whole folders as the ends of a copy. Names below a root are strings with `/` between them and none at their ends; ''
 * is the root itself. What is opened is known by a ref, as in endpoint.ts, and descriptors belong to the process.
 */
import type { Algorithm, Hasher } from './digest.js';
import type { EndpointRef, Location } from './endpoint.js';
import { type ErrorCode, type ErrorJson, TransferError } from './errors.js';
import type { ProofLevel } from './events.js';

/** An opened folder that a tree hangs on. */
export interface TreeRef extends EndpointRef {
  readonly fd: number;
  /** For people. */
  readonly name: string;
  /** Absolute, without links. */
  readonly path: string;
}

/** What a user named as a source of a tree copy. */
export interface SourceTree {
  /** The folder itself; for a file, the folder that it lies in. */
  readonly ref: TreeRef;
  /** What it is called inside the target; '' when only its contents are meant. */
  readonly targetName: string;
  /** Present: a single file, by its name in the folder. */
  readonly fileName?: string;
}

export interface TargetTree {
  readonly ref: TreeRef;
  /** Always a local path. */
  readonly journalPath: string;
  /** The folder was made for this copy. */
  readonly created: boolean;
}

/** The names in a folder by their kind, each followed by a zero byte: a million names take a few MiB. */
export interface Listing {
  readonly files: Uint8Array;
  readonly links: Uint8Array;
  readonly folders: Uint8Array;
  /** Pipes, sockets, devices. */
  readonly specials: Uint8Array;
}

/** Files of one folder. */
export interface FileGroup {
  readonly source: TreeRef;
  readonly sourceFolder: string;
  readonly targetFolder: string;
  /** How many names of `targetFolder` stand above those of the source's own folders: 1 for its name, or 0. */
  readonly prefixDepth: number;
  readonly files: readonly string[];
  readonly links: readonly string[];
  /** The target name of a single file, where it differs. */
  readonly as?: string;
}

/** `folder/name`, where either may be the root. */
export function joinPath(folder: string, name: string): string {
  return folder === '' ? name : name === '' ? folder : `${folder}/${name}`;
}

/** The path of a file below the target. */
export function pathIn({ targetFolder, as }: Pick<FileGroup, 'targetFolder' | 'as'>, name: string): string {
  return joinPath(targetFolder, as ?? name);
}

/** What holds no bytes, by a name that is fit to be shown. */
export function specialFile(shown: string): TransferError {
  return new TransferError('E_SOURCE_KIND', `${shown} is a special file (a pipe, a socket or a device)`, {
    hint: 'It was left out: it holds no bytes that a copy could keep. --exclude leaves it out without this message.',
  });
}

export interface FilesRequest {
  readonly target: TreeRef;
  readonly groups: readonly FileGroup[];
  /** Larger files are left to copies of their own. */
  readonly smallBytesMax: number;
  /** The target was made for this copy: nothing can be in the way. */
  readonly fresh: boolean;
  readonly overwrite: boolean;
  readonly preserve: boolean;
  /** Share the blocks of the source. */
  readonly reflink: 'auto' | 'always' | 'never';
  readonly sync: boolean;
  /** Read each file past the cache before it gets its name. */
  readonly readBack: boolean;
  /** Look and tell, and change nothing. */
  readonly dryRun: boolean;
  /** Tells the partial files of this tree from those of others. */
  readonly tag: string;
}

/** A file that is whole, proven and durable, and gets its name next. */
export interface FinishedFile {
  /** Below the target. */
  readonly path: string;
  readonly size: number;
  /** Versions of both ends, as their own kind of storage tells them; the source's with its last change behind. */
  readonly sourceVersion: string;
  readonly targetVersion: string;
  /** The chunk digests in hex, one behind the other. */
  readonly digests: string;
  /** Absent: those of the run. */
  readonly chunkBytes?: number;
  readonly algorithm?: Algorithm;
  /** Absent: hashed while it was written. */
  readonly proof?: ProofLevel;
}

export interface FileFailure {
  readonly path: string;
  /** refused: left as it was, for a reason that running again does not change. */
  readonly state: 'refused' | 'failed';
  readonly error: ErrorJson;
}

/** Failures of the target or of the job, which the next file would meet too. */
export const ENDS_ALL: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  ...(['E_NO_SPACE', 'E_TARGET_WRITE', 'E_FLUSH', 'E_JOURNAL_WRITE', 'E_STOPPED', 'E_BUG'] as const),
]);

/** A file that is copied on its own, by chunks. */
export interface LargeFile {
  readonly group: Omit<FileGroup, 'files' | 'links'>;
  readonly name: string;
  readonly size: number;
  /** When anything about the source was last changed, in ns since 1970. */
  readonly changedNs: string;
  /** How much the version of a file at the target tells. */
  readonly targetStrength: 'strong' | 'weak';
}

export interface PlannedFile {
  readonly path: string;
  readonly action: 'copy' | 'replace' | 'link' | 'skip';
  readonly size: number;
}

export interface FilesOutcome {
  readonly files: number;
  readonly links: number;
  readonly folders: number;
  readonly skipped: number;
  readonly bytesCopied: number;
  /** Of those: shared with the source instead of written. */
  readonly bytesCloned: number;
  readonly bytesSkipped: number;
  readonly large: readonly LargeFile[];
  readonly failures: readonly FileFailure[];
  /** New folders that are writable for now and shall not stay so. */
  readonly restrict: readonly { readonly folder: string; readonly mode: number }[];
  /** Other file systems below the target that were met: by device, a folder on each. */
  readonly mounts: readonly { readonly device: bigint; readonly folder: string }[];
  /** What could not be kept, in sentences. */
  readonly notes: readonly string[];
  /** Nothing that was to be read back was left unread because the storage refuses reads past the cache. */
  readonly pastCache: boolean;
  /** Of a dry run. */
  readonly planned: readonly PlannedFile[];
  /** Ended early, by a stop; what is finished is on record. */
  readonly stopped: boolean;
}

/** What the copying of files needs of those who ask for it. */
export interface FilesHost {
  readonly newHasher: () => Hasher;
  /** Room for the next block of what is left, once the pace allows it. @throws TransferError E_STOPPED */
  block(rest: number): Uint8Array | Promise<Uint8Array>;
  stopped(): boolean;
  /** Bytes that were written; fewer than none when they have to be written again. */
  counted(bytes: number): void;
  /** A dry run read so many bytes past the cache in so many nanoseconds; false: that is enough to tell the rate. */
  probed(bytes: number, ns: bigint): boolean;
  nowNs(): bigint;
  /** Whether an earlier run finished a file of this path, asked before anything is opened. */
  knows(path: string): boolean;
  /** unsure: a run without flushes finished it, and the machine was started anew since. */
  look(path: string, sourceVersion: string, targetVersion: string): 'finished' | 'unsure' | 'other';
  /** It was unsure, and was found to be the same at both ends. */
  sure(path: string, sourceVersion: string, targetVersion: string): void;
  /** The file is finished already, and part of this tree. */
  markSeen(path: string): void;
  /** On record before it happens: partial files may be left in these folders of the target. */
  begin(folders: readonly string[]): void;
  /** On record, durable with `sync`, before the files get their names. */
  record(files: readonly FinishedFile[]): void;
  /** These did not get their names after all. */
  unrecord(files: readonly FinishedFile[]): void;
  /** On record before it is made: a new folder that is writable for now and shall not stay so. */
  restrict(folder: string, mode: number): void;
  /** Nothing is left behind in the folders of `begin`. */
  end(): void;
}

/** What an end that holds folders can do. Every method throws TransferError. */
export interface TreeEnd {
  openSourceTree(location: Location, recursive: boolean): SourceTree;
  /** Makes the folder when it is missing and the folder above it is there. */
  openTargetTree(location: Location, dryRun: boolean): TargetTree;
  list(ref: TreeRef, folder: string): Listing;
  /** Copies links and small files; what goes wrong with one of them does not keep the others. */
  copyFiles(request: FilesRequest, host: FilesHost): Promise<FilesOutcome>;
  /** Gives folders of the target what their sources have; answers what could not be kept, in sentences. */
  finishFolders(target: TreeRef, groups: readonly FileGroup[]): string[];
  /** Answers what could not be done, in sentences. */
  restrictFolders(target: TreeRef, folders: FilesOutcome['restrict']): string[];
  /** Removes partial files that an earlier run with this tag left behind. */
  sweep(target: TreeRef, folders: readonly string[], tag: string): void;
  /** A location for a file below the root, which leads nowhere else until `release` is called. */
  locate(ref: TreeRef, folder: string, name: string): { readonly location: Location; readonly fd: number };
  /**
   * What was written before the call to the file systems of the root and of these folders is durable after it; false
   * where that cannot be said of all that is below the root.
   */
  flush(ref: TreeRef, folders: readonly string[]): boolean;
  /** Closes what `openSourceTree`, `openTargetTree` or `locate` opened. */
  close(fd: number): void;
}
