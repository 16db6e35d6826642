/** The steps of a migration as a list: which are done and when, which is under way and how far, which are to come. */
import { systemClock } from '../../core/clock.js';
import { formatDuration } from '../../core/units.js';
import type { MigrationView } from '../../migrate/migration-service.js';
import { ONLY_RUNNING, STANDING_STILL, STEP_DOES, STEPS, type Step } from '../../migrate/steps.js';
import { element, setAttribute, setText } from './dom.js';
import { bytesWords, isOver } from './migration-words.js';
import { timeWords } from './words.js';

type Standing = 'done' | 'now' | 'failed' | 'waits' | 'to-come' | 'not-needed' | 'left-out';

const WORDS: Readonly<Record<Standing, string>> = {
  done: 'Done',
  now: 'Under way',
  failed: 'Failed',
  waits: 'Waits',
  'to-come': 'To come',
  'not-needed': 'Not needed',
  'left-out': 'Left out',
};

export class StepList {
  readonly about = element('p', { class: 'reason' });
  readonly root = element('ol', { class: 'steps', role: 'list' });
  readonly #rows = STEPS.map((step, at) => new StepRow(step, at + 1));

  constructor() {
    this.root.append(...this.#rows.map(({ root }) => root));
  }

  update(view: MigrationView): void {
    const [first, last] = [STANDING_STILL[0], STANDING_STILL.at(-1)];
    const still = `From ${first} to ${last}, where the side is marked, the guest stands still.`;
    setText(this.about, view.plan.running ? still : 'The machine is off, and stays off.');
    for (const row of this.#rows) row.update(view);
  }
}

class StepRow {
  readonly root: HTMLLIElement;
  readonly #step: Step;
  readonly #state = element('span', {});
  readonly #times = element('span', { class: 'times' });
  readonly #bar = element('progress', { max: 1 });
  readonly #bytes = element('span', { class: 'numbers' });
  readonly #moved: HTMLElement;

  constructor(step: Step, number: number) {
    this.#step = step;
    this.#moved = element('div', { class: 'how-far' }, this.#bar, this.#bytes);
    setAttribute(this.#bar, 'aria-label', `Progress of ${step}`);
    this.root = element(
      'li',
      {},
      element('span', { class: 'number', 'aria-hidden': 'true' }, String(number)),
      element('div', { class: 'step' }, element('strong', {}, step), ' ', element('span', {}, STEP_DOES[step])),
      this.#state,
      this.#times,
      this.#moved,
    );
  }

  update(view: MigrationView): void {
    const standing = standingOf(this.#step, view);
    const still = view.plan.running && STANDING_STILL.includes(this.#step);
    setAttribute(this.root, 'class', `${standing}${still ? ' still' : ''}`);
    setAttribute(this.root, 'aria-current', standing === 'now' ? 'step' : undefined);
    setText(this.#state, WORDS[standing]);
    setAttribute(this.#state, 'class', `state ${standing}`);
    setText(this.#times, timesOf(this.#step, view, standing));
    const { bytesDone = 0, bytesTotal = 0 } = view;
    this.#moved.hidden = standing !== 'now' || bytesTotal === 0;
    if (this.#moved.hidden) return;
    setAttribute(this.#bar, 'value', (bytesDone / bytesTotal).toFixed(4));
    setAttribute(this.#bar, 'class', 'transferring');
    setAttribute(this.#bar, 'aria-valuetext', bytesWords(view));
    setText(this.#bytes, bytesWords(view));
  }
}

function standingOf(step: Step, { plan, state, step: current, stepsDone, failedStep }: MigrationView): Standing {
  if (!plan.running && ONLY_RUNNING.includes(step)) return 'not-needed';
  if (stepsDone.includes(step)) return 'done';
  if (state === 'failed' && step === (failedStep ?? current)) return 'failed';
  if (isOver(state) || state === 'aborting') return 'left-out';
  if (step !== current) return 'to-come';
  return state === 'running' ? 'now' : 'waits';
}

/** What is done several times counts from its first time to its last. */
function timesOf(step: Step, { steps, step: current, stepStartedAt }: MigrationView, standing: Standing): string {
  if (standing === 'not-needed') return '';
  const nowMs = systemClock.wallMs();
  const times = steps.filter((one) => one.step === step);
  const rounds = times.filter(({ round }) => round !== undefined).length;
  const again = rounds === 0 ? '' : rounds === 1 ? 'another snapshot, ' : `${rounds} more snapshots, `;
  if (step === current && (standing === 'now' || standing === 'failed')) {
    return stepStartedAt === undefined ? again : `${again}since ${timeWords(stepStartedAt, nowMs)}`;
  }
  if (times.length === 0) return '';
  const startedAt = Math.min(...times.map((one) => one.startedAt));
  const doneAt = Math.max(...times.map((one) => one.doneAt));
  return `${again}${timeWords(startedAt, nowMs)}, ${formatDuration(doneAt - startedAt)}`;
}
