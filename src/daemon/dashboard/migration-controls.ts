/** What can be done with a migration now: go on, go on in spite of the limit, try again, or give it up. */
import { formatDuration } from '../../core/units.js';
import type { CutoverOptions, MigrationState, MigrationView } from '../../migrate/migration-service.js';
import { STANDING_STILL } from '../../migrate/steps.js';
import type { App } from './app.js';
import { CheckedField, errorWords, orSay } from './checked-field.js';
import { askToAbort } from './dialogs.js';
import { button, element, setAttribute, setText, textInput } from './dom.js';
import { migrationApi } from './migration-api.js';
import type { MigrationBook } from './migration-book.js';
import { isOver, shownName } from './migration-words.js';

const GO_ON: Readonly<Partial<Record<MigrationState, string>>> = {
  prepared: 'Cut over now',
  asking: 'Go on with this limit',
  failed: 'Try again',
};

export class MigrationControls {
  readonly root: HTMLElement;
  readonly #app: App;
  readonly #book: MigrationBook;
  readonly #limit = new CheckedField('Longest blackout', textInput(), 'Such as 10s.');
  readonly #go = button('', () => this.#goOn());
  readonly #anyway = button('', () => this.#cutover({ anyway: true }), 'main');
  readonly #abort = button('Abort…', () => this.#aborts(), 'danger');
  readonly #form: HTMLFormElement;
  readonly #calls: HTMLElement;
  readonly #wrong = element('p', { class: 'wrong', role: 'alert' });
  #view: MigrationView;

  constructor(app: App, book: MigrationBook, view: MigrationView) {
    this.#app = app;
    this.#book = book;
    this.#view = view;
    this.#form = element('form', { class: 'cutover', novalidate: true }, this.#limit.root, this.#go);
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#go.click();
    });
    this.#calls = element('div', { class: 'calls' }, this.#anyway, this.#abort);
    this.root = element('div', {}, this.#form, this.#calls, this.#wrong);
    this.update(view);
  }

  update(view: MigrationView): void {
    const { state, prediction, switchedOver, vmName } = view;
    if (state !== this.#view.state) setText(this.#wrong, '');
    this.#view = view;
    const words = GO_ON[state];
    this.#form.hidden = words === undefined;
    setText(this.#go, words ?? '');
    setAttribute(this.#go, 'class', state === 'asking' ? undefined : 'main');
    this.#limit.root.hidden = state !== 'prepared' && state !== 'asking';
    this.#anyway.hidden = state !== 'asking';
    setText(
      this.#anyway,
      `Let it stand still${prediction ? ` for ${formatDuration(prediction.blackoutMs)}` : ''} anyway`,
    );
    this.#abort.hidden = switchedOver || isOver(state);
    this.#calls.hidden = this.#anyway.hidden && this.#abort.hidden;
    this.#abort.setAttribute('aria-label', `Abort the migration of ${shownName(vmName)}`);
    setText(this.#abort, state === 'aborting' ? 'Abort again…' : 'Abort…');
  }

  async #goOn(): Promise<void> {
    if (this.#limit.root.hidden) return this.#cutover({});
    const limit = this.#limit.duration();
    if (limit === 'wrong') return;
    if (limit === undefined && this.#view.state === 'asking') {
      return this.#limit.blame('Say for how long it may stand still, or let it anyway.');
    }
    await this.#cutover(limit === undefined ? {} : { maxBlackoutMs: limit });
  }

  #cutover(options: CutoverOptions): Promise<void> {
    const { id, vmName } = this.#view;
    return this.#do(() => migrationApi.cutover(id, options), `The migration of ${shownName(vmName)} goes on.`);
  }

  async #aborts(): Promise<void> {
    const { id, vmName } = this.#view;
    if (!(await askToAbort(shownName(vmName), becomes(this.#view)))) return;
    // Until it answers, which may take a while, it is seen to be aborted.
    this.#book.ask(id);
    await this.#do(() => migrationApi.abort(id), `The migration of ${shownName(vmName)} is aborted.`);
  }

  async #do(call: () => Promise<MigrationView>, done: string): Promise<void> {
    setText(this.#wrong, '');
    await orSay(
      async () => {
        this.#book.put(await call());
        this.#book.ask(this.#view.id);
        this.#app.announcer.say(done);
      },
      (error) => setText(this.#wrong, errorWords(error)),
    );
  }
}

/** What an abort does, of this one as it is now. */
function becomes({ plan, step, stepsDone, state }: MigrationView): string {
  const stands = plan.running && step !== undefined && STANDING_STILL.includes(step) && state !== 'failed';
  const stays = plan.running ? 'The machine runs on at the source.' : 'The machine stays off, at the source.';
  const first = stands ? 'The machine, which stands still now, goes on at the source from its memory.' : stays;
  const copied = 'What was copied to the target is removed; a later migration copies it again.';
  const merged =
    stepsDone.includes('snapshot') && plan.running ? ' Its snapshot is merged, which may take a while.' : '';
  return stepsDone.length === 0 ? `${first} Nothing was copied yet.` : `${first} ${copied}${merged}`;
}
