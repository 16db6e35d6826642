/** The files of a job: some at first, more when asked for. */
import { formatBytes } from '../../core/units.js';
import type { FileState } from '../../service/job.js';
import type { FileView } from '../../service/job-service.js';
import { button, element, keepFocus, setAttribute, setChildren, setText } from './dom.js';
import { sentence } from './words.js';

const STEP_FILES = 100;

const WORDS: Readonly<Record<FileState, string>> = {
  waiting: 'Waiting',
  copying: 'Copying',
  transferred: 'Transferred',
  committing: 'Getting its name',
  committed: 'Committed',
  failed: 'Failed',
};

export class FileList {
  readonly root: HTMLElement;
  readonly #heading = element('h2', { tabindex: -1 }, 'Files');
  readonly #list = element('ul', { class: 'files', role: 'list' });
  readonly #more = button('', () => this.#showMore());
  readonly #rows: FileRow[] = [];
  #files: readonly FileView[] = [];
  #shown = STEP_FILES;

  constructor() {
    this.root = element('section', { class: 'card' }, this.#heading, this.#list, this.#more);
  }

  show(files: readonly FileView[]): void {
    this.#files = files;
    const shown = files.slice(0, this.#shown);
    for (const [at, file] of shown.entries()) {
      const row = this.#rows[at] ?? new FileRow();
      this.#rows[at] = row;
      row.update(file);
    }
    this.#rows.length = shown.length;
    keepFocus(this.root, this.#heading, () => {
      setText(this.#heading, files.length === 1 ? 'File' : `Files: ${files.length.toLocaleString('en')}`);
      setChildren(
        this.#list,
        this.#rows.map(({ root }) => root),
      );
      this.#more.hidden = shown.length === files.length;
      setText(this.#more, `Show ${Math.min(STEP_FILES, files.length - shown.length)} more`);
    });
  }

  #showMore(): void {
    this.#shown += STEP_FILES;
    this.show(this.#files);
  }
}

class FileRow {
  readonly root: HTMLLIElement;
  readonly #source = element('span', { class: 'path' });
  readonly #target = element('span', { class: 'path' });
  readonly #state = element('span', {});
  readonly #numbers = element('span', { class: 'numbers' });
  readonly #bar = element('progress', { max: 1 });
  readonly #error = element('p', { class: 'reason' });

  constructor() {
    this.root = element(
      'li',
      {},
      element(
        'div',
        { class: 'paths' },
        this.#source,
        element('div', {}, element('span', { class: 'to' }, 'to '), this.#target),
      ),
      this.#state,
      element('div', { class: 'how-far' }, this.#bar, this.#numbers),
      this.#error,
    );
  }

  update({ source, target, state, size, bytesDone, bytesReused, bytesZero, error }: FileView): void {
    setText(this.#source, source);
    setText(this.#target, target);
    setText(this.#state, WORDS[state]);
    setAttribute(this.#state, 'class', `state file-${state}`);
    setAttribute(this.#bar, 'value', size ? (bytesDone / size).toFixed(4) : state === 'waiting' ? 0 : undefined);
    setAttribute(this.#bar, 'class', `file-${state}`);
    setAttribute(this.#bar, 'aria-label', `Progress of ${target}`);
    const done = size === undefined ? formatBytes(bytesDone) : `${formatBytes(bytesDone)} of ${formatBytes(size)}`;
    const reused = bytesReused > 0 ? ` · ${formatBytes(bytesReused)} reused` : '';
    const zero = bytesZero > 0 ? ` · ${formatBytes(bytesZero)} zero` : '';
    setText(this.#numbers, state === 'waiting' && size === undefined ? '' : done + reused + zero);
    setText(this.#error, error ? `${sentence(error.message)} ${sentence(error.hint ?? '')}` : '');
  }
}
