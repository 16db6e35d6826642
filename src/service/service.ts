/**
 * The service: a queue of jobs that survives everything. What callers ask for is checked here, against who they are and
 * what state the job is in, and then done by the desk; all that changes is in the book.
 */
import { randomUUID } from 'node:crypto';
import { orLate } from '../core/clock.js';
import { TransferError } from '../core/errors.js';
import type { JobState } from '../core/events.js';
import { Turns } from '../core/turns.js';
import type { ChunkMapView } from '../transfer/chunk-map.js';
import { explainTo, timeTo, whyTo } from './explain.js';
import { Housekeeping } from './housekeeping.js';
import { isFinal, type Job, type JobCall, type JobSettings, MOVES } from './job.js';
import { JobBook, maySee } from './job-book.js';
import { JobDesk } from './job-desk.js';
import { changeFile, type JobRecord } from './job-record.js';
import type {
  Caller,
  Completed,
  Explanation,
  FileSpec,
  FileView,
  JobService,
  JobSpec,
  JobView,
  ServiceLoad,
  TimeView,
} from './job-service.js';
import { checkedSettings, named, newFiles, newJob } from './job-spec.js';
import type { JobStore } from './job-store.js';
import { fileView, jobView } from './job-view.js';
import type { Policy } from './policy/policy.js';
import { illegal, noFiles } from './refusals.js';
import { Runners } from './runners.js';
import { loadOf } from './service-load.js';
import type { Notices, ServiceParts } from './service-parts.js';
import type { Told } from './told.js';

/** How long a storage may take to put down what it has; systemd waits for half a minute in all. */
const CLOSE_MS = 20_000;
/** Of a list, the jobs in the queue whose wait is looked into; with all of ten thousand it would take twice as long. */
const EXPLAINED_MAX = 100;

export class Service implements JobService {
  readonly #parts: ServiceParts;
  readonly #book: JobBook;
  readonly #desk: JobDesk;
  readonly #runners: Runners;
  readonly #notices: Notices | undefined;
  readonly #housekeeping: Housekeeping;
  readonly #turns = new Turns();
  readonly #startedAt: number;
  #closed: Promise<boolean> | undefined;

  private constructor(parts: ServiceParts, stored: Awaited<ReturnType<JobStore['load']>>) {
    const { store, clock, random, note, policies, heldMax } = parts;
    this.#parts = parts;
    this.#startedAt = clock.wallMs();
    this.#notices = parts.notices?.((job, message) => {
      const record = this.#book.find(job);
      if (record) this.#book.tell(record, { type: 'note', message });
    });
    const entered = (job: Job, told: Told): void => this.#notices?.tell(job, told);
    this.#book = new JobBook({ store, clock, entered, note }, stored);
    this.#runners = new Runners(parts.newRunner, clock);
    const policy = (): Policy => policies.policy;
    this.#desk = new JobDesk({ book: this.#book, runners: this.#runners, clock, random, policy, heldMax });
    const cancel = (job: JobRecord, reason: string, keepPartial: boolean) => this.#cancel(job, reason, keepPartial);
    this.#housekeeping = new Housekeeping({
      ...{ book: this.#book, desk: this.#desk, runners: this.#runners, clock, policy, cancel, note },
    });
    policies.onChange(() => {
      this.#desk.dispatcher.applyRates();
      this.#desk.dispatcher.look();
      for (const run of this.#desk.runs.values()) run.goOn();
    });
  }

  /** Every job is where it was, and those that were under way go on. @throws TransferError E_STORE */
  static async start(parts: ServiceParts): Promise<Service> {
    const stored = await parts.store.load();
    for (const sentence of stored.notes) parts.note(sentence);
    const service = new Service(parts, stored);
    service.#desk.dispatcher.applyRates();
    await service.#desk.recover((id, work) => service.#turns.take(id, work));
    service.#housekeeping.start();
    return service;
  }

  async create(spec: JobSpec, by: Caller): Promise<JobView> {
    const { policies, clock } = this.#parts;
    const { policy } = policies;
    const job = newJob(spec, { id: randomUUID(), owner: by.name, wallMs: clock.wallMs(), policy });
    if (job.state === 'queued' && job.files.length === 0) throw noFiles(job.name);
    await this.#book.makeRoom(policy.jobsMax);
    const record = await this.#book.add(job);
    if (record.state === 'queued') this.#desk.contend(record);
    return this.#view(record);
  }

  list(by: Caller, { states, all = false }: { states?: readonly JobState[]; all?: boolean } = {}): JobView[] {
    const views: JobView[] = [];
    let waiting = 0;
    for (const job of this.#book.all()) {
      if (!maySee(job, by)) continue;
      if (states ? !states.includes(job.state) : !all && isFinal(job.state)) continue;
      const explained = job.state === 'queued' && waiting++ < EXPLAINED_MAX;
      views.push(this.#view(job, explained ? by : undefined));
    }
    return views;
  }

  get(id: string, by: Caller): JobView & { readonly files: readonly FileView[]; readonly time?: TimeView } {
    const job = this.#book.get(id, by);
    const time = timeTo(by, job, this.#book);
    return { ...this.#view(job, by), files: job.files.map(fileView), ...(time && { time }) };
  }

  addFiles(id: string, files: readonly FileSpec[], by: Caller): Promise<JobView> {
    return this.#call(id, 'addFiles', by, async (job) => {
      const added = newFiles(files, job.files, this.#parts.policies.policy);
      if (job.state === 'transferred') {
        job.files.push(...added);
        this.#desk.queue(job, 'files were added');
      } else await this.#book.addFiles(job, added);
      if (this.#desk.dispatcher.has(id)) this.#desk.contend(job);
      this.#desk.runs.get(id)?.goOn();
    });
  }

  suspend(id: string, by: Caller): Promise<JobView> {
    return this.#call(id, 'suspend', by, async (job) => {
      if (job.state === 'suspended') return;
      this.#desk.dispatcher.remove(id);
      const kept = this.#book.enterNow(job, 'suspended', `suspended by ${by.name}: it waits for resume`);
      await this.#desk.runs.get(id)?.suspend();
      await kept;
      await this.#book.keep(job);
    });
  }

  resume(id: string, by: Caller): Promise<JobView> {
    return this.#call(id, 'resume', by, async (job) => {
      if (this.#desk.dispatcher.has(id)) return;
      if (job.files.length === 0) throw noFiles(job.name);
      job.retries = 0;
      job.progressAt = this.#parts.clock.wallMs();
      this.#desk.queue(job, `resumed by ${by.name}`);
    });
  }

  cancel(id: string, { keepPartial }: { readonly keepPartial: boolean }, by: Caller): Promise<JobView> {
    return this.#call(id, 'cancel', by, (job) => this.#cancel(job, `cancelled by ${by.name}`, keepPartial));
  }

  async #cancel(job: JobRecord, reason: string, keepPartial: boolean): Promise<void> {
    this.#desk.dispatcher.remove(job.id);
    // What is just being opened may have a partial file already, and no size yet.
    const begun = job.files.filter(({ state, size }) => state !== 'committed' && (size || state === 'copying'));
    const kept = this.#book.enterNow(job, 'cancelled', keepPartial ? `${reason}; what was copied is kept` : reason);
    await this.#desk.runs.get(job.id)?.suspend(true);
    this.#desk.runs.delete(job.id);
    const partial = begun.filter(({ index }) => job.files[index]?.state !== 'committed');
    if (!keepPartial) await this.#desk.discard(job, partial);
    await kept;
    await this.#book.keep(job);
  }

  async complete(id: string, by: Caller): Promise<JobView & Completed> {
    let done: Completed = { committed: 0, left: 0 };
    const view = await this.#call(id, 'complete', by, async (job) => {
      const whole = job.state === 'transferred';
      this.#desk.dispatcher.remove(id);
      const run = this.#desk.run(job);
      if (!whole) {
        // No retry that is due meanwhile may take it up again, nor a restart.
        const kept = this.#book.enterNow(job, 'suspended', `${by.name} completes it`);
        await run.suspend();
        await kept;
      }
      const [error] = await run.complete();
      if (error) {
        const reason = `not complete: ${error.message}`;
        await this.#book.enter(job, whole ? 'transferred' : 'suspended', reason, { error: error.toJSON() });
        throw error;
      }
      const left = job.files.filter(({ state }) => state !== 'committed');
      await this.#desk.discard(
        job,
        left.filter(({ size }) => size !== undefined),
      );
      this.#desk.runs.delete(id);
      done = { committed: job.files.length - left.length, left: left.length };
      const without = left.length === 0 ? '' : `, without ${left.length} files that were not whole`;
      await this.#book.enter(job, 'acknowledged', `completed by ${by.name}${without}`);
    });
    return { ...view, ...done };
  }

  change(id: string, settings: Partial<JobSettings>, by: Caller): Promise<JobView> {
    return this.#call(id, 'change', by, async (job) => {
      const given = checkedSettings(settings, this.#parts.clock.wallMs());
      Object.assign(job, given);
      const run = this.#desk.runs.get(id);
      if (given.limitBytesPerSecond !== undefined) run?.setLimit(given.limitBytesPerSecond);
      if ('finishBy' in given) this.#desk.deadlines.look(job);
      if (given.priority !== undefined) run?.changeClass();
      if (given.autoComplete && job.state === 'transferred') this.#desk.queue(job, 'it is to complete itself now');
      if (given.autoComplete) run?.goOn();
      if (this.#desk.dispatcher.has(id)) this.#desk.contend(job);
      await this.#book.keep(job);
    });
  }

  async replacePrefix(id: string, from: string, to: string, by: Caller): Promise<number> {
    let changed = 0;
    await this.#call(id, 'replacePrefix', by, async (job) => {
      if (from === '') throw new TransferError('E_USAGE', 'the prefix to be replaced is empty');
      const files = job.files.filter((file) => file.state !== 'committed' && file.source.text.startsWith(from));
      const sources = files.map(({ source }) => named('source', to + source.text.slice(from.length)));
      for (const [at, { index }] of files.entries()) changeFile(job, index, { source: sources[at] });
      changed = files.length;
      // What a job that makes way has open is of the places before.
      if (changed > 0) await this.#desk.runs.get(id)?.suspend();
      if (this.#desk.dispatcher.has(id)) this.#desk.contend(job);
      await this.#book.keep(job);
    });
    return changed;
  }

  why(id: string, by: Caller): Explanation {
    return explainTo(by, this.#book.get(id, by), this.#desk, this.#book);
  }

  chunkMap(id: string, file: number, cells: number, by: Caller): ChunkMapView | undefined {
    return this.#desk.runs.get(this.#book.get(id, by).id)?.chunkMap(file, cells);
  }

  events(by: Caller, about: { after?: number; job?: string }, signal: AbortSignal): AsyncIterable<Told> {
    if (about.job !== undefined) this.#book.get(about.job, by);
    const wanted = ({ job }: Told): boolean => {
      if (about.job !== undefined && job !== about.job) return false;
      const known = this.#book.find(job);
      return by.admin || (known !== undefined && maySee(known, by));
    };
    return this.#book.log.listen(wanted, about.after, signal);
  }

  get policy(): Policy {
    return this.#parts.policies.policy;
  }

  get policyText(): string {
    return this.#parts.policies.text;
  }

  async setPolicy(toml: string, by: Caller): Promise<Policy> {
    if (by.admin) return this.#parts.policies.replace(toml);
    throw new TransferError('E_FORBIDDEN', `${by.name} may not change the policy`, { hint: 'Ask an administrator.' });
  }

  load(): ServiceLoad {
    return loadOf(this.#book, this.#desk, this.#startedAt);
  }

  close(): Promise<boolean> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<boolean> {
    const { clock } = this.#parts;
    this.#desk.dispatcher.close();
    const stopped = [...this.#desk.runs.values()].map((run) => run.suspend(true));
    await orLate(Promise.all([this.#housekeeping.close(), ...stopped]), clock, CLOSE_MS, AbortSignal.abort());
    for (const job of this.#book.all()) if (this.#desk.runs.has(job.id)) this.#book.keepSoon(job);
    await this.#notices?.close();
    this.#book.flush();
    this.#parts.policies.close();
    await this.#parts.store.close();
    return this.#runners.close();
  }

  /** One call of a job after the other. */
  #call(id: string, call: JobCall, by: Caller, work: (job: JobRecord) => Promise<void>): Promise<JobView> {
    return this.#turns.take(id, async () => {
      const job = this.#book.get(id, by);
      if (!MOVES[call].includes(job.state)) throw illegal(job, call);
      await work(job);
      return this.#view(job);
    });
  }

  /** Where it is in the queue `by` hears what it waits for now. */
  #view(job: JobRecord, by?: Caller): JobView {
    const view = jobView(job, this.#desk.runs.get(job.id)?.rate() ?? 0, this.#desk.deadlines.view(job.id)?.lateByMs);
    if (!by || job.state !== 'queued') return view;
    return { ...view, reason: whyTo(by, job, this.#desk, this.#book).sentence };
  }
}
