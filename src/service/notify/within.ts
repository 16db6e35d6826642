/** Nothing that is told to the outside may last for ever. */
import type { Clock } from '../../core/clock.js';

export interface Limits {
  readonly clock: Clock;
  /** Ends it at once. */
  readonly signal: AbortSignal;
}

/** Work whose signal aborts when the time is over; `late()` tells whether it did. The work must end by its signal. */
export async function within<T>(
  ms: number,
  { clock, signal }: Limits,
  work: (signal: AbortSignal, late: () => boolean) => Promise<T>,
): Promise<T> {
  const [over, done] = [new AbortController(), new AbortController()];
  void clock.sleep(ms, done.signal).then(() => {
    if (!done.signal.aborted) over.abort();
  });
  try {
    return await work(AbortSignal.any([signal, over.signal]), () => over.signal.aborted);
  } finally {
    done.abort();
  }
}
