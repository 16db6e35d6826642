/**
 * The retry of a chunk, in its lane: exponential, with full jitter (Brooker, "Exponential Backoff And Jitter", AWS
 * Architecture Blog, 2015), honouring Retry-After. What goes on for minutes is the business of the job, not of the
 * chunk.
 */
import { type Clock, nowMs } from '../core/clock.js';
import type { Location } from '../core/endpoint.js';
import { type ErrorCode, TransferError } from '../core/errors.js';
import type { ChunkRunner } from './chunk-runner.js';
import type { SourceInfo } from './requests.js';

const ATTEMPTS_DEFAULT = 8;
/** A disk that fails a read three times is not going to get well within the minute; a network often does. */
const ATTEMPTS: Readonly<Partial<Record<ErrorCode, number>>> = { E_SOURCE_READ: 3, E_TARGET_WRITE: 3 };
const FIRST_DELAY_MS = 250;
const DELAY_MS_MAX = 30_000;
/** What is heard of a server while it is started again. */
const AWAY: ReadonlySet<ErrorCode> = new Set(['E_NETWORK', 'E_TIMEOUT']);
/** As long as eight attempts take at most: how the waits are drawn must not decide how long a server may be away. */
const AWAY_MS_MIN = 30_000;
/** Nothing is lost yet when the very first request fails, and a wrong address should be told soon. */
const ATTEMPTS_TO_OPEN = 4;
/** A server may ask for any wait; one beyond this is for the job to decide on. */
const RETRY_AFTER_MS_MAX = 120_000;

export interface RetryRules {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** From 0 up to 1. */
  readonly random: () => number;
  readonly onRetry: (attempt: number, waitMs: number, error: TransferError) => void;
  /** Is given each wait when it begins. */
  readonly waiting?: (wait: Promise<void>) => Promise<void>;
  /** At most so many calls, whatever the error. */
  readonly attemptsMax?: number;
  /** Of the first wait, which doubles from there, and of all: for what is not in a hurry. */
  readonly firstDelayMs?: number;
  readonly delayMsMax?: number;
}

/** Opens a source; a server that is away for a moment is asked again a few times. */
export function openSource(runner: ChunkRunner, location: Location, rules: RetryRules): Promise<SourceInfo> {
  return withRetry(() => runner.run('open-source', { location }), { ...rules, attemptsMax: ATTEMPTS_TO_OPEN });
}

/** Calls `work` until it succeeds, fails for good or runs out of attempts; the last error is what is thrown. */
export async function withRetry<T>(work: (attempt: number) => Promise<T>, rules: RetryRules): Promise<T> {
  let [firstMs, mended]: [number | undefined, number] = [undefined, 0];
  for (let attempt = 1; ; attempt++) {
    try {
      return await work(attempt);
    } catch (thrown) {
      const error = TransferError.from(thrown);
      if (rules.signal.aborted) throw stopped(error);
      firstMs ??= nowMs(rules.clock);
      // What is mended is tried at once, as if it had not failed; but a cure that never lasts is none.
      if (error.detail.mended && mended < ATTEMPTS_DEFAULT) mended++;
      const waitMs = waitBefore(error, { attempt: attempt - mended, awayMs: nowMs(rules.clock) - firstMs }, rules);
      if (waitMs === undefined) throw error;
      rules.onRetry(attempt, waitMs, error);
      const wait = rules.clock.sleep(waitMs, rules.signal);
      await (rules.waiting?.(wait) ?? wait);
      if (rules.signal.aborted) throw stopped(error);
    }
  }
}

/** Undefined: it is not tried again. */
function waitBefore(
  error: TransferError,
  { attempt, awayMs }: { readonly attempt: number; readonly awayMs: number },
  { attemptsMax, random, firstDelayMs = FIRST_DELAY_MS, delayMsMax = DELAY_MS_MAX }: RetryRules,
): number | undefined {
  const { retryAfterMs = 0 } = error.detail;
  if (!error.retryable || retryAfterMs > RETRY_AFTER_MS_MAX) return undefined;
  const ceilingMs = Math.min(delayMsMax, firstDelayMs * 2 ** Math.max(0, attempt - 1));
  const waitMs = Math.round(Math.max(retryAfterMs, random() * ceilingMs));
  if (attempt < Math.min(ATTEMPTS[error.code] ?? ATTEMPTS_DEFAULT, attemptsMax ?? ATTEMPTS_DEFAULT)) return waitMs;
  const leftMs = AWAY_MS_MIN - awayMs;
  return attemptsMax === undefined && AWAY.has(error.code) && leftMs > 0 ? Math.max(retryAfterMs, leftMs) : undefined;
}

/** Who stops a job while it waits for a retry is told that it stopped, and not what it waited for. */
function stopped(error: TransferError): TransferError {
  if (error.code === 'E_STOPPED') return error;
  return new TransferError('E_STOPPED', 'stopped; finished chunks are kept', { cause: error });
}
