/**
 * Progress as text, for any width: parts are dropped, from the least to the most important, and nothing ever wraps.
 * Plain ASCII, since a character that some terminals draw two columns wide would break the line.
 */
import type { FileCounts, LimitEvent, ProgressEvent } from '../../core/events.js';
import { formatBytes, formatDuration, formatRate } from '../../core/units.js';
import type { Verb } from './reporter.js';

const BAR_COLUMNS_MIN = 8;
const BAR_COLUMNS_MAX = 40;
const GAP = '  ';
/** Room for the longest of each, so that the bar keeps its length while the numbers change. */
const RATE_COLUMNS = '1023 KiB/s'.length;
const LEFT_COLUMNS = '23 h 59 min left'.length;
export const BYTES_COLUMNS = '1023 KiB'.length;

export interface Look {
  /** Columns that may be used. */
  readonly columns: number;
  readonly colour: boolean;
}

type Amounts = Pick<ProgressEvent, 'bytesDone' | 'bytesTotal'>;

/** One line: ` 42% [####....]  431 MiB of 1.00 GiB  20.0 MiB/s  28 s left`; the first to go is the amount. */
export function barLine(event: ProgressEvent, look: Look): string {
  if (event.files && event.files.total === undefined) return growingLine(event, look);
  const progress = ofThePhase(event);
  const percent = percentText(progress);
  const cells = [
    `${formatBytes(progress.bytesDone).padStart(BYTES_COLUMNS)} of ${formatBytes(progress.bytesTotal)}`,
    rateText(progress).padStart(RATE_COLUMNS),
    leftText(progress).padEnd(LEFT_COLUMNS),
  ];
  const spare = (): number => look.columns - joined([percent, ...cells]).length - ' []'.length;
  while (cells.length > 1 && spare() < BAR_COLUMNS_MIN) cells.shift();
  if (spare() < BAR_COLUMNS_MIN) return withoutBar(progress, look);
  const bar = drawnBar(progress, Math.min(spare(), BAR_COLUMNS_MAX), look.colour);
  return joined([`${percent} ${bar}`, ...cells]).trimEnd();
}

/** As long as files are still being found, there is no whole that a bar could be a part of. */
function growingLine(progress: ProgressEvent, look: Look): string {
  const amount = `     ${growingText(progress)}`;
  const line = joined([amount, rateText(progress)]).trimEnd();
  return line.length <= look.columns ? line : cut(amount, look.columns);
}

function growingText({ bytesDone, bytesTotal }: Amounts): string {
  return `${formatBytes(bytesDone)} of at least ${formatBytes(bytesTotal)}`;
}

function withoutBar(progress: ProgressEvent, look: Look): string {
  const parts = [rateText(progress), leftText(progress)].filter((part) => part !== '');
  const line = (): string => joined([percentText(progress), ...parts]);
  while (parts.length > 0 && line().length > look.columns) parts.shift();
  return line();
}

function joined(parts: readonly string[]): string {
  return parts.join(GAP);
}

/** The second line: what goes on, and what holds it back. */
export function limitLine(doing: string, limit: LimitEvent | undefined, look: Look): string {
  const reason = limit && limit.limit !== 'none' ? `${doing}: ${limit.reason}` : doing;
  const text = cut(`     ${reason}`, look.columns);
  return look.colour ? `\x1b[2m${text}\x1b[22m` : text;
}

/** A line for a log: nothing is dropped. */
export function plainLine(event: ProgressEvent, doing: string, limit: LimitEvent | undefined): string {
  const progress = ofThePhase(event);
  const reason = limit && limit.limit !== 'none' ? ` (${limit.reason})` : '';
  const growing = progress.files !== undefined && progress.files.total === undefined;
  const parts = growing
    ? [growingText(progress), rateText(progress)]
    : [percentText(progress).trim(), amountText(progress), rateText(progress), leftText(progress)];
  return `${doing}: ${parts.filter((part) => part !== '').join(', ')}${reason}`;
}

/** Reading back has its own way from 0 to 100 %. */
function ofThePhase(progress: ProgressEvent): ProgressEvent {
  return { ...progress, ...progress.readBack };
}

/** What the phase is called, for people. */
export function doingText(progress: ProgressEvent, verb: Verb): string {
  const doing = verb === 'copying' ? DOING[progress.phase] : verb;
  const lateByMs = progress.deadline?.lateByMs;
  const parts = [
    doing,
    ...(progress.files ? [filesText(progress.files)] : []),
    ...(lateByMs === undefined ? [] : [`will be late by about ${formatDuration(lateByMs)}`]),
  ];
  return parts.join(', ');
}

function filesText({ done, total, skipped, failed }: FileCounts): string {
  const parts = [total === undefined ? `${done} files done and more being found` : `${done} of ${total} files done`];
  if (failed > 0) parts.push(`${failed} failed`);
  if (skipped > 0) parts.push(`${skipped} skipped`);
  return parts.join(', ');
}

const DOING: Readonly<Record<ProgressEvent['phase'], string>> = {
  opening: 'looking at both ends',
  copying: 'copying',
  'reading-back': 'reading back from the storage',
  checksumming: 'reading once more for the checksum',
  committing: 'putting the target in place',
  merging: 'merging',
  done: 'done',
};

/** Never 100 before all is done. */
export function percentText({ bytesDone, bytesTotal }: Amounts): string {
  const percent = bytesTotal === 0 ? 100 : Math.floor((bytesDone / bytesTotal) * 100);
  return `${String(percent).padStart(3)}%`;
}

function amountText({ bytesDone, bytesTotal }: Amounts): string {
  return `${formatBytes(bytesDone)} of ${formatBytes(bytesTotal)}`;
}

function rateText({ rateBytesPerSecond }: ProgressEvent): string {
  return rateBytesPerSecond > 0 ? formatRate(rateBytesPerSecond) : '';
}

function leftText({ remainingMs, bytesDone, bytesTotal }: ProgressEvent): string {
  return remainingMs === undefined || bytesDone >= bytesTotal ? '' : `${formatDuration(remainingMs)} left`;
}

export function drawnBar({ bytesDone, bytesTotal }: Amounts, columns: number, colour: boolean): string {
  const full = bytesTotal === 0 ? columns : Math.floor((bytesDone / bytesTotal) * columns);
  const done = '#'.repeat(full);
  return `[${colour && full > 0 ? `\x1b[36m${done}\x1b[39m` : done}${'.'.repeat(columns - full)}]`;
}

function cut(text: string, columns: number): string {
  return text.length <= columns ? text : `${text.slice(0, Math.max(0, columns - 2))}..`;
}
