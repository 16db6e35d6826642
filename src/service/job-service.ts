/** What the service offers to whoever holds it: the daemon's routes, a library's caller, a migration. */
import type { TimeByCause } from '../core/causes.js';
import type { ErrorJson } from '../core/errors.js';
import type { DeadlineView, JobState } from '../core/events.js';
import type { ChunkMapView } from '../transfer/chunk-map.js';
import type { CopyOptions } from './copy-options.js';
import type { FileState, JobKind, JobSettings, Priority } from './job.js';
import type { Policy } from './policy/policy.js';
import type { Told } from './told.js';

/** Who asks. Owners see their own jobs; an administrator sees all. */
export interface Caller {
  readonly name: string;
  readonly admin: boolean;
}

export interface FileSpec {
  readonly source: string;
  readonly target: string;
}

export interface JobSpec extends Partial<JobSettings> {
  readonly files: readonly FileSpec[];
  readonly kind?: JobKind;
  readonly options?: CopyOptions;
  /** Wait for `resume`. Default false. */
  readonly suspended?: boolean;
}

export interface JobProgressView {
  readonly bytesDone: number;
  /** Absent while the size of a source is not known. */
  readonly bytesTotal?: number;
  readonly bytesReused: number;
  readonly bytesZero: number;
  /** Over the last few seconds. */
  readonly rateBytesPerSecond: number;
  readonly remainingMs?: number;
  readonly filesDone: number;
  readonly filesTotal: number;
}

/** A job as it is shown: no secrets. */
export interface JobView extends Omit<JobSettings, 'webhook'> {
  readonly id: string;
  readonly owner: string;
  readonly kind: JobKind;
  readonly state: JobState;
  readonly reason: string;
  readonly progress: JobProgressView;
  readonly createdAt: number;
  readonly changedAt: number;
  readonly error?: ErrorJson;
  readonly retryAt?: number;
  readonly retries: number;
  readonly webhookUrl?: string;
  /** By how much it will miss its deadline, as far as can be told now; absent: it has none, or will be in time. */
  readonly lateByMs?: number;
}

export interface FileView {
  readonly index: number;
  readonly source: string;
  readonly target: string;
  readonly state: FileState;
  readonly size?: number;
  readonly bytesDone: number;
  readonly bytesReused: number;
  readonly bytesZero: number;
  readonly root?: string;
  readonly error?: ErrorJson;
}

/** Why a job is where it is: the sentence, and what binds it. */
export interface Explanation {
  readonly state: JobState;
  readonly sentence: string;
  /** Which rule holds it back, such as `jobs-at-once`, `path-limit`, `window`, `rate`, `retry`, `priority`. */
  readonly rule?: string;
  /** Jobs that are before it or in its way. */
  readonly behind?: readonly string[];
  /** Milliseconds since 1970: when this is looked at again by itself. */
  readonly until?: number;
  /** What the user may do. */
  readonly hint?: string;
  /** Present where it is to be done by some time. */
  readonly deadline?: DeadlineView;
  /** Where the time went, until now. */
  readonly time?: TimeView;
}

/** Where the time of a job went since it was made: milliseconds by cause, which add up to the time that passed. */
export interface TimeView {
  /** Milliseconds since 1970. */
  readonly from: number;
  readonly until: number;
  readonly total: TimeByCause;
  /** The same over time: stretches that follow each other without a gap, each as long as its causes together. */
  readonly spans: readonly TimeByCause[];
  /** The jobs that it stood behind; several may have been in its way at the same time. */
  readonly behind: readonly BehindView[];
}

export interface BehindView {
  /** Id and name are absent where the one who asks may not see that job. */
  readonly job?: string;
  readonly name?: string;
  readonly ms: number;
  /** How often this job had to stop for it. */
  readonly preempted: number;
}

export interface Completed {
  readonly committed: number;
  /** Files that were not transferred and were let go of (BG_S_PARTIAL_COMPLETE). */
  readonly left: number;
}

export interface JobService {
  /** @throws TransferError E_USAGE */
  create(spec: JobSpec, by: Caller): Promise<JobView>;
  /** In the order of their creation. */
  list(by: Caller, filter?: { readonly states?: readonly JobState[]; readonly all?: boolean }): readonly JobView[];
  /** @throws TransferError E_NO_JOB */
  get(id: string, by: Caller): JobView & { readonly files: readonly FileView[]; readonly time?: TimeView };
  addFiles(id: string, files: readonly FileSpec[], by: Caller): Promise<JobView>;
  suspend(id: string, by: Caller): Promise<JobView>;
  /** Of an error or a transient error: tries again now. */
  resume(id: string, by: Caller): Promise<JobView>;
  cancel(id: string, options: { readonly keepPartial: boolean }, by: Caller): Promise<JobView>;
  /** Commits what is transferred. @throws the first error of a commit; the job stays, and may be completed again */
  complete(id: string, by: Caller): Promise<JobView & Completed>;
  change(id: string, settings: Partial<JobSettings>, by: Caller): Promise<JobView>;
  /** Of sources; answers how many files it changed. */
  replacePrefix(id: string, from: string, to: string, by: Caller): Promise<number>;
  why(id: string, by: Caller): Explanation;
  /** Undefined while it does not run here. */
  chunkMap(id: string, file: number, cells: number, by: Caller): ChunkMapView | undefined;
  /** All that is told after that number and still known, and then what happens, until the signal aborts. */
  events(
    by: Caller,
    about: { readonly after?: number; readonly job?: string },
    signal: AbortSignal,
  ): AsyncIterable<Told>;
  readonly policy: Policy;
  /** Checks it, makes it count and keeps it. @throws TransferError E_POLICY with line and column; the old one stays */
  setPolicy(toml: string, by: Caller): Promise<Policy>;
  readonly policyText: string;
  /** Bytes per second of each class, over the last few seconds; and how many jobs are in which state. */
  load(): ServiceLoad;
  /**
   * What happens is put on record, and goes on at the next start. False: a storage does not answer, and a thread that
   * waits for it is left behind; only the end of the process ends it.
   */
  close(): Promise<boolean>;
}

export interface ServiceLoad {
  readonly rates: Readonly<Record<Priority, number>>;
  readonly states: Readonly<Record<JobState, number>>;
  readonly startedAt: number;
  /** Of the last event that is kept; a listener that begins `after` it misses nothing. */
  readonly lastEventId: number;
  readonly totals?: ServiceTotals;
}

/** Since the start, for whoever watches how much is done. */
export interface ServiceTotals {
  readonly bytes: Readonly<Record<Priority, number>>;
  readonly decisions: number;
  readonly decisionMs: number;
  readonly storeWrites: number;
  readonly storeWriteMs: number;
}
