/** The migrations of this host: what needs somebody first, what is over last. */
import { formatDuration } from '../../core/units.js';
import type { MigrationState, MigrationView } from '../../migrate/migration-service.js';
import type { View } from './app.js';
import { button, element, keepFocus, setAttribute, setChildren, setText } from './dom.js';
import type { MigrationBook } from './migration-book.js';
import {
  blackoutWords,
  bytesWords,
  isOver,
  LOOKS,
  MIGRATION_WORDS,
  said,
  shareMoved,
  shownName,
  stepWords,
  wayWords,
} from './migration-words.js';
import { count } from './words.js';

const GROUPS: readonly (readonly [string, readonly MigrationState[]])[] = [
  ['Needs you', ['asking', 'failed', 'prepared']],
  ['Moving', ['running', 'aborting']],
  ['Waiting', ['queued']],
  ['Over', ['done', 'aborted']],
];
/** Of those that are over, at first and more each time; of the others all are shown. */
const STEP_OVER = 20;

export class MigrationList implements View {
  readonly root: HTMLElement;
  readonly #book: MigrationBook;
  readonly #shown = element('p', { class: 'shown', tabindex: -1 });
  readonly #list = element('div', { class: 'list' });
  readonly #groups = new Map<string, { root: HTMLElement; rows: HTMLUListElement }>();
  readonly #rows = new Map<string, MigrationRow>();
  readonly #more = button('Show more', () => this.#showMore());
  #overShown = STEP_OVER;

  constructor(book: MigrationBook, signal: AbortSignal) {
    this.#book = book;
    const begin = element('a', { class: 'button main', href: '#/migrations/new' }, 'Move a machine');
    this.root = element(
      'section',
      {},
      element('div', { class: 'title' }, element('h1', { tabindex: -1 }, 'Migrations'), begin),
      this.#shown,
      this.#list,
      this.#more,
    );
    book.watch(() => this.#show(), signal);
    this.#show();
    void book.reload();
  }

  tick(): void {
    this.#book.tick();
  }

  #showMore(): void {
    this.#overShown += STEP_OVER;
    this.#show();
  }

  #show(): void {
    const { all } = this.#book;
    const over = all.filter(({ state }) => isOver(state)).reverse();
    const shown = [...all.filter(({ state }) => !isOver(state)), ...over.slice(0, this.#overShown)];
    this.#more.hidden = over.length <= this.#overShown;
    const nothing = this.#book.isKnown ? 'No machine was moved yet.' : 'One moment…';
    setText(this.#shown, all.length === 0 ? nothing : count(all.length, 'migration'));
    keepFocus(this.root, this.#shown, () => this.#showRows(shown));
  }

  #showRows(shown: readonly MigrationView[]): void {
    const groups = GROUPS.flatMap(([title, states]) => {
      const views = shown.filter(({ state }) => states.includes(state));
      if (views.length === 0) return [];
      const group = this.#group(title);
      setChildren(
        group.rows,
        views.map((view) => this.#row(view).root),
      );
      return [group.root];
    });
    setChildren(this.#list, groups);
  }

  #group(title: string): { root: HTMLElement; rows: HTMLUListElement } {
    const known = this.#groups.get(title);
    if (known) return known;
    const rows = element('ul', { class: 'jobs', role: 'list' });
    const made = { rows, root: element('section', { class: 'group' }, element('h2', {}, title), rows) };
    this.#groups.set(title, made);
    return made;
  }

  #row(view: MigrationView): MigrationRow {
    const row = this.#rows.get(view.id) ?? new MigrationRow(view.id);
    this.#rows.set(view.id, row);
    row.update(view);
    return row;
  }
}

class MigrationRow {
  readonly root: HTMLLIElement;
  readonly #link = element('a', { class: 'name' });
  readonly #state = element('span', {});
  readonly #way = element('span', { class: 'to' });
  readonly #bar = element('progress', { max: 1 });
  readonly #step = element('span', {});
  readonly #bytes = element('span', {});
  readonly #blackout = element('span', { class: 'blackout' });
  readonly #reason = element('p', { class: 'reason' });

  constructor(id: string) {
    this.root = element(
      'li',
      { class: 'job migration' },
      element('div', { class: 'what' }, element('bdi', {}, this.#link), this.#state, this.#way),
      element(
        'div',
        { class: 'how-far' },
        this.#bar,
        element('div', { class: 'counts wraps' }, this.#step, this.#bytes),
      ),
      this.#blackout,
      this.#reason,
    );
    setAttribute(this.#link, 'href', `#/migrations/${encodeURIComponent(id)}`);
  }

  update(view: MigrationView): void {
    const { state, plan } = view;
    setText(this.#link, shownName(view.vmName));
    setText(this.#state, MIGRATION_WORDS[state]);
    setAttribute(this.#state, 'class', `state ${LOOKS[state]}`);
    setText(this.#way, wayWords(view));
    showMoved(this.#bar, view);
    setText(this.#step, stepWords(view));
    setText(this.#bytes, bytesWords(view));
    const limit = plan.maxBlackoutMs === undefined ? '' : `; at most ${formatDuration(plan.maxBlackoutMs)}`;
    const words = blackoutWords(view);
    setText(this.#blackout, words + (words !== '' && plan.running && !isOver(state) ? limit : ''));
    setText(this.#reason, said(view, view.reason));
  }
}

export function showMoved(bar: HTMLProgressElement, view: MigrationView): void {
  setAttribute(bar, 'value', shareMoved(view).toFixed(4));
  setAttribute(bar, 'class', LOOKS[view.state]);
  setAttribute(bar, 'aria-label', `Progress of ${shownName(view.vmName)}`);
  setAttribute(bar, 'aria-valuetext', [stepWords(view), bytesWords(view)].filter(Boolean).join(', '));
}
