/** One job of the list. Made once and then kept up to date, so that focus and selection stay where they are. */
import { formatRate } from '../../core/units.js';
import type { JobView } from '../../service/job-service.js';
import type { App } from './app.js';
import { element, setAttribute, setText } from './dom.js';
import { JobCalls } from './job-calls.js';
import { PRIORITY_WORDS, progressWords, remainingWords, STATE_WORDS, sentence, shareDone } from './words.js';

export class JobRow {
  readonly root: HTMLLIElement;
  readonly link = element('a', { class: 'name' });
  readonly #state = element('span', {});
  readonly #priority = element('span', { class: 'priority' });
  readonly #bar = element('progress', { max: 1 });
  readonly #howFar: HTMLElement;
  readonly #numbers = element('span', { class: 'numbers' });
  readonly #rate = element('span', { class: 'rate' });
  readonly #left = element('span', { class: 'left' });
  readonly #reason = element('p', { class: 'reason' });
  readonly #calls: JobCalls;

  constructor(app: App, job: JobView) {
    this.#calls = new JobCalls(app, job, false);
    const counts = element('div', { class: 'counts' }, this.#numbers, this.#left);
    this.#howFar = element('div', { class: 'how-far' }, this.#bar, counts);
    this.root = element(
      'li',
      { class: 'job' },
      element('div', { class: 'what' }, this.link, this.#state, this.#priority),
      this.#howFar,
      this.#rate,
      element('div', { class: 'calls' }, ...this.#calls.buttons),
      this.#reason,
    );
    setAttribute(this.link, 'href', `#/job/${encodeURIComponent(job.id)}`);
    this.update(job);
  }

  update(job: JobView): void {
    const { name, state, priority, progress, reason } = job;
    setText(this.link, name === '' ? '(no name)' : name);
    setText(this.#state, STATE_WORDS[state]);
    setAttribute(this.#state, 'class', `state ${state}`);
    setText(this.#priority, PRIORITY_WORDS[priority]);
    setAttribute(this.#priority, 'class', `priority ${priority}`);
    const begun = progress.bytesDone > 0 || state === 'transferring' || state === 'connecting';
    setAttribute(this.#howFar, 'class', begun ? 'how-far' : 'how-far nothing');
    showProgress(this.#bar, job);
    setText(this.#numbers, progressWords(job));
    setText(this.#rate, state === 'transferring' ? formatRate(progress.rateBytesPerSecond) : '');
    setText(this.#left, remainingWords(job));
    setText(this.#reason, sentence(reason));
    this.#calls.update(job);
  }
}

export function showProgress(bar: HTMLProgressElement, job: JobView): void {
  const share = shareDone(job);
  setAttribute(bar, 'value', share === undefined ? undefined : share.toFixed(4));
  setAttribute(bar, 'class', job.state);
  setAttribute(bar, 'aria-label', `Progress of ${job.name}`);
  setAttribute(bar, 'aria-valuetext', progressWords(job));
}
