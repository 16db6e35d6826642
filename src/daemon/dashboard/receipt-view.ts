/** The signed receipt of a migration that is done: to be kept, or to be looked at. */
import { formatBytes, formatDuration } from '../../core/units.js';
import type { MigrationView } from '../../migrate/migration-service.js';
import type { Receipt } from '../../migrate/receipt-form.js';
import { errorWords, orSay } from './checked-field.js';
import { button, element, setAttribute, setChildren, setText } from './dom.js';
import { migrationApi, receiptPath } from './migration-api.js';
import { count } from './words.js';

export class ReceiptView {
  readonly root: HTMLElement;
  readonly #id: string;
  readonly #show = button('Show it', () => this.#toggle());
  readonly #wrong = element('p', { class: 'wrong', role: 'alert' });
  readonly #content = element('div', { class: 'receipt' });

  constructor({ id }: MigrationView) {
    this.#id = id;
    const file = `receipt-${id.slice(0, 8)}.json`;
    const download = element('a', { class: 'button', href: receiptPath(id), download: file }, 'Download the receipt');
    this.root = element(
      'section',
      { class: 'card' },
      element('h2', {}, 'Receipt'),
      element(
        'p',
        { class: 'reason' },
        'Signed by this service. It is checked with: blockferry verify --receipt ',
        file,
      ),
      element('div', { class: 'calls' }, download, this.#show),
      this.#wrong,
      this.#content,
    );
    setAttribute(this.#show, 'aria-expanded', 'false');
    this.root.hidden = true;
  }

  update({ state }: MigrationView): void {
    this.root.hidden = state !== 'done';
  }

  async #toggle(): Promise<void> {
    const open = this.#content.childElementCount > 0;
    if (open) setChildren(this.#content, []);
    else {
      const show = async (): Promise<void> =>
        setChildren(this.#content, receiptParts(await migrationApi.receipt(this.#id)));
      setText(this.#wrong, '');
      if (!(await orSay(show, (error) => setText(this.#wrong, errorWords(error))))) return;
    }
    setText(this.#show, open ? 'Show it' : 'Hide it');
    setAttribute(this.#show, 'aria-expanded', String(!open));
  }
}

function receiptParts({ files, steps, blackout, withoutMemory, signature }: Receipt): HTMLElement[] {
  const rows = files.map(({ target, bytes, sha256 }) => {
    return element('li', {}, target, ', ', formatBytes(bytes), element('code', {}, `sha256:${sha256}`));
  });
  const [stood, predicted] = [blackout?.measuredMs ?? 0, blackout?.predictedMs ?? 0].map(formatDuration);
  const still = blackout ? `It stood still for ${stood}; ${predicted} were predicted. ` : '';
  const cut = withoutMemory === undefined ? '' : 'It started without its memory, a power cut to its guest. ';
  return [
    element('p', {}, `${still}${cut}${count(steps.length, 'step')}, ${count(files.length, 'file')}:`),
    element('ul', { role: 'list' }, ...rows),
    element('p', {}, 'The key of its signature: ', element('code', {}, `sha256:${signature.fingerprint}`)),
  ];
}
