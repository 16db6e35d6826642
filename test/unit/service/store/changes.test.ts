import { expect, test } from 'vitest';
import { Changes } from '../../../../src/service/store/changes.js';
import { fileWith, jobWith, progressOf, toldOf } from '../../../support/stored-jobs.js';

/** What would be written now, and is. */
function stored(changes: Changes) {
  const taken = changes.take(true);
  taken.stored();
  return taken.batch;
}

const numbers = (batch: ReturnType<typeof stored>) => batch.jobs.map(({ files }) => files.map(({ number }) => number));

test('one file of ten thousand that went on is one row', () => {
  const changes = new Changes();
  const job = jobWith({}, 10_000);
  changes.put([job], []);
  expect(numbers(stored(changes))[0]).toHaveLength(10_000);
  changes.progress([progressOf(job, [fileWith(4_711, { bytesDone: 1 })])]);
  expect(numbers(stored(changes))).toEqual([[4_711]]);
  const files = job.files.map((file) => (file.index === 17 ? fileWith(17, { bytesDone: 2 }) : file));
  changes.put([{ ...job, files }], []);
  // The progress of the other was newer than what is put now.
  expect(numbers(stored(changes))).toEqual([[17, 4_711]]);
  changes.put([{ ...job, files, state: 'suspended' }], []);
  expect(numbers(stored(changes))).toEqual([[]]);
});

test('jobs that were loaded are known', () => {
  const changes = new Changes();
  const job = jobWith();
  changes.loaded([job]);
  changes.put([{ ...job, state: 'suspended' }], []);
  expect(numbers(stored(changes))).toEqual([[]]);
});

test('progress of a job is one write, however often it comes', () => {
  const changes = new Changes();
  const job = jobWith({}, 3);
  changes.put([job], []);
  stored(changes);
  for (let n = 1; n <= 100; n++) changes.progress([progressOf(job, [fileWith(n % 2, { bytesDone: n })])]);
  const { jobs } = stored(changes);
  expect(jobs).toHaveLength(1);
  expect(jobs[0]?.files.map(({ body }) => JSON.parse(body).bytesDone)).toEqual([100, 99]);
  expect(changes.hasProgress).toBe(false);
});

test('what could not be written is written as a whole the next time', () => {
  const changes = new Changes();
  const job = jobWith();
  changes.put([job], [toldOf(1, job)]);
  changes.take(true).failed();
  expect(stored(changes)).toMatchObject({ jobs: [], told: [], removed: [] });
  changes.put([job], []);
  expect(numbers(stored(changes))).toEqual([[0, 1]]);
  changes.remove([job.id]);
  changes.take(true).failed();
  changes.put([{ ...job, name: 'again' }], []);
  expect(numbers(stored(changes))).toEqual([[]]);
});

test('progress that could not be written is tried again, behind what came since', () => {
  const changes = new Changes();
  const [job, other] = [jobWith({}, 3), jobWith()];
  changes.put([job, other], []);
  stored(changes);
  changes.progress([progressOf(job, [fileWith(0, { bytesDone: 1 }), fileWith(1, { bytesDone: 1 })])]);
  changes.progress([progressOf(other, [fileWith(0, { bytesDone: 1 })])]);
  const taken = changes.take(false);
  changes.progress([progressOf(job, [fileWith(1, { bytesDone: 2 })], { transferMs: 2 })]);
  const put = { ...other, state: 'suspended' as const };
  changes.put([put], []);
  taken.failed();
  const { jobs } = stored(changes);
  const bodies = Object.fromEntries(jobs.map(({ id, body, files }) => [id, [body, ...files.map((file) => file.body)]]));
  const { files: _files, ...head } = put;
  expect(bodies[other.id]).toEqual([JSON.stringify(head)]);
  const [body = '', ...files] = bodies[job.id] ?? [];
  expect(JSON.parse(body).transferMs).toBe(2);
  expect(files.map((file) => JSON.parse(file).bytesDone)).toEqual([1, 2]);
});
