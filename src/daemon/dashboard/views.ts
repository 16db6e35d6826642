/** Which view is shown: the address says it, so that back, forward and bookmarks work. */
import { ApiError, type JobDetails } from './api.js';
import type { App, View } from './app.js';
import { element, setAttribute } from './dom.js';
import { JobForm } from './job-form.js';
import { JobList } from './job-list.js';
import { JobPage } from './job-page.js';
import { migrationApi } from './migration-api.js';
import { MigrationList } from './migration-list.js';
import { MigrationPage } from './migration-page.js';
import { MigrationWizard } from './migration-wizard.js';
import { PolicyPage } from './policy-page.js';
import { sentence } from './words.js';

export class Views {
  readonly #app: App;
  readonly #place: HTMLElement;
  readonly #links: readonly HTMLAnchorElement[];
  #shown: View | undefined;
  #end = new AbortController();
  /** The job that is shown, if one is. */
  job: string | undefined;

  /** `left`: the view that was shown is not any more. */
  constructor(app: App, place: HTMLElement, links: Iterable<HTMLAnchorElement>, left: () => void) {
    this.#app = app;
    this.#place = place;
    this.#links = [...links];
    addEventListener('hashchange', () => {
      left();
      void this.show();
    });
  }

  get shown(): View | undefined {
    return this.#shown;
  }

  /** What the address names now; `first`: nobody went there, so that the focus stays where it is. */
  async show(first = false): Promise<void> {
    this.#end.abort();
    const end = new AbortController();
    this.#end = end;
    const [, name = 'jobs', id = ''] = location.hash.split('/');
    this.job = name === 'job' ? id : undefined;
    const view = await this.#open(name, id, end.signal).catch((thrown: unknown) => whyNot(thrown));
    if (end.signal.aborted) return;
    this.#shown = view;
    this.#place.replaceChildren(view.root);
    view.tick?.();
    for (const link of this.#links) {
      setAttribute(link, 'aria-current', link.getAttribute('href') === `#/${name}` ? 'page' : undefined);
    }
    const heading = view.root.querySelector('h1');
    document.title = `${heading?.textContent ?? ''} – Blockferry`;
    if (first) return;
    scrollTo(0, 0);
    heading?.focus({ preventScroll: true });
  }

  async #open(name: string, id: string, signal: AbortSignal): Promise<View> {
    const { api } = this.#app;
    switch (name) {
      case 'job':
        return this.#openJob(await api.job(this.job ?? ''), signal);
      case 'new':
        return new JobForm(this.#app);
      case 'policy':
        return new PolicyPage(this.#app, await api.policy());
      case 'migrations':
        return this.#openMigrations(id, signal);
      default:
        return new JobList(this.#app, signal);
    }
  }

  async #openMigrations(id: string, signal: AbortSignal): Promise<View> {
    const { migrations } = this.#app;
    if (!migrations) return new JobList(this.#app, signal, 'migration');
    if (id === '') return new MigrationList(migrations, signal);
    if (id === 'new') return new MigrationWizard(this.#app, migrations, signal);
    const view = await migrationApi.get(id);
    migrations.put(view);
    return new MigrationPage(this.#app, migrations, view, signal);
  }

  #openJob(job: JobDetails, signal: AbortSignal): View {
    const { files: _files, ...view } = job;
    this.#app.jobs.put(view);
    return new JobPage(this.#app, job, signal);
  }
}

function whyNot(thrown: unknown): View {
  if (!(thrown instanceof ApiError)) throw thrown;
  return {
    root: element(
      'section',
      {},
      element('a', { class: 'back', href: '#/jobs' }, '← All jobs'),
      element('h1', { tabindex: -1 }, thrown.status === 404 ? 'Not found' : 'Not now'),
      element('p', {}, sentence(thrown.message), ' ', sentence(thrown.hint ?? '')),
    ),
  };
}
