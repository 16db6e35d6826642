/**
 * What is said to whoever does not see the page: each answer to an own action at once, and of the jobs only what ended
 * or failed, gathered, so that it never chatters.
 */
import { systemClock } from '../../core/clock.js';
import type { JobState } from '../../core/events.js';
import type { Change } from './job-book.js';
import { count, STATE_WORDS } from './words.js';

const GATHER_MS = 5000;
const WORTH_SAYING: readonly JobState[] = ['error', 'transient-error', 'transferred', 'acknowledged', 'cancelled'];

export class Announcer {
  readonly #region: HTMLElement;
  #gathered: Change[] = [];

  constructor(region: HTMLElement) {
    this.#region = region;
  }

  say(text: string): void {
    this.#region.textContent = text;
  }

  changed(change: Change): void {
    if (!WORTH_SAYING.includes(change.job.state)) return;
    this.#gathered.push(change);
    if (this.#gathered.length === 1) void this.#sayLater();
  }

  async #sayLater(): Promise<void> {
    await systemClock.sleep(GATHER_MS);
    const gathered = this.#gathered;
    this.#gathered = [];
    const [first] = gathered;
    if (gathered.length === 1 && first) {
      this.say(`${first.job.name}: ${STATE_WORDS[first.job.state].toLowerCase()}.`);
      return;
    }
    const said = WORTH_SAYING.flatMap((state) => {
      const jobs = gathered.filter(({ job }) => job.state === state).length;
      return jobs === 0 ? [] : [`${count(jobs, 'job')} ${STATE_WORDS[state].toLowerCase()}`];
    });
    this.say(`${said.join(', ')}.`);
  }
}
