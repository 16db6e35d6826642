/** The first step of a move: which machine. */
import { formatBytes } from '../../core/units.js';
import type { MachinesView } from '../../migrate/migration-service.js';
import type { VmStatus } from '../../migrate/vm.js';
import { errorWords, orSay } from './checked-field.js';
import { button, element, field, setText, textInput } from './dom.js';
import { migrationApi } from './migration-api.js';
import type { MigrationBook } from './migration-book.js';
import { isOver, RUN_WORDS, shownName, whyStays } from './migration-words.js';
import { count, sentence } from './words.js';

/** Beyond so many they are found by name. */
const FIND_FROM = 8;
const SHOWN_MAX = 100;

export class MachineChoice {
  readonly root: HTMLElement;
  readonly heading = element('h2', { tabindex: -1 }, 'Which machine?');
  readonly #book: MigrationBook;
  readonly #about = element('p', { class: 'reason' }, 'One moment…');
  readonly #wrong = element('p', { class: 'wrong', role: 'alert' });
  readonly #find = textInput();
  readonly #findField = field('Find', this.#find);
  readonly #choices = element('div', { class: 'choices' });
  readonly #again = button('Look again', () => this.load());
  readonly #next = element('button', { type: 'submit', class: 'main' }, 'Next');
  #known: MachinesView = { machines: [], hosts: ['local'] };
  #found: readonly VmStatus[] = [];
  #chosen = '';

  constructor(book: MigrationBook, chosen: (machine: VmStatus, hosts: readonly string[]) => void) {
    this.#book = book;
    const legend = element('legend', { class: 'unseen' }, 'Machine');
    const set = element('fieldset', { class: 'choice-set' }, legend, this.#findField, this.#choices);
    const buttons = element('p', { class: 'calls' }, this.#again, this.#next);
    const form = element('form', { class: 'card' }, this.heading, this.#about, set, this.#wrong, buttons);
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      const machine = this.#found.find(({ vm }) => vm.id === this.#chosen);
      if (machine) return chosen(machine, this.#known.hosts);
      setText(this.#wrong, 'Choose a machine first.');
      this.#choices.querySelector<HTMLElement>('input:enabled')?.focus();
    });
    this.#choices.addEventListener('change', ({ target }) => {
      this.#chosen = (target as HTMLInputElement).value;
      setText(this.#wrong, '');
    });
    this.#find.addEventListener('input', () => this.#show());
    this.root = form;
  }

  async load(): Promise<void> {
    setText(this.#wrong, '');
    const came = await orSay(
      async () => {
        this.#known = await migrationApi.machines();
        await this.#book.reload();
      },
      (error) => setText(this.#wrong, errorWords(error)),
    );
    setText(this.#about, came ? '' : 'The machines of this host are not known now.');
    this.#show();
  }

  #show(): void {
    const { machines } = this.#known;
    const wanted = this.#find.value.trim().toLowerCase();
    this.#found = machines.filter(({ vm }) => `${vm.name} ${vm.id}`.toLowerCase().includes(wanted));
    const { length } = this.#found;
    this.#findField.hidden = machines.length < FIND_FROM;
    this.#next.hidden = machines.length === 0;
    this.#choices.replaceChildren(...this.#found.slice(0, SHOWN_MAX).map((machine) => this.#choice(machine)));
    if (this.#wrong.textContent !== '') return;
    const none = 'This host knows no machine yet. One is made known with: blockferry vm add FILE';
    const more = `${count(length, 'machine')}; the first ${SHOWN_MAX} are shown`;
    const some = length > SHOWN_MAX ? more : length === 0 ? 'no machine has such a name' : '';
    setText(this.#about, machines.length === 0 ? none : sentence(some));
  }

  #choice(machine: VmStatus): HTMLElement {
    const { vm, state } = machine;
    const moving = this.#book.all.some((view) => view.vm === vm.id && !isOver(view.state));
    const stays = whyStays(machine, moving);
    const bytes = vm.disks.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    const memory = `${formatBytes(vm.memoryBytes)} of memory`;
    const disks = `${count(vm.disks.length, 'disk')}, ${formatBytes(bytes)}`;
    const about = `${disks} · ${memory} · ${vm.disks[0]?.chain[0]?.path}`;
    const radio = element('input', {
      ...{ type: 'radio', name: 'machine', value: vm.id },
      ...{ checked: vm.id === this.#chosen, disabled: stays !== undefined },
    });
    const look = state === 'running' ? 'state transferring' : 'state';
    return element(
      'label',
      { class: 'choice' },
      radio,
      element(
        'span',
        {},
        element('bdi', { class: 'name' }, shownName(vm.name)),
        ' ',
        element('span', { class: look }, RUN_WORDS[state]),
        element('small', {}, about),
        stays === undefined ? undefined : element('small', { class: 'stays' }, `It cannot be moved now: ${stays}.`),
      ),
    );
  }
}
