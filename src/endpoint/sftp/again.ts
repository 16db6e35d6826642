/**
 * What may be done twice is tried again where the connection broke, since a server may be away for a moment. Chunks
 * have their own way, and their own patience.
 */
import { systemClock } from '../../core/clock.js';
import { TransferError } from '../../core/errors.js';

const ATTEMPTS = 4;
const FIRST_DELAY_MS = 250;

/** @throws what the last attempt threw */
export async function again<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (thrown) {
      const broke = thrown instanceof TransferError && thrown.code === 'E_NETWORK';
      if (!broke || attempt === ATTEMPTS) throw thrown;
      await systemClock.sleep(Math.random() * FIRST_DELAY_MS * 2 ** attempt);
    }
  }
}
