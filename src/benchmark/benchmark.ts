/**
 * Measures what two storage paths can do: looks at both, makes scratch files in folders, runs the steps of the plan one
 * after the other, copies with the engine, and cleans up, however it ends.
 */
import { join } from 'node:path';
import { type Clock, orLate } from '../core/clock.js';
import type { Location } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import { newStop } from '../core/stop.js';
import { GiB, KiB, MiB } from '../core/units.js';
import type { ChunkRunner } from '../transfer/chunk-runner.js';
import { ControlBlock, type SharedControl } from '../transfer/control-block.js';
import { type Filled, SCRATCH_COPY, type Scratch } from '../transfer/measure/tasks.js';
import { adviceOf } from './advice.js';
import { endReport, type FoundEnd, findSource, findTarget, roomFor } from './ends.js';
import { describeMachine } from './machine.js';
import { measureCopies } from './measure-copies.js';
import { type Ground, measureStep } from './measure-step.js';
import {
  type Budget,
  budgetOf,
  COPIES,
  type CopySettings,
  type Ends,
  planSteps,
  type Step,
  THREADS_MAX,
  WARM_COPY_BYTES,
} from './plan.js';
import { type BenchmarkReport, type CopyMeasurement, isMeasured, type MeasurementResult } from './report.js';

export const SIZE_BYTES_DEFAULT = GiB;
export const SIZE_BYTES_MIN = 64 * MiB;
/** More than this is not written without being asked for. */
export const UNASKED_BYTES_MAX = GiB;

const FILE_BYTES_MIN = 4 * MiB;
/** What is read of a file, a device or a URL. */
const READ_BYTES_MAX = GiB;
const FILL_SECONDS = 4;
const COPY_SECONDS = 2;
/** How long a thread that is stuck in a system call is waited for after a stop. */
const STUCK_MS = 5000;

export interface BenchmarkRequest {
  /** Read; when it is a folder, a scratch file is made in it, and without a target written too. */
  readonly source: Location;
  /** A folder, which is written. */
  readonly target?: Location;
  /** How long each step is measured. */
  readonly seconds: number;
  /** Bytes that are written in all, at most. */
  readonly sizeBytes: number;
}

export interface BenchmarkParts {
  readonly createRunner: (workers: number) => Promise<ChunkRunner>;
  readonly clock: Clock;
  readonly random: () => number;
}

/** What is about to be done, for whoever has to agree to it. */
export interface BenchmarkPlan {
  /** Where it is written, and how much at most. */
  readonly writes: readonly { readonly name: string; readonly bytes: number; readonly freeBytes?: number }[];
  readonly bytesMax: number;
  readonly steps: number;
  readonly secondsAbout: number;
}

/** What is measured now: a step, a copy, or the making of a scratch file. */
export interface BenchmarkProgress {
  readonly done: number;
  readonly steps: number;
  readonly now: Omit<Step, 'share'> | CopySettings | 'scratch';
}

interface Prepared {
  readonly source: FoundEnd;
  readonly target: FoundEnd | undefined;
  readonly steps: readonly Step[];
  readonly budget: Budget;
}

export class Benchmark {
  /** Whether a thread is stuck in a system call, and keeps the process from ending. */
  stuck = false;
  readonly #request: BenchmarkRequest;
  readonly #parts: BenchmarkParts;
  readonly #control = ControlBlock.create();
  readonly #stop = newStop();
  readonly #scratches: Scratch[] = [];
  readonly #notes: string[] = [];
  #bytesWritten = 0;
  #runner: Promise<ChunkRunner> | undefined;
  #prepared: Prepared | undefined;

  constructor(request: BenchmarkRequest, parts: BenchmarkParts) {
    this.#request = request;
    this.#parts = parts;
  }

  /** Looks at both ends and says what would be done; nothing is written. @throws TransferError */
  async prepare(): Promise<BenchmarkPlan> {
    const { source: from, target: to, sizeBytes, seconds } = this.#request;
    const runner = await this.#threads();
    const source = await this.#orStopped(findSource(from, runner));
    const target = to && (await this.#orStopped(findTarget(to, runner)));
    const ends: Ends = {
      source: source.kind === 'folder' ? 'scratch' : source.kind === 'stream' ? 'stream' : 'file',
      target: target ? 'own' : source.kind === 'folder' ? 'same' : 'none',
    };
    const steps = planSteps(ends, describeMachine().cores);
    const room = source.kind === 'folder' ? roomFor(1, source) : Infinity;
    // The scratch file, and beside it a copy and the one that is about to replace it.
    const budget = budgetOf(ends, steps, sizeBytes, Math.min(room, target ? roomFor(3, target) : Infinity));
    this.#prepared = { source, target, steps, budget };
    const writes = [
      ...(source.kind === 'folder' ? [writeOf(source, budget.sourceBytes)] : []),
      ...(target ? [writeOf(target, budget.targetBytes)] : []),
    ];
    const copies = target ? COPIES : 0;
    return {
      writes,
      bytesMax: writes.reduce((sum, { bytes }) => sum + bytes, 0),
      steps: steps.length + copies,
      secondsAbout: Math.ceil(steps.length * seconds * 1.2 + copies * (COPY_SECONDS + 1) * seconds + writes.length),
    };
  }

  /** Measures; to be called once, after {@link prepare}. @throws TransferError */
  async run(tell: (progress: BenchmarkProgress) => void = () => undefined): Promise<BenchmarkReport> {
    const { source, target, steps, budget } = this.#prepared as Prepared;
    let done = 0;
    const all = steps.length + (target ? COPIES : 0);
    const next = (now: BenchmarkProgress['now']): void => tell({ done: done++, steps: all, now });
    tell({ done, steps: all, now: 'scratch' });
    const read = await this.#ground(source, budget);
    const written = target ? await this.#ground(target, budget) : read;
    this.#noteEnds(source, target);
    const results: MeasurementResult[] = [];
    for (const step of steps) {
      next(step);
      results.push(await this.#step(step, step.end === 'target' ? written : read, budget));
    }
    const copies = target ? await this.#copies(source, target, { read, results, next, budget }) : [];
    const { clock } = this.#parts;
    const targetReport = target ? endReport(target, written.bytes) : undefined;
    const self = source.kind === 'folder' ? endReport(source, read.bytes) : undefined;
    const reported = targetReport ?? self;
    return {
      ...{ schema: 1, type: 'bench', at: clock.wallMs(), machine: describeMachine() },
      source: endReport(source, read.bytes),
      ...(reported && { target: reported }),
      ...{ seconds: this.#request.seconds, bytesWritten: this.#bytesWritten, measurements: results, copies },
      advice: adviceOf(results, copies),
      notes: this.#notes,
    };
  }

  /** Ends what runs at its next block; `run` rejects with E_STOPPED. */
  stop(): void {
    this.#control.stop();
    this.#stop.abort();
  }

  /** Removes all scratch and ends the threads; always to be called, however it went. @throws TransferError */
  async close(): Promise<void> {
    const runner = await this.#threads();
    this.#control.stop();
    this.#control.closeAll();
    const source = this.#prepared?.source;
    try {
      for (const scratch of this.#scratches.splice(0)) {
        await this.#orStopped(runner.run('clear-scratch', { scratch, what: 'all' }));
      }
      if (source?.kind === 'stream') await this.#orStopped(runner.run('close-source', { ref: source.ref }));
    } finally {
      if (!(await runner.close())) this.stuck = true;
    }
  }

  #threads(): Promise<ChunkRunner> {
    this.#runner ??= this.#parts.createRunner(THREADS_MAX);
    return this.#runner;
  }

  /** The work, or the end of the waiting for it when storage hangs after a stop. */
  async #orStopped<T>(work: Promise<T>): Promise<T> {
    const done = await orLate(work, this.#parts.clock, STUCK_MS, this.#stop.signal);
    if (done !== 'late') return done as T;
    this.stuck = true;
    throw new TransferError('E_STOPPED', 'stopped; the storage does not answer', {
      hint: 'A scratch folder named .blockferry-bench-… may be left; the next bench of that folder removes it.',
    });
  }

  /** What is measured at this end: the scratch file, or the beginning of what is there. */
  async #ground(found: FoundEnd, budget: Budget): Promise<Ground> {
    if (found.kind === 'stream') return { ref: found.ref, bytes: Math.min(found.bytes, READ_BYTES_MAX) };
    if (found.kind !== 'folder') {
      return { path: found.location.text, bytes: Math.min(found.bytes, READ_BYTES_MAX) };
    }
    const { path, bytes } = await this.#fill(found.location.text, budget);
    this.#bytesWritten += bytes;
    return { path, bytes };
  }

  async #fill(folder: string, { fileBytes }: Budget): Promise<Filled> {
    const runner = await this.#threads();
    const scratch = await this.#orStopped(runner.run('open-scratch', { folder }));
    this.#scratches.push(scratch);
    const secondsMax = FILL_SECONDS * this.#request.seconds;
    const control = this.#control.shared;
    const task = { scratch, control, secondsMax, bytesMax: fileBytes, bytesMin: Math.min(FILE_BYTES_MIN, fileBytes) };
    return this.#orStopped(runner.run('fill-scratch', task));
  }

  async #step(step: Step, ground: Ground, budget: Budget): Promise<MeasurementResult> {
    const bytesMax = Math.floor(step.share * budget.shareBytes);
    const parts = { control: this.#control.shared, seconds: this.#request.seconds, bytesMax };
    const runner = await this.#threads();
    const result = await this.#orStopped(measureStep(step, ground, { ...parts, runner }));
    if (step.pattern.kind === 'write' && isMeasured(result)) this.#bytesWritten += result.bytes;
    return result;
  }

  async #copies(
    source: FoundEnd,
    target: FoundEnd,
    about: {
      readonly read: Ground;
      readonly results: readonly MeasurementResult[];
      readonly next: (now: CopySettings) => void;
      readonly budget: Budget;
    },
  ): Promise<CopyMeasurement[]> {
    const { read, results, next, budget } = about;
    const runner = await this.#threads();
    const scratch = this.#scratches.at(-1) as Scratch;
    const copy = join(scratch.folder, SCRATCH_COPY);
    const bytes = copyBytes(Math.min(read.bytes, budget.fileBytes), results, this.#request.seconds);
    const scratchFile = source.kind === 'folder' ? read.path : undefined;
    const location =
      scratchFile === undefined ? source.location : { ...source.location, text: scratchFile, links: 'refuse' as const };
    const dropping = dropTask(read, bytes, this.#control.shared);
    const copies = await this.#orStopped(
      measureCopies({
        ...this.#parts,
        ...{ bytes, scratch, next, source: location, signal: this.#stop.signal, perWorker: source.perWorker },
        target: {
          scheme: 'file',
          text: copy,
          name: target.location.name,
          shown: join(scratch.path, SCRATCH_COPY),
          links: 'refuse',
        },
        dropSource: async () => void (dropping && (await runner.run('measure', dropping))),
        leftBehind: () => {
          this.stuck = true;
        },
      }),
    );
    this.#bytesWritten += copies.reduce((sum, { bytes: copied }) => sum + copied + WARM_COPY_BYTES, 0);
    return copies;
  }

  #noteEnds(source: FoundEnd, target: FoundEnd | undefined): void {
    for (const end of [source, target]) {
      if (end === undefined || end.kind === 'stream') continue;
      if (end.hasHoles) this.#notes.push(`${end.location.name} has holes, which are read faster than data`);
      if (end.removed > 0) {
        const what = end.removed === 1 ? 'a scratch folder' : `${end.removed} scratch folders`;
        this.#notes.push(`removed ${what} that an earlier bench, which was killed, had left in ${end.location.name}`);
      }
    }
  }
}

function writeOf(found: FoundEnd, bytes: number): BenchmarkPlan['writes'][number] {
  const free = found.kind === 'stream' ? undefined : found.freeBytes;
  return { name: found.location.name, bytes, ...(free !== undefined && { freeBytes: free }) };
}

/** As much as is copied in a few seconds, if there is so much: a slow end must not make the benchmark endless. */
function copyBytes(most: number, results: readonly MeasurementResult[], seconds: number): number {
  const best = (end: Step['end']): number =>
    Math.max(0, ...results.flatMap((one) => (one.end === end && isMeasured(one) ? [one.bytesPerSecond] : [])));
  const wanted = Math.min(best('source'), best('target')) * seconds * COPY_SECONDS;
  const bytes = Math.max(FILE_BYTES_MIN, Math.min(most, wanted));
  return Math.min(most, Math.floor(bytes / MiB) * MiB);
}

/** A cold reading of no time: all that it does is to empty the page cache of the range. */
function dropTask({ path }: Ground, bytes: number, control: SharedControl) {
  if (path === undefined) return undefined;
  const pattern = { kind: 'read', access: 'cold', order: 'sequential', blockBytes: 4 * KiB } as const;
  return { control, path, pattern, seconds: 0, range: { offset: 0, length: bytes } };
}
