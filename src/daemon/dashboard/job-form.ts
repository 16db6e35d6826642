/** A new job: from where to where, and how. */
import { TransferError } from '../../core/errors.js';
import type { Priority } from '../../service/job.js';
import type { JobSpec } from '../../service/job-service.js';
import { ApiError } from './api.js';
import type { App, View } from './app.js';
import { button, element, field, setText, textInput, tick } from './dom.js';
import { LIMIT_HINT, prioritySelect, readLimit } from './job-settings.js';
import { sentence } from './words.js';

const checkbox = (): HTMLInputElement => element('input', { type: 'checkbox' });

interface Pair {
  readonly root: HTMLElement;
  readonly source: HTMLInputElement;
  readonly target: HTMLInputElement;
}

export class JobForm implements View {
  readonly root: HTMLElement;
  readonly #app: App;
  readonly #name = textInput();
  readonly #priority = prioritySelect('normal');
  readonly #limit = textInput();
  readonly #auto = element('input', { type: 'checkbox', checked: true });
  readonly #suspended = checkbox();
  readonly #overwrite = checkbox();
  readonly #readBack = checkbox();
  readonly #pairs: Pair[] = [];
  readonly #files = element('div', { class: 'pairs' });
  readonly #wrong = element('p', { class: 'wrong', role: 'alert' });

  constructor(app: App) {
    this.#app = app;
    this.#addPair();
    const form = this.#build();
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#create();
    });
    this.root = element(
      'section',
      { class: 'details' },
      element('a', { class: 'back', href: '#/jobs' }, '← All jobs'),
      element('h1', { tabindex: -1 }, 'New job'),
      form,
    );
  }

  #build(): HTMLFormElement {
    const more = button('Another file', () => this.#addPair().source.focus());
    return element(
      'form',
      { class: 'card new' },
      this.#files,
      element('p', {}, more),
      element(
        'div',
        { class: 'columns' },
        field('Name', this.#name, 'Empty: the name of its first target.'),
        field('Priority', this.#priority),
        field('Limit', this.#limit, LIMIT_HINT),
      ),
      tick('Complete by itself', this.#auto, 'The targets get their names as soon as all files are transferred.'),
      tick('Start suspended', this.#suspended, 'It waits until it is resumed.'),
      tick('Overwrite', this.#overwrite, 'A target that is there already is replaced.'),
      tick('Read back', this.#readBack, 'The target is read again past the cache, and repaired where it differs.'),
      this.#wrong,
      element('p', {}, element('button', { type: 'submit', class: 'main' }, 'Create job')),
    );
  }

  #addPair(): Pair {
    const [source, target] = [textInput(), textInput()];
    source.required = true;
    target.required = true;
    const number = this.#pairs.length + 1;
    const which = number === 1 ? '' : ` ${number}`;
    const hint = number === 1 ? 'A path of the service’s host, or https://, s3://, sftp://, peer:// …' : undefined;
    const root = element(
      'div',
      { class: 'pair' },
      field(`Source${which}`, source, hint),
      field(`Target${which}`, target),
    );
    const pair = { root, source, target };
    this.#pairs.push(pair);
    this.#files.append(root);
    return pair;
  }

  async #create(): Promise<void> {
    setText(this.#wrong, '');
    try {
      const job = await this.#app.api.create(this.#spec());
      this.#app.jobs.put(job);
      this.#app.announcer.say(`${job.name} created.`);
      location.hash = `#/job/${encodeURIComponent(job.id)}`;
    } catch (thrown) {
      if (!(thrown instanceof TransferError || thrown instanceof ApiError)) throw thrown;
      const { message, hint } = thrown;
      setText(this.#wrong, `${sentence(message)} ${sentence(hint ?? '')}`);
      if (thrown instanceof TransferError) this.#limit.focus();
    }
  }

  /** @throws TransferError of a limit that cannot be read */
  #spec(): JobSpec {
    const name = this.#name.value.trim();
    return {
      files: this.#pairs.map(({ source, target }) => ({ source: source.value.trim(), target: target.value.trim() })),
      ...(name !== '' && { name }),
      priority: this.#priority.value as Priority,
      limitBytesPerSecond: readLimit(this.#limit.value),
      autoComplete: this.#auto.checked,
      suspended: this.#suspended.checked,
      options: { overwrite: this.#overwrite.checked, readBack: this.#readBack.checked },
    };
  }
}
