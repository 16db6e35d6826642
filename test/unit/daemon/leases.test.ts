import { expect, test } from 'vitest';
import { Leases } from '../../../src/daemon/leases.js';
import { FakeClock } from '../../support/fake-clock.js';

test('one client leaves room for the partial copies of others', () => {
  const [revoke, close] = [async () => undefined, async () => undefined];
  const leases = new Leases({ instance: '0', clock: new FakeClock(), revoke, close });
  const found = { folder: { fd: -1, path: '' }, name: 'x', path: 'x', shown: 'images/x' };
  const ref = { scheme: 'file' } as const;
  for (let n = 0; n < 500; n++) {
    leases.assertRoom('greedy');
    leases.add({ found, site: ref, ref, root: 'images', client: 'greedy', size: 1 });
  }
  expect(() => leases.assertRoom('greedy')).toThrow(/500 of yours/);
  expect(() => leases.assertRoom('modest')).not.toThrow();
});
