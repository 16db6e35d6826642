/** Reads until when something is to be done: a time of day, which is the next such, or a date with its time. */
import { TransferError } from './errors.js';

const TIME_OF_DAY = /^([01]?\d|2[0-3]):([0-5]\d)$/;
const DATE_AND_TIME = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,3})?)?(Z|[+-]\d\d:\d\d)?$/;

/**
 * Milliseconds since 1970. Without a zone it is the time that the clock on the wall shows here; what daylight saving
 * skips is as much later. @throws TransferError E_USAGE when it is no time, or over
 */
export function parseFinishBy(text: string, nowMs: number): number {
  const at = timeOfDay(text, nowMs) ?? (DATE_AND_TIME.test(text) ? Date.parse(text.replace(' ', 'T')) : Number.NaN);
  if (!Number.isFinite(at)) {
    throw new TransferError('E_USAGE', `cannot use ${JSON.stringify(text.slice(0, 80))} as a time to be done by`, {
      hint: 'Write a time of day, such as 06:00, or a date with its time, such as 2030-01-31T06:00 (with Z: in UTC).',
    });
  }
  if (at > nowMs) return at;
  throw new TransferError('E_USAGE', `it was to be done by ${timeText(at)}, which is over`, {
    hint: 'Name a time that is to come. Nothing was changed.',
  });
}

function timeOfDay(text: string, nowMs: number): number | undefined {
  const [, hours, minutes] = TIME_OF_DAY.exec(text) ?? [];
  if (hours === undefined || minutes === undefined) return undefined;
  const at = new Date(nowMs);
  for (let day = at.getDate(); ; day++) {
    const next = new Date(at.getFullYear(), at.getMonth(), day, Number(hours), Number(minutes));
    if (next.getTime() > nowMs) return next.getTime();
  }
}

/** `2030-01-31 06:00Z`. */
export function timeText(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 16).replace('T', ' ')}Z`;
}
