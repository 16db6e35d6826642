/** One job with all that is known of it: why it is where it is, its files and chunks, its rate, what can be done. */
import { systemClock } from '../../core/clock.js';
import type { JobState } from '../../core/events.js';
import { formatRate } from '../../core/units.js';
import { isFinal } from '../../service/job.js';
import type { Explanation, JobView } from '../../service/job-service.js';
import { AddFile } from './add-file.js';
import type { JobDetails } from './api.js';
import type { App, View } from './app.js';
import { ChunkPicture } from './chunk-picture.js';
import { element, field, setAttribute, setText } from './dom.js';
import { FileList } from './file-list.js';
import { JobCalls } from './job-calls.js';
import { showProgress } from './job-row.js';
import { SettingsForm } from './job-settings.js';
import { RateChart } from './rate-chart.js';
import { TimeChart } from './time-chart.js';
import { dueWords, PRIORITY_WORDS, progressWords, remainingWords, STATE_WORDS, sentence, timeWords } from './words.js';

const FILES_EVERY_SECONDS = 2;
/** What it waits for goes on, and nothing tells of it. */
const WAITS_EVERY_SECONDS = 10;
const BEFORE_SHOWN = 5;
/** In other states nothing is copied, and there is no map. */
const RUNNING: readonly JobState[] = ['connecting', 'transferring'];

export class JobPage implements View {
  readonly root: HTMLElement;
  readonly #app: App;
  readonly #signal: AbortSignal;
  readonly #heading = element('h1', { tabindex: -1 });
  readonly #state = element('span', {});
  readonly #facts = element('p', { class: 'facts' });
  readonly #bar = element('progress', { max: 1 });
  readonly #numbers = element('span', { class: 'numbers' });
  readonly #left = element('span', { class: 'left' });
  readonly #whyWords = element('div', { class: 'why' });
  readonly #files = new FileList();
  readonly #addFile: AddFile;
  readonly #picture: ChunkPicture;
  readonly #whichFile = element('select', {});
  readonly #whichField = element('div', { class: 'chunks-of' }, field('Of the file', this.#whichFile));
  readonly #chart: RateChart;
  readonly #time: TimeChart;
  readonly #calls: JobCalls;
  readonly #settings: SettingsForm;
  #job: JobDetails;
  #asking = false;
  #ticks = 0;
  #why: Explanation | undefined;
  #shownWhy = '';

  constructor(app: App, job: JobDetails, signal: AbortSignal) {
    this.#app = app;
    this.#job = job;
    this.#signal = signal;
    this.#calls = new JobCalls(app, job, true);
    this.#settings = new SettingsForm(app, job);
    this.#addFile = new AddFile(app, job);
    this.#picture = new ChunkPicture(signal);
    const line = { name: job.id, label: 'This job', colour: job.priority };
    this.#chart = new RateChart('Throughput, last 10 minutes', app.history, [line], signal);
    this.#time = new TimeChart(signal);
    this.root = this.#build();
    this.#whichFile.addEventListener('change', () => void this.#askForMap());
    app.jobs.watch(() => this.#update(), signal);
    this.fresh(job);
  }

  fresh(job: JobDetails): void {
    if (job.id !== this.#job.id) return;
    this.#job = job;
    this.#files.show(job.files);
    this.#time.show(job.time);
    this.#showWhichFiles();
    this.#update();
    void this.#askWhy();
  }

  tick(): void {
    this.#chart.update();
    // Events tell of the job as a whole; how far each of its files is has to be asked for.
    const { state } = this.#current();
    const every = RUNNING.includes(state) ? FILES_EVERY_SECONDS : WAITS_EVERY_SECONDS;
    const moves = !isFinal(state) && !document.hidden;
    if (moves && ++this.#ticks % every === 0) this.#app.jobs.ask(this.#job.id);
    void this.#askForMap();
  }

  #build(): HTMLElement {
    return element(
      'section',
      { class: 'details' },
      element('a', { class: 'back', href: '#/jobs' }, '← All jobs'),
      element('div', { class: 'title' }, this.#heading, this.#state),
      this.#facts,
      element(
        'section',
        { class: 'card' },
        element('div', { class: 'how-far' }, this.#bar),
        element('div', { class: 'counts' }, this.#numbers, this.#left),
        this.#whyWords,
        element('div', { class: 'calls' }, ...this.#calls.buttons),
      ),
      element('section', { class: 'card' }, element('h2', {}, 'Chunks'), this.#whichField, this.#picture.root),
      this.#files.root,
      this.#addFile.root,
      this.#chart.root,
      this.#time.root,
      this.#settings.root,
    );
  }

  #update(): void {
    const job = this.#current();
    const { name, state, priority, owner, createdAt, id, progress } = job;
    setText(this.#heading, name === '' ? '(no name)' : name);
    setText(this.#state, STATE_WORDS[state]);
    setAttribute(this.#state, 'class', `state ${state}`);
    const created = timeWords(createdAt, systemClock.wallMs());
    setText(this.#facts, `${PRIORITY_WORDS[priority]} priority · of ${owner} · created ${created} · ${id}`);
    showProgress(this.#bar, job);
    setText(this.#numbers, progressWords(job));
    const rate = state === 'transferring' ? formatRate(progress.rateBytesPerSecond) : '';
    setText(this.#left, [rate, remainingWords(job), dueWords(job, systemClock.wallMs())].filter(Boolean).join(' · '));
    this.#calls.update(job);
    this.#settings.update(job);
    this.#addFile.update(job);
    this.#showWhy();
  }

  /** What events told since is in the book. */
  #current(): JobView {
    return this.#app.jobs.get(this.#job.id) ?? this.#job;
  }

  #showWhichFiles(): void {
    const { files } = this.#job;
    this.#whichField.hidden = files.length < 2;
    if (files.length === this.#whichFile.options.length) return;
    this.#whichFile.replaceChildren(
      ...files.map(({ index, target }) => element('option', { value: index }, `${index + 1}: ${target}`)),
    );
    const copying = files.find(({ state }) => state === 'copying');
    if (copying) this.#whichFile.value = String(copying.index);
  }

  async #askWhy(): Promise<void> {
    // Without an answer the reason that the job itself tells is what there is.
    this.#why = await this.#app.api.why(this.#job.id).catch(() => undefined);
    this.#showWhy();
  }

  #showWhy(): void {
    const { state, reason } = this.#current();
    const why = this.#why?.state === state ? this.#why : { state, sentence: reason };
    const before = (why.behind ?? []).map((id) => ({ id, name: this.#app.jobs.get(id)?.name ?? id }));
    const key = JSON.stringify([why, before]);
    if (key === this.#shownWhy) return;
    this.#shownWhy = key;
    this.#whyWords.replaceChildren(...whyWords(why, before));
  }

  /** Not while the page is out of sight, and never two at a time. */
  async #askForMap(): Promise<void> {
    if (this.#asking || document.hidden || this.#signal.aborted || !this.root.isConnected) return;
    if (!RUNNING.includes(this.#current().state)) return this.#picture.show(undefined);
    this.#asking = true;
    const file = Number(this.#whichFile.value || this.#job.files[0]?.index || 0);
    const { api } = this.#app;
    // A service that is away has no map either; that it is away is told above the page.
    this.#picture.show(await api.chunkMap(this.#job.id, file, this.#picture.cells).catch(() => undefined));
    this.#asking = false;
  }
}

function whyWords(
  { sentence: said, rule, until, hint }: Explanation,
  before: readonly { readonly id: string; readonly name: string }[],
): readonly HTMLElement[] {
  const words: HTMLElement[] = [element('p', {}, element('strong', {}, 'Why: '), sentence(said))];
  if (rule !== undefined) words.push(element('p', { class: 'reason' }, 'The rule: ', element('code', {}, rule)));
  if (until !== undefined) {
    words.push(element('p', { class: 'reason' }, `Looked at again at ${timeWords(until, systemClock.wallMs())}.`));
  }
  if (before.length > 0) {
    const links = before.slice(0, BEFORE_SHOWN).map(({ id, name }) => {
      return element('li', {}, element('a', { href: `#/job/${encodeURIComponent(id)}` }, name));
    });
    const more = before.length > BEFORE_SHOWN ? `Before it, of ${before.length.toLocaleString('en')}:` : 'Before it:';
    words.push(element('p', { class: 'reason' }, more), element('ul', { class: 'behind' }, ...links));
  }
  if (hint !== undefined) words.push(element('p', { class: 'reason' }, sentence(hint)));
  return words;
}
