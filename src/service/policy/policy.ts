/**
 * The rules that hold for all jobs, as `blockferry.toml` says them: rates by class and by the week's windows,
 * maintenance windows, how many jobs at once, how long anything is kept.
 */
import type { Priority } from '../job.js';
import type { Yields } from '../yielding.js';

export interface Policy {
  /** Jobs of all classes but foreground. Foreground jobs run beside them, up to `foregroundAtOnce`. */
  readonly jobsAtOnce: number;
  readonly foregroundAtOnce: number;
  /** Files of one job. */
  readonly filesAtOnce: number;
  readonly perSourcePath: number;
  readonly perTargetPath: number;
  readonly migrationsAtOnce: number;
  /** Of a class while equals wait, milliseconds. */
  readonly sliceMs: number;
  /** Out of 100, of the slices: what low jobs get although higher ones wait. 0: they starve, as in BITS. */
  readonly lowSharePercent: number;
  readonly jobsMax: number;
  readonly filesPerJobMax: number;
  /** Jobs that nothing happened to for so long are cancelled; 0: never. */
  readonly inactivityMs: number;
  /** What such a job had copied is deleted too. Default false. */
  readonly inactivityDeletesPartial: boolean;
  /** How long finished jobs are listed. */
  readonly historyMs: number;
  /** Bytes per second, of all together and of each class; 0: none. They hold where no window says otherwise. */
  readonly rates: Rates;
  /** How jobs of a class make way for others at their storage, where a job says nothing else. */
  readonly yields: Yields;
  readonly windows: readonly RateWindow[];
  readonly maintenance: readonly MaintenanceWindow[];
}

export interface Rates {
  readonly all: number;
  readonly foreground: number;
  readonly high: number;
  readonly normal: number;
  readonly low: number;
}

interface Window {
  readonly name: string;
  /** Of `mon` to `sun`. */
  readonly days: readonly string[];
  /** `HH:MM`, local to `zone`; a window whose end is not after its beginning ends on the next day. */
  readonly from: string;
  readonly to: string;
  /** IANA name; absent: the machine's. */
  readonly zone?: string;
}

/** The first that holds now binds. */
export interface RateWindow extends Window {
  readonly rates: Partial<Rates>;
}

/** Only foreground jobs run, or none (BITS's maintenance limits override all others). */
export interface MaintenanceWindow extends Window {
  readonly classes: readonly Priority[];
}
