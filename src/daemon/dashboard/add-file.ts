/** One more file for a job that is there already. */
import { MOVES } from '../../service/job.js';
import type { JobView } from '../../service/job-service.js';
import { ApiError } from './api.js';
import type { App } from './app.js';
import { element, field, setText, textInput } from './dom.js';
import { sentence } from './words.js';

export class AddFile {
  readonly root: HTMLElement;
  readonly #app: App;
  readonly #job: string;
  readonly #source = textInput();
  readonly #target = textInput();
  readonly #wrong = element('p', { class: 'wrong', role: 'alert' });

  constructor(app: App, job: JobView) {
    this.#app = app;
    this.#job = job.id;
    for (const input of [this.#source, this.#target]) input.required = true;
    const form = element(
      'form',
      {},
      element('div', { class: 'pair' }, field('Source', this.#source), field('Target', this.#target)),
      this.#wrong,
      element('p', {}, element('button', { type: 'submit' }, 'Add file')),
    );
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#add();
    });
    this.root = element('section', { class: 'card' }, element('h2', {}, 'Another file'), form);
    this.update(job);
  }

  update({ state }: JobView): void {
    this.root.hidden = !MOVES.addFiles.includes(state);
  }

  /** What was typed stays until it is added. */
  async #add(): Promise<void> {
    const { api, jobs } = this.#app;
    setText(this.#wrong, '');
    try {
      const file = { source: this.#source.value.trim(), target: this.#target.value.trim() };
      jobs.put(await api.addFiles(this.#job, [file]));
      jobs.ask(this.#job);
      for (const input of [this.#source, this.#target]) input.value = '';
      this.#source.focus();
      this.#app.tell('The file is added.');
    } catch (thrown) {
      if (!(thrown instanceof ApiError)) throw thrown;
      setText(this.#wrong, `${sentence(thrown.message)} ${sentence(thrown.hint ?? '')}`);
    }
  }
}
