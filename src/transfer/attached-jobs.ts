/** What one thread keeps of the jobs that it works for: the ends that it is attached to, and what ends its tasks. */
import type { EndpointRef, Source } from '../core/endpoint.js';
import { newStop } from '../core/stop.js';
import type { Target } from '../core/target.js';
import { ControlBlock, type SharedControl } from './control-block.js';

export class AttachedJob {
  readonly control: ControlBlock;
  readonly #ends = new Map<string, Source | Target>();
  #controller: AbortController;

  constructor(control: ControlBlock) {
    this.control = control;
    this.#controller = haltOf(control);
  }

  /** Aborts when the tasks that are under way now are to end. */
  get controller(): AbortController {
    if (this.#controller.signal.aborted && this.control.running) this.#controller = haltOf(this.control);
    return this.#controller;
  }

  async end<E extends Source | Target>(
    role: string,
    ref: EndpointRef,
    attach: (ref: EndpointRef) => Promise<E>,
  ): Promise<E> {
    const kept = this.#ends.get(role) as E | undefined;
    if (kept) return kept;
    const end = await attach(ref);
    // Another task of this thread may have attached meanwhile; one end for each role is enough.
    const first = (this.#ends.get(role) as E | undefined) ?? end;
    this.#ends.set(role, first);
    return first;
  }

  async detach(): Promise<void> {
    for (const end of this.#ends.values()) await end.detach?.();
    this.control.detachWorker();
  }
}

export class AttachedJobs {
  readonly #jobs = new Map<number, AttachedJob>();

  attach(shared: SharedControl): AttachedJob {
    const control = ControlBlock.attach(shared);
    const known = this.#jobs.get(control.job);
    if (known) return known;
    const job = new AttachedJob(control);
    this.#jobs.set(control.job, job);
    control.attachWorker();
    void control.untilClosed().then(() => {
      this.#jobs.delete(control.job);
      return job.detach();
    });
    return job;
  }
}

function haltOf(control: ControlBlock): AbortController {
  const controller = newStop();
  void control.untilHalted().then(() => controller.abort());
  return controller;
}
