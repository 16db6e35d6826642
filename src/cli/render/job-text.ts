/** What is known of a job, as a few calm lines; and why it is where it is, as a paragraph. */

import type { DeadlineView } from '../../core/events.js';
import { formatBytes, formatDuration, formatRate } from '../../core/units.js';
import type { WholeJobView } from '../../daemon/client.js';
import type { Explanation, FileView, JobView } from '../../service/job-service.js';
import { shortId } from '../service-access.js';
import { doneText } from './job-table.js';
import { count, wallTime } from './summary.js';
import { timeLines } from './time-text.js';

/** `3f2a91c0 nightly: suspended: somebody suspended it`. */
export function jobLine({ id, name, state, reason }: JobView): string {
  return `${shortId(id)} ${name}: ${state}${reason === '' ? '' : `: ${reason}`}`;
}

export function infoLines(job: WholeJobView, columns = 80): string[] {
  const { id, name, state, reason, owner, kind, priority, error, retryAt, files, time } = job;
  const what = kind === 'migration' ? `${priority} priority, a migration` : `${priority} priority`;
  return [
    `${name}: ${state}${reason === '' ? '' : `: ${reason}`}`,
    `  ${amountText(job)}`,
    ...(error ? [`  error ${error.code}: ${error.message}`] : []),
    ...(retryAt === undefined
      ? []
      : [`  tried again at ${wallTime(retryAt)}; ${count(job.retries, 'retry', 'retries')} so far`]),
    `  ${what}, of ${owner}, made ${wallTime(job.createdAt)}, changed ${wallTime(job.changedAt)}`,
    ...settingLines(job).map((line) => `  ${line}`),
    `  id ${id}`,
    ...files.flatMap(fileLines),
    ...(time ? timeLines(time, columns - 2).map((line) => `  ${line}`) : []),
  ];
}

function amountText(job: JobView): string {
  const { bytesDone, bytesTotal, bytesReused, bytesZero, filesDone, filesTotal } = job.progress;
  const { rateBytesPerSecond, remainingMs } = job.progress;
  const of = bytesTotal === undefined ? 'an amount that is not known yet' : formatBytes(bytesTotal);
  const moves = job.state === 'transferring';
  const parts = [
    `${doneText(job).replace('?', 'some')}: ${formatBytes(bytesDone)} of ${of}`,
    `${filesDone} of ${count(filesTotal, 'file')} done`,
    ...(moves && rateBytesPerSecond > 0 ? [formatRate(rateBytesPerSecond)] : []),
    ...(moves && remainingMs !== undefined ? [`${formatDuration(remainingMs)} left`] : []),
    ...(bytesReused > 0 ? [`${formatBytes(bytesReused)} from an earlier run, proven again`] : []),
    ...(bytesZero > 0 ? [`${formatBytes(bytesZero)} zero`] : []),
  ];
  return parts.join(', ');
}

function settingLines(job: JobView): string[] {
  const { autoComplete, limitBytesPerSecond, retryDelayMsMin, retryDelayMsMax, noProgressMsMax, transferMsMax } = job;
  const limit = limitBytesPerSecond > 0 ? `at most ${formatRate(limitBytesPerSecond)}` : 'no limit of its own';
  const names = autoComplete ? 'files get their names by themselves' : 'files get their names with "job complete"';
  const noProgress =
    noProgressMsMax === 0 ? 'at the first error' : `after ${formatDuration(noProgressMsMax)} of errors`;
  const waits = `${formatDuration(retryDelayMsMin)} to ${formatDuration(retryDelayMsMax)}`;
  const most = transferMsMax > 0 ? `, or after ${formatDuration(transferMsMax)} of copying` : '';
  const due = job.finishBy && { finishBy: Date.parse(job.finishBy), ...(job.lateByMs && { lateByMs: job.lateByMs }) };
  return [
    `${limit}; ${names}`,
    ...(due ? [dueText(due)] : []),
    `retries after ${waits}; gives up ${noProgress}${most}`,
    ...(job.notify && job.notify.length > 0 ? [`runs ${job.notify.join(' ')} when it ends`] : []),
    ...(job.webhookUrl ? [`tells ${job.webhookUrl} when it ends`] : []),
  ];
}

function fileLines({ source, target, state, size, bytesDone, root, error }: FileView): string[] {
  const of = size === undefined ? '' : ` of ${formatBytes(size)}`;
  return [
    `  ${state}: ${source} to ${target}: ${formatBytes(bytesDone)}${of}`,
    ...(root === undefined ? [] : [`    root ${root}`]),
    ...(error ? [`    ${error.code}: ${error.message}`] : []),
  ];
}

/** How a job that was followed ended; `next` is for people alone. */
export function settledLines(job: WholeJobView): { readonly lines: readonly string[]; readonly next?: string } {
  const { id, name, state, reason, files, progress } = job;
  if (state === 'cancelled') return { lines: [], next: `blockferry: ${name} is cancelled: ${reason}` };
  const amount = `${count(files.length, 'file')}, ${formatBytes(progress.bytesTotal ?? progress.bytesDone)}`;
  if (state === 'transferred') {
    return {
      lines: [`${name} is transferred, whole and proven: ${amount}`],
      next: `  The files get their names with: blockferry job complete ${shortId(id)}`,
    };
  }
  const [first, ...others] = files;
  if (!first || others.length > 0) return { lines: [`${name} is complete: ${amount}`] };
  const { source, target, root, size = 0 } = first;
  const lines = [`${source} is copied to ${target}: ${formatBytes(size)}`];
  return { lines: root === undefined ? lines : [...lines, `  root: ${root}`] };
}

/** @param nowMs what the time is */
export function whyText(
  { state, sentence, behind = [], until, hint, deadline }: Explanation,
  name: string,
  nowMs: number,
): string {
  const others = behind.length === 0 ? '' : ` Before it: ${behind.map(shortId).join(', ')}.`;
  const again =
    until === undefined || until <= nowMs
      ? ''
      : ` It is looked at again in ${formatDuration(until - nowMs)}, at ${wallTime(until)}.`;
  const todo = hint === undefined ? '' : ` ${ended(hint)}`;
  const due = deadline === undefined ? '' : ` It is to be ${dueText(deadline)}.`;
  return `${name} is ${STATES[state]}: ${ended(sentence)}${others}${again}${due}${todo}`;
}

/** `done by …, and will be late by about 20 min`. */
function dueText({ finishBy, lateByMs }: DeadlineView): string {
  const late = lateByMs === undefined ? '' : `, and will be late by about ${formatDuration(lateByMs)}`;
  return `done by ${wallTime(finishBy)}${late}`;
}

const STATES: Readonly<Record<JobView['state'], string>> = {
  queued: 'queued',
  connecting: 'connecting',
  transferring: 'transferring',
  suspended: 'suspended',
  error: 'in error',
  'transient-error': 'waiting after an error (transient-error)',
  transferred: 'transferred',
  acknowledged: 'complete (acknowledged)',
  cancelled: 'cancelled',
};

/** A sentence with its full stop. */
function ended(sentence: string): string {
  return /[.!?]$/.test(sentence) ? sentence : `${sentence}.`;
}
