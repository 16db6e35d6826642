/** A field that says beside itself what is wrong with it, also to whoever does not see it. */
import { TransferError } from '../../core/errors.js';
import { parseDuration } from '../../core/units.js';
import { ApiError } from './api.js';
import { element, field, setAttribute, setText } from './dom.js';
import { sentence } from './words.js';

export class CheckedField<C extends HTMLInputElement | HTMLSelectElement = HTMLInputElement> {
  readonly root: HTMLElement;
  readonly control: C;
  readonly #wrong = element('p', { class: 'wrong', role: 'alert' });
  readonly #hint: string | null;

  constructor(label: string, control: C, hint?: string) {
    this.control = control;
    this.root = field(label, control, hint);
    this.#hint = control.getAttribute('aria-describedby');
    this.#wrong.id = `${control.id}-wrong`;
    this.root.append(this.#wrong);
    control.addEventListener('input', () => this.say(undefined));
  }

  get value(): string {
    return this.control.value.trim();
  }

  say(message: string | undefined): void {
    setText(this.#wrong, message ?? '');
    setAttribute(this.control, 'aria-invalid', message === undefined ? undefined : 'true');
    const described = [this.#hint, message === undefined ? null : this.#wrong.id].filter((id) => id !== null);
    setAttribute(this.control, 'aria-describedby', described.length === 0 ? undefined : described.join(' '));
  }

  /** The same, and there. */
  blame(message: string): void {
    this.say(message);
    this.control.focus();
  }

  /** Milliseconds; undefined where nothing is written; `wrong` after that was said here. */
  duration(): number | undefined | 'wrong' {
    if (this.value === '') return undefined;
    try {
      return parseDuration(this.value, 'the limit');
    } catch (thrown) {
      if (!(thrown instanceof TransferError)) throw thrown;
      this.blame(errorWords(thrown));
      return 'wrong';
    }
  }
}

export function errorWords({ message, hint = '' }: { readonly message: string; readonly hint?: string | undefined }) {
  return `${sentence(message)} ${sentence(hint)}`.trim();
}

/** Does it, and tells what the service refused. Answers whether nothing was refused. */
export async function orSay(work: () => Promise<void>, say: (error: ApiError) => void): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (thrown) {
    if (!(thrown instanceof ApiError)) throw thrown;
    say(thrown);
    return false;
  }
}
