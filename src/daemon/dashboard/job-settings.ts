/** What of a job can be changed while it is under way: priority, limit, and whether it completes by itself. */
import { TransferError } from '../../core/errors.js';
import { formatBytes, parseRate } from '../../core/units.js';
import { isFinal, type JobSettings, PRIORITIES, type Priority } from '../../service/job.js';
import type { JobView } from '../../service/job-service.js';
import type { App } from './app.js';
import { button, element, field, setAttribute, setText, tick } from './dom.js';
import { PRIORITY_WORDS, sentence } from './words.js';

export const LIMIT_HINT = 'Such as 50 MiB or 400 Mbit, a second. Empty: none.';

export function prioritySelect(chosen: Priority): HTMLSelectElement {
  const options = PRIORITIES.map((value) =>
    element('option', { value, selected: value === chosen }, PRIORITY_WORDS[value]),
  );
  return element('select', {}, ...options);
}

/** 0 for none. @throws TransferError with what would be a rate */
export function readLimit(text: string): number {
  return text.trim() === '' || text.trim() === '0' ? 0 : parseRate(text, 'The limit');
}

export class SettingsForm {
  readonly root: HTMLElement;
  readonly #app: App;
  readonly #priority: HTMLSelectElement;
  readonly #limit = element('input', { type: 'text', autocomplete: 'off', spellcheck: 'false' });
  readonly #finishBy = element('input', { type: 'datetime-local' });
  readonly #auto = element('input', { type: 'checkbox' });
  readonly #wrong = element('p', { class: 'wrong', role: 'alert' });
  readonly #controls: HTMLFieldSetElement;
  #job: JobView;

  constructor(app: App, job: JobView) {
    this.#app = app;
    this.#job = job;
    this.#priority = prioritySelect(job.priority);
    this.#priority.addEventListener('change', () => {
      const priority = this.#priority.value as Priority;
      void this.#change({ priority }, `Priority is ${PRIORITY_WORDS[priority].toLowerCase()} now.`);
    });
    this.#auto.addEventListener('change', () => {
      const autoComplete = this.#auto.checked;
      void this.#change({ autoComplete }, autoComplete ? 'It completes by itself.' : 'It waits for “Complete”.');
    });
    this.#controls = element(
      'fieldset',
      {},
      field('Priority', this.#priority),
      field('Limit', this.#limit, LIMIT_HINT),
      element('button', { type: 'submit' }, 'Set limit'),
      field('Done by', this.#finishBy, 'No faster than that takes. Empty: as fast as it goes.'),
      button('Set time', () => this.#setTime()),
      tick('Complete by itself', this.#auto, 'The targets get their names as soon as all files are transferred.'),
      this.#wrong,
    );
    const form = element('form', { class: 'settings' }, this.#controls);
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#setLimit();
    });
    this.root = element('section', { class: 'card' }, element('h2', {}, 'Settings'), form);
    this.#limit.value = limitText(job);
    this.#finishBy.value = localText(job.finishBy);
    this.update(job);
  }

  update(job: JobView): void {
    const limitBefore = limitText(this.#job);
    this.#job = job;
    this.#priority.value = job.priority;
    this.#auto.checked = job.autoComplete;
    // What somebody is typing is theirs.
    if (this.#limit.value === limitBefore) this.#limit.value = limitText(job);
    setAttribute(this.#controls, 'disabled', isFinal(job.state));
  }

  async #setLimit(): Promise<void> {
    try {
      const limitBytesPerSecond = readLimit(this.#limit.value);
      this.#showWrong('');
      if (!(await this.#change({ limitBytesPerSecond }, 'The limit is set.'))) return;
      this.#limit.value = limitText(this.#job);
    } catch (thrown) {
      if (!(thrown instanceof TransferError)) throw thrown;
      this.#showWrong(`${sentence(thrown.message)} ${thrown.hint ?? ''}`);
    }
  }

  /** Of the clock on the wall of whoever says it. */
  async #setTime(): Promise<void> {
    const { value } = this.#finishBy;
    const finishBy = value === '' ? '' : new Date(value).toISOString();
    await this.#change({ finishBy }, finishBy === '' ? 'It goes as fast as it can.' : 'The time is set.');
    this.#finishBy.value = localText(this.#job.finishBy);
  }

  #showWrong(text: string): void {
    setText(this.#wrong, text);
    setAttribute(this.#limit, 'aria-invalid', text === '' ? undefined : 'true');
  }

  async #change(settings: Partial<JobSettings>, done: string): Promise<boolean> {
    const { api, jobs } = this.#app;
    const worked = await this.#app.attempt(async () => {
      const job = await api.change(this.#job.id, settings);
      jobs.put(job);
      this.update(job);
    });
    if (worked) this.#app.tell(done);
    else this.update(this.#job);
    return worked;
  }
}

/** As the control has it: `2030-01-31T06:00`, by the reader's own clock. */
function localText(finishBy: string | undefined): string {
  if (!finishBy) return '';
  const at = new Date(finishBy);
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

function limitText({ limitBytesPerSecond }: JobView): string {
  if (limitBytesPerSecond === 0) return '';
  const words = formatBytes(limitBytesPerSecond);
  // Rounded words would set another limit than the one that holds.
  return parseRate(words, '') === limitBytesPerSecond ? words : String(limitBytesPerSecond);
}
