/** A fake clock that remembers every wait it was asked for, so that a test lets pass what is waited for and no more. */
import { systemClock } from '../../src/core/clock.js';
import { FakeClock } from './fake-clock.js';

export class AskedClock extends FakeClock {
  readonly waits: number[] = [];
  #passed = 0;

  override sleep(ms: number, signal?: AbortSignal): Promise<void> {
    this.waits.push(ms);
    return super.sleep(ms, signal);
  }

  /** Lets each wait but these pass, once, as soon as it is asked for, until it holds. */
  async passAllBut(limits: readonly number[], holds: () => boolean): Promise<void> {
    for (;;) {
      await until(() => holds() || this.waits.length > this.#passed);
      if (holds()) return;
      const wait = this.waits[this.#passed++];
      if (wait !== undefined && !limits.includes(wait)) this.advance(wait);
    }
  }
}

/** Waits for what other processes and sockets do, for as long as the test has. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await systemClock.sleep(5);
}
