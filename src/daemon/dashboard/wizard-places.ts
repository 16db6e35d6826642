/** The second step of a move: where to, and how. What is wrong is said beside the field that it is about. */
import { formatBytes } from '../../core/units.js';
import type { TargetPaths } from '../../migrate/migration-plan.js';
import type { MigrationRequest } from '../../migrate/migration-service.js';
import type { VmStatus } from '../../migrate/vm.js';
import type { ApiError } from './api.js';
import { CheckedField, errorWords } from './checked-field.js';
import { button, element, setAttribute, setText, textInput, tick } from './dom.js';
import { hostWords, shownName } from './migration-words.js';

export interface Wanted {
  readonly request: MigrationRequest;
  readonly prepareOnly: boolean;
}

export class PlacesForm {
  readonly root: HTMLFormElement;
  readonly heading = element('h2', { tabindex: -1 });
  readonly #host = new CheckedField(
    'Target host',
    element('select', {}),
    'Other hosts are those that the service knows by: blockferry peer add',
  );
  readonly #one = element('input', { type: 'radio', name: 'places', value: 'one', checked: true });
  readonly #each = element('input', { type: 'radio', name: 'places', value: 'each' });
  readonly #which: HTMLElement;
  readonly #folder = new CheckedField('Folder', textInput(), ' ');
  readonly #perDisk = element('div', {});
  readonly #keep = element('input', { type: 'checkbox' });
  readonly #prepare = element('input', { type: 'checkbox' });
  readonly #limit = new CheckedField(
    'Longest blackout',
    textInput(),
    'Such as 2s: it asks before its guest would stand still for longer. Empty: no limit.',
  );
  readonly #wrong = element('p', { class: 'wrong', role: 'alert' });
  readonly #plan = element('button', { type: 'submit', class: 'main' }, 'Plan');
  #disks: readonly (readonly [string, CheckedField])[] = [];
  #vm = '';

  constructor(back: () => void, plan: (wanted: Wanted) => Promise<void>) {
    this.#which = this.#choiceOfPlaces();
    this.root = this.#build(back);
    this.#host.control.addEventListener('change', () => this.#showPlaces());
    this.#which.addEventListener('change', () => this.#showPlaces());
    this.root.addEventListener('submit', (event) => {
      event.preventDefault();
      const wanted = this.#read();
      if (!wanted || this.#plan.getAttribute('aria-disabled') === 'true') return;
      setAttribute(this.#plan, 'aria-disabled', 'true');
      setText(this.#plan, 'Planning…');
      void plan(wanted).finally(() => {
        setAttribute(this.#plan, 'aria-disabled', undefined);
        setText(this.#plan, 'Plan');
      });
    });
  }

  /** What was typed for the same machine stays. */
  show({ vm }: VmStatus, hosts: readonly string[]): void {
    setText(this.heading, `Where does ${shownName(vm.name)} go?`);
    const before = this.#host.value;
    this.#host.control.replaceChildren(
      ...hosts.map((name) => element('option', { value: name, selected: name === before }, hostWords(name))),
    );
    if (this.#vm !== vm.id) {
      this.#disks = vm.disks.map(({ id, sizeBytes, chain }) => {
        return [id, new CheckedField(`Folder for ${id}`, textInput(), `${formatBytes(sizeBytes)}, ${chain[0]?.path}`)];
      });
      this.#perDisk.replaceChildren(...this.#disks.map(([, { root }]) => root));
      this.#one.checked = true;
    }
    this.#vm = vm.id;
    setText(this.#wrong, '');
    this.#which.hidden = vm.disks.length < 2;
    this.#showPlaces();
  }

  /** What the service has against it: beside the field that the message names, else above the buttons. */
  blame(error: ApiError): void {
    const words = errorWords(error);
    const host = this.#host.value.replace(/^peer:\/\//, '');
    const names = ({ value }: CheckedField): boolean => value !== '' && error.message.includes(value);
    const disk = this.#disks.find(([id, one]) => names(one) || error.message.includes(`disk ${id} `))?.[1];
    const folder = this.#each.checked ? disk : names(this.#folder) ? this.#folder : undefined;
    if (folder) folder.blame(words);
    else if (host !== 'local' && error.message.includes(host)) this.#host.blame(words);
    else setText(this.#wrong, words);
  }

  #build(back: () => void): HTMLFormElement {
    const kept = 'Its images stay at the source too; otherwise they are removed once the machine is at the target.';
    const prepared = 'All is copied but the rest; its guest runs on at the source until you say when.';
    return element(
      'form',
      { class: 'card', novalidate: true },
      this.heading,
      this.#host.root,
      this.#which,
      this.#folder.root,
      this.#perDisk,
      this.#limit.root,
      tick('Keep the source', this.#keep, kept),
      tick('Prepare only', this.#prepare, prepared),
      this.#wrong,
      element('p', { class: 'calls' }, button('Back', back), this.#plan),
    );
  }

  #choiceOfPlaces(): HTMLElement {
    const one = element('label', { class: 'choice' }, this.#one, element('span', {}, 'One folder for all files'));
    const each = element('label', { class: 'choice' }, this.#each, element('span', {}, 'A folder for each disk'));
    const legend = element('legend', {}, 'Its files go to');
    return element('fieldset', { class: 'choice-set' }, legend, element('div', { class: 'choices' }, one, each));
  }

  #showPlaces(): void {
    const each = this.#each.checked;
    this.#folder.root.hidden = each;
    this.#perDisk.hidden = !each;
    const example = this.#isHere ? '/vms/fast' : '/images/web';
    const rule = this.#isHere ? 'An absolute path of this host' : 'A folder of that host, by the name of its root';
    setText(this.#folder.root.querySelector('small') as HTMLElement, `${rule}, such as ${example}`);
  }

  get #isHere(): boolean {
    return this.#host.value === 'local';
  }

  /** Undefined after it was said what is wrong: all of it, and the first has the focus. */
  #read(): Wanted | undefined {
    setText(this.#wrong, '');
    const asked = this.#each.checked ? this.#disks.map(([, one]) => one) : [this.#folder];
    const wrong = asked.filter((one) => {
      const { value } = one;
      const missing = value === '' ? 'Say a folder.' : undefined;
      const odd = value.startsWith('/') ? undefined : 'Write it from the root, with a slash at first.';
      one.say(missing ?? odd);
      return missing ?? odd;
    });
    wrong[0]?.control.focus();
    if (wrong.length > 0) return undefined;
    const limit = this.#limit.duration();
    if (limit === 'wrong') return undefined;
    return { request: this.#request(limit), prepareOnly: this.#prepare.checked };
  }

  #request(maxBlackoutMs: number | undefined): MigrationRequest {
    const each = Object.fromEntries(this.#disks.map(([id, { value }]) => [id, value]));
    const paths: TargetPaths = this.#each.checked ? { disks: each } : { folder: this.#folder.value };
    return {
      ...{ vm: this.#vm, paths, keepSource: this.#keep.checked },
      ...(!this.#isHere && { to: this.#host.value }),
      ...(maxBlackoutMs !== undefined && { maxBlackoutMs }),
    };
  }
}
