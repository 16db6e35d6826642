/** What a stored job, file or event must look like to be let into the service; what is more is kept as it is. */
import { ERROR_KINDS, type ErrorCode, TransferError } from '../../core/errors.js';
import { JOB_STATES } from '../../core/events.js';
import { count, flag, listOf, object, oneOf, type Shape, text } from '../../core/shape.js';
import { FILE_STATES, JOB_KINDS, type Job, type JobFile, PRIORITIES } from '../job.js';
import type { Told } from '../told.js';

/** Longer than any location or sentence, and short enough not to be taken for one by accident. */
const TEXT_MAX = 1024 * 1024;
const FILES_MAX = 10_000_000;

const words = text(TEXT_MAX);
const anything: Shape<unknown> = (value) => value;
/** A time or a duration, which may have a fraction. */
const amount: Shape<number> = (value, at = '') => {
  if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value;
  throw new TransferError('E_STORE', `${at} is no amount`);
};
const codes = Object.keys(ERROR_KINDS) as ErrorCode[];
const error = object({ code: oneOf(...codes), message: words });
const mark = object({ size: count(), mtimeNs: words });
const location = object({ text: words, name: words });

const file = object(
  {
    ...{ index: count(FILES_MAX), source: location, target: location, state: oneOf(...FILE_STATES) },
    ...{ bytesDone: count(), bytesReused: count(), bytesZero: count() },
  },
  { size: count(), root: words, error, mark },
);

const time = object({
  ...{ from: amount, until: amount, spans: listOf(anything, 1000) },
  behind: listOf(object({ job: words, ms: amount, preempted: count() }), 1000),
});

const job = object(
  {
    ...{ id: text(64, /^[\w-]+$/), owner: words, kind: oneOf(...JOB_KINDS), name: words, reason: words },
    ...{ state: oneOf(...JOB_STATES), priority: oneOf(...PRIORITIES), autoComplete: flag },
    ...{ limitBytesPerSecond: amount, retryDelayMsMin: amount, retryDelayMsMax: amount },
    ...{ noProgressMsMax: amount, transferMsMax: amount, transferMs: amount },
    ...{ createdAt: amount, changedAt: amount, progressAt: amount, retries: count(), options: object({}) },
  },
  {
    ...{ error, retryAt: amount, notify: listOf(words, 10_000), time, finishBy: words },
    webhook: object({ url: words }, { secret: words }),
  },
);

const told = object(
  { id: count(), job: words, event: object({ type: words, at: amount, schema: anything }) },
  { file: count(FILES_MAX) },
);

/** The bodies of a job's rows: its files' in their order. @throws what says why they are none */
export function parseJob(id: string, body: string, files: readonly string[]): Job {
  const head = parsed(body, job);
  if (head.id !== id) throw new TransferError('E_STORE', `.id is not ${id}`);
  return { ...head, files: files.map(parseFile) } as unknown as Job;
}

function parseFile(body: string, place: number): JobFile {
  const found = parsed(body, file);
  if (found.index !== place) throw new TransferError('E_STORE', `its file ${place} is missing`);
  return found as JobFile;
}

export function parseTold(body: string): Told {
  return parsed(body, told) as unknown as Told;
}

/** The value itself, and not the shape's copy of it: what a later version of the same format adds is not lost. */
function parsed<T>(body: string, shape: Shape<T>): T {
  const value: unknown = JSON.parse(body);
  shape(value);
  return value as T;
}

/** The end of a sentence; never what JSON.parse says, which quotes what may be a secret. */
export function reasonOf(thrown: unknown): string {
  if (thrown instanceof TransferError) return thrown.message.replace(/^a message is not what it should be: /, '');
  return 'it is no JSON text';
}
