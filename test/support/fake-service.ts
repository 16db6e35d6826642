/**
 * A service in memory that copies nothing: jobs move on when a test says so, and tell of it as the real one does. For
 * tests of what stands in front of a service: routes, page, commands.
 */
import { randomUUID } from 'node:crypto';
import { parse, TomlError } from 'smol-toml';
import { type ErrorJson, TransferError } from '../../src/core/errors.js';
import type { EventBody, JobState } from '../../src/core/events.js';
import { isFinal, type Job, type JobCall, type JobFile, type JobSettings, MOVES } from '../../src/service/job.js';
import type {
  Caller,
  Completed,
  Explanation,
  FileSpec,
  JobService,
  JobSpec,
  JobView,
  ServiceLoad,
  ServiceTotals,
  TimeView,
} from '../../src/service/job-service.js';
import type { Policy } from '../../src/service/policy/policy.js';
import type { Told } from '../../src/service/told.js';
import type { ChunkMapView } from '../../src/transfer/chunk-map.js';
import { FakeEvents } from './fake-events.js';
import {
  FAKE_POLICY,
  FAKE_POLICY_TEXT,
  FAKE_SETTINGS,
  fileView,
  jobView,
  located,
  newFile,
  progressOf,
  STATES,
} from './fake-jobs.js';

/** What a test says of a job that moves on. */
export interface Move {
  readonly reason?: string;
  readonly error?: ErrorJson;
  readonly retryAt?: number;
}

/** Since the last one; `rateBytesPerSecond` holds until it is told anew. */
export interface Copied {
  readonly file?: number;
  readonly bytes: number;
  readonly reused?: number;
  readonly zero?: number;
  readonly rateBytesPerSecond?: number;
}

interface Entry {
  job: Job;
  rate: number;
  why: Partial<Explanation>;
  maps: Map<number, ChunkMapView>;
  time?: TimeView;
}

const view = ({ job, rate }: Entry): JobView => jobView(job, rate);

export class FakeService implements JobService {
  policy: Policy = FAKE_POLICY;
  policyText = FAKE_POLICY_TEXT;
  /** How many listen, and what was told last. */
  readonly told = new FakeEvents();
  /** What it has counted since its start; absent, as long as a test does not say it. */
  totals: ServiceTotals | undefined;
  /** Bytes of a file that a test does not copy by hand. */
  fileBytes = 64 * 1024 * 1024;
  readonly #entries = new Map<string, Entry>();
  readonly #startedAt = Date.now();

  /** The job gets into this state, and its listeners hear of it. */
  move(id: string, state: JobState, { reason, error, retryAt }: Move = {}): JobView {
    const entry = this.#entry(id);
    const { error: _error, retryAt: _retryAt, ...rest } = entry.job;
    entry.job = {
      ...rest,
      ...{ state, reason: reason ?? `a test made it ${state}`, changedAt: Date.now() },
      ...(error && { error }),
      ...(retryAt !== undefined && { retryAt, retries: rest.retries + 1 }),
    };
    if (state !== 'transferring') entry.rate = 0;
    if (state === 'transferred' || state === 'acknowledged') {
      const filesAre = state === 'transferred' ? 'transferred' : 'committed';
      this.#files(entry, (file) => ({ ...file, state: filesAre, bytesDone: file.size ?? 0, root: '00'.repeat(32) }));
    }
    const [first] = entry.job.files;
    const [source, target] = [first?.source.name ?? '', first?.target.name ?? ''];
    this.tell(id, { type: 'state', state, source, target, reason: entry.job.reason, ...(error && { error }) });
    return view(entry);
  }

  /** Bytes of a file, told as progress. */
  copied(id: string, { file = 0, bytes, reused = 0, zero = 0, rateBytesPerSecond }: Copied): JobView {
    const entry = this.#entry(id);
    entry.rate = rateBytesPerSecond ?? entry.rate;
    this.#files(entry, (one) => {
      if (one.index !== file) return one;
      const { size = this.fileBytes, bytesDone, bytesReused, bytesZero } = one;
      const now = { bytesReused: bytesReused + reused, bytesZero: bytesZero + zero };
      return { ...one, ...now, state: 'copying', size, bytesDone: Math.min(size, bytesDone + bytes) };
    });
    this.tell(id, progressOf(view(entry)));
    return view(entry);
  }

  /** Any other event. */
  tell(id: string, body: EventBody, file?: number): Told {
    return this.told.tell(id, body, file);
  }

  /** What `why` says of it, beside its state and its reason. */
  explain(id: string, why: Partial<Explanation>): void {
    this.#entry(id).why = why;
  }

  /** Where its time went. */
  spent(id: string, time: TimeView): void {
    this.#entry(id).time = time;
  }

  map(id: string, file: number, map: ChunkMapView): void {
    this.#entry(id).maps.set(file, map);
  }

  // What a service does.

  async create(spec: JobSpec, { name: owner }: Caller): Promise<JobView> {
    const { files, kind = 'copy', options = {}, suspended = false, ...settings } = spec;
    const id = randomUUID();
    const now = Date.now();
    const job: Job = {
      ...FAKE_SETTINGS,
      ...{ id, owner, kind, options, files: files.map(newFile), ...settings },
      ...{ name: settings.name ?? files[0]?.target ?? 'nothing', state: 'suspended', reason: 'just made', retries: 0 },
      ...{ createdAt: now, changedAt: now, progressAt: now, transferMs: 0 },
    };
    this.#entries.set(id, { job, rate: 0, why: {}, maps: new Map() });
    const reason = suspended ? 'it waits for resume' : 'it waits for its turn';
    return this.move(id, suspended ? 'suspended' : 'queued', { reason });
  }

  list(by: Caller, { states, all = false }: Parameters<JobService['list']>[1] = {}): readonly JobView[] {
    const seen = [...this.#entries.values()].filter(({ job }) => by.admin || job.owner === by.name);
    return seen
      .filter(({ job }) => (states ? states.includes(job.state) : all || !isFinal(job.state)))
      .map((entry) => view(entry));
  }

  get(id: string, by: Caller): ReturnType<JobService['get']> {
    const entry = this.#entry(id, by);
    return { ...view(entry), files: entry.job.files.map(fileView), ...(entry.time && { time: entry.time }) };
  }

  async addFiles(id: string, files: readonly FileSpec[], by: Caller): Promise<JobView> {
    const entry = this.#legal(id, 'addFiles', by);
    const before = entry.job.files.length;
    entry.job = { ...entry.job, files: [...entry.job.files, ...files.map((one, at) => newFile(one, before + at))] };
    return view(entry);
  }

  async suspend(id: string, by: Caller): Promise<JobView> {
    this.#legal(id, 'suspend', by);
    return this.move(id, 'suspended', { reason: `${by.name} suspended it` });
  }

  async resume(id: string, by: Caller): Promise<JobView> {
    this.#legal(id, 'resume', by);
    return this.move(id, 'queued', { reason: `${by.name} resumed it` });
  }

  async cancel(id: string, { keepPartial }: { readonly keepPartial: boolean }, by: Caller): Promise<JobView> {
    this.#legal(id, 'cancel', by);
    const kept = keepPartial ? 'what was copied is kept' : 'what was copied is deleted';
    return this.move(id, 'cancelled', { reason: `${by.name} cancelled it; ${kept}` });
  }

  async complete(id: string, by: Caller): Promise<JobView & Completed> {
    const { job } = this.#legal(id, 'complete', by);
    const committed = job.files.filter(({ state }) => state === 'transferred').length;
    return { ...this.move(id, 'acknowledged'), committed, left: job.files.length - committed };
  }

  async change(id: string, settings: Partial<JobSettings>, by: Caller): Promise<JobView> {
    const entry = this.#legal(id, 'change', by);
    entry.job = { ...entry.job, ...settings, changedAt: Date.now() };
    this.tell(id, { type: 'note', message: `${by.name} changed ${Object.keys(settings).join(', ')}` });
    return view(entry);
  }

  async replacePrefix(id: string, from: string, to: string, by: Caller): Promise<number> {
    const entry = this.#legal(id, 'replacePrefix', by);
    const begins = entry.job.files.filter(({ source }) => source.text.startsWith(from)).length;
    this.#files(entry, (file) => {
      const { text } = file.source;
      return text.startsWith(from) ? { ...file, source: located(to + text.slice(from.length)) } : file;
    });
    return begins;
  }

  why(id: string, by: Caller): Explanation {
    const { job, why } = this.#entry(id, by);
    return { state: job.state, sentence: job.reason, ...(job.retryAt && { until: job.retryAt }), ...why };
  }

  chunkMap(id: string, file: number, cells: number, by: Caller): ChunkMapView | undefined {
    const map = this.#entry(id, by).maps.get(file);
    return map && { ...map, cells: map.cells.slice(0, cells) };
  }

  events(by: Caller, { after, job }: Parameters<JobService['events']>[1], signal: AbortSignal): AsyncIterable<Told> {
    if (job !== undefined) this.#entry(job, by);
    const hears = (told: Told): boolean =>
      (job === undefined || told.job === job) && (by.admin || this.#entries.get(told.job)?.job.owner === by.name);
    return this.told.listen(hears, after ?? this.told.lastId, signal);
  }

  async setPolicy(toml: string, by: Caller): Promise<Policy> {
    if (!by.admin) throw new TransferError('E_FORBIDDEN', 'only administrators set the policy');
    try {
      const { 'jobs-at-once': jobsAtOnce } = parse(toml);
      this.policy = { ...FAKE_POLICY, ...(typeof jobsAtOnce === 'number' && { jobsAtOnce }) };
      this.policyText = toml;
      return this.policy;
    } catch (cause) {
      if (!(cause instanceof TomlError)) throw cause;
      const message = `line ${cause.line}, column ${cause.column}: this is no TOML`;
      throw new TransferError('E_POLICY', message, { hint: 'The policy from before still holds.' });
    }
  }

  load(): ServiceLoad {
    const rates = { foreground: 0, high: 0, normal: 0, low: 0 };
    const states = Object.fromEntries(STATES.map((state) => [state, 0])) as Record<JobState, number>;
    for (const { job, rate } of this.#entries.values()) {
      rates[job.priority] += rate;
      states[job.state]++;
    }
    return {
      rates,
      states,
      startedAt: this.#startedAt,
      lastEventId: this.told.lastId,
      ...(this.totals && { totals: this.totals }),
    };
  }

  async close(): Promise<boolean> {
    this.told.close();
    return true;
  }

  #entry(id: string, by?: Caller): Entry {
    const entry = this.#entries.get(id);
    if (entry && (!by || by.admin || entry.job.owner === by.name)) return entry;
    throw new TransferError('E_NO_JOB', `there is no job ${id}`, { hint: 'See: blockferry job list' });
  }

  #legal(id: string, call: JobCall, by: Caller): Entry {
    const entry = this.#entry(id, by);
    const { state } = entry.job;
    if (MOVES[call].includes(state)) return entry;
    const legal = (Object.keys(MOVES) as JobCall[]).filter((other) => MOVES[other].includes(state));
    throw new TransferError('E_JOB_STATE', `a job that is ${state} takes no ${call}`, {
      hint: legal.length > 0 ? `It takes: ${legal.join(', ')}.` : 'It takes no calls any more.',
    });
  }

  #files(entry: Entry, change: (file: JobFile) => JobFile): void {
    entry.job = { ...entry.job, files: entry.job.files.map(change), changedAt: Date.now() };
  }
}
