/** A job as it is shown: names instead of locations, and no secrets. */
import { redactedUrl } from '../endpoint/location.js';
import type { Job, JobFile } from './job.js';
import type { FileView, JobProgressView, JobView } from './job-service.js';

/** What moves now, of a job that runs. */
export interface Moving {
  readonly rateBytesPerSecond: number;
}

export function jobView(job: Job, moving?: Moving): JobView {
  const { id, owner, kind, state, reason, createdAt, changedAt, error, retryAt, retries } = job;
  const { name, priority, autoComplete, limitBytesPerSecond } = job;
  const { retryDelayMsMin, retryDelayMsMax, noProgressMsMax, transferMsMax, notify, webhook } = job;
  return {
    ...{ id, name, owner, kind, priority, state, reason, autoComplete, limitBytesPerSecond },
    ...{ retryDelayMsMin, retryDelayMsMax, noProgressMsMax, transferMsMax },
    ...(notify && { notify }),
    ...(webhook && { webhookUrl: redactedUrl(webhook.url) }),
    ...(error && { error }),
    ...(retryAt !== undefined && { retryAt }),
    progress: progressView(job.files, moving?.rateBytesPerSecond ?? 0),
    ...{ createdAt, changedAt, retries },
  };
}

export function fileView({ source, target, mark: _, ...file }: JobFile): FileView {
  return { ...file, source: source.name, target: target.name };
}

function progressView(files: readonly JobFile[], rateBytesPerSecond: number): JobProgressView {
  let [bytesDone, bytesReused, bytesZero, bytesTotal, filesDone] = [0, 0, 0, 0, 0];
  let known = true;
  for (const file of files) {
    bytesDone += file.bytesDone;
    bytesReused += file.bytesReused;
    bytesZero += file.bytesZero;
    bytesTotal += file.size ?? 0;
    known &&= file.size !== undefined;
    if (file.state === 'transferred' || file.state === 'committed') filesDone++;
  }
  const remains = known && rateBytesPerSecond > 0;
  return {
    ...{ bytesDone, bytesReused, bytesZero, rateBytesPerSecond, filesDone, filesTotal: files.length },
    ...(known && { bytesTotal }),
    ...(remains && { remainingMs: Math.round(((bytesTotal - bytesDone) / rateBytesPerSecond) * 1000) }),
  };
}
