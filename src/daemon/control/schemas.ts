/** What the API speaks of: jobs, files, the policy, the service. The interfaces are those of src/service. */
import { CAUSES, type TimeByCause } from '../../core/causes.js';
import { ERROR_KINDS, type ErrorCode, type ErrorJson } from '../../core/errors.js';
import { JOB_STATES, type JobState } from '../../core/events.js';
import type { CopyOptions } from '../../service/copy-options.js';
import { FILE_STATES, JOB_KINDS, type JobSettings, PRIORITIES, type Webhook } from '../../service/job.js';
import type * as Offered from '../../service/job-service.js';
import type { Policy } from '../../service/policy/policy.js';
import { CHUNK_STATES, type ChunkMapView } from '../../transfer/chunk-map.js';
import { YIELDS } from '../../yield/control-law.js';
import {
  component,
  count,
  flag,
  listOf,
  number,
  optional,
  record,
  someOf,
  string,
  table,
  text,
  words,
} from './schema.js';

const ERROR_CODES = Object.keys(ERROR_KINDS) as ErrorCode[];

const LOCATION_CHARS_MAX = 32_768;
const NAME_CHARS_MAX = 1_000;
const TIME_CHARS_MAX = 40;
const ARGUMENTS_MAX = 256;
/** The policy has a limit of its own; this one is what fits into a request. */
const FILES_MAX = 100_000;
/** A year is longer than any of these waits; 32 bits of milliseconds are not enough for some. */
const WAIT_MS_MAX = 366 * 24 * 3600 * 1000;
const STRING = string();
const NUMBER = number();
const COUNT = count();
const FLAG = flag();

const files = listOf(record({ source: text(LOCATION_CHARS_MAX), target: text(LOCATION_CHARS_MAX) }), FILES_MAX);

const settings = {
  name: text(NAME_CHARS_MAX),
  priority: words(PRIORITIES),
  autoComplete: FLAG,
  limitBytesPerSecond: COUNT,
  finishBy: text(TIME_CHARS_MAX),
  retryDelayMsMin: count(WAIT_MS_MAX),
  retryDelayMsMax: count(WAIT_MS_MAX),
  noProgressMsMax: count(WAIT_MS_MAX),
  transferMsMax: count(WAIT_MS_MAX),
  notify: listOf(text(LOCATION_CHARS_MAX), ARGUMENTS_MAX),
};
const webhook = component<Webhook>()(
  'Webhook',
  record({ url: text(LOCATION_CHARS_MAX), secret: optional(text(NAME_CHARS_MAX)) }),
);
const changes = {
  name: optional(settings.name),
  priority: optional(settings.priority),
  autoComplete: optional(FLAG),
  limitBytesPerSecond: optional(COUNT),
  finishBy: optional(settings.finishBy),
  retryDelayMsMin: optional(settings.retryDelayMsMin),
  retryDelayMsMax: optional(settings.retryDelayMsMax),
  noProgressMsMax: optional(settings.noProgressMsMax),
  transferMsMax: optional(settings.transferMsMax),
  notify: optional(settings.notify),
  webhook: optional(webhook.ref),
};

const options = component<CopyOptions>()(
  'CopyOptions',
  record({
    algorithm: optional(words(['xxh64', 'sha256'])),
    chunkBytes: optional(COUNT),
    lanes: optional(COUNT),
    readBack: optional(FLAG),
    preserve: optional(FLAG),
    reflink: optional(words(['auto', 'always', 'never'])),
    yield: optional(words(YIELDS)),
    protectLatencyMs: optional(NUMBER),
    overwrite: optional(FLAG),
    delta: optional(FLAG),
    sync: optional(FLAG),
    check: optional(FLAG),
  }),
);

export const jobChanges = component<Partial<JobSettings>>()('JobChanges', record(changes));

export const jobSpec = component<Offered.JobSpec>()(
  'JobSpec',
  record({
    files,
    kind: optional(words(JOB_KINDS)),
    options: optional(options.ref),
    suspended: optional(FLAG),
    ...changes,
  }),
);

export const fileSpecs = component<{ readonly files: readonly Offered.FileSpec[] }>()('FileSpecs', record({ files }));

const error = component<ErrorJson>()(
  'Error',
  record({
    code: words(ERROR_CODES),
    message: STRING,
    hint: optional(STRING),
    chunk: optional(COUNT),
    offset: optional(COUNT),
    retryAfterMs: optional(NUMBER),
    mended: optional(FLAG),
    cause: optional(STRING),
  }),
);

export const failure = component<{ readonly error: ErrorJson }>()('Failure', record({ error: error.ref }));

const progress = component<Offered.JobProgressView>()(
  'JobProgress',
  record({
    bytesDone: COUNT,
    bytesTotal: optional(COUNT),
    bytesReused: COUNT,
    bytesZero: COUNT,
    rateBytesPerSecond: NUMBER,
    remainingMs: optional(NUMBER),
    filesDone: COUNT,
    filesTotal: COUNT,
  }),
);

const view = {
  ...{ id: STRING, owner: STRING, kind: words(JOB_KINDS), state: words(JOB_STATES), reason: STRING },
  ...{ progress: progress.ref, createdAt: NUMBER, changedAt: NUMBER, error: optional(error.ref) },
  ...{ retryAt: optional(NUMBER), retries: COUNT, webhookUrl: optional(STRING), lateByMs: optional(NUMBER) },
  ...settings,
  finishBy: optional(settings.finishBy),
  notify: optional(settings.notify),
};

export const jobView = component<Offered.JobView>()('Job', record(view));

const fileView = component<Offered.FileView>()(
  'File',
  record({
    index: COUNT,
    source: STRING,
    target: STRING,
    state: words(FILE_STATES),
    size: optional(COUNT),
    bytesDone: COUNT,
    bytesReused: COUNT,
    bytesZero: COUNT,
    root: optional(STRING),
    error: optional(error.ref),
  }),
);

const byCause = component<TimeByCause>()('TimeByCause', someOf(CAUSES, NUMBER));

const time = component<Offered.TimeView>()(
  'JobTime',
  record({
    ...{ from: NUMBER, until: NUMBER, total: byCause.ref, spans: listOf(byCause.ref) },
    behind: listOf(record({ job: optional(STRING), name: optional(STRING), ms: NUMBER, preempted: COUNT })),
  }),
);

/** A job with its files. */
export type WholeJobView = Offered.JobView & {
  readonly files: readonly Offered.FileView[];
  readonly time?: Offered.TimeView;
};

export const wholeJob = component<WholeJobView>()(
  'JobWithFiles',
  record({ ...view, files: listOf(fileView.ref), time: optional(time.ref) }),
);

export const completed = component<Offered.JobView & Offered.Completed>()(
  'CompletedJob',
  record({ ...view, committed: COUNT, left: COUNT }),
);

export const explanation = component<Offered.Explanation>()(
  'Explanation',
  record({
    state: words(JOB_STATES),
    sentence: STRING,
    rule: optional(STRING),
    behind: optional(listOf(STRING)),
    until: optional(NUMBER),
    hint: optional(STRING),
    deadline: optional(record({ finishBy: NUMBER, lateByMs: optional(NUMBER) })),
    time: optional(time.ref),
  }),
);

export const chunkMap = component<ChunkMapView>()(
  'ChunkMap',
  record({ chunks: COUNT, counts: table(CHUNK_STATES, COUNT), cells: listOf(words(CHUNK_STATES)) }),
);

const MANNER = words([...YIELDS, 'none']);
const RATE_NAMES = ['all', 'foreground', 'high', 'normal', 'low'] as const;
const window = {
  ...{ name: STRING, days: listOf(STRING), from: STRING, to: STRING, zone: optional(STRING) },
} as const;

const policy = component<Policy>()(
  'Policy',
  record({
    ...{ jobsAtOnce: COUNT, foregroundAtOnce: COUNT, filesAtOnce: COUNT, perSourcePath: COUNT, perTargetPath: COUNT },
    ...{ migrationsAtOnce: COUNT, sliceMs: COUNT, lowSharePercent: NUMBER, jobsMax: COUNT, filesPerJobMax: COUNT },
    ...{ inactivityMs: COUNT, inactivityDeletesPartial: FLAG, historyMs: COUNT, rates: table(RATE_NAMES, NUMBER) },
    yields: record({ high: MANNER, normal: MANNER, low: MANNER }),
    windows: listOf(
      record({
        ...window,
        rates: record({
          ...{ all: optional(NUMBER), foreground: optional(NUMBER), high: optional(NUMBER) },
          ...{ normal: optional(NUMBER), low: optional(NUMBER) },
        }),
      }),
    ),
    maintenance: listOf(record({ ...window, classes: listOf(words(PRIORITIES)) })),
  }),
);

/** The rules as they count now, and the file that says them. */
export interface PolicyView {
  readonly policy: Policy;
  readonly text: string;
}

export const policyView = component<PolicyView>()('PolicyAndText', record({ policy: policy.ref, text: STRING }));

export interface ServiceView {
  readonly version: string;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  readonly load: Offered.ServiceLoad;
  readonly caller: Offered.Caller;
  /** Whether machines are listed and moved here, for who may. */
  readonly movesMachines: boolean;
}

export const callerView = component<Offered.Caller>()('Caller', record({ name: STRING, admin: FLAG }));

const load = component<Offered.ServiceLoad>()(
  'Load',
  record({
    rates: table(PRIORITIES, NUMBER),
    states: table(JOB_STATES, COUNT),
    startedAt: NUMBER,
    lastEventId: COUNT,
    totals: optional(
      record({
        bytes: table(PRIORITIES, NUMBER),
        ...{ decisions: COUNT, decisionMs: NUMBER, storeWrites: COUNT, storeWriteMs: NUMBER },
      }),
    ),
  }),
);

export const serviceView = component<ServiceView>()(
  'Service',
  record({ version: STRING, startedAt: NUMBER, load: load.ref, caller: callerView.ref, movesMachines: FLAG }),
);

export const JOB_STATE_NAMES: readonly JobState[] = JOB_STATES;

export const COMPONENTS = [
  ...[webhook, options, jobChanges, jobSpec, fileSpecs, error, failure, progress, jobView, fileView, byCause],
  ...[time, wholeJob, completed, explanation, chunkMap, policy, policyView, callerView, load, serviceView],
].map(({ schema }) => schema);
