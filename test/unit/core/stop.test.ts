import { once } from 'node:events';
import { expect, test } from 'vitest';
import { newStop } from '../../../src/core/stop.js';

test('any number of waits look out for a stop, and nobody is warned of a leak', async () => {
  const warnings: Error[] = [];
  const onWarning = (warning: Error): void => void warnings.push(warning);
  process.on('warning', onWarning);
  try {
    const { signal } = newStop();
    for (let wait = 0; wait < 100; wait++) signal.addEventListener('abort', () => undefined);
    // A warning of its own comes after all that were there before it.
    const last = once(process, 'warning');
    process.emitWarning('the last');
    await last;
    expect(warnings.map(({ message }) => message)).toEqual(['the last']);
  } finally {
    process.off('warning', onWarning);
  }
});
