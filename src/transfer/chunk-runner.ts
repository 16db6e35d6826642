/** Where work runs: on the threads of a pool, or on this thread. One contract for both. */
import { ERROR_KINDS, TransferError } from '../core/errors.js';
import type { Work, WorkName } from './requests.js';

export interface ChunkRunner {
  /** Threads that carry out chunks at the same time. */
  readonly workers: number;
  /** Carries out one piece of work; rejects with a TransferError, as it was thrown on the other side. */
  run<N extends WorkName>(name: N, request: Work[N]['in']): Promise<Work[N]['out']>;
  /** Work for all threads is about to come: they start beside what one alone does first. */
  startAll?(): void;
  /** Ends the threads. Work that is stuck in a system call is left behind: false tells so. */
  close(): Promise<boolean>;
}

/** Rebuilds what a worker threw; anything that does not look like our JSON is a bug. */
export function rebuild(thrown: unknown): TransferError {
  const json = thrown as { code?: string; message?: string } | undefined;
  if (json?.code !== undefined && Object.hasOwn(ERROR_KINDS, json.code)) {
    return TransferError.fromJSON(json as Parameters<typeof TransferError.fromJSON>[0]);
  }
  return TransferError.from(thrown);
}
