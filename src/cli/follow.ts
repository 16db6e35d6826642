/**
 * Follows a run to its end. The first Ctrl-C (or SIGTERM, SIGHUP) suspends it, so that what is finished goes on record;
 * a second one leaves at once.
 */
import type { Run, TransferEvent } from '../index.js';
import { hardExit } from '../platform/file-system.js';
import type { Reporter } from './render/reporter.js';
import type { Session } from './session.js';

export const EXIT_INTERRUPTED = 130;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** Under nohup a hangup means nothing: Node forgets that it was told so, but then no stream is a terminal any more. */
function isDeaf(signal: NodeJS.Signals): boolean {
  const streams = [process.stdin, process.stdout, process.stderr];
  return signal === 'SIGHUP' && !streams.some((stream) => stream.isTTY);
}

type Followed<Result> = Pick<Run<Result>, 'result' | 'suspend' | 'stuck' | typeof Symbol.asyncIterator>;

interface Following {
  readonly watch?: (event: TransferEvent) => void;
  /** A stopped run can be gone on with. */
  readonly keeps: boolean;
}

/** @throws TransferError E_STOPPED after a signal, or whatever ended the run */
export async function follow<Result>(
  run: Followed<Result>,
  reporter: Reporter,
  session: Session,
  { watch, keeps }: Following,
): Promise<Result> {
  const done = onInterrupt(session, () => {
    reporter.say(`stopping${keeps ? ': what is finished goes on record' : ''} (once more: leave at once)`);
    // A suspend that fails is told by the result, which fails for the same reason.
    run.suspend().catch(() => undefined);
  });
  try {
    for await (const event of run) {
      watch?.(event);
      await reporter.event(event);
    }
    return await run.result;
  } finally {
    reporter.end();
    session.stuck ||= run.stuck;
    done();
  }
}

/** Calls `stop` at the first signal and leaves at the second; what it answers ends that. */
export function onInterrupt(session: Session, stop: () => void): () => void {
  let interrupted = false;
  const interrupt = (): void => {
    if (interrupted) {
      session.restoreTerminal();
      hardExit(EXIT_INTERRUPTED);
    }
    interrupted = true;
    stop();
  };
  const ignore = (): void => undefined;
  for (const signal of SIGNALS) process.on(signal, isDeaf(signal) ? ignore : interrupt);
  return () => {
    for (const signal of SIGNALS) process.off(signal, interrupt).off(signal, ignore);
  };
}
