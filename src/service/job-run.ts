/**
 * A job that has a slot: its files are copied, some at the same time. What is whole and proven waits with all that it
 * has open until the job is completed, so that this takes no time.
 */
import { type Clock, nowMs } from '../core/clock.js';
import type { Location } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import type { ProgressEvent, TransferEvent } from '../core/events.js';
import type { ChunkMapView } from '../transfer/chunk-map.js';
import type { ChunkRunner } from '../transfer/chunk-runner.js';
import { newPaceLevel, setPaceLevel } from '../transfer/pace.js';
import { type FileEnd, FileRun } from './file-run.js';
import type { Holds } from './holds.js';
import { isBackground, type JobFile, PRIORITIES, type Priority } from './job.js';
import { progressOf } from './job-progress.js';
import { changeFile, type JobRecord } from './job-record.js';
import type { Borrowed } from './runners.js';
import { endsOf } from './storage-path.js';

export interface JobRunParts {
  /** Threads for a copy between the two. */
  readonly borrow: (source: Location, target: Location, background: boolean) => Promise<Borrowed>;
  readonly clock: Clock;
  readonly random: () => number;
  /** What jobs of a class share. */
  readonly classPaces: Readonly<Record<Priority, SharedArrayBuffer>>;
  /** What all jobs share. */
  readonly pace: SharedArrayBuffer;
  readonly filesAtOnce: () => number;
  readonly holds: Holds;
  readonly onEvent: (event: TransferEvent, file: number) => void;
  /** Of the job, and which of its files have moved since the last. */
  readonly onProgress: (progress: Omit<ProgressEvent, 'schema' | 'at'>, moved: readonly number[]) => void;
  /** A file is whole, has its name, or failed. */
  readonly onFile: () => void;
  /** A file is about to get its name: resolves when that is on record. */
  readonly onCommit: () => Promise<void>;
  /** All files that it had were tried: nothing is under way any more, and what is whole may be held. */
  readonly onSettled: () => void;
}

/** At most four a second. */
const PROGRESS_MS = 250;

/** A file under way, or held. */
interface Copying {
  /** Absent until there are threads for it. */
  run?: FileRun;
  held: boolean;
  /** Others have to wait as it does: it closes what it has open. */
  lettingGo: boolean;
  latest?: ProgressEvent;
  /** Resolves when how it ended is written down. */
  ended: Promise<FileEnd>;
}

export class JobRun {
  readonly #job: JobRecord;
  readonly #parts: JobRunParts;
  readonly #copies = new Map<number, Copying>();
  readonly #pace: SharedArrayBuffer;
  /** Without a slot it is stopped: nothing begins. */
  #mode: 'running' | 'preempted' | 'stopped' = 'stopped';
  readonly #moved = new Set<number>();
  #toldMs = Number.NEGATIVE_INFINITY;

  constructor(job: JobRecord, parts: JobRunParts) {
    this.#job = job;
    this.#parts = parts;
    this.#pace = newPaceLevel(job.limitBytesPerSecond);
  }

  /** Goes on with all files that are not whole: at the start, after a suspend, and when it may run again. */
  proceed(): void {
    this.#mode = 'running';
    for (const { run } of this.#moving()) run?.proceed();
    this.#fill();
  }

  /** Tasks end at their next block; nothing finished is lost, and what is open stays open. */
  preempt(): void {
    this.#mode = 'preempted';
    for (const { run } of this.#moving()) run?.preempt();
  }

  /** What is under way goes on record. What is whole stays held, unless `all`. */
  async suspend(all = false): Promise<void> {
    this.#mode = 'stopped';
    const copies = all ? [...this.#copies.values()] : this.#moving();
    for (const { run } of copies) run?.suspend();
    await Promise.all(copies.map(({ ended }) => ended));
  }

  setLimit(bytesPerSecond: number): void {
    setPaceLevel(this.#pace, bytesPerSecond);
    for (const { run } of this.#copies.values()) run?.setLimit(bytesPerSecond);
  }

  /** The job has another class now. */
  changeClass(): void {
    for (const { run } of this.#copies.values()) run?.countPaces(this.#counts());
  }

  /** Starts more files after some were added, or more may be copied at once, where the job has a slot. */
  goOn(): void {
    if (this.#mode === 'running') this.#fill();
  }

  rate(): number {
    if (this.#mode === 'preempted') return 0;
    return this.#moving().reduce((sum, { latest }) => sum + (latest?.rateBytesPerSecond ?? 0), 0);
  }

  chunkMap(file: number, cells: number): ChunkMapView | undefined {
    return this.#copies.get(file)?.run?.chunkMap(cells);
  }

  /** Gives all that is whole its name. Answers the errors of those that could not get theirs; they stay whole. */
  async complete(): Promise<TransferError[]> {
    const whole = this.#job.files.filter(({ state }) => state === 'transferred');
    const errors: TransferError[] = [];
    const rest = whole[Symbol.iterator]();
    const lane = async (): Promise<void> => {
      for (const { index } of rest) {
        const end = await this.#commit(index);
        if ('error' in end) errors.push(end.error);
      }
    };
    await Promise.all(Array.from({ length: this.#parts.filesAtOnce() }, lane));
    return errors;
  }

  async #commit(file: number): Promise<FileEnd> {
    const held = this.#copies.get(file);
    if (!held?.lettingGo) held?.run?.commit();
    const end = await held?.ended;
    // What was written to while it waited is proven again, and mended.
    const changed = end && 'error' in end && end.error.code === 'E_TARGET_CHANGED';
    return end && !held?.lettingGo && !changed ? end : this.#copy(file, true);
  }

  #moving(): Copying[] {
    return [...this.#copies.values()].filter(({ held }) => !held);
  }

  #fill(): void {
    const atOnce = this.#parts.filesAtOnce();
    let moving = this.#moving().length;
    for (const file of this.#job.files) {
      if (moving >= atOnce) return;
      if (!this.#begins(file)) continue;
      moving++;
    }
    if (moving > 0) return;
    this.#mode = 'stopped';
    this.#parts.onSettled();
  }

  /** What waits is copied. What is whole already, in a job that is to complete itself now, gets its name. */
  #begins({ index, state }: JobFile): boolean {
    if (state !== 'waiting' && !(state === 'transferred' && this.#job.autoComplete)) return false;
    const held = this.#copies.get(index);
    if (held) {
      held.held = false;
      held.run?.commit();
    } else void this.#carryOut(index);
    return true;
  }

  async #carryOut(file: number): Promise<void> {
    changeFile(this.#job, file, { state: 'copying', error: undefined });
    await this.#copy(file);
    this.#parts.onFile();
    this.goOn();
  }

  /** `completes`: it is whole already, and was asked to get its name, whether the job has a slot or not. */
  #copy(file: number, completes = false): Promise<FileEnd> {
    const ended = Promise.resolve({ error: new TransferError('E_STOPPED', '') });
    const copying: Copying = { held: false, lettingGo: false, ended };
    this.#copies.set(file, copying);
    copying.ended = this.#run(file, copying, completes).then((end) => {
      this.#copies.delete(file);
      writeDown(this.#job, file, end, completes || copying.held);
      return end;
    });
    return copying.ended;
  }

  /** Never rejects. */
  async #run(file: number, copying: Copying, completes: boolean): Promise<FileEnd> {
    let giveBack = (): void => undefined;
    try {
      const { source, target } = endsOf(this.#job, file);
      const borrowed = await this.#parts.borrow(source, target, isBackground(this.#job.priority));
      giveBack = borrowed.giveBack;
      if (this.#mode === 'stopped' && !completes) throw new TransferError('E_STOPPED', 'stopped before it began');
      const run = this.#newRun(file, copying, borrowed.runner, completes);
      if (this.#mode === 'preempted' && !completes) run.preempt();
      const end = await run.ended;
      const { leftBehind } = run;
      if (!leftBehind) return end;
      // A storage that does not answer keeps its threads until it does.
      void leftBehind.then(giveBack);
      giveBack = () => undefined;
      return end;
    } catch (thrown) {
      return { error: TransferError.from(thrown) };
    } finally {
      giveBack();
    }
  }

  #newRun(file: number, copying: Copying, runner: ChunkRunner, completes: boolean): FileRun {
    const { clock, random, classPaces, pace } = this.#parts;
    const paces = [this.#pace, ...PRIORITIES.map((priority) => classPaces[priority]), pace];
    copying.run = new FileRun(this.#job, this.#job.files[file] as JobFile, {
      ...{ runner, clock, random, paces, counts: this.#counts() },
      holds: () => !completes && !this.#job.autoComplete,
      onEvent: (event) => {
        if (event.type === 'progress') return this.#progress(event, file, copying);
        // From here on there is something that a cancelled job has to throw away.
        const begins = event.type === 'state' && event.state === 'transferring';
        if (begins) changeFile(this.#job, file, { size: copying.run?.bytesTotal });
        this.#parts.onEvent(event, file);
      },
      onHeld: (size) => this.#hold(file, copying, size),
      onCommit: (mark) => {
        changeFile(this.#job, file, { state: 'committing', mark });
        return this.#parts.onCommit();
      },
    });
    return copying.run;
  }

  /** Of the paces above: the job's, its class's, and that of all. */
  #counts(): (at: number) => boolean {
    const { priority } = this.#job;
    return (at) => at === 0 || at === PRIORITIES.length + 1 || PRIORITIES[at - 1] === priority;
  }

  #hold(file: number, copying: Copying, size: number): void {
    changeFile(this.#job, file, { state: 'transferred', size, bytesDone: size });
    copying.held = true;
    this.#parts.onFile();
    const letGo = (): void => {
      copying.lettingGo = true;
      copying.run?.suspend();
    };
    this.#parts.holds.add(letGo);
    void copying.ended.then(() => this.#parts.holds.remove(letGo));
    this.goOn();
  }

  #progress(event: ProgressEvent, file: number, copying: Copying): void {
    if (copying.held) return;
    const { bytesDone, bytesTotal, bytesReused, bytesZero } = event;
    copying.latest = event;
    changeFile(this.#job, file, { bytesDone, bytesReused, bytesZero, size: bytesTotal });
    this.#moved.add(file);
    const now = nowMs(this.#parts.clock);
    if (now - this.#toldMs < PROGRESS_MS) return;
    this.#toldMs = now;
    const spent = [...this.#copies.values()].flatMap(({ latest }) => latest?.spent ?? []);
    this.#parts.onProgress(progressOf(this.#job, event, this.rate(), spent), [...this.#moved]);
    this.#moved.clear();
  }
}

/** What was `whole` stays so, whatever kept it from its name; where nobody will complete it, it is tried again. */
function writeDown(job: JobRecord, file: number, end: FileEnd, whole: boolean): void {
  if ('result' in end) {
    const { root, bytesTotal, bytesReused, bytesZero } = end.result;
    const bytes = { size: bytesTotal, bytesDone: bytesTotal, bytesReused, bytesZero };
    changeFile(job, file, { state: 'committed', root, ...bytes, mark: undefined, error: undefined });
    return;
  }
  const stopped = end.error.code === 'E_STOPPED';
  const otherwise = stopped ? 'waiting' : 'failed';
  const error = stopped ? {} : { error: end.error.toJSON() };
  changeFile(job, file, { state: whole ? 'transferred' : otherwise, mark: undefined, ...error });
}
