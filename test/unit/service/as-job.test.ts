import { expect, test } from 'vitest';
import { TransferError } from '../../../src/core/errors.js';
import { asJob } from '../../../src/service/as-job.js';

test.each([
  ['Check the network, then run the same command again.', 'Check the network, then resume the job.'],
  ['Run the same command again.', 'Resume the job.'],
  ['It was left as it was. Check the permissions, then run it again.', /permissions, then resume the job\.$/],
  ['What was copied is kept; the same command goes on from there.', /kept; the job goes on from there\.$/],
  ['It is kept, and the same command then goes on from there.', 'It is kept, and the job goes on from there.'],
  ['Say --overwrite to replace it, or choose another target.', /^Make a new job with --overwrite to replace it, or/],
  ['Say --recursive (-r) for a folder with all that is in it.', /^A job has files only: copy -r takes a folder/],
  ['Choose another target. Nothing was changed.', 'Choose another target. Nothing was changed.'],
])('what a command is told as "%s" a job tells in its own words', (hint, words) => {
  const cause = new Error('why');
  const error = asJob(new TransferError('E_NETWORK', 'away', { hint, chunk: 3, cause }));
  expect(error.hint).toMatch(words);
  expect(error).toMatchObject({ code: 'E_NETWORK', message: 'away', detail: { chunk: 3 }, cause });
});

test('an error without a hint stays as it is', () => {
  const error = new TransferError('E_NETWORK', 'away');
  expect(asJob(error)).toBe(error);
});
