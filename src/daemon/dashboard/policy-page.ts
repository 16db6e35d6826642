/** The rules that hold for all jobs: their text, to be changed, and what they say of the week. */

import type { Policy } from '../../service/policy/policy.js';
import { ApiError } from './api.js';
import type { App, View } from './app.js';
import { element, field, setAttribute, setText } from './dom.js';
import { weekPicture } from './week-picture.js';
import { lineTold, sentence } from './words.js';

export interface PolicyText {
  readonly policy: Policy;
  readonly text: string;
}

const ROWS_MIN = 8;
const ROWS_MAX = 28;

export class PolicyPage implements View {
  readonly root: HTMLElement;
  readonly #app: App;
  readonly #text = element('textarea', { spellcheck: 'false', wrap: 'off', autocomplete: 'off', rows: 8 });
  readonly #lines = element('div', { class: 'line-numbers', 'aria-hidden': 'true' });
  readonly #wrong = element('div', { class: 'wrong', role: 'alert', id: 'policy-wrong' });
  readonly #week = element('div', {});
  #wrongLine: number | undefined;

  constructor(app: App, { policy, text }: PolicyText) {
    this.#app = app;
    this.#text.value = text;
    this.#text.readOnly = !app.caller.admin;
    this.#text.addEventListener('input', () => this.#showLines());
    this.#text.addEventListener('scroll', () => {
      this.#lines.scrollTop = this.#text.scrollTop;
    });
    this.#week.append(weekPicture(policy));
    this.#text.rows = Math.min(ROWS_MAX, Math.max(ROWS_MIN, text.split('\n').length + 1));
    const form = this.#build();
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#save();
    });
    this.root = element(
      'section',
      {},
      element('h1', { tabindex: -1 }, 'Policy'),
      element('section', { class: 'card' }, element('h2', {}, 'The week'), this.#week),
      form,
    );
    this.#showLines();
  }

  #build(): HTMLFormElement {
    const save = element('button', { type: 'submit', class: 'main' }, 'Save');
    const only = element('p', { class: 'reason' }, 'Only an administrator may change it.');
    const label = field('Text of the policy (TOML)', this.#text);
    const editor = element('div', { class: 'editor' }, this.#lines, this.#text);
    label.append(editor);
    return element(
      'form',
      { class: 'card' },
      element('h2', {}, 'Rules'),
      label,
      this.#wrong,
      element('p', {}, this.#app.caller.admin ? save : only),
    );
  }

  async #save(): Promise<void> {
    this.#showWrong(undefined, undefined);
    const { api } = this.#app;
    try {
      await api.setPolicy(this.#text.value);
      const { policy, text } = await api.policy();
      this.#text.value = text;
      this.#week.replaceChildren(weekPicture(policy));
      this.#showLines();
      this.#app.tell('The policy is saved and holds from now on.');
    } catch (thrown) {
      if (!(thrown instanceof ApiError)) throw thrown;
      this.#showWrong(thrown, lineTold(thrown.message));
    }
  }

  /** The message, the line that it is about, and the cursor in it. */
  #showWrong(error: ApiError | undefined, line: number | undefined): void {
    this.#wrongLine = line;
    this.#wrong.replaceChildren();
    setAttribute(this.#text, 'aria-invalid', error && 'true');
    setAttribute(this.#text, 'aria-describedby', error && 'policy-wrong');
    this.#showLines();
    if (!error) return;
    this.#wrong.append(element('p', {}, sentence(error.message), ' ', sentence(error.hint ?? '')));
    const lines = this.#text.value.split('\n');
    if (line === undefined || line > lines.length) return;
    this.#wrong.append(element('code', {}, `${line} │ ${lines[line - 1]}`));
    const from = lines.slice(0, line - 1).reduce((length, one) => length + one.length + 1, 0);
    this.#text.focus();
    this.#text.setSelectionRange(from, from + (lines[line - 1]?.length ?? 0));
    this.#text.scrollTop = (line - 4) * (this.#text.scrollHeight / lines.length);
  }

  #showLines(): void {
    const lines = this.#text.value.split('\n').length;
    while (this.#lines.childElementCount > lines) this.#lines.lastElementChild?.remove();
    while (this.#lines.childElementCount < lines) this.#lines.append(element('span'));
    for (const [at, line] of [...this.#lines.children].entries()) {
      setText(line, String(at + 1));
      setAttribute(line, 'class', at + 1 === this.#wrongLine ? 'bad' : undefined);
    }
  }
}
