/**
 * The calling thread lets others go first at the processor and, where the scheduler of the disk looks at that (bfq),
 * there too: Linux takes the place in that queue from the nice value of who asks. On Linux alone: elsewhere a nice
 * value is the whole process's, which also serves people.
 */
import { getPriority, setPriority } from 'node:os';
import { isMainThread } from 'node:worker_threads';

/**
 * What nice(1) takes by default: a tenth of the processor beside one busy neighbour. With the lowest one, 19, a thread
 * could be kept waiting for a fifth of a second while it holds a lock of the file system that all others need.
 */
export const BACKGROUND_NICE = 10;
/** To Linux it is the thread, and not the process, that asks about itself. */
const THIS_THREAD = 0;

let givesWay = false;

/** From now on and for good: without privileges nobody may raise again what was lowered. */
export function giveWay(): void {
  if (givesWay || isMainThread || process.platform !== 'linux') return;
  givesWay = true;
  try {
    if (getPriority(THIS_THREAD) < BACKGROUND_NICE) setPriority(THIS_THREAD, BACKGROUND_NICE);
  } catch {
    // A sandbox may forbid even that. Then the work goes on as it was.
  }
}
