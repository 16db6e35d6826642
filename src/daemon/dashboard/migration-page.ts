/** One migration: how far it is and why, its steps with their times, the blackout, and what can be done. */
import { systemClock } from '../../core/clock.js';
import { formatDuration } from '../../core/units.js';
import type { MigrationView } from '../../migrate/migration-service.js';
import type { App, View } from './app.js';
import { element, keepFocus, setAttribute, setChildren, setText } from './dom.js';
import type { MigrationBook } from './migration-book.js';
import { MigrationControls } from './migration-controls.js';
import { showMoved } from './migration-list.js';
import { StepList } from './migration-steps.js';
import { bytesWords, LOOKS, MIGRATION_WORDS, said, shownName, stepWords, wayWords } from './migration-words.js';
import { ReceiptView } from './receipt-view.js';
import { sentence, timeWords } from './words.js';

export class MigrationPage implements View {
  readonly root: HTMLElement;
  readonly #book: MigrationBook;
  readonly #heading = element('h1', { tabindex: -1 });
  readonly #state = element('span', {});
  readonly #facts = element('p', { class: 'facts' });
  readonly #bar = element('progress', { max: 1 });
  readonly #step = element('span', {});
  readonly #bytes = element('span', {});
  readonly #reason = element('p', { class: 'why' });
  readonly #hint = element('p', { class: 'reason' });
  readonly #blackout = new BlackoutBars();
  readonly #steps = new StepList();
  readonly #notes = element('ul', { class: 'notes', role: 'list' });
  readonly #notesCard: HTMLElement;
  readonly #controls: MigrationControls;
  readonly #receipt: ReceiptView;
  #view: MigrationView;

  constructor(app: App, book: MigrationBook, view: MigrationView, signal: AbortSignal) {
    this.#book = book;
    this.#view = view;
    this.#controls = new MigrationControls(app, book, view);
    this.#receipt = new ReceiptView(view);
    this.#notesCard = element('section', { class: 'card' }, element('h2', {}, 'What else was told'), this.#notes);
    this.root = this.#build();
    book.watch(() => this.#update(), signal);
    this.#update();
    void book.askForNotes(view.id, signal);
  }

  tick(): void {
    this.#book.tick();
  }

  #build(): HTMLElement {
    const files = this.#view.plan.images.map(({ source, target }) => {
      const to = element('div', {}, element('span', { class: 'to' }, 'to '), target);
      return element('li', {}, element('div', { class: 'paths' }, source, to));
    });
    return element(
      'section',
      { class: 'details' },
      element('a', { class: 'back', href: '#/migrations' }, '← All migrations'),
      element('div', { class: 'title' }, this.#heading, this.#state),
      this.#facts,
      element(
        'section',
        { class: 'card' },
        element('div', { class: 'how-far' }, this.#bar),
        element('div', { class: 'counts wraps' }, this.#step, this.#bytes),
        this.#reason,
        this.#hint,
        this.#blackout.root,
        this.#controls.root,
      ),
      this.#notesCard,
      this.#receipt.root,
      element('section', { class: 'card' }, element('h2', {}, 'Steps'), this.#steps.about, this.#steps.root),
      element(
        'section',
        { class: 'card' },
        element('h2', {}, 'Images'),
        element('ul', { class: 'moved', role: 'list' }, ...files),
      ),
    );
  }

  #update(): void {
    const view = this.#book.get(this.#view.id) ?? this.#view;
    this.#view = view;
    const { id, vmName, state, error, plan } = view;
    setText(this.#heading, shownName(vmName));
    setText(this.#state, MIGRATION_WORDS[state]);
    setAttribute(this.#state, 'class', `state ${LOOKS[state]}`);
    const begun = timeWords(plan.createdAt, systemClock.wallMs());
    setText(this.#facts, `${wayWords(view)} · begun ${begun} · ${id}`);
    showMoved(this.#bar, view);
    setText(this.#step, stepWords(view));
    setText(this.#bytes, bytesWords(view));
    setText(this.#reason, said(view, view.reason));
    setText(this.#hint, sentence(state === 'failed' ? (error?.hint ?? '') : ''));
    this.#blackout.update(view);
    this.#steps.update(view);
    keepFocus(this.root, this.#heading, () => this.#controls.update(view));
    this.#receipt.update(view);
    this.#showNotes();
  }

  #showNotes(): void {
    const notes = this.#book.notes(this.#view.id);
    this.#notesCard.hidden = notes.length === 0;
    if (this.#notes.childElementCount === notes.length) return;
    const nowMs = systemClock.wallMs();
    setChildren(
      this.#notes,
      notes.map(({ at, message }) => {
        return element(
          'li',
          {},
          element('span', { class: 'to' }, `${timeWords(at, nowMs)} `),
          said(this.#view, message),
        );
      }),
    );
  }
}

/** Predicted against measured, and against the limit, each as long as it is. */
class BlackoutBars {
  readonly root = element('div', { class: 'blackouts' });
  #shown = '';

  update({ plan, prediction, blackoutMs }: MigrationView): void {
    const all: readonly (readonly [string, number | undefined])[] = [
      ['Predicted blackout', prediction?.blackoutMs],
      ['Measured blackout', blackoutMs],
      ['Limit', plan.maxBlackoutMs],
    ];
    const known = plan.running ? all.flatMap(([name, ms]) => (ms === undefined ? [] : [{ name, ms }])) : [];
    const key = JSON.stringify(known);
    if (key === this.#shown) return;
    this.#shown = key;
    const most = Math.max(1, ...known.map(({ ms }) => ms));
    setChildren(
      this.root,
      known.map(({ name, ms }) => {
        const bar = element('progress', { max: most, value: ms, 'aria-label': name, class: name.split(' ')[0] });
        bar.setAttribute('aria-valuetext', formatDuration(ms));
        return element('div', {}, element('span', {}, name), bar, element('strong', {}, formatDuration(ms)));
      }),
    );
  }
}
