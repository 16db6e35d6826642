/** The list of jobs: a page of it at a time, so that ten thousand cost no more than fifty. */
import type { JobState } from '../../core/events.js';
import { type JobKind, PRIORITIES } from '../../service/job.js';
import type { JobView } from '../../service/job-service.js';
import type { App, View } from './app.js';
import { button, element, field, keepFocus, setAttribute, setChildren, setText, tick } from './dom.js';
import { countStates, type Grouping, groupOf, wantedJobs } from './job-order.js';
import { JobRow } from './job-row.js';
import { RateChart } from './rate-chart.js';
import { count, PRIORITY_WORDS, STATE_WORDS, STATES_SHOWN } from './words.js';

const PAGE_JOBS = 50;

export class JobList implements View {
  readonly root: HTMLElement;
  readonly #app: App;
  readonly #kind: JobKind | undefined;
  readonly #chart: RateChart;
  readonly #list = element('div', { class: 'list' });
  readonly #states = element('div', { class: 'states', role: 'group', 'aria-label': 'Show only jobs in one state' });
  readonly #shown = element('p', { class: 'shown', tabindex: -1 });
  readonly #search = element('input', { type: 'search', autocomplete: 'off', spellcheck: 'false' });
  readonly #grouping = element(
    'select',
    {},
    element('option', { value: 'state' }, 'State'),
    element('option', { value: 'priority' }, 'Priority'),
    element('option', { value: 'newest' }, 'Newest first'),
  );
  readonly #finished = element('input', { type: 'checkbox' });
  readonly #previous = button('Previous', () => this.#turn(-1));
  readonly #next = button('Next', () => this.#turn(1));
  readonly #pager = element('nav', { class: 'pager', 'aria-label': 'Pages of the list' }, this.#previous, this.#next);
  readonly #rows = new Map<string, JobRow>();
  readonly #headings = new Map<string, HTMLElement>();
  readonly #chips = new Map<JobState, HTMLButtonElement>();
  #state: JobState | undefined;
  #page = 0;
  #ordered: readonly string[] = [];
  #orderedAt = -1;

  /** `kind`: only these jobs. */
  constructor(app: App, signal: AbortSignal, kind?: JobKind) {
    this.#app = app;
    this.#kind = kind;
    const lines = PRIORITIES.map((name) => ({ name, label: PRIORITY_WORDS[name], colour: name }));
    this.#chart = new RateChart('Throughput, last 10 minutes', app.history, lines, signal);
    this.root = this.#build();
    this.#finished.checked = app.finishedToo;
    this.#search.addEventListener('input', () => this.#again());
    this.#grouping.addEventListener('change', () => this.#again());
    this.#finished.addEventListener('change', () => {
      app.finishedToo = this.#finished.checked;
      if (!app.finishedToo) app.jobs.dropEnded();
      void app.attempt(() => app.reload(false));
    });
    app.jobs.watch(() => this.#show(), signal);
    this.#show();
  }

  tick(): void {
    this.#chart.update();
  }

  #build(): HTMLElement {
    const title = this.#kind === 'migration' ? 'Migrations' : 'Jobs';
    const newJob = element('a', { class: 'button main', href: '#/new' }, 'New job');
    return element(
      'section',
      {},
      element('div', { class: 'title' }, element('h1', { tabindex: -1 }, title), newJob),
      this.#chart.root,
      this.#states,
      element(
        'div',
        { class: 'tools' },
        field('Find', this.#search),
        field('Sort by', this.#grouping),
        tick('Finished jobs too', this.#finished),
        this.#shown,
      ),
      this.#list,
      this.#pager,
    );
  }

  #turn(by: number): void {
    this.#page += by;
    this.#show();
    this.#shown.focus();
    this.#shown.scrollIntoView({ block: 'start' });
  }

  #again(): void {
    this.#page = 0;
    this.#orderedAt = -1;
    this.#show();
  }

  #show(): void {
    const { jobs } = this.#app;
    const grouping = this.#grouping.value as Grouping;
    if (this.#orderedAt !== jobs.order) {
      const wanted = { kind: this.#kind, state: this.#state, text: this.#search.value, grouping };
      this.#ordered = wantedJobs(jobs.all, wanted).map(({ id }) => id);
      this.#orderedAt = jobs.order;
      this.#showStates();
    }
    const pages = Math.max(1, Math.ceil(this.#ordered.length / PAGE_JOBS));
    this.#page = Math.min(this.#page, pages - 1);
    const first = this.#page * PAGE_JOBS;
    const onPage = this.#ordered.slice(first, first + PAGE_JOBS).flatMap((id) => jobs.get(id) ?? []);
    setAttribute(this.#list, 'class', `list by-${grouping}`);
    keepFocus(this.#list, this.#shown, () => this.#showRows(onPage, grouping));
    this.#showPager(first, onPage.length, pages);
  }

  #showRows(jobs: readonly JobView[], grouping: Grouping): void {
    const children: HTMLElement[] = [];
    let group: string | undefined;
    let list: { element: HTMLElement; rows: HTMLElement[] } | undefined;
    const close = (): void => {
      if (list) setChildren(list.element, list.rows);
    };
    for (const job of jobs) {
      const heading = groupOf(job, grouping) ?? '';
      if (!list || heading !== group) {
        close();
        group = heading;
        const section = this.#section(heading);
        list = { element: section.querySelector('ul') as HTMLElement, rows: [] };
        children.push(section);
      }
      list.rows.push(this.#row(job).root);
    }
    close();
    setChildren(this.#list, children);
    const kept = new Set(jobs.map(({ id }) => id));
    for (const id of this.#rows.keys()) if (!kept.has(id)) this.#rows.delete(id);
  }

  #section(heading: string): HTMLElement {
    const known = this.#headings.get(heading);
    if (known) return known;
    const title = heading === '' ? undefined : element('h2', {}, heading);
    const made = element('section', { class: 'group' }, title, element('ul', { class: 'jobs', role: 'list' }));
    this.#headings.set(heading, made);
    return made;
  }

  #row(job: JobView): JobRow {
    const known = this.#rows.get(job.id);
    known?.update(job);
    const row = known ?? new JobRow(this.#app, job);
    this.#rows.set(job.id, row);
    return row;
  }

  /** One button a state that some job is in, and the one that is pressed. */
  #showStates(): void {
    const counts = countStates(this.#app.jobs.all, this.#kind);
    const shown = STATES_SHOWN.filter((state) => counts.has(state) || state === this.#state);
    const chips = shown.map((state) => {
      const chip = this.#chips.get(state) ?? button('', () => this.#toggle(state), `chip ${state}`);
      this.#chips.set(state, chip);
      setText(chip, `${STATE_WORDS[state]} ${(counts.get(state) ?? 0).toLocaleString('en')}`);
      setAttribute(chip, 'aria-pressed', String(state === this.#state));
      return chip;
    });
    setChildren(this.#states, chips);
  }

  #toggle(state: JobState): void {
    this.#state = this.#state === state ? undefined : state;
    this.#again();
  }

  #showPager(first: number, jobs: number, pages: number): void {
    const all = this.#ordered.length;
    const nothing = this.#app.jobs.size === 0 ? 'No jobs. A new one waits for nothing but you.' : 'No job fits.';
    const some = pages === 1 ? count(all, 'job') : `${first + 1} to ${first + jobs} of ${count(all, 'job')}`;
    setText(this.#shown, all === 0 ? nothing : some);
    this.#pager.hidden = pages === 1;
    this.#previous.disabled = this.#page === 0;
    this.#next.disabled = this.#page === pages - 1;
  }
}
