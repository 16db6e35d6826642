/**
 * What becomes of jobs between the calls of their owners: they get and lose slots, are whole, fail, wait for a retry,
 * and are taken up again after a restart.
 */
import { type Clock, orLate } from '../core/clock.js';
import type { Location } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import type { TransferEvent } from '../core/events.js';
import { newPaceLevel } from '../core/pace-level.js';
import { parseLocation } from '../endpoint/location.js';
import { mountPoints } from '../platform/file-system.js';
import { discardPartial } from '../transfer/discard.js';
import { YieldDesk } from '../yield/desk.js';
import { Dispatcher } from './dispatcher.js';
import { Holds } from './holds.js';
import { byPriority, isFinal, type JobFile } from './job.js';
import type { JobBook } from './job-book.js';
import { JobDeadlines } from './job-deadlines.js';
import { changeFile, type JobRecord } from './job-record.js';
import { JobRun } from './job-run.js';
import type { Policy } from './policy/policy.js';
import { isTransient, retryDelayMs } from './retry-plan.js';
import type { Borrowed, Runners } from './runners.js';
import type { Preemption, PreemptRule } from './scheduler.js';
import { endsOf, fileName, storagePath } from './storage-path.js';
import { leaseOfJob } from './yielding.js';

export interface JobDeskParts {
  readonly book: JobBook;
  readonly runners: Runners;
  readonly clock: Clock;
  readonly random: () => number;
  readonly policy: () => Policy;
  readonly heldMax?: number | undefined;
}

/** How long the start waits for storages that names were being given on. */
const RECOVER_MS = 2000;

const MAKES_WAY: Readonly<Record<PreemptRule, string>> = {
  priority: 'a job of a higher priority goes first',
  slice: 'its time is up, and others of its priority have their turn',
  share: 'others have their guaranteed share',
  window: 'its class does not run in this maintenance window',
  limit: 'fewer jobs may run at once now',
};

export class JobDesk {
  readonly dispatcher: Dispatcher;
  readonly runs = new Map<string, JobRun>();
  readonly deadlines: JobDeadlines;
  /** That were sent since the start, by class. */
  readonly bytes = byPriority(() => 0);
  readonly #parts: JobDeskParts;
  /** As of the last tick: jobs are many, and mounts change seldom. */
  #mounts: readonly string[] = mountPoints();
  readonly #pace = newPaceLevel();
  readonly #holds: Holds;
  readonly #classPaces = byPriority(() => newPaceLevel());
  readonly #yields: YieldDesk;

  constructor(parts: JobDeskParts) {
    this.#parts = parts;
    this.#yields = new YieldDesk(parts.clock);
    this.#holds = new Holds(parts.heldMax);
    this.deadlines = new JobDeadlines({
      ...{ clock: parts.clock, policy: parts.policy },
      rate: (id) => (parts.book.find(id)?.state === 'transferring' ? this.runs.get(id)?.rate() : undefined),
      tell: (job, message) => parts.book.tell(job as JobRecord, { type: 'note', message }),
    });
    parts.book.times.readFrom((id) => this.runs.get(id)?.spent() ?? {});
    this.dispatcher = new Dispatcher({
      ...{ clock: parts.clock, policy: parts.policy, classPaces: this.#classPaces, pace: this.#pace },
      start: (id) => this.#start(id),
      preempt: (id, why) => this.#preempt(id, why),
    });
  }

  /** It wants to run; with what failed before. */
  queue(job: JobRecord, reason: string): void {
    for (const { index, state } of job.files) if (state === 'failed') changeFile(job, index, { state: 'waiting' });
    this.#parts.book.pass(job, 'queued', reason);
    this.contend(job);
  }

  /** As the job is now: its priority and its storages may have changed. */
  contend(job: JobRecord): void {
    const { id, owner, priority, kind } = job;
    const done = job.autoComplete ? ['committed'] : ['committed', 'transferred'];
    const open = job.files.filter(({ state }) => !done.includes(state));
    const paths = (end: 'source' | 'target') => [
      ...new Set(open.map((file) => storagePath(parseLocation(file[end].text), this.#mounts))),
    ];
    this.dispatcher.add({ id, owner, priority, kind, sourcePaths: paths('source'), targetPaths: paths('target') });
  }

  /** To be called about once a second. */
  tick(): void {
    this.#mounts = mountPoints();
    this.dispatcher.tick();
    const { book } = this.#parts;
    for (const job of book.all()) this.deadlines.look(job);
    book.times.ask(
      () => book.all(),
      (id) => this.dispatcher.why(id, (other) => other)?.behind ?? [],
    );
  }

  #borrow(source: Location, target: Location, background?: boolean): Promise<Borrowed> {
    const [from, to] = [source, target].map((end) => storagePath(end, this.#mounts)) as [string, string];
    return this.#parts.runners.borrow(from, to, background);
  }

  run(job: JobRecord): JobRun {
    const known = this.runs.get(job.id);
    if (known) return known;
    const { book, clock, random, policy } = this.#parts;
    let [doneMax, sent] = [0, 0];
    const run = new JobRun(job, {
      ...{ clock, random, classPaces: this.#classPaces, pace: this.#pace },
      deadlinePace: this.deadlines.level(job.id),
      borrow: (...how) => this.#borrow(...how),
      lease: (source, target) => leaseOfJob(this.#yields, { source, target }, job, policy()),
      filesAtOnce: () => policy().filesAtOnce,
      holds: this.#holds,
      onEvent: (event, file) => this.#heard(job, event, file),
      onProgress: (progress, moved) => {
        const { bytesDone, bytesReused, bytesZero } = progress;
        // What is only proven again after a failure has been counted before.
        if (bytesDone > doneMax) {
          job.progressAt = clock.wallMs();
          job.retries = 0;
        }
        doneMax = Math.max(doneMax, bytesDone);
        const sentNow = bytesDone - bytesReused - bytesZero;
        this.bytes[job.priority] += Math.max(0, sentNow - sent);
        sent = sentNow;
        const deadline = this.deadlines.view(job.id);
        book.progress(job, { ...progress, ...(deadline && { deadline }) }, moved);
      },
      onFile: () => book.keepSoon(job),
      onCommit: () => book.keep(job),
      onSettled: () => this.#settled(job),
    });
    this.runs.set(job.id, run);
    return run;
  }

  #start(id: string): void {
    const job = this.#parts.book.find(id);
    if (!job) return;
    const again = this.runs.has(id);
    this.#parts.book.pass(job, again ? 'transferring' : 'connecting', again ? 'goes on' : 'looking at both ends');
    this.run(job).proceed();
  }

  #preempt(id: string, { by, rule }: Preemption): void {
    this.runs.get(id)?.preempt();
    const { book } = this.#parts;
    const job = book.find(id);
    const other = by === undefined ? undefined : book.find(by);
    if (job && by !== undefined) book.times.preempted(job, by);
    // What another owner calls a job is theirs alone.
    const whose = other && other.owner === job?.owner ? ` (${other.name})` : '';
    if (job) book.pass(job, 'queued', `makes way: ${MAKES_WAY[rule]}${whose}`);
  }

  #heard(job: JobRecord, event: TransferEvent, file: number): void {
    const { book } = this.#parts;
    if (event.type === 'state') {
      // Before its first bytes move: now it is known how many there are.
      if (event.state === 'transferring') this.deadlines.look(job);
      if (event.state === 'transferring' && job.state === 'connecting') book.pass(job, 'transferring', event.reason);
      return;
    }
    if (event.type !== 'retry' && event.type !== 'limit' && event.type !== 'note') return;
    const { schema: _, at: __, ...body } = event;
    book.tell(job, body, file);
  }

  /** Nothing of it is under way any more. */
  #settled(job: JobRecord): void {
    if (isFinal(job.state) || job.state === 'suspended' || !this.dispatcher.has(job.id)) return;
    this.dispatcher.remove(job.id);
    const failed = job.files.filter(({ state }) => state === 'failed');
    if (failed.length > 0) this.fail(job, failed);
    else if (job.files.every(({ state }) => state === 'committed')) {
      this.runs.delete(job.id);
      this.#parts.book.pass(job, 'acknowledged', 'complete and proven');
    } else this.#parts.book.pass(job, 'transferred', 'whole and proven: it waits to be completed');
  }

  /** What happens by itself, if anything does, depends on all that failed. */
  fail(job: JobRecord, failed: readonly JobFile[]): void {
    const { book, clock, random } = this.#parts;
    const now = clock.wallMs();
    const fatal = failed.find((file) => !mayPass(file));
    const error = (fatal ?? failed[0])?.error ?? new TransferError('E_BUG', 'failed without an error').toJSON();
    const others = failed.length === 1 ? '' : ` (and ${failed.length - 1} more of ${job.files.length} files failed)`;
    const reason = `${error.message}${others}`;
    const lasts = now - job.progressAt >= job.noProgressMsMax;
    if (fatal) book.pass(job, 'error', reason, { error });
    else if (lasts) book.pass(job, 'error', `no progress for too long: ${reason}`, { error });
    else {
      const waitMs = Math.max(error.retryAfterMs ?? 0, retryDelayMs(job, job.retries, random()));
      job.retries++;
      book.pass(job, 'transient-error', reason, { error, retryAt: now + waitMs });
    }
  }

  /** Throws away what is partial; what cannot be is told. */
  async discard(job: JobRecord, files: readonly JobFile[]): Promise<void> {
    const { book } = this.#parts;
    for (const { index } of files) {
      const { source: from, target: to } = endsOf(job, index);
      try {
        const { runner, giveBack } = await this.#borrow(from, to);
        await discardPartial({ target: to, sourceName: fileName(from) }, runner).finally(giveBack);
      } catch (thrown) {
        const error = TransferError.from(thrown);
        if (error.code === 'E_TARGET_FOLDER') continue;
        book.tell(job, { type: 'note', message: `what was partial may be left: ${error.message}` }, index);
      }
    }
  }

  /** After a restart: every job is where it was. `take`: for what asks a storage, which may not answer. */
  async recover(take: (id: string, work: () => Promise<void>) => Promise<void>): Promise<void> {
    const asking: Promise<void>[] = [];
    for (const job of this.#parts.book.all()) {
      for (const { index, state } of job.files) if (state === 'copying') changeFile(job, index, { state: 'waiting' });
      if (job.files.every(({ state }) => state !== 'committing')) this.#takeUp(job);
      else asking.push(take(job.id, () => this.#recoverCommits(job)));
    }
    await orLate(Promise.all(asking), this.#parts.clock, RECOVER_MS, AbortSignal.abort());
  }

  async #recoverCommits(job: JobRecord): Promise<void> {
    for (const { index, state, mark } of job.files) {
      if (state === 'committing') await this.#recoverCommit(job, index, mark);
    }
    const doubtful = job.files.filter(({ state, error }) => state === 'failed' && error?.code === 'E_TARGET_CHANGED');
    if (doubtful.length > 0) this.fail(job, doubtful);
    else this.#takeUp(job);
  }

  #takeUp(job: JobRecord): void {
    const ran = job.state === 'connecting' || job.state === 'transferring';
    if (ran) this.queue(job, 'the service was started again: it goes on from what is on record');
    else if (job.state === 'queued') this.contend(job);
    else if (job.state === 'transferred' && job.files.every(({ state }) => state === 'committed')) {
      this.#parts.book.pass(job, 'acknowledged', 'its completion was cut short, and is finished now');
    }
  }

  /** The target may have got its name before the service ended; then it is known by the mark. */
  async #recoverCommit(job: JobRecord, file: number, mark: JobFile['mark']): Promise<void> {
    const { book } = this.#parts;
    const { source: from, target: to } = endsOf(job, file);
    changeFile(job, file, { state: job.autoComplete ? 'waiting' : 'transferred', mark: undefined });
    try {
      const { runner, giveBack } = await this.#borrow(from, to);
      try {
        const located = { location: to, sourceName: fileName(from) };
        const site = await runner.run('locate-target', located);
        const { ref, journalPath: path } = site;
        const { overwrite = false, sync = true } = job.options;
        const request = { overwrite, sync };
        if (mark && (await runner.run('finish-commit', { ref, part: mark, request }))) {
          changeFile(job, file, { state: 'committed' });
          const { ref: journal } = await runner.run('open-journal', { path, forget: true });
          await runner.run('drop-journal', { ref: journal, sync });
        } else if (mark && !site.partialOnRecord && !site.partial && site.existing) {
          // It may have had its name, and have been used since: nobody asked for that to be replaced.
          changeFile(job, file, { state: 'failed', error: usedSince(site.name).toJSON() });
        }
      } finally {
        giveBack();
      }
    } catch (thrown) {
      book.tell(job, { type: 'note', message: TransferError.from(thrown).message }, file);
    }
    book.keepSoon(job);
  }
}

function usedSince(target: string): TransferError {
  const message = `${target} was about to get its name when the service ended, and is not what was copied`;
  const hint =
    'It may have been complete, and changed since: look at it. Cancel leaves it as it is; resume copies again.';
  return new TransferError('E_TARGET_CHANGED', message, { hint });
}

/** Of a file whose size is known both ends were seen before: what is missing now may come back. */
function mayPass({ error, size }: JobFile): boolean {
  return error !== undefined && isTransient(error.code, size !== undefined);
}
