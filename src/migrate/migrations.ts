/**
 * All migrations of a host: so many at once, the others in line; what was under way when the process ended goes on when
 * it is opened again.
 */
import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../core/clock.js';
import { TransferError } from '../core/errors.js';
import { Turns } from '../core/turns.js';
import { makeFolders } from '../endpoint/state-folder.js';
import { writePrivately } from '../platform/private-file.js';
import { syncFolder } from '../platform/publish.js';
import type { JobService } from '../service/job-service.js';
import { ImageJobs } from './image-jobs.js';
import { Migration } from './migration.js';
import { MigrationBook } from './migration-book.js';
import type { MigrationEnd } from './migration-end.js';
import { MigrationLine } from './migration-line.js';
import { MigrationLog } from './migration-log.js';
import { planMigration, stateIsCopied } from './migration-plan.js';
import type {
  CutoverOptions,
  MigrationPreview,
  MigrationRequest,
  MigrationService,
  MigrationTold,
  MigrationView,
} from './migration-service.js';
import { receiptContent, stateOf, viewOf } from './migration-view.js';
import { predict } from './predict.js';
import { assertMovable, problemsOf, sizedImages } from './prepare-steps.js';
import { RateBook } from './rate-book.js';
import { signReceipt } from './receipt.js';
import type { Receipt } from './receipt-form.js';
import { type ReceiptKey, receiptKey } from './receipt-key.js';
import { StepJournal } from './step-journal.js';
import { assertNotGiven, isGiven } from './undo.js';

export interface MigrationsParts {
  /** The state folder; migrations are in a folder of it. */
  readonly state: string;
  readonly jobs: JobService;
  /** By name; `local` is this host. @throws TransferError E_USAGE for an unknown one */
  readonly end: (name: string) => MigrationEnd;
  readonly clock: Clock;
  /** Hears what concerns no single migration, as sentences. */
  readonly note: (sentence: string) => void;
}

interface Entry {
  readonly migration: Migration;
  readonly folder: string;
  aborting?: Promise<void> | undefined;
}

export class Migrations implements MigrationService {
  readonly #parts: MigrationsParts;
  readonly #folder: string;
  readonly #entries = new Map<string, Entry>();
  readonly #refused = new Map<string, TransferError>();
  readonly #log: MigrationLog;
  readonly #line: MigrationLine;
  readonly #rates: RateBook;
  readonly #key: ReceiptKey;
  readonly #turns = new Turns();

  private constructor(parts: MigrationsParts) {
    this.#parts = parts;
    this.#folder = join(parts.state, 'migrations');
    makeFolders(this.#folder);
    this.#log = new MigrationLog(parts.clock);
    this.#rates = new RateBook(this.#folder);
    this.#key = receiptKey(parts.state);
    this.#line = new MigrationLine(() => parts.jobs.policy.migrationsAtOnce);
  }

  /** What was under way goes on. What cannot be read is left alone, and told. @throws TransferError E_AUTH, E_STORE */
  static async open(parts: MigrationsParts): Promise<Migrations> {
    const migrations = new Migrations(parts);
    const journals: StepJournal[] = [];
    for (const name of readdirSync(migrations.#folder)) {
      const folder = join(migrations.#folder, name);
      if (!existsSync(join(folder, 'journal'))) continue;
      try {
        journals.push(await StepJournal.open(folder));
      } catch (thrown) {
        const error = TransferError.from(thrown);
        migrations.#refused.set(name, error);
        parts.note(`${error.message}. ${error.hint ?? ''}`);
      }
    }
    journals.sort((one, other) => one.plan.createdAt - other.plan.createdAt);
    for (const journal of journals) await migrations.#takeUp(migrations.#add(journal));
    return migrations;
  }

  async plan(request: MigrationRequest): Promise<MigrationPreview> {
    const plan = await this.#planned(request, true);
    const [from, to] = [this.#parts.end(plan.from), this.#parts.end(plan.to)];
    const images = await sizedImages(plan, from);
    const bytes = images.reduce((sum, image) => sum + (image.bytes ?? 0), 0);
    const problems = await problemsOf(plan, from, to, bytes);
    const memoryBytes = plan.running ? await from.hypervisor.memoryInUse(plan.vm) : 0;
    const memoryIsCopied = stateIsCopied(plan);
    const load = { deltaBytes: 0, memoryBytes, memoryIsCopied, deltaBytesPerSecond: 0 };
    return { plan, problems, bytes, images, prediction: predict(load, this.#rates.rates(plan.from, plan.to)) };
  }

  start(request: MigrationRequest): Promise<MigrationView> {
    return this.#begin(request, false);
  }

  prepare(request: MigrationRequest): Promise<MigrationView> {
    return this.#begin(request, true);
  }

  async cutover(id: string, options: CutoverOptions = {}): Promise<MigrationView> {
    const entry = this.#entry(id);
    const { state } = this.#view(entry);
    if (state !== 'prepared' && state !== 'asking' && state !== 'failed') {
      throw refused(entry, `is ${state}`, 'Only one that is prepared, asks or has failed is gone on with.');
    }
    entry.migration.book.askCutover(options);
    this.#run(entry, true);
    return this.#view(entry);
  }

  abort(id: string): Promise<MigrationView> {
    return this.#turns.take(id, () => this.#abort(id));
  }

  async #abort(id: string): Promise<MigrationView> {
    const entry = this.#entry(id);
    const { book } = entry.migration;
    const { state } = this.#view(entry);
    if (state === 'aborted') return this.#view(entry);
    if (state === 'done') throw refused(entry, 'is done', 'Migrate the machine back, if you want it there.');
    const from = this.#parts.end(book.plan.from);
    await assertNotGiven(book, from);
    entry.migration.interrupt();
    await this.#line.leave(id);
    if (await isGiven(book, from)) {
      // It was given away while this waited.
      this.#run(entry, true);
      await assertNotGiven(book, from);
    }
    await this.#abortNow(entry);
    return this.#view(entry);
  }

  get(id: string): MigrationView {
    return this.#view(this.#entry(id));
  }

  list(): readonly MigrationView[] {
    return [...this.#entries.values()].map((entry) => this.#view(entry));
  }

  async settled(id: string): Promise<MigrationView> {
    const entry = this.#entry(id);
    await this.#line.settled(id);
    await Promise.allSettled([entry.aborting]);
    return this.#view(entry);
  }

  events(about: { after?: number; migration?: string }, signal: AbortSignal): AsyncIterable<MigrationTold> {
    return this.#log.after(about, signal);
  }

  receipt(id: string): Receipt | undefined {
    const path = join(this.#entry(id).folder, 'receipt.json');
    return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Receipt) : undefined;
  }

  async close(): Promise<void> {
    for (const { migration } of this.#entries.values()) migration.close();
    await this.#line.close();
    await Promise.allSettled([...this.#entries.values()].map(({ aborting }) => aborting));
    for (const { migration } of this.#entries.values()) migration.book.close();
    this.#entries.clear();
  }

  async #planned(request: MigrationRequest, prepareOnly: boolean) {
    const { vm, from = 'local', to = 'local' } = request;
    this.#parts.end(to);
    const status = await this.#parts.end(from).host.get(vm);
    const running = status.state !== 'off';
    assertMovable(status, running);
    const about = { id: randomUUID(), createdAt: this.#parts.clock.wallMs(), running, prepareOnly };
    return planMigration(request, { ...about, vm: status.vm });
  }

  #begin(request: MigrationRequest, prepareOnly: boolean): Promise<MigrationView> {
    return this.#turns.take(request.vm, () => this.#beginNow(request, prepareOnly));
  }

  async #beginNow(request: MigrationRequest, prepareOnly: boolean): Promise<MigrationView> {
    const plan = await this.#planned(request, prepareOnly);
    for (const other of this.#entries.values()) {
      const { state } = this.#view(other);
      if (other.migration.book.plan.vm.id !== plan.vm.id || state === 'done' || state === 'aborted') continue;
      throw refused(other, `is ${state}, and moves ${plan.vm.name} already`, 'Let it finish, or abort it.');
    }
    const entry = this.#add(await StepJournal.create(this.#folder, plan));
    this.#run(entry, false);
    return this.#view(entry);
  }

  #add(journal: StepJournal): Entry {
    const { clock, jobs, end } = this.#parts;
    const book = new MigrationBook(journal, clock);
    const { id, from, to } = book.plan;
    const migration = new Migration({
      ...{ book, clock, from: end(from), to: end(to), jobs: new ImageJobs(jobs, id) },
      rates: () => this.#rates.rates(from, to, book.facts('copy-bases')?.took?.copy),
      tell: (event) => this.#log.tell(id, event),
    });
    const entry = { migration, folder: join(this.#folder, id) };
    this.#entries.set(id, entry);
    return entry;
  }

  async #takeUp(entry: Entry): Promise<void> {
    const { book } = entry.migration;
    const { state } = stateOf(book);
    if (state === 'aborting') this.#line.run(book.plan.id, true, () => this.#abortNow(entry));
    const mustGoOn = state === 'failed' && (await isGiven(book, this.#parts.end(book.plan.from)).catch(() => false));
    if (state === 'queued' || mustGoOn) this.#run(entry, book.isStarted('save-state'));
  }

  #run(entry: Entry, first: boolean): void {
    const { book } = entry.migration;
    this.#line.run(book.plan.id, first, async () => {
      if ((await entry.migration.run()) === 'done') this.#finish(entry);
    });
  }

  /** The receipt first: it is of what is on record, so it is the same however often it is made. */
  #finish({ migration: { book }, folder }: Entry): void {
    const receipt = signReceipt(receiptContent(book), this.#key);
    writePrivately(join(folder, 'receipt.json'), `${JSON.stringify(receipt, undefined, 2)}\n`);
    syncFolder(folder);
    book.finished();
    this.#learn(book);
  }

  #learn(book: MigrationBook): void {
    const { plan, blackoutMs } = book;
    if (blackoutMs === undefined) return;
    const steps = (['save-state', 'copy-delta', 'prove', 'start'] as const).map((step) => book.facts(step)?.took ?? {});
    const took = Object.assign({}, ...steps) as Record<string, { bytes: number; ms: number }>;
    const known = Object.values(took).reduce((sum, { ms }) => sum + ms, 0);
    const other = { bytes: 0, ms: Math.max(1, blackoutMs - known) };
    this.#rates.learn(plan.from, plan.to, { ...took, other }, book.prediction?.memoryBytes ?? 0);
  }

  async #abortNow(entry: Entry): Promise<void> {
    entry.aborting = entry.migration.abort();
    try {
      await entry.aborting;
    } catch (thrown) {
      const { message } = TransferError.from(thrown);
      this.#log.tell(entry.migration.book.plan.id, { type: 'note', message: `the abort is not over: ${message}` });
      throw thrown;
    } finally {
      entry.aborting = undefined;
    }
  }

  #entry(id: string): Entry {
    const entry = this.#entries.get(id);
    if (entry) return entry;
    throw (
      this.#refused.get(id) ??
      new TransferError('E_NO_MIGRATION', `there is no migration ${id}`, { hint: 'See: blockferry migrate status' })
    );
  }

  #view({ migration: { book, moved } }: Entry): MigrationView {
    return viewOf(book, { place: this.#place(book.plan.id), moved });
  }

  #place(id: string): { state: 'running' | 'queued'; reason: string } | undefined {
    const place = this.#line.place(id);
    if (place === undefined) return undefined;
    if (place === 0) return { state: 'running', reason: 'it is carried out' };
    const before = place === 1 ? 'it is the next' : `${place - 1} are before it`;
    const { migrationsAtOnce } = this.#parts.jobs.policy;
    const most = `${this.#line.running} migrations run, and ${migrationsAtOnce} may at once (migrations_at_once)`;
    return { state: 'queued', reason: `${most}; ${before}` };
  }
}

function refused({ migration: { book } }: Entry, is: string, hint: string): TransferError {
  return new TransferError('E_MIGRATION_STATE', `the migration ${book.plan.id} of ${book.plan.vm.name} ${is}`, {
    hint,
  });
}
