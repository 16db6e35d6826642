/**
 * All jobs as they are, on record and told of: whoever changes a job does it here, so that the store, the events and
 * the notices never disagree with it.
 */
import { type Clock, nowMs } from '../core/clock.js';
import { type ErrorJson, TransferError } from '../core/errors.js';
import type { EventBody, JobState } from '../core/events.js';
import { EventLog } from './event-log.js';
import { isFinal, type Job, type JobFile } from './job.js';
import { type JobRecord, recordOf, snapshotOf } from './job-record.js';
import type { Caller } from './job-service.js';
import type { JobStore, StoredState } from './job-store.js';
import { tooManyJobs } from './refusals.js';
import { TimeLedger } from './time-ledger.js';
import type { Told } from './told.js';

export interface JobBookParts {
  readonly store: JobStore;
  readonly clock: Clock;
  /** Hears of each state that a job enters, when it is on record. */
  readonly entered: (job: Job, told: Told) => void;
  /** Hears what nobody else is told: that a store has failed. */
  readonly note: (sentence: string) => void;
}

export interface Entering {
  readonly error?: ErrorJson;
  readonly retryAt?: number;
}

/** A store may be out of order for long. */
const UNKEPT_MAX = 1000;

export class JobBook {
  readonly log: EventLog;
  readonly times: TimeLedger;
  readonly spent = { writes: 0, writeMs: 0 };
  readonly #parts: JobBookParts;
  readonly #jobs: Map<string, JobRecord>;
  #unkept: Told[] = [];
  /** Whose state the store failed to take: it is put again until it does. */
  readonly #unstored = new Set<string>();
  #inTrouble = false;

  constructor(parts: JobBookParts, stored: StoredState) {
    this.#parts = parts;
    const byAge = [...stored.jobs].sort((one, other) => one.createdAt - other.createdAt);
    this.#jobs = new Map(byAge.map((job) => [job.id, recordOf(job)]));
    this.times = new TimeLedger(parts.clock);
    for (const job of this.#jobs.values()) this.times.begin(job);
    this.log = new EventLog(() => parts.clock.wallMs(), stored.told);
  }

  all(): IterableIterator<JobRecord> {
    return this.#jobs.values();
  }

  find(id: string): JobRecord | undefined {
    return this.#jobs.get(id);
  }

  /** Whose job it is not, to them it does not exist. @throws TransferError E_NO_JOB */
  get(id: string, by: Caller): JobRecord {
    const job = this.#jobs.get(id);
    if (job && maySee(job, by)) return job;
    const hint = 'See blockferry job list --all; finished jobs are forgotten after a while.';
    throw new TransferError('E_NO_JOB', `there is no job ${id.slice(0, 80)}`, { hint });
  }

  /** Kept when it resolves, or not at all. @throws TransferError E_STORE */
  async add(job: Job): Promise<JobRecord> {
    const record = recordOf(job);
    this.#jobs.set(job.id, record);
    try {
      await this.enter(record, job.state, job.reason);
      return record;
    } catch (thrown) {
      this.#jobs.delete(job.id);
      throw thrown;
    }
  }

  /** It counts at once; on record when it resolves. @throws TransferError E_STORE: then a restart would not know */
  async enter(record: JobRecord, state: JobState, reason: string, { error, retryAt }: Entering = {}): Promise<void> {
    this.times.bring(record);
    delete record.error;
    delete record.retryAt;
    Object.assign(record, { state, reason, changedAt: this.#parts.clock.wallMs() });
    Object.assign(record, error && { error }, retryAt !== undefined && { retryAt });
    const [first] = record.files;
    const [source, target] = [first?.source.name ?? '', first?.target.name ?? ''];
    if (isFinal(state)) this.log.forgetProgress(record.id);
    const told = this.log.tell(record.id, { type: 'state', state, source, target, reason, ...(error && { error }) });
    const job = snapshotOf(record);
    await this.#put([job], [told]);
    this.#parts.entered(job, told);
  }

  /** As {@link enter}, to be awaited later: a store that fails until then is no rejection that nobody heard. */
  enterNow(record: JobRecord, state: JobState, reason: string): Promise<void> {
    const kept = this.enter(record, state, reason);
    kept.catch(() => undefined);
    return kept;
  }

  /** As {@link enter}, where nobody waits: a store that fails is noted, and the job goes on. */
  pass(record: JobRecord, state: JobState, reason: string, more?: Entering): void {
    this.enter(record, state, reason, more).catch((thrown) => this.#failed(thrown));
  }

  /** Something else about it changed. @throws TransferError E_STORE */
  async keep(record: JobRecord): Promise<void> {
    this.times.bring(record);
    record.changedAt = this.#parts.clock.wallMs();
    await this.#put([snapshotOf(record)], []);
  }

  /** Whoever is told that they were not added adds them again. @throws TransferError E_STORE: then it has them not */
  async addFiles(record: JobRecord, added: readonly JobFile[]): Promise<void> {
    const before = record.files.length;
    record.files.push(...added);
    try {
      await this.keep(record);
    } catch (thrown) {
      if (record.files.slice(before).every(({ state }) => state === 'waiting')) record.files.length = before;
      throw thrown;
    }
  }

  keepSoon(record: JobRecord): void {
    this.keep(record).catch((thrown) => this.#failed(thrown));
  }

  /** Told at once, and on record with whatever comes next. */
  tell(record: JobRecord, event: Exclude<EventBody, { type: 'progress' }>, file?: number): void {
    this.#unkept.push(this.log.tell(record.id, event, file));
  }

  /** It moves: told, and on record some time. What a cancelled job is still putting down is not. */
  progress(record: JobRecord, event: Parameters<EventLog['tellProgress']>[1], moved: readonly number[]): void {
    if (isFinal(record.state)) return;
    record.changedAt = this.#parts.clock.wallMs();
    this.log.tellProgress(record.id, event);
    this.times.bring(record);
    const { id, changedAt, progressAt, transferMs, time } = record;
    const files = moved.flatMap((index) => record.files[index] ?? []);
    this.#parts.store.progress([{ id, files, changedAt, progressAt, transferMs, ...(time && { time }) }]);
  }

  /** What was only told, or could not be stored, goes on record; to be called now and then. */
  flush(): void {
    if (this.#unkept.length === 0 && this.#unstored.size === 0) return;
    const jobs = [...this.#unstored].flatMap((id) => this.#jobs.get(id) ?? []);
    this.#unstored.clear();
    const known = this.#inTrouble;
    this.#put(jobs.map(snapshotOf), []).catch((thrown) => {
      if (!known) this.#failed(thrown);
    });
  }

  /** With what was only told until now, which a store that fails leaves for the next time. */
  async #put(jobs: readonly Job[], told: readonly Told[]): Promise<void> {
    const kept = [...this.#unkept.splice(0), ...told];
    const before = nowMs(this.#parts.clock);
    try {
      await this.#parts.store.put(jobs, kept);
      this.#inTrouble = false;
      for (const { id } of jobs) this.#unstored.delete(id);
      this.spent.writes++;
      this.spent.writeMs += nowMs(this.#parts.clock) - before;
    } catch (thrown) {
      this.#inTrouble = true;
      for (const { id } of jobs) this.#unstored.add(id);
      this.#unkept = [...kept, ...this.#unkept].slice(-UNKEPT_MAX);
      throw thrown;
    }
  }

  /** For one more: those that ended first are forgotten early. @throws TransferError E_USAGE, E_STORE */
  async makeRoom(jobsMax: number): Promise<void> {
    const above = this.#jobs.size + 1 - jobsMax;
    if (above <= 0) return;
    const ended = [...this.#jobs.values()].filter(({ state }) => isFinal(state));
    if (ended.length < above) throw tooManyJobs(this.#jobs.size - ended.length);
    ended.sort((one, other) => one.changedAt - other.changedAt);
    await this.forget(ended.slice(0, above).map(({ id }) => id));
  }

  /** @throws TransferError E_STORE: then they are still there */
  async forget(ids: readonly string[]): Promise<void> {
    await this.#parts.store.remove(ids);
    for (const id of ids) {
      this.#jobs.delete(id);
      this.times.forget(id);
    }
  }

  #failed(thrown: unknown): void {
    this.#parts.note(TransferError.from(thrown).message);
  }
}

export function maySee({ owner }: Pick<Job, 'owner'>, by: Caller): boolean {
  return by.admin || owner === by.name;
}
