/**
 * A job that has a slot: its files are copied, some at the same time. What is whole and proven waits with all that it
 * has open until the job is completed, so that this takes no time.
 */
import { type Clock, nowMs } from '../core/clock.js';
import { TransferError } from '../core/errors.js';
import type { ProgressEvent, TimeSpent, TransferEvent } from '../core/events.js';
import { parseLocation } from '../endpoint/location.js';
import type { ChunkMapView } from '../transfer/chunk-map.js';
import type { ChunkRunner } from '../transfer/chunk-runner.js';
import { newPaceLevel, setPaceLevel } from '../transfer/pace.js';
import { type FileEnd, FileRun } from './file-run.js';
import { PRIORITIES, type Priority } from './job.js';
import type { FileRecord, JobRecord } from './job-record.js';
import type { Runners } from './runners.js';
import { storagePath } from './storage-path.js';

export interface JobRunParts {
  readonly runners: Runners;
  readonly clock: Clock;
  readonly random: () => number;
  /** What jobs of a class share. */
  readonly classPaces: Readonly<Record<Priority, SharedArrayBuffer>>;
  /** What all jobs share. */
  readonly pace: SharedArrayBuffer;
  readonly filesAtOnce: () => number;
  readonly onEvent: (event: TransferEvent, file: FileRecord) => void;
  readonly onProgress: (progress: Omit<ProgressEvent, 'schema' | 'at'>) => void;
  /** A file is whole, has its name, or failed. */
  readonly onFile: () => void;
  /** A file is about to get its name: resolves when that is on record. */
  readonly onCommit: () => Promise<void>;
  /** All files that it had were tried: nothing is under way any more, and what is whole may be held. */
  readonly onSettled: () => void;
}

/** More would hold too many descriptors and locks; the others are proven again when the job is completed. */
const HELD_MAX = 64;
/** At most four a second. */
const PROGRESS_MS = 250;

/** A file under way, or held. */
interface Copying {
  /** Absent until there are threads for it. */
  run?: FileRun;
  held: boolean;
  latest?: ProgressEvent;
  /** Resolves when how it ended is written down. */
  ended: Promise<FileEnd>;
}

export class JobRun {
  readonly #job: JobRecord;
  readonly #parts: JobRunParts;
  readonly #copies = new Map<FileRecord, Copying>();
  readonly #pace: SharedArrayBuffer;
  #preempted = false;
  #stopping = false;
  #toldMs = Number.NEGATIVE_INFINITY;

  constructor(job: JobRecord, parts: JobRunParts) {
    this.#job = job;
    this.#parts = parts;
    this.#pace = newPaceLevel(job.limitBytesPerSecond);
  }

  /** Goes on with all files that are not whole: at the start, after a suspend, and when it may run again. */
  proceed(): void {
    this.#preempted = false;
    this.#stopping = false;
    for (const { run } of this.#moving()) run?.proceed();
    this.#fill();
  }

  /** Tasks end at their next block; nothing finished is lost, and what is open stays open. */
  preempt(): void {
    this.#preempted = true;
    for (const { run } of this.#moving()) run?.preempt();
  }

  /** What is under way goes on record. What is whole stays held, unless `all`. */
  async suspend(all = false): Promise<void> {
    this.#stopping = true;
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

  /** Starts more files after some were added, or more may be copied at once. */
  goOn(): void {
    if (!this.#preempted && !this.#stopping) this.#fill();
  }

  rate(): number {
    if (this.#preempted) return 0;
    return this.#moving().reduce((sum, { latest }) => sum + (latest?.rateBytesPerSecond ?? 0), 0);
  }

  chunkMap(file: number, cells: number): ChunkMapView | undefined {
    const record = this.#job.files[file];
    return record && this.#copies.get(record)?.run?.chunkMap(cells);
  }

  /** Gives all that is whole its name. Answers the errors of those that could not get theirs; they stay whole. */
  async complete(): Promise<TransferError[]> {
    const whole = this.#job.files.filter(({ state }) => state === 'transferred');
    const errors: TransferError[] = [];
    const rest = whole[Symbol.iterator]();
    const lane = async (): Promise<void> => {
      for (const file of rest) {
        const end = await this.#commit(file);
        if ('error' in end) errors.push(end.error);
      }
    };
    await Promise.all(Array.from({ length: this.#parts.filesAtOnce() }, lane));
    return errors;
  }

  #commit(file: FileRecord): Promise<FileEnd> {
    const held = this.#copies.get(file);
    if (!held) return this.#copy(file, false);
    held.run?.commit();
    return held.ended;
  }

  #moving(): Copying[] {
    return [...this.#copies.values()].filter(({ held }) => !held);
  }

  #fill(): void {
    const atOnce = this.#parts.filesAtOnce();
    let moving = this.#moving().length;
    for (const file of this.#job.files) {
      if (moving >= atOnce) return;
      if (file.state !== 'waiting') continue;
      moving++;
      void this.#carryOut(file);
    }
    if (moving === 0) this.#parts.onSettled();
  }

  async #carryOut(file: FileRecord): Promise<void> {
    file.state = 'copying';
    delete file.error;
    await this.#copy(file, !this.#job.autoComplete);
    this.#parts.onFile();
    this.goOn();
  }

  #copy(file: FileRecord, holds: boolean): Promise<FileEnd> {
    const copying: Copying = { held: false, ended: Promise.resolve({ error: new TransferError('E_STOPPED', '') }) };
    this.#copies.set(file, copying);
    copying.ended = this.#run(file, copying, holds).then((end) => {
      this.#copies.delete(file);
      writeDown(file, end, this.#job.autoComplete);
      return end;
    });
    return copying.ended;
  }

  /** Never rejects. */
  async #run(file: FileRecord, copying: Copying, holds: boolean): Promise<FileEnd> {
    let giveBack = (): void => undefined;
    try {
      const [source, target] = [parseLocation(file.source.text), parseLocation(file.target.text)];
      const borrowed = await this.#parts.runners.borrow(storagePath(source), storagePath(target));
      giveBack = borrowed.giveBack;
      if (this.#stopping && holds) throw new TransferError('E_STOPPED', 'stopped before it began');
      const run = this.#newRun(file, copying, borrowed.runner, holds);
      if (this.#preempted && holds) run.preempt();
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

  #newRun(file: FileRecord, copying: Copying, runner: ChunkRunner, holds: boolean): FileRun {
    const { clock, random, classPaces, pace } = this.#parts;
    const paces = [this.#pace, ...PRIORITIES.map((priority) => classPaces[priority]), pace];
    copying.run = new FileRun(this.#job, file, {
      ...{ runner, clock, random, paces, counts: this.#counts(), holds },
      onEvent: (event) => {
        if (event.type === 'progress') this.#progress(event, file, copying);
        else this.#parts.onEvent(event, file);
      },
      onHeld: () => this.#hold(file, copying),
      onCommit: (mark) => {
        Object.assign(file, { state: 'committing', mark });
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

  #hold(file: FileRecord, copying: Copying): void {
    file.state = 'transferred';
    file.bytesDone = file.size ?? file.bytesDone;
    copying.held = true;
    this.#parts.onFile();
    const held = [...this.#copies.values()].filter((copy) => copy.held);
    // The oldest has all on record, and is proven again when it is completed.
    if (held.length > HELD_MAX) held[0]?.run?.suspend();
    this.goOn();
  }

  #progress(event: ProgressEvent, file: FileRecord, copying: Copying): void {
    if (copying.held) return;
    const { bytesDone, bytesTotal, bytesReused, bytesZero } = event;
    copying.latest = event;
    Object.assign(file, { bytesDone, bytesReused, bytesZero, size: bytesTotal });
    const now = nowMs(this.#parts.clock);
    if (now - this.#toldMs < PROGRESS_MS) return;
    this.#toldMs = now;
    this.#parts.onProgress(this.#sum(event));
  }

  /** Of the job: its files together. */
  #sum({ phase, proof }: ProgressEvent): Omit<ProgressEvent, 'schema' | 'at'> {
    let [bytesDone, bytesTotal, bytesReused, bytesZero, done] = [0, 0, 0, 0, 0];
    for (const file of this.#job.files) {
      bytesDone += file.bytesDone;
      bytesTotal += file.size ?? 0;
      bytesReused += file.bytesReused;
      bytesZero += file.bytesZero;
      if (file.state === 'transferred' || file.state === 'committed') done++;
    }
    const rate = this.rate();
    const failed = this.#job.files.filter(({ state }) => state === 'failed').length;
    const total = this.#job.files.length;
    return {
      type: 'progress',
      ...{ phase, proof, bytesDone, bytesTotal, bytesReused, bytesZero, rateBytesPerSecond: rate },
      ...(rate > 0 && { remainingMs: Math.round(((bytesTotal - bytesDone) / rate) * 1000) }),
      spent: [...this.#copies.values()].flatMap(({ latest }) => latest?.spent ?? []).reduce(added),
      ...(total > 1 && { files: { done, total, skipped: 0, failed } }),
    };
  }
}

/** What is whole stays so, whatever kept it from its name; where nobody will complete it, it is tried again instead. */
function writeDown(file: FileRecord, end: FileEnd, autoComplete: boolean): void {
  delete file.mark;
  if ('result' in end) {
    const { root, bytesTotal } = end.result;
    delete file.error;
    Object.assign(file, { state: 'committed', root, size: bytesTotal, bytesDone: bytesTotal });
    return;
  }
  const stopped = end.error.code === 'E_STOPPED';
  const whole = !autoComplete && (file.state === 'transferred' || file.state === 'committing');
  if (whole) file.state = 'transferred';
  else file.state = stopped ? 'waiting' : 'failed';
  if (!stopped) file.error = end.error.toJSON();
}

function added(one: TimeSpent, other: TimeSpent): TimeSpent {
  const keys = Object.keys(one) as (keyof TimeSpent)[];
  return Object.fromEntries(keys.map((key) => [key, one[key] + other[key]])) as unknown as TimeSpent;
}
