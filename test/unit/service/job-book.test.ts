import { expect, test } from 'vitest';
import { JobBook } from '../../../src/service/job-book.js';
import { newJob } from '../../../src/service/job-spec.js';
import { DEFAULT_POLICY } from '../../../src/service/policy/default-policy.js';
import { FakeClock } from '../../support/fake-clock.js';
import { MemoryStore } from '../../support/memory-store.js';
import { progress } from '../../support/scripted-run.js';

test('whoever is slow hears no progress of a job that has ended meanwhile, and nothing of it is kept', async () => {
  const [clock, store] = [new FakeClock(), new MemoryStore()];
  const parts = { store, clock, entered: () => undefined, note: () => undefined };
  const book = new JobBook(parts, await store.load());
  const files = [{ source: '/vms/a.vhd', target: '/backup/a.vhd' }];
  const about = { owner: 'ann', wallMs: 0, policy: DEFAULT_POLICY };
  const [ended, other] = await Promise.all(
    ['ended', 'other'].map((id) => book.add(newJob({ files }, { ...about, id }))),
  );
  if (!ended || !other) throw new Error('two jobs were made');
  const stop = new AbortController();
  const listening = book.log.listen(() => true, undefined, stop.signal)[Symbol.asyncIterator]();
  const first = listening.next();
  book.progress(ended, progress(), [0]);
  book.progress(other, progress(), [0]);
  await book.enter(ended, 'acknowledged', 'complete and proven');
  book.progress(ended, progress(), [0]);
  const heard = [await first, await listening.next()].map(({ value }) => [value.job, value.event.type]);
  stop.abort();
  expect(heard).toEqual([
    ['ended', 'state'],
    ['other', 'progress'],
  ]);
});
