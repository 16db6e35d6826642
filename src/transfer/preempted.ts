/**
 * Work of a job that may be preempted: its tasks end at their next block, and are done again when the job proceeds.
 * What was finished stays finished.
 */
import { type Clock, nowMs } from '../core/clock.js';
import { TransferError } from '../core/errors.js';
import type { ControlBlock } from './control-block.js';

export interface Preemptible {
  readonly control: ControlBlock;
  readonly clock: Clock;
  /** How long it had to wait for other jobs, in milliseconds. */
  readonly onWaited?: (ms: number) => void;
}

/** @throws what `work` throws, E_STOPPED when the job was stopped for good */
export async function whenAllowed<T>(work: () => Promise<T>, { control, clock, onWaited }: Preemptible): Promise<T> {
  for (;;) {
    if (!control.running) {
      const before = nowMs(clock);
      await control.untilRunning();
      onWaited?.(nowMs(clock) - before);
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
