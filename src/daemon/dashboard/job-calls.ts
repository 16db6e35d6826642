/** What can be done with a job now, as buttons: the states decide, as the service itself does. */
import { isFinal, type JobCall, MOVES } from '../../service/job.js';
import type { JobView } from '../../service/job-service.js';
import type { App } from './app.js';
import { askToCancel, askToComplete } from './dialogs.js';
import { button, setAttribute, setText } from './dom.js';

const legal = (call: JobCall, { state }: JobView): boolean => MOVES[call].includes(state);
/** Of these a resume changes something: it tries again at once. */
const AGAIN = ['suspended', 'error', 'transient-error'];

export class JobCalls {
  readonly buttons: readonly HTMLButtonElement[];
  readonly #app: App;
  /** One button, so that whoever pressed it can press it again. */
  readonly #toggle: HTMLButtonElement;
  readonly #complete: HTMLButtonElement;
  readonly #cancel: HTMLButtonElement;
  readonly #early: boolean;
  #job: JobView;

  /** `early`: a job may also be completed before all of it is transferred. */
  constructor(app: App, job: JobView, early: boolean) {
    this.#app = app;
    this.#job = job;
    this.#early = early;
    this.#toggle = button('', () => this.#suspendOrResume());
    this.#complete = button('Complete', () => this.#completes());
    this.#cancel = button('Cancel', () => this.#cancels(), 'quiet');
    this.buttons = [this.#toggle, this.#complete, this.#cancel];
    this.update(job);
  }

  update(job: JobView): void {
    this.#job = job;
    const again = AGAIN.includes(job.state);
    const words = job.state === 'suspended' ? 'Resume' : again ? 'Try again' : 'Suspend';
    const completes = job.state === 'transferred' || (this.#early && legal('complete', job));
    show(this.#toggle, legal(again ? 'resume' : 'suspend', job), words, job);
    show(this.#complete, completes, job.state === 'transferred' ? 'Complete' : 'Complete now…', job);
    setAttribute(this.#complete, 'class', job.state === 'transferred' ? 'main' : undefined);
    show(this.#cancel, !isFinal(job.state), 'Cancel…', job);
  }

  #suspendOrResume(): Promise<boolean> {
    const { id, name, state } = this.#job;
    const { api } = this.#app;
    if (AGAIN.includes(state)) return this.#do(() => api.resume(id), `${name} resumed.`);
    return this.#do(() => api.suspend(id), `${name} suspended.`);
  }

  async #completes(): Promise<void> {
    const { id, name, state } = this.#job;
    if (state !== 'transferred' && !(await askToComplete(this.#job))) return;
    await this.#do(() => this.#app.api.complete(id), `${name} completed.`);
  }

  async #cancels(): Promise<void> {
    const { id, name } = this.#job;
    const answer = await askToCancel(this.#job);
    if (answer) await this.#do(() => this.#app.api.cancel(id, answer.keepPartial), `${name} cancelled.`);
  }

  #do(call: () => Promise<JobView>, done: string): Promise<boolean> {
    return this.#app.attempt(async () => this.#app.jobs.put(await call()), done);
  }
}

/** The visible word is the beginning of the name that is read aloud, which says of which job. */
function show(control: HTMLButtonElement, shown: boolean, words: string, { name }: JobView): void {
  control.hidden = !shown;
  setText(control, words);
  setAttribute(control, 'aria-label', `${words.replace('…', '')} ${name}`);
}
