/** Merges a disk image into the one that it builds on, or a whole chain, step by step, on a worker. */
import { nowMs } from '../../core/clock.js';
import type { Merged } from '../../disk/merge.js';
import type { MergeWish, PlannedStep } from '../../disk/merge-plan.js';
import { showPath } from '../../platform/path-bytes.js';
import type { EventStream } from '../event-stream.js';
import type { TransferParts } from '../transfer.js';
import { VerifyLanes } from '../verify-lanes.js';

/** A batch that is being written has to become durable first, which may take long on a slow disk. */
const STUCK_MS = 60_000;

export interface MergeRequest extends MergeWish {
  readonly rateBytesPerSecond: number;
}

export interface MergeResult {
  /** In the order in which they were merged; none: an earlier run had merged it, and this one tidied up. */
  readonly merged: readonly Merged[];
  /** Bytes that were written into the parent. */
  readonly bytesWritten: number;
  readonly elapsedMs: number;
}

export class MergeRun {
  readonly #request: MergeRequest;
  readonly #parts: TransferParts;
  readonly #lanes: VerifyLanes;

  constructor(request: MergeRequest, parts: TransferParts) {
    this.#request = request;
    this.#parts = parts;
    this.#lanes = new VerifyLanes(parts, {
      phase: 'merging',
      counts: 'writtenBytes',
      stopped: 'stopped; what was merged so far is kept, and the disk reads as before',
      stuckMs: STUCK_MS,
    });
    this.#lanes.setRate(request.rateBytesPerSecond);
  }

  get events(): EventStream {
    return this.#lanes.events;
  }

  suspend(): void {
    this.#lanes.suspend();
  }

  /** To be called once. @throws TransferError; the same request goes on */
  async run(): Promise<MergeResult> {
    const { runner, clock } = this.#parts;
    const startMs = nowMs(clock);
    try {
      const { rateBytesPerSecond: _, ...wish } = this.#request;
      const steps = await runner.run('plan-merge', wish);
      this.#lanes.progress.bytesTotal = steps.reduce((sum, { bytes }) => sum + bytes, 0);
      const merged: Merged[] = [];
      await this.#lanes.run(1, async () => {
        const step = steps[merged.length];
        if (step) merged.push(await this.#merge(step, merged.length + 1, steps.length));
        return merged.length < steps.length;
      });
      const bytesWritten = merged.reduce((sum, one) => sum + one.bytesWritten, 0);
      return { merged, bytesWritten, elapsedMs: Math.round(nowMs(clock) - startMs) };
    } finally {
      await this.#lanes.end([]);
    }
  }

  async #merge({ bytes: _, ...step }: PlannedStep, number: number, steps: number): Promise<Merged> {
    const [source, target] = [showPath(step.child), showPath(step.parent)];
    const about = { type: 'step', step: 'merge', number, steps, source, target } as const;
    this.events.emit({ ...about, state: 'started', reason: `merging ${source} into ${target}` });
    const merged = await this.#parts.runner.run('merge-disk', { step, control: this.#lanes.control });
    this.events.emit({ ...about, state: 'done', reason: `${source} is merged into ${target}` });
    return merged;
  }
}
