/** Time, in one place, so that tests can own it. Nothing else in Blockferry may call Date.now() or setTimeout(). */

export interface Clock {
  /** Monotonic nanoseconds, the same on every thread of the process. */
  nowNs(): bigint;
  /** Wall-clock milliseconds since 1970, for people and for records only. */
  wallMs(): number;
  /** Resolves after `ms`, or at once when the signal aborts; it never rejects. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  nowNs: () => process.hrtime.bigint(),
  wallMs: () => Date.now(),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const done = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal?.addEventListener('abort', done, { once: true });
    }),
};

/** `work`, or `'late'` when it has not settled `ms` after the signal aborted: nobody waits for ever for what hangs. */
export async function orLate<T>(work: Promise<T>, clock: Clock, ms: number, signal: AbortSignal): Promise<T | 'late'> {
  const settled = new AbortController();
  const aborted = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true, signal: settled.signal });
  });
  const late = aborted.then(() => clock.sleep(ms, settled.signal)).then(() => 'late' as const);
  return Promise.race([work, late]).finally(() => settled.abort());
}

/** Monotonic milliseconds. */
export function nowMs(clock: Clock): number {
  return Number(clock.nowNs() / 1000n) / 1000;
}

/**
 * Has a socket tell by its 'timeout' event when nothing has come or gone for `ms`. Whatever comes or goes starts it
 * anew; it keeps no process alive.
 */
export function watchSilence(socket: { setTimeout(ms: number): unknown }, ms: number): void {
  socket.setTimeout(ms);
}
