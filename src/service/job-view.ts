/** A job as it is shown: names instead of locations, and no secrets. */
import { redactedUrl } from '../endpoint/location.js';
import type { Job, JobFile } from './job.js';
import { totalsOf } from './job-progress.js';
import type { FileView, JobProgressView, JobView } from './job-service.js';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** `rateBytesPerSecond`: at which it moves now. There may be ten thousand to show at once, so this is kept plain. */
export function jobView(job: Job, rateBytesPerSecond: number, lateByMs?: number): JobView {
  const { id, owner, kind, state, reason, createdAt, changedAt, error, retryAt, retries } = job;
  const { name, priority, autoComplete, limitBytesPerSecond } = job;
  const { retryDelayMsMin, retryDelayMsMax, noProgressMsMax, transferMsMax, notify, webhook } = job;
  const view: Mutable<JobView> = {
    id,
    name,
    owner,
    kind,
    priority,
    state,
    reason,
    autoComplete,
    limitBytesPerSecond,
    retryDelayMsMin,
    retryDelayMsMax,
    noProgressMsMax,
    transferMsMax,
    progress: progressView(job.files, rateBytesPerSecond),
    createdAt,
    changedAt,
    retries,
  };
  if (job.finishBy) view.finishBy = job.finishBy;
  if (lateByMs !== undefined) view.lateByMs = lateByMs;
  if (notify) view.notify = notify;
  if (webhook) view.webhookUrl = redactedUrl(webhook.url);
  if (error) view.error = error;
  if (retryAt !== undefined) view.retryAt = retryAt;
  return view;
}

export function fileView({ source, target, mark: _, ...file }: JobFile): FileView {
  return { ...file, source: source.name, target: target.name };
}

function progressView(files: readonly JobFile[], rateBytesPerSecond: number): JobProgressView {
  const { bytesDone, bytesReused, bytesZero, bytesTotal, filesDone, isWhole } = totalsOf(files);
  const view: Mutable<JobProgressView> = {
    bytesDone,
    bytesReused,
    bytesZero,
    rateBytesPerSecond,
    filesDone,
    filesTotal: files.length,
  };
  if (isWhole) view.bytesTotal = bytesTotal;
  if (isWhole && rateBytesPerSecond > 0) {
    view.remainingMs = Math.round(((bytesTotal - bytesDone) / rateBytesPerSecond) * 1000);
  }
  return view;
}
