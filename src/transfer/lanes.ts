/**
 * Lanes: loops that take a chunk from the plan, have a worker carry it out, retry it, and hand it to the checkpointer.
 * They end when the plan has nothing to start, when the job is stopped, or when one of them fails for good, which stops
 * the others.
 */
import { type Clock, orLate } from '../core/clock.js';
import type { Algorithm } from '../core/digest.js';
import type { EndpointRef } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import type { EventBody } from '../core/events.js';
import { newStop } from '../core/stop.js';
import { MiB } from '../core/units.js';
import type { Claims } from '../journal/journal.js';
import type { Checkpointer } from './checkpointer.js';
import type { ChunkRunner } from './chunk-runner.js';
import type { ControlBlock } from './control-block.js';
import type { Plan, PlanEntry } from './plan.js';
import { whenAllowed } from './preempted.js';
import type { Progress } from './progress.js';
import type { ChunkOutcome, ChunkTask, ChunkWork } from './requests.js';
import { withRetry } from './retry.js';

export interface LaneParts {
  readonly runner: ChunkRunner;
  readonly control: ControlBlock;
  readonly clock: Clock;
  readonly random: () => number;
  readonly emit: (event: EventBody) => void;
  readonly progress: Progress;
  readonly plan: Plan;
  readonly claims: Claims;
  readonly checkpointer: Checkpointer;
  readonly source: EndpointRef;
  readonly target: EndpointRef;
  readonly algorithm: Algorithm;
  readonly blockBytes: number;
  readonly lanes: number;
  /** Share the blocks of the source, where that can be (auto) or else fail (always). */
  readonly clone: 'auto' | 'always' | undefined;
  /** Take over what the target that is to be replaced has. */
  readonly delta: boolean;
  /** The source may have changed since the claims were made: a proof reads it too. */
  readonly alsoSource: boolean;
  /** Aborts when the job is stopped. */
  readonly signal: AbortSignal;
}

type LaneEntry = Omit<PlanEntry, 'work'> & { readonly work: ChunkWork; readonly alsoSource?: boolean };

/** How long a stop waits for tasks, which look for it at every block. */
const STUCK_MS = 2000;
/** Nothing reads ahead past the cache, so each read has to be worth its way. */
const READ_BACK_BYTES = MiB;

export class Lanes {
  readonly #parts: LaneParts;
  readonly #digestBytes: number;
  #failure: TransferError | undefined;
  #pastCache = true;

  constructor(parts: LaneParts) {
    this.#parts = parts;
    this.#digestBytes = parts.claims.digests.length / (parts.plan.grid.count || 1);
    parts.progress.time.laneCount = parts.lanes;
  }

  /** Whether all that was read back came from the storage itself. */
  get pastCache(): boolean {
    return this.#pastCache;
  }

  digestOf(chunk: number): Uint8Array {
    return this.#parts.claims.digests.subarray(chunk * this.#digestBytes, (chunk + 1) * this.#digestBytes);
  }

  /**
   * Works until the plan has nothing to start. @throws TransferError of the first lane that failed, E_STOPPED when
   * stopped
   */
  async runPlan(): Promise<void> {
    await this.#runAll(async () => {
      await this.#parts.progress.time.during('flushMs', this.#parts.checkpointer.room());
      const entry = this.#parts.plan.next();
      if (entry) await this.#work(entry);
      return entry !== undefined;
    });
  }

  /** Reads the chunks back past the cache, and answers those that are not what was written. */
  async readBack(chunks: Iterable<number>): Promise<number[]> {
    return this.#findDiffering(chunks, { work: 'read-back' });
  }

  /** Reads all of source and target again, and answers the chunks of which one is not what was copied. */
  async proveSource(): Promise<number[]> {
    return this.#findDiffering(Array(this.#parts.plan.grid.count).keys(), { work: 'prove', alsoSource: true });
  }

  async #findDiffering(chunks: Iterable<number>, how: Pick<LaneEntry, 'work' | 'alsoSource'>): Promise<number[]> {
    const differing: number[] = [];
    const rest = chunks[Symbol.iterator]();
    await this.#runAll(async () => {
      const { value: chunk, done } = rest.next();
      if (done) return false;
      if (how.work === 'read-back') this.#parts.plan.map.started(chunk, 'read-back');
      const outcome = await this.#withRetry({ chunk, sparseBytes: 0, knownZero: false, ...how }, this.digestOf(chunk));
      if (!outcome.same) differing.push(chunk);
      else if (how.work === 'read-back') this.#parts.plan.map.settled(chunk);
      if (how.work === 'read-back') this.#pastCache &&= outcome.pastCache;
      return true;
    });
    return differing;
  }

  async #runAll(step: () => Promise<boolean>): Promise<void> {
    const { lanes, control, clock, signal, progress } = this.#parts;
    const { time } = progress;
    const ending = newStop();
    let [ended, over] = [0, false];
    const lane = async (): Promise<void> => {
      try {
        let more = true;
        while (more && !control.stopped) more = await step();
      } catch (thrown) {
        this.#failure ??= TransferError.from(thrown);
        control.stop();
        ending.abort();
      } finally {
        ended++;
        if (!over) time.change('idleMs', 1);
      }
    };
    const all = Promise.all(Array.from({ length: lanes }, lane));
    // A task that is stuck in a system call is left behind: its chunk is not on record.
    await orLate(all, clock, STUCK_MS, AbortSignal.any([signal, ending.signal]));
    over = true;
    time.change('idleMs', -ended);
    if (this.#failure) throw this.#failure;
    if (control.stopped) throw new TransferError('E_STOPPED', 'stopped; finished chunks are kept');
  }

  /** Puts everything on record, which all lanes wait for. @throws TransferError of a checkpoint that failed for good */
  async drain(): Promise<void> {
    const { checkpointer, lanes } = this.#parts;
    await this.#parts.progress.time.during('flushMs', checkpointer.drain(), lanes);
  }

  async #work(entry: PlanEntry): Promise<void> {
    const { plan, progress, checkpointer, claims } = this.#parts;
    const { chunk, work } = entry;
    const { length } = plan.grid.range(chunk);
    const { epoch } = checkpointer;
    const expected = work === 'prove' ? this.digestOf(chunk) : undefined;
    const outcome = await this.#withRetry(entry, expected);
    if (work === 'prove') {
      // What was read before a flush failed proves nothing of what is there after it.
      if (outcome.same && epoch === checkpointer.epoch) plan.settle(chunk);
      else plan.giveBack(chunk);
      if (outcome.same) progress.bytesReused += length;
      else progress.bytesMismatched += length;
      return;
    }
    if (work === 'zero') {
      progress.bytesZero += length;
      checkpointer.add({ chunk, bytes: length }, epoch);
      return;
    }
    claims.digests.set(outcome.digest, chunk * this.#digestBytes);
    const { digest, token, adopted } = outcome;
    if (adopted) {
      progress.bytesReused += length;
      progress.bytesAdopted += length;
    }
    if (token !== undefined) claims.tokens.set(chunk, token);
    checkpointer.add({ chunk, bytes: length, digest, ...(token !== undefined && { token }) }, epoch);
  }

  #withRetry(entry: LaneEntry, expected?: Uint8Array): Promise<ChunkOutcome> {
    const { clock, random, signal, emit, progress, plan } = this.#parts;
    const { chunk } = entry;
    return withRetry((attempt) => this.#run(attempt === 1 ? entry : { ...entry, knownZero: false }, expected), {
      clock,
      random,
      signal,
      waiting: (wait) => progress.time.during('retryMs', wait),
      onRetry: (attempt, waitMs, error) => {
        plan.map.retried(chunk);
        emit({ type: 'retry', chunk, attempt, waitMs, error: error.toJSON() });
      },
    });
  }

  async #run(entry: LaneEntry, expected?: Uint8Array): Promise<ChunkOutcome> {
    const { runner, plan, progress, source, target, algorithm, blockBytes, alsoSource, control, clone } = this.#parts;
    const token = this.#parts.claims.tokens.get(entry.chunk);
    const task: ChunkTask = {
      ...entry,
      range: plan.grid.range(entry.chunk),
      source,
      target,
      algorithm,
      blockBytes: entry.work === 'read-back' ? READ_BACK_BYTES : blockBytes,
      alsoSource: entry.work === 'prove' && (entry.alsoSource ?? alsoSource),
      control: control.shared,
      ...(entry.work === 'copy' && { clone, delta: this.#parts.delta }),
      ...(expected && { expected }),
      ...(expected && token !== undefined && { token }),
    };
    const waiting = (wait: Promise<void>): Promise<void> => progress.time.during('queuedMs', wait);
    return whenAllowed(() => progress.time.task(runner.run('chunk', task)), { control, waiting });
  }
}
