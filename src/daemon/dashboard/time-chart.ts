/** Where the time of a job went: a picture over time, stacked by cause, and the same as a table. */
import type UPlot from 'uplot';
import { CAUSE_NAMES, type Cause, totalTime } from '../../core/causes.js';
import { formatDuration } from '../../core/units.js';
import type { TimeView } from '../../service/job-service.js';
import { element, setAttribute } from './dom.js';
import { onThemeChange, themeColour } from './theme.js';
import { colourOf, coloursIn, stacked } from './time-groups.js';
import { sentence, timeWords } from './words.js';

/** Loaded by the page before its own modules. */
declare const uPlot: typeof UPlot;

const HEIGHT = 150;
const LABEL_WIDTH = 110;
const NAMED_IN_WORDS = 3;
const BEHIND_SHOWN = 5;

export class TimeChart {
  readonly root = element('section', { class: 'card time' });
  readonly #picture = element('div', { class: 'chart time-chart', role: 'img' });
  readonly #words = element('div', { class: 'time-words' });
  #plot: UPlot | undefined;
  #time: TimeView | undefined;
  #shown = '';

  constructor(signal: AbortSignal) {
    this.root.append(element('h2', {}, 'Where the time went'), this.#picture, this.#words);
    this.root.hidden = true;
    const resized = new ResizeObserver(() => this.#draw());
    resized.observe(this.#picture);
    signal.addEventListener('abort', () => resized.disconnect());
    onThemeChange(() => this.#draw(), signal);
  }

  show(time: TimeView | undefined): void {
    const shown = JSON.stringify(time);
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.#time = time;
    this.root.hidden = time === undefined || totalTime(time.total) < 1;
    if (!time || this.root.hidden) return;
    const causes = (Object.entries(time.total) as [Cause, number][]).sort(([, one], [, other]) => other - one);
    setAttribute(this.#picture, 'aria-label', pictureWords(time, causes));
    this.#words.replaceChildren(tableOf(time, causes), ...behindOf(time));
    this.#draw();
  }

  /** The highest area is drawn first, and the lower ones over it. Colours are part of the plot. */
  #draw(): void {
    const width = this.#picture.clientWidth;
    const time = this.#time;
    if (width === 0 || !time) return;
    const colours = coloursIn(time.total);
    const [times, ...heights] = stacked(time.from, time.spans, colours);
    const stepped = uPlot.paths.stepped?.({ align: 1 });
    const series = colours.map((colour) => ({
      ...{ fill: themeColour(`--${colour}`), stroke: themeColour('--card'), width: 1, points: { show: false } },
      ...(stepped && { paths: stepped }),
    }));
    const axis = { stroke: themeColour('--quiet'), ticks: { show: false }, font: '12px system-ui' };
    const options: UPlot.Options = {
      ...{ width, height: HEIGHT, legend: { show: false }, cursor: { show: false }, padding: [8, 20, 0, 0] },
      scales: {
        x: { time: false, range: [times[0] ?? 0, Math.max(times.at(-1) ?? 0, (times[0] ?? 0) + 1)] },
        y: { range: [0, 100] },
      },
      axes: [
        {
          ...{ ...axis, size: 26, grid: { show: false } },
          splits: ({ width: wide }, _axis, min, max) => evenly(min, max, Math.max(1, Math.floor(wide / LABEL_WIDTH))),
          values: (_plot, seconds) => seconds.map((second) => timeWords(second * 1000, time.until)),
        },
        {
          ...axis,
          size: 50,
          grid: { show: false },
          splits: () => [0, 50, 100],
          values: () => ['0 %', '50 %', '100 %'],
        },
      ],
      series: [{}, ...series.reverse()],
    };
    this.#plot?.destroy();
    this.#plot = new uPlot(options, [times, ...heights.reverse()] as unknown as UPlot.AlignedData, this.#picture);
  }
}

function evenly(min: number, max: number, parts: number): number[] {
  return Array.from({ length: parts + 1 }, (_none, at) => min + ((max - min) * at) / parts).slice(0, -1);
}

function pictureWords({ from, until }: TimeView, causes: readonly (readonly [Cause, number])[]): string {
  const all = causes.reduce((sum, [, ms]) => sum + ms, 0);
  const longest = causes.slice(0, NAMED_IN_WORDS).map(([cause, ms]) => `${CAUSE_NAMES[cause]} ${percent(ms, all)}`);
  const [begin, end] = [timeWords(from, until), timeWords(until, until)];
  return `Where the time went from ${begin} to ${end}, as areas: ${longest.join(', ')}. The table has all of it.`;
}

function tableOf({ total }: TimeView, causes: readonly (readonly [Cause, number])[]): HTMLElement {
  const all = totalTime(total);
  const rows = causes.map(([cause, ms]) =>
    element(
      'tr',
      {},
      element(
        'th',
        { scope: 'row' },
        element('span', { class: `swatch ${colourOf(cause)}` }),
        sentence(CAUSE_NAMES[cause]).slice(0, -1),
      ),
      element('td', {}, formatDuration(ms)),
      element('td', {}, percent(ms, all)),
    ),
  );
  const head = ['What for', 'Time', 'Share'].map((text) => element('th', { scope: 'col' }, text));
  return element(
    'table',
    { class: 'times' },
    element('caption', {}, `${formatDuration(all)} since it was made`),
    element('thead', {}, element('tr', {}, ...head)),
    element('tbody', {}, ...rows),
  );
}

function behindOf({ behind }: TimeView): readonly HTMLElement[] {
  if (behind.length === 0) return [];
  const lines = behind.slice(0, BEHIND_SHOWN).map(({ job, name, ms, preempted }) => {
    const who = name ?? (job === undefined ? "another owner's job" : 'a job that is forgotten');
    const link =
      job === undefined || name === undefined ? who : element('a', { href: `#/job/${encodeURIComponent(job)}` }, who);
    const times = preempted === 1 ? 'once' : `${preempted} times`;
    return element('li', {}, link, `: ${formatDuration(ms)}${preempted > 0 ? `; it had to stop for it ${times}` : ''}`);
  });
  const more = behind.length > lines.length ? [element('li', {}, `and ${behind.length - lines.length} more`)] : [];
  return [element('p', { class: 'reason' }, 'It stood behind:'), element('ul', { class: 'behind' }, ...lines, ...more)];
}

function percent(ms: number, all: number): string {
  return `${Math.round((100 * ms) / (all || 1))} %`;
}
