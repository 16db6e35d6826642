/** How states, priorities, times and progress are said to people. */
import type { JobState } from '../../core/events.js';
import { formatBytes, formatDuration } from '../../core/units.js';
import { isFinal, type Priority } from '../../service/job.js';
import type { JobView } from '../../service/job-service.js';

/** In the order in which people want to see them: what needs somebody comes first, what is over last. */
export const STATE_WORDS: Readonly<Record<JobState, string>> = {
  error: 'Error',
  'transient-error': 'Transient error',
  transferring: 'Transferring',
  connecting: 'Connecting',
  transferred: 'Transferred',
  queued: 'Queued',
  suspended: 'Suspended',
  acknowledged: 'Acknowledged',
  cancelled: 'Cancelled',
};

export const STATES_SHOWN = Object.keys(STATE_WORDS) as readonly JobState[];

export const PRIORITY_WORDS: Readonly<Record<Priority, string>> = {
  foreground: 'Foreground',
  high: 'High',
  normal: 'Normal',
  low: 'Low',
};

export function count(number: number, one: string, many = `${one}s`): string {
  return `${number.toLocaleString('en')} ${number === 1 ? one : many}`;
}

/** Between 0 and 1; undefined while the size is not known. */
export function shareDone({ progress: { bytesDone, bytesTotal }, state }: JobView): number | undefined {
  if (state === 'transferred' || state === 'acknowledged') return 1;
  if (bytesTotal === undefined) return bytesDone === 0 ? 0 : undefined;
  return bytesTotal === 0 ? 0 : Math.min(1, bytesDone / bytesTotal);
}

/** `43 % · 1.2 GiB of 3.0 GiB`; rounded down, so that 100 % is all of it. */
export function progressWords(job: JobView): string {
  const { bytesDone, bytesTotal } = job.progress;
  const share = shareDone(job);
  if (bytesTotal === undefined) return bytesDone === 0 ? 'Nothing yet' : formatBytes(bytesDone);
  const percent = `${Math.floor((share ?? 0) * 100)} %`;
  return `${percent} · ${formatBytes(bytesDone)} of ${formatBytes(bytesTotal)}`;
}

export function remainingWords({ state, progress: { remainingMs } }: JobView): string {
  return state === 'transferring' && remainingMs !== undefined ? `${formatDuration(remainingMs)} left` : '';
}

const today = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const anyDay = new Intl.DateTimeFormat('en-GB', {
  ...({ day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' } as const),
});

/** As the reader's own clock has it: with the day where that is another than `nowMs` is on. */
export function timeWords(atMs: number, nowMs: number): string {
  const [at, now] = [new Date(atMs), new Date(nowMs)];
  return (at.toDateString() === now.toDateString() ? today : anyDay).format(at);
}

/** `to be done by 06:00:00, late by about 20 min`; nothing where there is no hurry any more. */
export function dueWords({ state, finishBy, lateByMs }: JobView, nowMs: number): string {
  if (!finishBy || isFinal(state) || state === 'transferred') return '';
  const late = lateByMs === undefined ? '' : `, late by about ${formatDuration(lateByMs)}`;
  return `to be done by ${timeWords(Date.parse(finishBy), nowMs)}${late}`;
}

/**
 * A sentence begins with a capital and ends in a full stop, also where it was written as a part of another. A first
 * word that is more than letters is somebody's name, and stays as it is.
 */
export function sentence(text: string): string {
  if (text === '') return '';
  const end = /[.!?…]$/.test(text) ? '' : '.';
  return text.replace(/^[a-z](?=[a-z]*(?:[ ,;]|:(?!\/)|$))/, (first) => first.toUpperCase()) + end;
}

/** The line, from 1, that an error names: `blockferry.toml:3:14: …`, or `line 3, column 14: …`. */
export function lineTold(message: string): number | undefined {
  const [, after, word] = /\.toml:(\d+):\d+:|\bline (\d+)/.exec(message) ?? [];
  const told = after ?? word;
  return told === undefined ? undefined : Number(told);
}
