/** The events of a job: one union, the same JSON in the library, in `--json` and wherever else they are told. */
import type { TimeByCause } from './causes.js';
import type { ErrorJson } from './errors.js';

export const JOB_STATES = [
  'queued',
  'connecting',
  'transferring',
  'suspended',
  'error',
  'transient-error',
  'transferred',
  'acknowledged',
  'cancelled',
] as const;
/** BITS's own states (learn.microsoft.com, BG_JOB_STATE). */
export type JobState = (typeof JOB_STATES)[number];

export type Phase =
  | 'opening'
  | 'copying'
  | 'reading-back'
  | 'checksumming'
  | 'committing'
  /** What one disk image holds goes into the one that it builds on. */
  | 'merging'
  | 'done';

/** What is known of the target: written with digests taken on the way, or read back from the storage past the cache. */
export type ProofLevel = 'written' | 'read-back';

interface EventBase {
  readonly schema: 1;
  /** Milliseconds since 1970. */
  readonly at: number;
}

export interface StateEvent extends EventBase {
  readonly type: 'state';
  readonly state: JobState;
  readonly source: string;
  readonly target: string;
  /** A plain sentence: why the job is in this state. */
  readonly reason: string;
  readonly error?: ErrorJson;
}

/**
 * Where the lanes' time went, in milliseconds summed over all lanes: each moment of each lane is counted once, so that
 * the sum is the number of lanes times the time that passed.
 */
export interface TimeSpent {
  readonly sourceReadMs: number;
  readonly hashMs: number;
  readonly targetWriteMs: number;
  /** Reading the target again, for a proof. */
  readonly targetReadMs: number;
  /** Held back by the limit that was set for the job itself. */
  readonly limitMs: number;
  /** Held back by the limit of its class, of all jobs together, or of a window of the policy. */
  readonly classLimitMs: number;
  readonly allLimitMs: number;
  readonly windowLimitMs: number;
  /** It needs to be no faster to be done by its deadline. */
  readonly deadlineMs: number;
  /** Gave way to others who need the source, the target, or the way between. */
  readonly sourcePressureMs: number;
  readonly targetPressureMs: number;
  readonly linkPressureMs: number;
  /** All workers were busy with other chunks. */
  readonly workerMs: number;
  /** Waiting for written data to become durable. */
  readonly flushMs: number;
  /** Waiting to try again after an error. */
  readonly retryMs: number;
  /** Other jobs of the service went first. */
  readonly queuedMs: number;
  /** Nothing was left to start, while other lanes still worked. */
  readonly idleMs: number;
  /** Opening and closing chunks, and what lies between them; chunks under way count here until they end. */
  readonly otherMs: number;
}

/** Where the time of a whole copy went; the four phases add up to its elapsed time. Milliseconds. */
export interface TimeAccount {
  readonly lanes: number;
  /** Threads that the lanes shared. */
  readonly workers: number;
  /** Looking at both ends, at the holes and at the journal of an earlier run. */
  readonly openingMs: number;
  /** Copying, proving what an earlier run copied, and repairing. */
  readonly copying: PhaseAccount;
  readonly readingBack: PhaseAccount;
  /** One reading of the whole, by one thread. */
  readonly checksummingMs: number;
  /** The source's last check, the new name, and the tidying up. */
  readonly committingMs: number;
  /** All of it once more, as time on the clock, with the lanes' time divided by the lanes: adds up to the whole. */
  readonly byCause: TimeByCause;
}

export interface PhaseAccount {
  readonly wallMs: number;
  /** Adds up to `wallMs` times the number of lanes. */
  readonly spent: TimeSpent;
}

export interface ProgressEvent extends EventBase {
  readonly type: 'progress';
  readonly phase: Phase;
  readonly proof: ProofLevel;
  /**
   * Never falls. Counts blocks when they are written, reused chunks when they are proven, zero chunks when they are
   * settled.
   */
  readonly bytesDone: number;
  readonly bytesTotal: number;
  readonly bytesReused: number;
  readonly bytesZero: number;
  /** While the target is read back or read for its checksum: bytes that were read, of those that are to be. */
  readonly readBack?: { readonly bytesDone: number; readonly bytesTotal: number };
  /** Over the last few seconds, without reused and zero bytes. */
  readonly rateBytesPerSecond: number;
  readonly remainingMs?: number;
  readonly spent: TimeSpent;
  /** Present where it is to be done by some time. */
  readonly deadline?: DeadlineView;
  /** Present when whole trees or several files are copied. */
  readonly files?: FileCounts;
}

/** Until when a job is to be done, and whether it will be. */
export interface DeadlineView {
  /** Milliseconds since 1970. */
  readonly finishBy: number;
  /** By how much it will be late, as far as can be told now; absent: it is going to be in time. */
  readonly lateByMs?: number;
}

/** How many files of a tree are finished; a symbolic link counts as one. */
export interface FileCounts {
  /** Whole and proven under their names, those that were skipped included. */
  readonly done: number;
  /** Absent while folders are still being looked through. */
  readonly total?: number;
  /** Were finished by an earlier run. */
  readonly skipped: number;
  readonly failed: number;
}

/** What became of one file of a tree: told of files that are large enough to wait for, and of all that went wrong. */
export interface FileEvent extends EventBase {
  readonly type: 'file';
  /** `started` is told again while the file is under way, with its `bytesDone`. */
  readonly state: 'started' | 'done' | 'skipped' | 'refused' | 'failed';
  /** As the user would name it: the source, or its path inside the tree. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Of `size`; absent: none yet. */
  readonly bytesDone?: number;
  /** A plain sentence: why it was skipped or refused. */
  readonly reason?: string;
  readonly error?: ErrorJson;
}

export interface RetryEvent extends EventBase {
  readonly type: 'retry';
  /** Absent: the opening of a source, or the last look at it. */
  readonly chunk?: number;
  readonly attempt: number;
  readonly waitMs: number;
  readonly error: ErrorJson;
}

export interface CheckpointEvent extends EventBase {
  readonly type: 'checkpoint';
  readonly chunks: number;
  readonly bytes: number;
  readonly flushMs: number;
}

/** The steps of a migration, in order. */
export type MigrationStep =
  | 'check'
  | 'placeholder'
  | 'snapshot'
  | 'copy-bases'
  | 'shrink-delta'
  | 'save-state'
  | 'copy-delta'
  | 'prove'
  | 're-point'
  | 'switch-over'
  | 'start'
  | 'resume'
  | 'merge'
  | 'release';

/**
 * A piece of work that is one of several, done in order: an image that is merged into another, or a step of a
 * migration, which is told of again while it is under way.
 */
export interface StepEvent extends EventBase {
  readonly type: 'step';
  readonly step: MigrationStep;
  readonly state: 'started' | 'progress' | 'done' | 'failed';
  /** From 1 to `steps`. */
  readonly number: number;
  readonly steps: number;
  readonly source: string;
  readonly target: string;
  /** A plain sentence: what is done, or was. */
  readonly reason: string;
  /** Which time, of what is done several times: a snapshot of what was written since the last. From 1. */
  readonly round?: number;
  readonly bytesDone?: number;
  readonly bytesTotal?: number;
  /** Milliseconds that the machine is going to stand still, as far as can be told now. */
  readonly predictedBlackoutMs?: number;
  /** Milliseconds that it stood still. */
  readonly blackoutMs?: number;
  readonly error?: ErrorJson;
}

/** Which limit holds the job back now, and why. */
export interface LimitEvent extends EventBase {
  readonly type: 'limit';
  /** pressure: it makes way for those who use its storage or its link, too. */
  readonly limit: 'rate' | 'deadline' | 'pressure' | 'source' | 'target' | 'cpu' | 'flush' | 'retry' | 'none';
  readonly reason: string;
}

export interface NoteEvent extends EventBase {
  readonly type: 'note';
  /** Something that the user should know and need not act on, such as an ability that is missing here. */
  readonly message: string;
}

export type TransferEvent =
  | StateEvent
  | ProgressEvent
  | FileEvent
  | RetryEvent
  | CheckpointEvent
  | StepEvent
  | LimitEvent
  | NoteEvent;

type WithoutBase<T> = T extends unknown ? Omit<T, keyof EventBase> : never;
/** An event before it is stamped with schema and time. @internal */
export type EventBody = WithoutBase<TransferEvent>;
