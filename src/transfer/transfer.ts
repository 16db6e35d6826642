/**
 * One job from its first look at the ends to the name on the target:
 *
 *     open ▸ copy and prove what the plan says ▸ flush ▸ read back, repair ▸ source unchanged
 *          ▸ record the commit ▸ publish ▸ drop the journal
 *
 * However it ends, what was finished is on record first.
 */
import { type Clock, nowMs, orLate } from '../core/clock.js';
import { TransferError } from '../core/errors.js';
import type { JobState } from '../core/events.js';
import { newStop } from '../core/stop.js';
import { KiB } from '../core/units.js';
import type { ManifestWriter } from '../journal/manifest-writer.js';
import { showPath } from '../platform/path-bytes.js';
import { type MemoryBytes, sparingOthers } from './cache-use.js';
import { CarryOut } from './carry-out.js';
import type { Checksum } from './checksum.js';
import type { ChunkMapView } from './chunk-map.js';
import type { ChunkRunner } from './chunk-runner.js';
import { ControlBlock } from './control-block.js';
import { EventStream } from './event-stream.js';
import { type OpenedJob, type OpenedWork, type OpenRequest, openJob } from './opening.js';
import { openingNotes, resumedText } from './opening-notes.js';
import { Pace } from './pace.js';
import type { Plan } from './plan.js';
import { Progress, TICK_MS } from './progress.js';
import type { ProvenFile, ProvenPart } from './proven-file.js';
import type { RetryRules } from './retry.js';
import { lanesFor } from './sizing.js';
import { tidyUp } from './tidy-up.js';
import type { TransferResult } from './transfer-result.js';

export interface TransferRequest extends OpenRequest {
  /** Loops that copy chunks at the same time; absent: as many as suit the ends. */
  readonly lanes?: number | undefined;
  /** Bytes of one read or write. */
  readonly blockBytes?: number | undefined;
  readonly readBack: boolean;
  /** Give way to others: at the processor, in the page cache, and by never leaving much to be written out. */
  readonly background?: boolean | undefined;
  /** Keep the attributes of the source. */
  readonly preserve?: boolean | undefined;
}

export interface TransferParts {
  readonly runner: ChunkRunner;
  readonly clock: Clock;
  /** From 0 up to 1. */
  readonly random: () => number;
  /** Default: what the system says. */
  readonly memoryBytes?: MemoryBytes;
  /** Paces that it shares with other jobs, innermost first; its own comes before them. */
  readonly paces?: readonly SharedArrayBuffer[];
  /** Called when all is proven and the target is about to get its name, or has it by a commit that was cut short. */
  readonly beforeCommit?: (proven: ProvenPart) => Promise<void>;
}

const BLOCK_BYTES_DEFAULT = 256 * KiB;
/** How long a storage may take to let go of a job's ends, and one that was just begun to answer at all. */
const STUCK_MS = 2000;

export class Transfer {
  readonly events: EventStream;
  readonly #request: TransferRequest;
  readonly #parts: TransferParts;
  readonly #control: ControlBlock;
  readonly #pace: Pace;
  readonly #progress: Progress;
  readonly #stop = newStop();
  #manifest: ManifestWriter | undefined;
  #proven: ProvenFile | undefined;
  #checksum: Checksum | undefined;
  #names: { readonly source: string; readonly target: string };
  #plan: Plan | undefined;
  readonly #left: Promise<unknown>[] = [];

  constructor(request: TransferRequest, parts: TransferParts) {
    this.#request = request;
    this.#parts = parts;
    this.#control = ControlBlock.create(parts.paces);
    this.#names = { source: request.source.name, target: request.target.name };
    this.events = new EventStream(() => parts.clock.wallMs());
    this.#pace = new Pace(this.#control.pace, parts.clock);
    this.#pace.setRate(request.rateBytesPerSecond);
    this.#progress = new Progress({ control: this.#control, pace: this.#pace, clock: parts.clock });
  }

  /** Ends every task at its next block; what is finished goes on record, and `run` rejects with E_STOPPED. */
  suspend(): void {
    this.#control.stop();
    this.#stop.abort();
  }

  /** Ends every task at its next block; what is under way then is done again when the job proceeds. */
  preempt(): void {
    this.#control.preempt();
  }

  proceed(): void {
    this.#control.proceed();
  }

  /** Which of the paces that it shares count, from the next chunk on. */
  countPaces(counts: (at: number) => boolean): void {
    this.#control.countPaces(counts);
  }

  /** Bytes per second from the next block on; 0 lifts the limit. */
  setRate(bytesPerSecond: number): void {
    this.#pace.setRate(bytesPerSecond);
  }

  /** Digests and root of the target, once `run` has resolved; undefined where damage to a journal cost some. */
  get proven(): ProvenFile | undefined {
    return this.#proven;
  }

  /** 0 until both ends are known. */
  get bytesTotal(): number {
    return this.#progress.bytesTotal;
  }

  /** What has become of the chunks, in at most so many cells; undefined until both ends are known. */
  chunkMap(cells: number): ChunkMapView | undefined {
    return this.#plan?.map.view(cells);
  }

  /** Once `run` has settled: ends when a storage that does not answer has let go of all; undefined: nothing is left. */
  get leftBehind(): Promise<unknown> | undefined {
    return this.#left.length === 0 ? undefined : Promise.allSettled(this.#left);
  }

  /** Carries the job out; to be called once. @throws TransferError */
  async run(): Promise<TransferResult> {
    const { clock } = this.#parts;
    const startMs = nowMs(clock);
    try {
      this.#state('connecting', 'looking at both ends');
      const { manifest, sync } = this.#request;
      if (manifest !== undefined) {
        const { ManifestWriter } = await import('../journal/manifest-writer.js');
        this.#manifest = await ManifestWriter.begin(manifest, { sync });
      }
      const job = sparingOthers(await this.#open(), this.#request.background ?? false, this.#parts.memoryBytes);
      this.#names = { source: job.source.name, target: job.site.name };
      for (const sentence of [...(job.gate?.notes ?? []), ...(job.site.notes ?? [])]) this.#note(sentence);
      this.#progress.bytesTotal = job.grid.size;
      const bytesRepaired = await this.#withEnds(job);
      this.#state('acknowledged', 'complete and proven');
      return this.#result(job, bytesRepaired, nowMs(clock) - startMs);
    } catch (thrown) {
      const error = TransferError.from(thrown);
      this.#state(error.code === 'E_STOPPED' ? 'suspended' : 'error', error.message, error);
      throw error;
    } finally {
      await this.#manifest?.abandon().catch((thrown) => this.#note(TransferError.from(thrown).message));
      this.events.end();
    }
  }

  /** A storage that hangs is not waited for when the job is stopped. */
  async #open(): Promise<OpenedJob> {
    const { runner, clock } = this.#parts;
    const opening = openJob(this.#request, runner, this.#retryRules(), this.#control.shared);
    const job = await orLate(opening, clock, STUCK_MS, this.#stop.signal);
    if (job !== 'late') return job;
    this.#left.push(opening.then((opened) => this.#close(opened, true)));
    throw new TransferError('E_STOPPED', 'stopped while a storage did not answer; what was on record is kept');
  }

  /** Answers the bytes that were read back wrong and repaired. */
  async #withEnds(job: OpenedJob): Promise<number> {
    const { clock } = this.#parts;
    try {
      const bytesRepaired = job.work ? await this.#carryOut(job, job.work) : await this.#tidyUp(job);
      this.#progress.phase = 'done';
      this.events.emit(this.#progress.event());
      return bytesRepaired;
    } finally {
      this.#control.stop();
      this.#control.closeAll();
      const closing = Promise.allSettled(this.#left).then(() => this.#close(job, false));
      if ((await orLate(closing, clock, STUCK_MS, AbortSignal.abort())) === 'late') this.#left.push(closing);
    }
  }

  /** A descriptor that a stuck thread may still use must not become another file's. */
  async #close({ source, journal, work }: OpenedJob, withJournal: boolean): Promise<void> {
    const { runner, clock } = this.#parts;
    while (!(await this.#control.untilDetached(clock, STUCK_MS)));
    if (work) await runner.run('close-target', { ref: work.prepared.ref });
    await runner.run('close-source', { ref: source.ref });
    if (withJournal) await runner.run('close-journal', { ref: journal });
  }

  async #carryOut(job: OpenedJob, work: OpenedWork): Promise<number> {
    const { runner } = this.#parts;
    this.#plan = work.plan;
    for (const sentence of openingNotes(job)) this.#note(sentence);
    const carryOut = new CarryOut({
      ...this.#parts,
      request: this.#request,
      job,
      work,
      control: this.#control,
      progress: this.#progress,
      signal: this.#stop.signal,
      emit: (event) => this.events.emit(event),
      leave: (unfinished) => this.#left.push(unfinished),
      blockBytes: this.#request.blockBytes ?? BLOCK_BYTES_DEFAULT,
      lanes: lanesFor(job, this.#request, runner.workers),
      manifest: this.#manifest,
    });
    this.#state('transferring', work.resumed ? resumedText(job.grid, work.claims) : 'copying');
    const ticking = this.#tick(carryOut);
    try {
      this.#proven = await carryOut.run();
      this.#checksum = carryOut.checksum;
      return carryOut.bytesRepaired;
    } finally {
      this.#stop.abort();
      await ticking;
    }
  }

  #retryRules(): RetryRules {
    const { clock, random } = this.#parts;
    const onRetry: RetryRules['onRetry'] = (attempt, waitMs, error) =>
      this.events.emit({ type: 'retry', attempt, waitMs, error: error.toJSON() });
    return { clock, random, signal: this.#stop.signal, onRetry };
  }

  /** A commit that a crash cut short has been finished: the journal is all that was left. */
  async #tidyUp(job: OpenedJob): Promise<number> {
    this.#note('an earlier run had copied and proven everything; its last step was finished now');
    this.#progress.bytesReused = job.grid.size;
    const ticking = this.#tick();
    try {
      const { proven, checksum } = await tidyUp(job, {
        ...{ ...this.#parts, request: this.#request, control: this.#control, progress: this.#progress },
        ...{ signal: this.#stop.signal, manifest: this.#manifest },
      });
      this.#proven = proven;
      this.#checksum = checksum;
      return 0;
    } finally {
      this.#stop.abort();
      await ticking;
    }
  }

  async #tick(carryOut?: CarryOut): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await this.#parts.clock.sleep(TICK_MS, this.#stop.signal);
      carryOut?.tick();
      this.events.emit(this.#progress.event());
      const limit = this.#progress.limitEvent();
      if (limit) this.events.emit(limit);
    }
  }

  #note(message: string): void {
    this.events.emit({ type: 'note', message });
  }

  #state(state: JobState, reason: string, error?: TransferError): void {
    this.events.emit({ type: 'state', state, ...this.#names, reason, ...(error && { error: error.toJSON() }) });
  }

  #result(job: OpenedJob, bytesRepaired: number, elapsedMs: number): TransferResult {
    const { bytesTotal, bytesReused, bytesAdopted, bytesZero, bytesMismatched, proof } = this.#progress;
    const bytesCloned = this.#control.counter('clonedBytes');
    const bytesCopied = this.#control.counter('writtenBytes') - bytesCloned;
    const { algorithm } = job;
    const { chunkBytes } = job.grid;
    return {
      ...this.#names,
      bytesTotal,
      bytesReused: bytesReused - bytesAdopted,
      bytesAdopted,
      bytesZero,
      bytesMismatched,
      bytesCopied,
      bytesCloned,
      proof,
      algorithm,
      chunkBytes,
      bytesRepaired,
      root: this.#proven?.root ?? '',
      of: job.source.of ?? 'container',
      ...(this.#manifest && { manifest: showPath(this.#manifest.path) }),
      ...(this.#checksum && { checksum: this.#checksum }),
      elapsedMs: Math.round(elapsedMs),
      spent: this.#progress.time.account(this.#parts.runner.workers),
    };
  }
}
