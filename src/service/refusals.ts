/** Calls that do not fit the state of a job, and what would. */
import { TransferError } from '../core/errors.js';
import { type JobCall, MOVES } from './job.js';
import type { JobRecord } from './job-record.js';

export function illegal({ id, state }: JobRecord, call: JobCall): TransferError {
  const legal = (Object.keys(MOVES) as JobCall[]).filter((other) => MOVES[other].includes(state));
  const may = legal.length === 0 ? 'Nothing can be asked of it any more.' : `It can be asked to: ${legal.join(', ')}.`;
  return new TransferError('E_JOB_STATE', `job ${id} is ${state}, which does not go with ${call}`, { hint: may });
}

export function noFiles(name: string): TransferError {
  return new TransferError('E_USAGE', `the job ${name} has no files yet`, { hint: 'Add one, then resume it.' });
}

export function tooManyJobs(count: number): TransferError {
  return new TransferError('E_USAGE', `there are ${count} jobs under way or waiting, and the policy allows no more`, {
    hint: 'Cancel some, or raise jobs_max in the policy.',
  });
}
