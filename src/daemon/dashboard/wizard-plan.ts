/** The third step of a move: what it would do, and what is in the way. Nothing is changed until it is started. */
import { formatBytes, formatDuration } from '../../core/units.js';
import type { MigrationPlan } from '../../migrate/migration-plan.js';
import type { MigrationPreview, SizedImage } from '../../migrate/migration-service.js';
import { ONLY_RUNNING, STANDING_STILL, STEP_DOES, STEPS } from '../../migrate/steps.js';
import { button, element, setChildren, setText } from './dom.js';
import { hostWords, shownName } from './migration-words.js';
import { count, sentence } from './words.js';

export interface PlanDeeds {
  back(): void;
  again(): Promise<unknown>;
  start(): Promise<unknown>;
}

export class PlanView {
  readonly root: HTMLElement;
  readonly heading = element('h2', { tabindex: -1 });
  readonly #content = element('div', {});
  readonly #wrong = element('p', { class: 'wrong', role: 'alert' });
  readonly #again: HTMLButtonElement;
  readonly #start: HTMLButtonElement;

  constructor(deeds: PlanDeeds) {
    this.#again = button('Plan again', () => deeds.again());
    this.#start = button('Start', () => deeds.start(), 'main');
    const back = button('Back', () => deeds.back());
    const calls = element('p', { class: 'calls' }, back, this.#again, this.#start);
    this.root = element('section', { class: 'card' }, this.heading, this.#content, this.#wrong, calls);
  }

  show(preview: MigrationPreview, prepareOnly: boolean): void {
    const { plan, problems } = preview;
    const can = problems.length === 0;
    setText(this.heading, `${can ? 'The plan' : 'It cannot begin'}: ${shownName(plan.vm.name)}`);
    setText(this.#wrong, '');
    this.#start.hidden = !can;
    this.#again.hidden = can;
    setText(this.#start, prepareOnly ? 'Prepare' : 'Start');
    setChildren(this.#content, [
      ...(can ? [] : [problemList(problems)]),
      element('p', {}, ways(plan)),
      imageList(preview.images),
      element('p', { class: 'facts' }, totals(preview)),
      ...(plan.running ? [blackout(preview)] : []),
      stepList(plan),
    ]);
  }

  say(message: string): void {
    setText(this.#wrong, message);
  }
}

function problemList(problems: readonly string[]): HTMLElement {
  const items = problems.map((problem) => element('li', {}, sentence(problem)));
  return element(
    'div',
    { class: 'problems', role: 'group', 'aria-label': 'In the way' },
    element('ul', { role: 'list' }, ...items),
  );
}

function ways({ running, from, to, keepSource }: MigrationPlan): string {
  const kind = running ? 'It runs, and goes on running' : 'It is off, and stays off';
  const source = keepSource ? 'stay where they are' : 'are removed when the machine is at the target';
  const where = from === to ? 'On this host' : `From ${hostWords(from)} to ${hostWords(to)}`;
  return `${kind}. ${where}. The images at the source ${source}.`;
}

function imageList(images: readonly SizedImage[]): HTMLElement {
  const rows = images.map(({ disk, format, source, target, bytes }) => {
    const to = element('div', {}, element('span', { class: 'to' }, 'to '), target);
    return element(
      'li',
      {},
      element('div', { class: 'paths' }, source, to),
      element('span', { class: 'state' }, format),
      element('span', { class: 'size' }, `${disk}, ${bytes === undefined ? 'not there' : formatBytes(bytes)}`),
    );
  });
  return element('ul', { class: 'images', role: 'list', 'aria-label': 'Files' }, ...rows);
}

function totals({ images, bytes, plan, prediction }: MigrationPreview): string {
  const memory = plan.running ? `, and about ${formatBytes(prediction.memoryBytes)} of memory` : '';
  return `${count(images.length, 'image')}, ${formatBytes(bytes)}${memory}.`;
}

function blackout({ plan: { maxBlackoutMs }, prediction: { blackoutMs, leastMs } }: MigrationPreview): HTMLElement {
  const fact = (name: string, value: string): HTMLElement =>
    element('div', {}, element('dt', {}, name), element('dd', {}, value));
  const asks = maxBlackoutMs !== undefined && leastMs > maxBlackoutMs;
  const words = asks
    ? 'Even the least is longer than the limit: all is copied, and then it asks you.'
    : 'From what the last moves between these places took; what the guest writes meanwhile comes on top.';
  return element(
    'div',
    {},
    element(
      'dl',
      { class: 'numbers-of' },
      fact('Predicted blackout', formatDuration(blackoutMs)),
      fact('At least', formatDuration(leastMs)),
      fact('Limit', maxBlackoutMs === undefined ? 'none' : formatDuration(maxBlackoutMs)),
    ),
    element('p', { class: asks ? 'asks' : 'reason' }, words),
  );
}

function stepList({ running }: MigrationPlan): HTMLElement {
  const needed = STEPS.filter((step) => running || !ONLY_RUNNING.includes(step));
  const rows = needed.map((step) => {
    const still = running && STANDING_STILL.includes(step) ? ' (the guest stands still)' : '';
    return element('li', {}, element('strong', {}, step), `: ${STEP_DOES[step]}${still}`);
  });
  return element(
    'details',
    {},
    element('summary', {}, `The ${needed.length} steps`),
    element('ol', { class: 'planned' }, ...rows),
  );
}
