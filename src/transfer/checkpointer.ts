/**
 * Checkpoints: flush the target, then append to the journal, never the other way round (crash contract, rule 3). Work
 * that is not on record yet is at most two checkpoints: the one being flushed and the one being filled.
 */
import { type Clock, nowMs } from '../core/clock.js';
import { toHex } from '../core/digest.js';
import type { EndpointRef } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import type { Token } from '../core/target.js';
import { MiB } from '../core/units.js';
import type { JournalRef } from '../journal/journal.js';
import { encodeRecord, type JournalRecord } from '../journal/journal.js';
import type { ChunkRunner } from './chunk-runner.js';
import type { Plan } from './plan.js';

export const CHECKPOINT_BYTES = 256 * MiB;
export const CHECKPOINT_MS = 2000;
/** A storage that fails to flush this often in one run is not going to hold the image. */
const FLUSH_FAILURES_MAX = 3;

export interface WrittenChunk {
  readonly chunk: number;
  readonly bytes: number;
  /** Absent: a zero chunk. */
  readonly digest?: Uint8Array;
  readonly token?: Token;
}

export interface CheckpointerParts {
  readonly runner: ChunkRunner;
  readonly plan: Plan;
  readonly clock: Clock;
  readonly target: EndpointRef;
  readonly journal: JournalRef;
  /** Length of the journal in bytes. */
  readonly position: number;
  readonly sync: boolean;
  /** Some claims were made without a flush: they stand or fall with the next one. */
  readonly unsynced: boolean;
  /** When all is on record, nothing comes before the record of the commit that could take long. */
  readonly commitFollows: boolean;
  /** A failed flush is a doubt, and not the end of a storage: what counts is how many follow one another. */
  readonly vouchesForNothing?: boolean | undefined;
  readonly onCheckpoint: (chunks: number, bytes: number, flushMs: number) => void;
  /** A flush failed and these bytes have to be written again. */
  readonly onGivenBack: (bytes: number, error?: TransferError) => void;
}

export class Checkpointer {
  readonly #parts: CheckpointerParts;
  #position: number;
  #filling: WrittenChunk[] = [];
  #fillingBytes = 0;
  #fillingSinceMs = 0;
  #extraLines: string[] = [];
  #running: Promise<void> | undefined;
  #failures = 0;
  #epoch = 0;
  #unsynced: boolean;
  #fatal: TransferError | undefined;

  constructor(parts: CheckpointerParts) {
    this.#parts = parts;
    this.#position = parts.position;
    this.#unsynced = parts.unsynced && parts.sync;
    if (this.#unsynced) this.note({ type: 'synced' });
  }

  /** Changes when a flush failed: what was written under an older epoch may be lost, whoever finished it when. */
  get epoch(): number {
    return this.#epoch;
  }

  /** Records that go along with the next checkpoint. */
  note(record: JournalRecord): void {
    this.#extraLines.push(encodeRecord(record));
  }

  add(written: WrittenChunk, epoch: number): void {
    if (epoch !== this.#epoch) {
      this.#parts.plan.giveBack(written.chunk);
      this.#parts.onGivenBack(written.bytes);
      return;
    }
    this.#parts.plan.written(written.chunk);
    if (this.#filling.length === 0) this.#fillingSinceMs = nowMs(this.#parts.clock);
    this.#filling.push(written);
    this.#fillingBytes += written.bytes;
    this.tick();
  }

  /** Starts a checkpoint when one is due and none is running. */
  tick(): void {
    if (this.#running || this.#filling.length === 0 || this.#fatal) return;
    const due = nowMs(this.#parts.clock) - this.#fillingSinceMs >= CHECKPOINT_MS;
    if (due || this.#fillingBytes >= CHECKPOINT_BYTES) this.#start();
  }

  /**
   * Resolves when there is room for more work that is not on record. @throws TransferError of a checkpoint that failed
   * for good
   */
  async room(): Promise<void> {
    while (this.#running && this.#fillingBytes >= CHECKPOINT_BYTES) await this.#running;
    if (this.#fatal) throw this.#fatal;
  }

  /** Puts everything that is written on record. @throws TransferError of a checkpoint that failed for good */
  async drain(): Promise<void> {
    while (!this.#fatal && (this.#running || this.#filling.length > 0 || this.#extraLines.length > 0)) {
      if (!this.#running) this.#start();
      await this.#running;
    }
    if (this.#fatal) throw this.#fatal;
  }

  /** Appends records at once, without a flush; for words about the job, not about its chunks. */
  async append(records: readonly JournalRecord[]): Promise<void> {
    const { runner, journal, sync } = this.#parts;
    const lines = records.map(encodeRecord).join('');
    const answer = await runner.run('checkpoint', { journal, position: this.#position, lines, sync });
    this.#position = answer.position;
  }

  #start(): void {
    const batch = this.#filling;
    const lines = this.#extraLines;
    this.#filling = [];
    this.#extraLines = [];
    this.#fillingBytes = 0;
    this.#running = this.#checkpoint(batch, lines).finally(() => {
      this.#running = undefined;
      this.tick();
    });
  }

  /** Never rejects: what fails for good is kept for the lanes to meet. */
  async #checkpoint(batch: readonly WrittenChunk[], extraLines: readonly string[]): Promise<void> {
    const { runner, plan, clock, target, journal, sync, commitFollows, onCheckpoint } = this.#parts;
    const before = nowMs(clock);
    const moreFollows = commitFollows && plan.unsettled === batch.length;
    const lines = extraLines.join('') + batch.map((written) => encodeRecord(chunkRecord(written))).join('');
    try {
      const request = { target, journal, position: this.#position, lines, sync, moreFollows };
      const answer = await runner.run('checkpoint', request);
      this.#position = answer.position;
      this.#unsynced = false;
      if (this.#parts.vouchesForNothing) this.#failures = 0;
      for (const { chunk } of batch) plan.settle(chunk);
      const bytes = batch.reduce((sum, written) => sum + written.bytes, 0);
      if (batch.length > 0) onCheckpoint(batch.length, bytes, nowMs(clock) - before);
    } catch (thrown) {
      this.#extraLines = [...extraLines, ...this.#extraLines];
      const error = TransferError.from(thrown);
      if (this.#unsynced) await this.#voidClaims();
      this.#failed(batch, error);
    }
  }

  /** Claims that were never flushed may be among what was lost: the next run must copy them again. */
  async #voidClaims(): Promise<void> {
    this.#extraLines = [];
    await this.append([{ type: 'void' }]).catch((thrown) => {
      this.#parts.onGivenBack(0, TransferError.from(thrown));
    });
  }

  /**
   * After a failed flush Linux marks the pages clean: a second flush would "succeed" and a cached re-hash would
   * "match". So nothing that is not on record may be trusted any more; all of it is written again before the next
   * flush.
   */
  #failed(batch: readonly WrittenChunk[], error: TransferError): void {
    this.#failures++;
    this.#epoch++;
    const lost = [...batch, ...this.#filling];
    this.#filling = [];
    this.#fillingBytes = 0;
    for (const { chunk } of lost) this.#parts.plan.giveBack(chunk);
    this.#parts.onGivenBack(
      lost.reduce((sum, written) => sum + written.bytes, 0),
      error,
    );
    if (error.code !== 'E_FLUSH' || this.#unsynced || this.#failures >= FLUSH_FAILURES_MAX) this.#fatal = error;
  }
}

function chunkRecord({ chunk, digest, token }: WrittenChunk): JournalRecord {
  if (digest === undefined) return { type: 'zero', chunk, count: 1 };
  return { type: 'chunk', chunk, digest: toHex(digest), ...(token !== undefined && { token }) };
}
