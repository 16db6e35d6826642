/** What the fake service's jobs and policy look like: defaults, and how a job is shown. */
import type { EventBody, JobState } from '../../src/core/events.js';
import type { Job, JobFile, JobSettings, NamedLocation } from '../../src/service/job.js';
import type { FileSpec, FileView, JobView } from '../../src/service/job-service.js';
import type { Policy } from '../../src/service/policy/policy.js';
import { noTime } from './scripted-run.js';

const SECOND_MS = 1000;
const DAY_MS = 24 * 3600 * SECOND_MS;
const RATES = { all: 0, foreground: 0, high: 0, normal: 0, low: 0 };

export const FAKE_POLICY: Policy = {
  ...{ jobsAtOnce: 4, foregroundAtOnce: 4, filesAtOnce: 4, perSourcePath: 4, perTargetPath: 4, migrationsAtOnce: 10 },
  ...{ sliceMs: 30 * SECOND_MS, lowSharePercent: 5, jobsMax: 100_000, filesPerJobMax: 10_000 },
  ...{ inactivityMs: 90 * DAY_MS, inactivityDeletesPartial: false, historyMs: 7 * DAY_MS },
  rates: RATES,
  yields: { high: 'greedy', normal: 'fair', low: 'gentle' },
  windows: [
    {
      ...{ name: 'office hours', days: ['mon', 'tue', 'wed', 'thu', 'fri'], from: '08:00', to: '18:00' },
      ...{ zone: 'Europe/Berlin', rates: { all: 100_000_000 } },
    },
  ],
  maintenance: [{ name: 'backup', days: ['sun'], from: '23:00', to: '02:00', classes: ['foreground'] }],
};

export const FAKE_POLICY_TEXT = '# How many jobs run beside each other.\njobs-at-once = 4\n';

export const FAKE_SETTINGS: Omit<JobSettings, 'name'> = {
  ...{ priority: 'normal', autoComplete: false, limitBytesPerSecond: 0 },
  ...{ retryDelayMsMin: 10 * SECOND_MS, retryDelayMsMax: 600 * SECOND_MS },
  ...{ noProgressMsMax: 14 * DAY_MS, transferMsMax: 0 },
};

export const STATES: readonly JobState[] = [
  ...(['queued', 'connecting', 'transferring', 'suspended', 'error'] as const),
  ...(['transient-error', 'transferred', 'acknowledged', 'cancelled'] as const),
];

/** Shown without user and password, and without a query. */
export function located(text: string): NamedLocation {
  return { text, name: text.replace(/\/\/[^/@]*@/, '//').replace(/\?.*/, '') };
}

export function newFile({ source, target }: FileSpec, index: number): JobFile {
  const nothing = { bytesDone: 0, bytesReused: 0, bytesZero: 0 };
  return { index, source: located(source), target: located(target), state: 'waiting', ...nothing };
}

export function fileView({ source, target, ...file }: JobFile): FileView {
  return { ...file, source: source.name, target: target.name };
}

export function jobView(job: Job, rateBytesPerSecond: number): JobView {
  const { files, options: _options, progressAt: _at, transferMs: _ms, webhook, ...shown } = job;
  const sum = (of: (file: JobFile) => number): number => files.reduce((all, file) => all + of(file), 0);
  const bytesDone = sum((file) => file.bytesDone);
  const bytesTotal = files.every(({ size }) => size !== undefined) ? sum(({ size = 0 }) => size) : undefined;
  const left = bytesTotal !== undefined && rateBytesPerSecond > 0 ? bytesTotal - bytesDone : undefined;
  const progress = {
    ...{ bytesDone, bytesReused: sum((file) => file.bytesReused), bytesZero: sum((file) => file.bytesZero) },
    ...(bytesTotal !== undefined && { bytesTotal }),
    rateBytesPerSecond,
    ...(left !== undefined && { remainingMs: Math.ceil((left / rateBytesPerSecond) * SECOND_MS) }),
    filesDone: files.filter(({ state }) => state === 'transferred' || state === 'committed').length,
    filesTotal: files.length,
  };
  return { ...shown, progress, ...(webhook && { webhookUrl: webhook.url }) };
}

/** Of a job that is being copied. */
export function progressOf({ progress }: JobView): EventBody {
  const { bytesDone, bytesReused, bytesZero, bytesTotal = bytesDone, rateBytesPerSecond, remainingMs } = progress;
  const counts = { bytesDone, bytesTotal, bytesReused, bytesZero, rateBytesPerSecond };
  const left = remainingMs === undefined ? {} : { remainingMs };
  return { type: 'progress', phase: 'copying', proof: 'written', ...counts, ...left, spent: noTime };
}
