/**
 * One migration, step by step: each is on record before it starts and when it is done. Whatever ends the process, the
 * same call goes on with the first step that is not done.
 */
import { nowMs } from '../core/clock.js';
import { TransferError } from '../core/errors.js';
import type { EventBody, StepEvent } from '../core/events.js';
import { newStop } from '../core/stop.js';
import { copyDelta, prove, rePoint, saveState } from './blackout-steps.js';
import { merge, release, resume, start, switchOver } from './final-steps.js';
import type { Flow } from './flow.js';
import type { MigrationBook } from './migration-book.js';
import { decide } from './predict.js';
import { check, copyBases, placeholder, predictNow, shrinkRound, snapshot, versionsNow } from './prepare-steps.js';
import type { StepFacts } from './step-records.js';
import { ONLY_RUNNING, STEPS, type Step } from './steps.js';
import { isGiven, undoAll, undoBlackout } from './undo.js';

export interface MigrationParts extends Omit<Flow, 'signal' | 'progress' | 'note'> {
  tell(event: EventBody & { readonly type: 'step' | 'note' }): void;
}

/** Of the step under way. */
export interface Moved {
  readonly bytesDone: number;
  readonly bytesTotal: number;
  readonly reason: string;
}

export type Outcome = 'prepared' | 'asking' | 'done';

/** `shrink-delta` is not one deed: it is decided upon. */
const DEEDS: Readonly<Record<Exclude<Step, 'shrink-delta'>, (flow: Flow) => Promise<StepFacts>>> = {
  ...{ check, placeholder, snapshot, 'copy-bases': copyBases },
  ...{ 'save-state': saveState, 'copy-delta': copyDelta, prove, 're-point': rePoint },
  ...{ 'switch-over': switchOver, start, resume, merge, release },
};

/** While these are done the machine stands still and still belongs to the source. */
const UNDONE_ON_FAILURE: readonly Step[] = ['save-state', 'copy-delta', 'prove', 're-point', 'switch-over'];

/** Once it is given away, there is only the way on: tried again after so long, then told to be in error. */
const RETRY_MS = [500, 1000, 2000, 5000, 10_000];
const CALM_MS = 5000;
/** What was predicted wrongly by more than this is not waited for: the guest runs on at the source. */
const LATE_FACTOR = 3;
const LATE_MS_MIN = 15_000;
const LATE_MS_UNLIMITED = 600_000;

export class Migration {
  readonly book: MigrationBook;
  readonly #parts: MigrationParts;
  #stop = newStop();
  #closing = false;
  #moved: Moved | undefined;

  constructor(parts: MigrationParts) {
    this.#parts = parts;
    this.book = parts.book;
  }

  /** Of the step under way. */
  get moved(): Moved | undefined {
    return this.#moved;
  }

  /** @throws TransferError of the step that failed, which is on record; E_STOPPED */
  async run(): Promise<Outcome> {
    this.#stop = newStop();
    this.#closing = false;
    for (const step of STEPS) {
      if (this.book.isDone(step)) continue;
      if (!this.book.plan.running && ONLY_RUNNING.includes(step)) {
        if (step === 'shrink-delta' && this.#waitsForCutover) return this.#wait('prepared', 'all is copied');
        this.book.start(step);
        this.book.done(step, { skipped: 'the machine is off' });
      } else if (step === 'shrink-delta') {
        const waits = await this.#shrink();
        if (waits) return waits;
      } else await this.#insist(step);
    }
    return 'done';
  }

  /** Resolves when it can be left alone: a machine that stands still is not left so. */
  close(): void {
    this.#closing = true;
    if (!this.#standsStill) this.#stop.abort();
  }

  /** What is under way ends soon. */
  interrupt(): void {
    this.#stop.abort();
  }

  /** After {@link run} has ended. @throws TransferError E_MIGRATION_STATE after the switch-over */
  async abort(): Promise<void> {
    this.#stop = newStop();
    const { book } = this;
    book.abort();
    book.aborted(await undoAll(this.#flow('merge')));
  }

  get #waitsForCutover(): boolean {
    return this.book.plan.prepareOnly && !this.book.cutover;
  }

  get #standsStill(): boolean {
    return this.book.plan.running && this.book.isStarted('save-state') && !this.book.isDone('resume');
  }

  /** Before the switch-over one failure ends it; afterwards only many do. */
  async #insist(step: Step): Promise<void> {
    for (let tries = 0; ; tries++) {
      try {
        return await this.#carryOut(step, undefined, DEEDS[step as keyof typeof DEEDS]);
      } catch (thrown) {
        const waitMs = RETRY_MS[tries];
        if (isStop(thrown) || waitMs === undefined || !(await isGiven(this.book, this.#parts.from))) throw thrown;
        await this.#parts.clock.sleep(waitMs, this.#stop.signal);
      }
    }
  }

  async #carryOut(step: Step, round: number | undefined, deed: (flow: Flow) => Promise<StepFacts>): Promise<void> {
    if (this.#stop.signal.aborted || (this.#closing && !this.#standsStill)) throw stopped();
    const { book } = this;
    const late = UNDONE_ON_FAILURE.includes(step) && book.plan.running ? newStop() : undefined;
    const flow = this.#flow(step, round, late?.signal);
    try {
      const facts = step === 'copy-bases' && !book.plan.running ? await versionsNow(flow) : undefined;
      book.start(step, { round, ...(facts && { facts }) });
      this.#tell(step, 'started', { round, reason: SAYS[step] });
      const done = late ? await this.#inTime(step, () => deed(flow), late) : await deed(flow);
      book.done(step, done, round);
      const { blackoutMs } = book;
      const stood = step === 'resume' && blackoutMs !== undefined ? { blackoutMs } : {};
      this.#tell(step, 'done', { round, reason: `${SAYS[step]}: done`, ...stood });
    } catch (thrown) {
      await this.#failed(step, round, TransferError.from(thrown));
    } finally {
      this.#moved = undefined;
    }
  }

  /** @throws TransferError always */
  async #failed(step: Step, round: number | undefined, error: TransferError): Promise<never> {
    if (isStop(error)) throw error;
    const { book } = this;
    const { plan } = book;
    let told = error;
    if (plan.running && UNDONE_ON_FAILURE.includes(step) && !(await isGiven(book, this.#parts.from))) {
      told = await this.#undo(step, error);
    }
    book.failed(step, told);
    this.#tell(step, 'failed', { round, reason: told.message, error: told.toJSON() });
    throw told;
  }

  /** The guest runs on at the source; why it does not, if that fails too. */
  async #undo(step: Step, error: TransferError): Promise<TransferError> {
    try {
      await undoBlackout(this.#flow(step));
      return error;
    } catch (thrown) {
      const second = TransferError.from(thrown);
      const message = `${error.message}; and ${this.book.vm.name} could not run on at the source: ${second.message}`;
      return new TransferError(error.code, message, {
        hint: 'It stands still, and nothing is lost. Mend what is in the way; then abort, or start the cutover again.',
        cause: second,
      });
    }
  }

  async #inTime(step: Step, work: () => Promise<StepFacts>, late: AbortController): Promise<StepFacts> {
    const over = newStop();
    const { clock } = this.#parts;
    const startMs = nowMs(clock);
    void clock.sleep(this.#lateMs, over.signal).then(() => {
      if (!over.signal.aborted) late.abort();
    });
    try {
      return await work();
    } catch (thrown) {
      if (!isStop(thrown) || !late.signal.aborted || this.#stop.signal.aborted) throw thrown;
      const seconds = Math.round((nowMs(clock) - startMs) / 1000);
      throw new TransferError('E_TIMEOUT', `${step} took more than ${seconds} s, far longer than was predicted`, {
        hint: 'The machine runs on at the source. Look for what slows the storages down; then start the cutover again.',
        cause: thrown,
      });
    } finally {
      over.abort();
    }
  }

  get #lateMs(): number {
    const { plan, cutover, prediction } = this.book;
    if (cutover?.anyway) return LATE_MS_UNLIMITED;
    const expected = cutover?.maxBlackoutMs ?? plan.maxBlackoutMs ?? prediction?.blackoutMs ?? LATE_MS_UNLIMITED;
    return Math.max(LATE_MS_MIN, expected * LATE_FACTOR);
  }

  /** Answers what it waits for; undefined: into the blackout. */
  async #shrink(): Promise<'prepared' | 'asking' | undefined> {
    const { book } = this;
    const { plan, cutover } = book;
    const maxBlackoutMs = cutover?.anyway ? undefined : (cutover?.maxBlackoutMs ?? plan.maxBlackoutMs);
    if (book.rounds > 1 && !book.isDone('shrink-delta', book.rounds)) await this.#round(book.rounds);
    for (let [rounds, waits] = [0, 0]; ; ) {
      if (this.#stop.signal.aborted) throw stopped();
      const prediction = await predictNow(this.#flow('shrink-delta'));
      const { go, reason } = decide(prediction, { maxBlackoutMs, rounds, waits });
      this.#tell('shrink-delta', 'progress', { reason, predictedBlackoutMs: prediction.blackoutMs });
      if (go === 'ask') return this.#wait('asking', reason);
      if (go === 'on' && this.#waitsForCutover) return this.#wait('prepared', reason);
      if (go === 'on') {
        book.start('shrink-delta');
        book.done('shrink-delta', { prediction });
        return undefined;
      }
      if (go === 'round') {
        rounds++;
        await this.#round(book.rounds + 1);
      } else {
        waits++;
        await this.#parts.clock.sleep(CALM_MS, this.#stop.signal);
      }
    }
  }

  #round(round: number): Promise<void> {
    return this.#carryOut('shrink-delta', round, (flow) => shrinkRound(flow, round));
  }

  #wait(state: 'prepared' | 'asking', reason: string): 'prepared' | 'asking' {
    this.book.waits(state, reason);
    return state;
  }

  #flow(step: Step, round?: number, also?: AbortSignal): Flow {
    const { tell } = this.#parts;
    const signal = also ? AbortSignal.any([this.#stop.signal, also]) : this.#stop.signal;
    return {
      ...this.#parts,
      signal,
      rates: () => this.#parts.rates(),
      progress: (bytesDone, bytesTotal, waitsFor) => {
        const reason = waitsFor === undefined ? SAYS[step] : `waits, and tries again by itself: ${waitsFor}`;
        this.#moved = { bytesDone, bytesTotal, reason };
        this.#tell(step, 'progress', { round, reason, bytesDone, bytesTotal });
      },
      note: (message) => tell({ type: 'note', message }),
    };
  }

  #tell(step: Step, state: StepEvent['state'], about: Pick<StepEvent, 'reason'> & Told): void {
    const { plan } = this.book;
    const { round, ...rest } = about;
    const number = STEPS.indexOf(step) + 1;
    const ends = { source: `${plan.from}:${plan.vm.name}`, target: `${plan.to}:${plan.folders.target}` };
    const told = { type: 'step', step, state, number, steps: STEPS.length, ...ends, ...rest } as const;
    this.#parts.tell({ ...told, ...(round !== undefined && { round }) });
  }
}

type Told = Partial<Pick<StepEvent, 'bytesDone' | 'bytesTotal' | 'predictedBlackoutMs' | 'blackoutMs' | 'error'>> & {
  readonly round?: number | undefined;
};

const SAYS: Readonly<Record<Step, string>> = {
  check: 'both ends are looked at',
  placeholder: 'a machine that nothing can start is made at the target',
  snapshot: 'the guest goes on in overlays, and its images stand still',
  'copy-bases': 'the images are copied while the guest runs',
  'shrink-delta': 'what the guest has written since is copied while it runs',
  'save-state': 'the guest stands still, and its memory is saved',
  'copy-delta': 'the last overlays and the memory are copied',
  prove: 'every file at the target is proven',
  're-point': 'the images at the target are made to name each other',
  'switch-over': 'the source gives the machine away',
  start: 'the machine is loaded at the target',
  resume: 'the machine belongs to the target, and runs if it ran',
  merge: 'the overlays are merged while the guest runs',
  release: 'what is not needed any more is removed',
};

function isStop(thrown: unknown): boolean {
  return thrown instanceof TransferError && thrown.code === 'E_STOPPED';
}

function stopped(): TransferError {
  return new TransferError('E_STOPPED', 'the migration stopped; all that is finished is on record');
}
