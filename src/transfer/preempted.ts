/**
 * Work of a job that may be preempted: its tasks end at their next block, and are done again when the job proceeds.
 * What was finished stays finished.
 */
import { TransferError } from '../core/errors.js';
import type { ControlBlock } from './control-block.js';

export interface Preemptible {
  readonly control: ControlBlock;
  /** Is given each wait for other jobs when it begins. */
  readonly waiting?: (wait: Promise<void>) => Promise<void>;
}

/** @throws what `work` throws, E_STOPPED when the job was stopped for good */
export async function whenAllowed<T>(work: () => Promise<T>, { control, waiting }: Preemptible): Promise<T> {
  for (;;) {
    if (!control.running) {
      const wait = control.untilRunning();
      await (waiting?.(wait) ?? wait);
    }
    const { preemptions } = control;
    try {
      return await work();
    } catch (thrown) {
      const stopped = TransferError.from(thrown).code === 'E_STOPPED';
      if (!stopped || control.stopped || control.preemptions === preemptions) throw thrown;
    }
  }
}
