/** `blockferry job`: its commands, their options and their help. */
import { type Command, Option } from 'commander';
import type { Algorithm } from '../core/digest.js';
import { DIGEST_BYTES } from '../core/digest.js';
import type { JobState } from '../core/events.js';
import { PRIORITIES, type Priority } from '../service/job.js';
import {
  JOB_ADD_HELP,
  JOB_CANCEL_HELP,
  JOB_COMPLETE_HELP,
  JOB_CREATE_HELP,
  JOB_HELP,
  JOB_LIST_HELP,
  JOB_PREFIX_HELP,
  JOB_SET_HELP,
  JOB_WATCH_HELP,
  JOB_WHY_HELP,
} from './job-help.js';
import { count, duration, LANES_MAX, rate, size, words } from './option-values.js';
import type { Reflink } from './program.js';
import { addServiceOptions, type ServiceFlags } from './service-flags.js';

/** What a user sets of a job; false takes it away. */
export interface JobSettingFlags extends ServiceFlags {
  readonly name?: string;
  readonly priority?: Priority;
  readonly autoComplete?: boolean;
  readonly limit?: number;
  readonly retryDelay?: number;
  readonly retryDelayMax?: number;
  /** Milliseconds; true: not said. The name comes from `--no-progress`. */
  readonly progress: number | true;
  readonly maxTime?: number;
  readonly notify?: readonly string[] | false;
  readonly webhook?: string | false;
  readonly webhookSecretFile?: string;
}

export interface JobCreateFlags extends JobSettingFlags {
  readonly suspended?: boolean;
  readonly overwrite?: boolean;
  readonly delta?: boolean;
  readonly preserve?: boolean;
  readonly readBack?: boolean;
  readonly algorithm?: Algorithm;
  readonly reflink?: Reflink;
  readonly chunkSize?: number;
  readonly lanes?: number;
  readonly sync: boolean;
  readonly check: boolean;
}

export interface JobListFlags extends ServiceFlags {
  readonly all?: boolean;
  readonly state?: string;
  readonly states?: readonly JobState[];
}

export interface JobCancelFlags extends ServiceFlags {
  readonly keepPartial?: boolean;
}

/** What is asked of several jobs at once. */
export type JobMove = 'suspend' | 'resume' | 'cancel' | 'complete';

export interface JobCommands {
  /** Sources and targets in turn. */
  create(locations: readonly string[], flags: JobCreateFlags): Promise<void>;
  add(job: string, locations: readonly string[], flags: ServiceFlags): Promise<void>;
  list(flags: JobListFlags): Promise<void>;
  info(job: string, flags: ServiceFlags): Promise<void>;
  watch(job: string, flags: ServiceFlags): Promise<void>;
  move(move: JobMove, jobs: readonly string[], flags: JobCancelFlags): Promise<void>;
  set(job: string, flags: JobSettingFlags): Promise<void>;
  why(job: string, flags: ServiceFlags): Promise<void>;
  replacePrefix(job: string, from: string, to: string, flags: ServiceFlags): Promise<void>;
}
