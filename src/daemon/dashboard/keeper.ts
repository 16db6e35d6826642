/**
 * Keeps what the page knows up to date: the list at first and after every gap, events in between, and again whatever
 * an event said too little of.
 */
import { systemClock } from '../../core/clock.js';
import { isFinal } from '../../service/job.js';
import { ApiError, type JobDetails, type ServiceView } from './api.js';
import type { App } from './app.js';
import { Live, type LiveListener, RETRY_MS } from './live.js';
import { timeWords } from './words.js';

/** Beyond so many jobs the whole list costs less than each of them. */
const SINGLY_MAX = 8;
/** What happens together is asked for together. */
const GATHER_MS = 250;
/** Of the time, for asking: a service that is slow is busy with more than this page. */
const SHARE_ASKING = 1 / 5;

export interface KeeperListener {
  connected(live: boolean): void;
  /** The service was away, and is back; `again`: as a new process. */
  back(again: boolean, startedAt: string): void;
  /** Nobody is signed in any more. */
  signedOut(): void;
  fresh(job: JobDetails): void;
  /** The job whose page is open. */
  openJob(): string | undefined;
}

export class Keeper {
  readonly #app: App;
  readonly #listener: KeeperListener;
  readonly #live: Live;
  #startedAt: number;
  #lost = false;

  constructor(app: App, { startedAt, load }: ServiceView, listener: KeeperListener) {
    this.#app = app;
    this.#startedAt = startedAt;
    this.#listener = listener;
    const live: LiveListener = {
      told: (told) => {
        const change = app.jobs.apply(told);
        if (change) app.announcer.changed(change);
      },
      ...(app.migrations && { migrated: (told) => app.migrations?.apply(told) }),
      opened: () => void this.#opened(),
      lost: () => this.#lose(),
      refused: () => this.#refused(),
    };
    this.#live = new Live(live, load.lastEventId);
    void this.#refresh();
  }

  get connected(): boolean {
    return !this.#lost;
  }

  #lose(): void {
    if (this.#lost) return;
    this.#lost = true;
    this.#listener.connected(false);
  }

  async #opened(): Promise<void> {
    this.#listener.connected(true);
    // What was told of migrations while nobody listened is not told again.
    void this.#app.migrations?.reload();
    if (!this.#lost) return;
    this.#lost = false;
    try {
      const { startedAt } = await this.#app.api.service();
      await this.#app.reload();
      const again = startedAt !== this.#startedAt;
      this.#startedAt = startedAt;
      this.#listener.back(again, timeWords(startedAt, systemClock.wallMs()));
      await this.#askOpenJob();
    } catch (thrown) {
      if (!(thrown instanceof ApiError)) throw thrown;
      this.#lose();
      await systemClock.sleep(RETRY_MS);
      // Where the stream broke too, it tells when it is back.
      if (this.#live.isOpen) await this.#opened();
    }
  }

  /** Whether it makes sense to go on trying. */
  async #refused(): Promise<boolean> {
    try {
      await this.#app.api.service();
      return true;
    } catch (thrown) {
      if (!(thrown instanceof ApiError)) throw thrown;
      if (thrown.status !== 401 && thrown.status !== 403) return true;
      this.#listener.signedOut();
      return false;
    }
  }

  async #refresh(): Promise<void> {
    for (;;) {
      await this.#app.jobs.someStale();
      await systemClock.sleep(GATHER_MS);
      const ids = this.#app.jobs.takeStale();
      const began = systemClock.wallMs();
      try {
        if (ids.length <= SINGLY_MAX) await Promise.all(ids.map((id) => this.#ask(id)));
        else await Promise.all([this.#app.reload(), this.#askOpenJob()]);
      } catch (thrown) {
        // Who is away tells everything anew once it is back.
        if (!(thrown instanceof ApiError)) throw thrown;
      }
      await systemClock.sleep((systemClock.wallMs() - began) / SHARE_ASKING);
    }
  }

  async #askOpenJob(): Promise<void> {
    const id = this.#listener.openJob();
    if (id !== undefined) await this.#ask(id);
  }

  async #ask(id: string): Promise<void> {
    try {
      const job = await this.#app.api.job(id);
      const { files: _files, ...view } = job;
      // One that had ended before it was known here is listed when it is asked for.
      const known = this.#app.jobs.get(id) !== undefined || id === this.#listener.openJob();
      if (known || !isFinal(view.state) || this.#app.finishedToo) this.#app.jobs.put(view);
      this.#listener.fresh(job);
    } catch (thrown) {
      if (!(thrown instanceof ApiError)) throw thrown;
      if (thrown.status === 404) this.#app.jobs.remove(id);
    }
  }
}
