/** Moves a machine in three steps: which, where to, and the plan. What was chosen stays when one goes back. */
import type { MigrationRequest } from '../../migrate/migration-service.js';
import type { App, View } from './app.js';
import { errorWords, orSay } from './checked-field.js';
import { element, setAttribute } from './dom.js';
import { migrationApi } from './migration-api.js';
import type { MigrationBook } from './migration-book.js';
import { shownName } from './migration-words.js';
import { MachineChoice } from './wizard-machines.js';
import { PlacesForm, type Wanted } from './wizard-places.js';
import { PlanView } from './wizard-plan.js';

const TITLES = ['Machine', 'Target', 'Plan'];
/** A plan is made with an id that the migration will not have: nothing of it is kept. */
const NOTHING: Wanted = { request: { vm: '', paths: {} }, prepareOnly: false };

export class MigrationWizard implements View {
  readonly root: HTMLElement;
  readonly #app: App;
  readonly #book: MigrationBook;
  readonly #signal: AbortSignal;
  readonly #marks = TITLES.map((title) => element('li', {}, title));
  readonly #machines: MachineChoice;
  readonly #places: PlacesForm;
  readonly #plan: PlanView;
  #wanted = NOTHING;

  constructor(app: App, book: MigrationBook, signal: AbortSignal) {
    this.#app = app;
    this.#book = book;
    this.#signal = signal;
    this.#machines = new MachineChoice(book, (machine, hosts) => {
      this.#places.show(machine, hosts);
      this.#show(1);
    });
    this.#places = new PlacesForm(
      () => this.#show(0),
      (wanted) => this.#planIt(wanted),
    );
    this.#plan = new PlanView({
      back: () => this.#show(1),
      again: () => this.#planIt(this.#wanted),
      start: () => this.#startIt(this.#wanted.request),
    });
    this.root = element(
      'section',
      { class: 'wizard' },
      element('a', { class: 'back', href: '#/migrations' }, '← All migrations'),
      element('h1', { tabindex: -1 }, 'Move a machine'),
      element('ol', { class: 'marks', role: 'list', 'aria-label': 'Steps' }, ...this.#marks),
      ...this.#parts.map(({ root }) => root),
    );
    this.#show(0, false);
    void this.#machines.load();
  }

  get #parts() {
    return [this.#machines, this.#places, this.#plan];
  }

  /** Whoever went to a step is at its heading. */
  #show(at: number, focus = true): void {
    for (const [part, { root }] of this.#parts.entries()) root.hidden = part !== at;
    for (const [part, mark] of this.#marks.entries()) {
      setAttribute(mark, 'aria-current', part === at ? 'step' : undefined);
      setAttribute(mark, 'class', part < at ? 'passed' : undefined);
    }
    if (!focus) return;
    this.#parts[at]?.heading.focus({ preventScroll: true });
    scrollTo(0, 0);
  }

  async #planIt(wanted: Wanted): Promise<void> {
    await orSay(
      async () => {
        const preview = await migrationApi.plan(wanted.request);
        if (this.#signal.aborted) return;
        this.#wanted = wanted;
        this.#plan.show(preview, wanted.prepareOnly);
        this.#show(2);
      },
      (error) => {
        if (this.#places.root.hidden) this.#plan.say(errorWords(error));
        else this.#places.blame(error);
      },
    );
  }

  async #startIt(request: MigrationRequest): Promise<void> {
    await orSay(
      async () => {
        const view = await migrationApi.start(request, this.#wanted.prepareOnly);
        this.#book.put(view);
        this.#app.announcer.say(`The migration of ${shownName(view.vmName)} is started.`);
        if (!this.#signal.aborted) location.hash = `#/migrations/${encodeURIComponent(view.id)}`;
      },
      (error) => this.#plan.say(errorWords(error)),
    );
  }
}
