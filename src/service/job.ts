/**
 * A job as BITS has it: files, each from a source to a target, with a name, an owner, a priority and one of nine
 * states. What may be done in which state is a table ({@link MOVES}).
 */
import type { ErrorJson } from '../core/errors.js';
import { JOB_STATES, type JobState } from '../core/events.js';
import type { PartMark } from '../core/target.js';
import type { CopyOptions } from './copy-options.js';

export const PRIORITIES = ['foreground', 'high', 'normal', 'low'] as const;
/** Highest first. */
export type Priority = (typeof PRIORITIES)[number];

/** Whether jobs of the class give way to everybody else on the machine: all but those that somebody waits for. */
export function isBackground(priority: Priority): boolean {
  return priority !== 'foreground';
}

/** One of each for all classes. */
export function byPriority<T>(make: () => T): Record<Priority, T> {
  return Object.fromEntries(PRIORITIES.map((priority) => [priority, make()])) as Record<Priority, T>;
}

export const JOB_KINDS = ['copy', 'migration'] as const;
/** What the job is part of: storage migrations have a limit of their own. */
export type JobKind = (typeof JOB_KINDS)[number];

/** A location as it was given, which may hold secrets, and as it is shown, which never does. */
export interface NamedLocation {
  readonly text: string;
  readonly name: string;
}

export const FILE_STATES = ['waiting', 'copying', 'transferred', 'committing', 'committed', 'failed'] as const;
/**
 * `transferred`: whole and proven, and not yet under its name. `committing`: about to get it, or has it already.
 * `committed`: under its name.
 */
export type FileState = (typeof FILE_STATES)[number];

export interface JobFile {
  /** From 0, in the order in which they were added. */
  readonly index: number;
  readonly source: NamedLocation;
  readonly target: NamedLocation;
  readonly state: FileState;
  /** Bytes; absent until the source was looked at. */
  readonly size?: number;
  /** Of `size`: as progress tells it. */
  readonly bytesDone: number;
  readonly bytesReused: number;
  readonly bytesZero: number;
  /** Of the chunk digests; there once it is proven. */
  readonly root?: string;
  readonly error?: ErrorJson;
  /** Of what is committing: what the target is known by when a crash cut that short. */
  readonly mark?: PartMark;
}

/** What a user sets, and may change. */
export interface JobSettings {
  readonly name: string;
  readonly priority: Priority;
  /** Commits by itself when all files are transferred. */
  readonly autoComplete: boolean;
  /** Bytes per second; 0: none. */
  readonly limitBytesPerSecond: number;
  /** The wait before the first retry of the job; it doubles up to {@link retryDelayMsMax}. */
  readonly retryDelayMsMin: number;
  readonly retryDelayMsMax: number;
  /** A transient error that lasts so long without any progress is a fatal one; 0: at once. */
  readonly noProgressMsMax: number;
  /** Of time spent transferring; 0: no end. */
  readonly transferMsMax: number;
  /** A program and its arguments, run when the job is transferred, complete, cancelled or in error; empty: none. */
  readonly notify?: readonly string[];
  readonly webhook?: Webhook;
}

export interface Webhook {
  /** Empty: none. */
  readonly url: string;
  /** Signs what is sent (HMAC-SHA-256); never shown. */
  readonly secret?: string;
}

export interface Job extends JobSettings {
  /** A UUID. */
  readonly id: string;
  readonly owner: string;
  readonly kind: JobKind;
  readonly state: JobState;
  /** A plain sentence: why it is in this state. */
  readonly reason: string;
  readonly files: readonly JobFile[];
  readonly options: CopyOptions;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  /** Of its state, its settings or its progress; inactivity counts from here. */
  readonly changedAt: number;
  /** Of the last byte that was copied or proven; the no-progress timeout counts from here. */
  readonly progressAt: number;
  /** Milliseconds in all its runs. */
  readonly transferMs: number;
  /** Present in `error` and `transient-error`. */
  readonly error?: ErrorJson;
  /** Present in `transient-error`: when it is tried again, and how often it was. */
  readonly retryAt?: number;
  readonly retries: number;
}

/** What can be asked of a job. */
export type JobCall = 'addFiles' | 'suspend' | 'resume' | 'cancel' | 'complete' | 'change' | 'replacePrefix';

const OPEN_STATES = JOB_STATES.filter((state) => !isFinal(state));

/** The states in which a call is legal (BITS: "Life Cycle of a BITS Job"). A call that changes nothing is legal too. */
export const MOVES: Readonly<Record<JobCall, readonly JobState[]>> = {
  addFiles: OPEN_STATES,
  suspend: ['queued', 'connecting', 'transferring', 'suspended', 'error', 'transient-error'],
  resume: ['queued', 'connecting', 'transferring', 'suspended', 'error', 'transient-error'],
  cancel: OPEN_STATES,
  complete: OPEN_STATES,
  change: OPEN_STATES,
  replacePrefix: ['queued', 'suspended', 'error', 'transient-error'],
};

/** Nothing happens any more. */
export function isFinal(state: JobState): boolean {
  return state === 'acknowledged' || state === 'cancelled';
}
