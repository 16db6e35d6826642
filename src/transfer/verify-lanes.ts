/** What all work shares that is no copy: events and progress, a stop, lanes that work through what there is to do. */
import { orLate } from '../core/clock.js';
import type { EndpointRef } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import type { Phase } from '../core/events.js';
import { newStop } from '../core/stop.js';
import { ControlBlock, type SharedControl } from './control-block.js';
import { EventStream } from './event-stream.js';
import { Pace } from './pace.js';
import { Progress, TICK_MS } from './progress.js';
import { type RetryRules, withRetry } from './retry.js';
import type { TransferParts } from './transfer.js';

const DETACH_MS = 2000;

export interface LanesAbout {
  readonly phase: Phase;
  readonly counts: 'writtenBytes' | 'readBytes';
  /** What a stop says to the user. */
  readonly stopped: string;
  /** How long a stop waits for tasks, which look for it at every block. */
  readonly stuckMs: number;
  /** Told to by several; whoever made it ends it. */
  readonly events?: EventStream;
}

const VERIFYING: LanesAbout = {
  phase: 'reading-back',
  counts: 'readBytes',
  stopped: 'stopped; nothing was changed',
  stuckMs: 2000,
};

export class VerifyLanes {
  readonly events: EventStream;
  readonly progress: Progress;
  readonly #parts: TransferParts;
  readonly #about: LanesAbout;
  readonly #control = ControlBlock.create();
  readonly #pace: Pace;
  readonly #stop = newStop();
  #failure: TransferError | undefined;

  constructor(parts: TransferParts, about: LanesAbout = VERIFYING) {
    this.#parts = parts;
    this.#about = about;
    this.events = about.events ?? new EventStream(() => parts.clock.wallMs());
    this.#pace = new Pace(this.#control.pace, parts.clock);
    const { counts } = about;
    this.progress = new Progress({ control: this.#control, pace: this.#pace, clock: parts.clock, counts });
    this.progress.phase = about.phase;
  }

  /** For tasks: what stops them, and what they count in. */
  get control(): SharedControl {
    return this.#control.shared;
  }

  get stopped(): boolean {
    return this.#control.stopped;
  }

  suspend(): void {
    this.#control.stop();
    this.#stop.abort();
  }

  setRate(bytesPerSecond: number): void {
    this.#pace.setRate(bytesPerSecond);
  }

  note(message: string): void {
    this.events.emit({ type: 'note', message });
  }

  /**
   * Has `lanes` loops call `step` until it answers false, and tells of the progress meanwhile. To be called once.
   * @throws TransferError of the first lane that failed, E_STOPPED when stopped
   */
  async run(lanes: number, step: () => Promise<boolean>): Promise<void> {
    const lane = async (): Promise<void> => {
      try {
        let more = true;
        while (more && !this.#control.stopped) more = await step();
      } catch (thrown) {
        this.#failure ??= TransferError.from(thrown);
        this.suspend();
      }
    };
    const done = new AbortController();
    const ticking = this.#tick(done.signal);
    const all = Promise.all(Array.from({ length: lanes }, lane));
    // A task that is stuck in a system call is left behind.
    await orLate(all, this.#parts.clock, this.#about.stuckMs, this.#stop.signal);
    done.abort();
    await ticking;
    if (this.#failure) throw this.#failure;
    if (this.#control.stopped) throw new TransferError('E_STOPPED', this.#about.stopped);
  }

  withRetry<T>(chunk: number, work: () => Promise<T>): Promise<T> {
    return withRetry(work, this.retryRules({ chunk }));
  }

  retryRules(about: { readonly chunk?: number } = {}): RetryRules {
    const { clock, random } = this.#parts;
    const onRetry: RetryRules['onRetry'] = (attempt, waitMs, error) =>
      this.events.emit({ type: 'retry', ...about, attempt, waitMs, error: error.toJSON() });
    return { clock, random, signal: this.#stop.signal, onRetry };
  }

  /** Ends the telling, and closes the sources once no thread uses them any more. */
  async end(opened: readonly EndpointRef[]): Promise<void> {
    if (!this.#about.events) this.events.end();
    this.#control.stop();
    this.#control.closeAll();
    if (await this.#control.untilDetached(this.#parts.clock, DETACH_MS)) {
      for (const ref of opened) await this.#parts.runner.run('close-source', { ref });
    }
  }

  async #tick(done: AbortSignal): Promise<void> {
    while (!done.aborted) {
      await this.#parts.clock.sleep(TICK_MS, done);
      this.events.emit(this.progress.event());
    }
  }
}
