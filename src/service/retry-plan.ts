/**
 * When a job that failed is tried again. BITS waits ten minutes each time, whatever happened; here the first wait is
 * short, since most failures are over soon, and each further one is twice as long, up to a ceiling. A wait has up to a
 * fifth of chance in it, so that jobs which failed together do not come back together.
 */
import { ERROR_KINDS, type ErrorCode } from '../core/errors.js';

export const RETRY_DELAY_MS_MIN = 10_000;
export const RETRY_DELAY_MS_MAX = 10 * 60_000;
/** As BITS: two weeks without a byte. */
export const NO_PROGRESS_MS_MAX = 14 * 86_400_000;
const JITTER = 0.2;

/** Not worth trying the same chunk again for, and worth waiting for: space is made, locks and keys change. */
const ALSO_TRANSIENT: readonly ErrorCode[] = ['E_NO_SPACE', 'E_LOCKED', 'E_FLUSH'];
/** A volume that is not there: of a file that was found before, it may come back; else the name is wrong. */
const AWAY: readonly ErrorCode[] = ['E_SOURCE_MISSING', 'E_TARGET_FOLDER'];

/** Whether a job that failed so waits and is tried again by itself. `found`: both ends were seen before. */
export function isTransient(code: ErrorCode, found: boolean): boolean {
  return ERROR_KINDS[code].retryable || ALSO_TRANSIENT.includes(code) || (found && AWAY.includes(code));
}

export interface RetryDelays {
  readonly retryDelayMsMin: number;
  readonly retryDelayMsMax: number;
}

/** Milliseconds to wait after so many retries that came to nothing. `random`: from 0 up to 1. */
export function retryDelayMs(
  { retryDelayMsMin, retryDelayMsMax }: RetryDelays,
  retries: number,
  random: number,
): number {
  const delayMs = Math.min(retryDelayMsMax, retryDelayMsMin * 2 ** Math.min(retries, 30));
  return Math.round(Math.max(retryDelayMsMin, delayMs * (1 - JITTER * random)));
}
