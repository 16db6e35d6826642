/** Compares two locations chunk by chunk, on the workers, and tells exactly where they differ. Nothing is written. */
import { type ByteRange, CHUNK_BYTES_DEFAULT, ChunkGrid } from '../core/chunk.js';
import { nowMs } from '../core/clock.js';
import { type Algorithm, DIGEST_BYTES, loadHasher, rootDigest, toHex } from '../core/digest.js';
import type { Location } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import { formatBytes, KiB } from '../core/units.js';
import { sparingCache } from './cache-use.js';
import { ControlBlock } from './control-block.js';
import { EventStream } from './event-stream.js';
import { Pace } from './pace.js';
import { Progress, TICK_MS } from './progress.js';
import type { CompareOutcome, SourceInfo } from './requests.js';
import { withRetry } from './retry.js';
import type { TransferParts } from './transfer.js';

const BLOCK_BYTES = 256 * KiB;
const DETACH_MS = 2000;
/** More ranges than this are counted but not listed. */
const RANGES_MAX = 10_000;

export interface VerifyRequest {
  readonly one: Location;
  readonly other: Location;
  readonly algorithm: Algorithm;
}

export interface VerifyResult {
  readonly same: boolean;
  readonly one: { readonly name: string; readonly size: number };
  readonly other: { readonly name: string; readonly size: number };
  /** Where the bytes differ, in order, merged where they touch; what only one of the two has counts as differing. */
  readonly differing: readonly ByteRange[];
  readonly bytesDiffering: number;
  /** The hash over the chunk digests of `one`, in hex. */
  readonly root: string;
  readonly algorithm: Algorithm;
  readonly chunkBytes: number;
  readonly elapsedMs: number;
}

export class Verification {
  readonly events: EventStream;
  readonly #request: VerifyRequest;
  readonly #parts: TransferParts;
  readonly #control = ControlBlock.create();
  readonly #stop = new AbortController();
  readonly #progress: Progress;
  #failure: TransferError | undefined;

  constructor(request: VerifyRequest, parts: TransferParts) {
    this.#request = request;
    this.#parts = parts;
    this.events = new EventStream(() => parts.clock.wallMs());
    const pace = new Pace(this.#control.pace, parts.clock);
    this.#progress = new Progress({ control: this.#control, pace, clock: parts.clock, counts: 'readBytes' });
  }

  suspend(): void {
    this.#control.stop();
    this.#stop.abort();
  }

  /** To be called once. @throws TransferError; that the two differ is an answer and no error */
  async run(): Promise<VerifyResult> {
    const { runner, clock } = this.#parts;
    const startMs = nowMs(clock);
    const opened: SourceInfo[] = [];
    try {
      for (const location of [this.#request.one, this.#request.other]) {
        const end = await runner.run('open-source', { location });
        opened.push({ ...end, ref: sparingCache(end.ref, end.size, this.#parts.memoryBytes) });
      }
      const [one, other] = opened as [SourceInfo, SourceInfo];
      const compared = await this.#compare(one, other);
      for (const end of opened) await runner.run('check-source', { ref: end.ref });
      return this.#result(one, other, compared, nowMs(clock) - startMs);
    } finally {
      this.events.end();
      this.#control.stop();
      this.#control.closeAll();
      if (await this.#control.untilDetached(this.#parts.clock, DETACH_MS)) {
        for (const { ref } of opened) await runner.run('close-source', { ref });
      }
    }
  }

  async #compare(one: SourceInfo, other: SourceInfo): Promise<CompareOutcome & { readonly grid: ChunkGrid }> {
    const grid = new ChunkGrid(Math.min(one.size, other.size), CHUNK_BYTES_DEFAULT);
    const digests = new Uint8Array(grid.count * DIGEST_BYTES[this.#request.algorithm]);
    const differing: ByteRange[][] = [];
    this.#progress.bytesTotal = grid.size;
    this.#progress.phase = 'reading-back';
    let next = 0;
    const lane = async (): Promise<void> => {
      while (next < grid.count && !this.#control.stopped) {
        const chunk = next++;
        const outcome = await this.#compareChunk(grid.range(chunk), one, other);
        digests.set(outcome.digest, chunk * outcome.digest.length);
        if (outcome.differing.length > 0) differing[chunk] = [...outcome.differing];
      }
    };
    const ticking = this.#tick();
    const perWorker = Math.max(one.readsPerWorker, other.readsPerWorker);
    const lanes = Array.from({ length: this.#parts.runner.workers * perWorker }, () =>
      lane().catch((e) => this.#fail(e)),
    );
    await Promise.all(lanes);
    this.#stop.abort();
    await ticking;
    if (this.#failure) throw this.#failure;
    if (this.#control.stopped) throw new TransferError('E_STOPPED', 'stopped; nothing was changed');
    const longer = one.size > other.size ? one : other;
    const tail = longer.size - grid.size;
    if (tail > 0 && longer.sizeIs === 'capacity') this.#tellOfTail(longer.name, tail);
    else if (tail > 0) differing[grid.count] = [{ offset: grid.size, length: tail }];
    return { grid, digest: digests, differing: differing.flat() };
  }

  #compareChunk(range: ByteRange, one: SourceInfo, other: SourceInfo): Promise<CompareOutcome> {
    const { runner, clock, random } = this.#parts;
    const { algorithm } = this.#request;
    const control = this.#control.shared;
    const task = { range, one: one.ref, other: other.ref, algorithm, blockBytes: BLOCK_BYTES, control };
    return withRetry(() => runner.run('compare', task), {
      clock,
      random,
      signal: this.#stop.signal,
      onRetry: (attempt, waitMs, error) =>
        this.events.emit({
          type: 'retry',
          chunk: Math.floor(range.offset / CHUNK_BYTES_DEFAULT),
          attempt,
          waitMs,
          error: error.toJSON(),
        }),
    });
  }

  /** What a device has behind the image that was put on it belongs to nobody. */
  #tellOfTail(name: string, tail: number): void {
    const message = `${name} has ${formatBytes(tail)} more than the other, which were not compared: it is a device`;
    this.events.emit({ type: 'note', message });
  }

  #fail(thrown: unknown): void {
    this.#failure ??= TransferError.from(thrown);
    this.#control.stop();
  }

  async #tick(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await this.#parts.clock.sleep(TICK_MS, this.#stop.signal);
      this.events.emit(this.#progress.event());
    }
  }

  async #result(
    one: SourceInfo,
    other: SourceInfo,
    compared: CompareOutcome & { readonly grid: ChunkGrid },
    elapsedMs: number,
  ): Promise<VerifyResult> {
    const { algorithm } = this.#request;
    const { size, chunkBytes } = compared.grid;
    const differing = mergeTouching(compared.differing);
    const root = rootDigest(await loadHasher(algorithm), { algorithm, chunkBytes, size }, compared.digest);
    return {
      same: differing.length === 0,
      one: { name: one.name, size: one.size },
      other: { name: other.name, size: other.size },
      differing: differing.slice(0, RANGES_MAX),
      bytesDiffering: differing.reduce((sum, range) => sum + range.length, 0),
      root: toHex(root),
      algorithm,
      chunkBytes,
      elapsedMs: Math.round(elapsedMs),
    };
  }
}

function mergeTouching(ranges: readonly ByteRange[]): ByteRange[] {
  const merged: { offset: number; length: number }[] = [];
  for (const { offset, length } of ranges) {
    const last = merged.at(-1);
    if (last && last.offset + last.length === offset) last.length += length;
    else merged.push({ offset, length });
  }
  return merged;
}
