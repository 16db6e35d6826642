/**
 * One file of a job while it is copied: a transfer that stops before its target gets its name, and waits there to be
 * told, unless the job commits by itself.
 */
import type { Clock } from '../core/clock.js';
import { TransferError } from '../core/errors.js';
import type { TransferEvent } from '../core/events.js';
import type { PartMark } from '../core/target.js';
import { parseLocation } from '../endpoint/location.js';
import type { ChunkMapView } from '../transfer/chunk-map.js';
import type { ChunkRunner } from '../transfer/chunk-runner.js';
import type { ProvenPart } from '../transfer/proven-file.js';
import { Transfer, type TransferRequest } from '../transfer/transfer.js';
import type { TransferResult } from '../transfer/transfer-result.js';
import { asJob } from './as-job.js';
import { isBackground, type Job, type JobFile } from './job.js';

export interface FileRunParts {
  readonly runner: ChunkRunner;
  readonly clock: Clock;
  readonly random: () => number;
  /** Shared with others, innermost first, and which of them count. */
  readonly paces: readonly SharedArrayBuffer[];
  readonly counts: (at: number) => boolean;
  /** Asked when all of it is proven: whether it waits for `commit`. */
  readonly holds: () => boolean;
  readonly onEvent: (event: TransferEvent) => void;
  /** Bytes of the whole. */
  readonly onHeld: (size: number) => void;
  /** Called before the target gets its name, which waits for it. */
  readonly onCommit: (mark: PartMark) => Promise<void>;
}

export type FileEnd = { readonly result: TransferResult } | { readonly error: TransferError };

export class FileRun {
  readonly ended: Promise<FileEnd>;
  readonly #transfer: Transfer;
  readonly #released: Promise<void>;
  #release: (error?: TransferError) => void = () => undefined;

  constructor(job: Job, file: JobFile, parts: FileRunParts) {
    const { runner, clock, random, paces, holds, onHeld, onCommit } = parts;
    this.#released = new Promise((resolve, reject) => {
      this.#release = (error) => (error ? reject(error) : resolve());
    });
    // Nobody may be waiting for it when it is stopped.
    this.#released.catch(() => undefined);
    const beforeCommit = async ({ part }: ProvenPart): Promise<void> => {
      if (holds()) {
        onHeld(part.size);
        await this.#released;
      }
      await onCommit(part);
    };
    this.#transfer = new Transfer(requestOf(job, file), { runner, clock, random, paces, beforeCommit });
    this.#transfer.countPaces(parts.counts);
    this.ended = this.#run(parts.onEvent);
  }

  /** Never rejects. */
  async #run(onEvent: (event: TransferEvent) => void): Promise<FileEnd> {
    const told = this.#tell(onEvent);
    try {
      return { result: await this.#transfer.run() };
    } catch (thrown) {
      return { error: asJob(TransferError.from(thrown)) };
    } finally {
      await told;
    }
  }

  async #tell(onEvent: (event: TransferEvent) => void): Promise<void> {
    for await (const event of this.#transfer.events) onEvent(event);
  }

  /** What waits gives its target the name; what is under way does so when it is proven. */
  commit(): void {
    this.#release();
  }

  preempt(): void {
    this.#transfer.preempt();
  }

  proceed(): void {
    this.#transfer.proceed();
  }

  /** What is finished goes on record, and `ended` has E_STOPPED. */
  suspend(): void {
    this.#release(new TransferError('E_STOPPED', 'stopped before its target got its name; all of it is on record'));
    this.#transfer.suspend();
  }

  /** Bytes per second; 0: none. */
  setLimit(bytesPerSecond: number): void {
    this.#transfer.setRate(bytesPerSecond);
  }

  countPaces(counts: (at: number) => boolean): void {
    this.#transfer.countPaces(counts);
  }

  /** 0 until its ends are known. */
  get bytesTotal(): number {
    return this.#transfer.bytesTotal;
  }

  chunkMap(cells: number): ChunkMapView | undefined {
    return this.#transfer.chunkMap(cells);
  }

  /** Once `ended` has resolved: a storage that does not answer still holds something. */
  get leftBehind(): Promise<unknown> | undefined {
    return this.#transfer.leftBehind;
  }
}

function requestOf({ options, limitBytesPerSecond, priority }: Job, { source, target }: JobFile): TransferRequest {
  const { algorithm = 'xxh64', chunkBytes, lanes, readBack = false, preserve = false, reflink = 'auto' } = options;
  const { overwrite = false, delta = false, sync = true, check = true } = options;
  return {
    source: parseLocation(source.text),
    target: parseLocation(target.text),
    rateBytesPerSecond: limitBytesPerSecond,
    discard: false,
    background: isBackground(priority),
    ...{ algorithm, chunkBytes, lanes, readBack, preserve, reflink, overwrite, delta, sync, check },
  };
}
