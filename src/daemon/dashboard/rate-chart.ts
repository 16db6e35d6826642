/** Throughput over time as lines, drawn by uPlot: one a priority class, or one job's own. */
import type UPlot from 'uplot';
import { systemClock } from '../../core/clock.js';
import { formatRate, MiB } from '../../core/units.js';
import { element, setAttribute, setText } from './dom.js';
import type { RateHistory } from './rate-history.js';
import { onThemeChange, themeColour } from './theme.js';

/** Loaded by the page before its own modules. */
declare const uPlot: typeof UPlot;

export interface Line {
  /** In the history. */
  readonly name: string;
  readonly label: string;
  /** A custom property of the style sheet. */
  readonly colour: string;
}

const SHORTEST_SECONDS = 120;
const LABEL_WIDTH = 90;
const POWERS_OF_TWO = Array.from({ length: 50 }, (_none, power) => 2 ** power);
const HEIGHT = 130;
/** So that a reader is not interrupted by every change of a number. */
const WORDS_EVERY_SECONDS = 15;

export class RateChart {
  readonly root: HTMLElement;
  readonly #history: RateHistory;
  readonly #lines: readonly Line[];
  readonly #picture = element('div', { class: 'chart', role: 'img' });
  readonly #values: readonly HTMLElement[];
  #plot: UPlot | undefined;
  #saidAt = 0;

  constructor(caption: string, history: RateHistory, lines: readonly Line[], signal: AbortSignal) {
    this.#history = history;
    this.#lines = lines;
    this.#values = lines.map(() => element('span', { class: 'value' }));
    const legend = lines.map(({ label, colour }, at) =>
      element('li', {}, element('span', { class: `swatch ${colour}` }), `${label} `, this.#values[at]),
    );
    this.root = element(
      'figure',
      { class: 'rates' },
      element('figcaption', {}, caption),
      element('ul', { class: 'legend' }, ...legend),
      this.#picture,
    );
    const resized = new ResizeObserver(() => this.#resize());
    resized.observe(this.#picture);
    signal.addEventListener('abort', () => resized.disconnect());
    onThemeChange(() => this.#draw(), signal);
  }

  /** Once a second. */
  update(): void {
    const { times } = this.#history;
    const latest = times.at(-1) ?? 0;
    const words = this.#lines.map(({ name }) => formatRate(this.#history.latest(name)));
    for (const [at, value] of this.#values.entries()) setText(value, words[at] ?? '');
    if (latest - this.#saidAt >= WORDS_EVERY_SECONDS) {
      this.#saidAt = latest;
      const said = this.#lines.map(({ label }, at) => `${label} ${words[at]}`).join(', ');
      setAttribute(this.#picture, 'aria-label', `Throughput of the last ten minutes as lines. Now: ${said}.`);
    }
    if (this.#plot) this.#plot.setData(this.#data());
    else this.#draw();
  }

  #data(): UPlot.AlignedData {
    return [this.#history.times, ...this.#lines.map(({ name }) => this.#history.of(name))] as UPlot.AlignedData;
  }

  #resize(): void {
    const width = this.#picture.clientWidth;
    if (width > 0 && this.#plot && this.#plot.width !== width) this.#plot.setSize({ width, height: HEIGHT });
    if (width > 0 && !this.#plot) this.#draw();
  }

  /** Colours are part of the plot, so another theme is another plot. */
  #draw(): void {
    const width = this.#picture.clientWidth;
    if (width === 0) return;
    this.#plot?.destroy();
    const [quiet, grid] = [themeColour('--quiet'), themeColour('--line')];
    const axis = { stroke: quiet, grid: { stroke: grid, width: 1 }, ticks: { show: false }, font: '12px system-ui' };
    const series = this.#lines.map(({ label, colour }) => ({
      ...{ label, stroke: themeColour(`--${colour}`), width: 2, points: { show: false }, spanGaps: false },
    }));
    const options: UPlot.Options = {
      ...{ width, height: HEIGHT, legend: { show: false }, cursor: { show: false }, padding: [8, 20, 0, 0] },
      scales: { x: { range: () => timeRange(this.#history.times) }, y: { range: (_plot, _min, max) => [0, top(max)] } },
      axes: [
        {
          ...axis,
          size: 26,
          splits: ({ width }, _axis, min, max) => minutesBefore(max, min, width),
          values: timeWords,
        },
        { ...axis, size: 84, space: 22, incrs: POWERS_OF_TWO, values: (_plot, rates) => rates.map(formatRate) },
      ],
      series: [{}, ...series],
    };
    this.#plot = new uPlot(options, this.#data(), this.#picture);
  }
}

/** As much as there is, so that a young page is not an empty one. */
function timeRange(times: readonly number[]): [number, number] {
  const end = times.at(-1) ?? Math.floor(systemClock.wallMs() / 1000);
  return [Math.min(times[0] ?? end, end - SHORTEST_SECONDS), end];
}

/** At least 1 MiB/s, so that nothing does not look like much. */
function top(max: number | null): number {
  return Math.max(MiB, (max ?? 0) * 1.1);
}

/** From now backwards, in steps that leave room for what is written at each. */
function minutesBefore(end: number, begin: number, width: number): number[] {
  const steps = [30, 60, 120, 300];
  const step = steps.find((seconds) => (end - begin) / seconds <= width / LABEL_WIDTH) ?? 600;
  return Array.from({ length: Math.floor((end - begin) / step) + 1 }, (_none, at) => end - at * step).reverse();
}

function timeWords(_plot: UPlot, seconds: readonly number[]): string[] {
  const end = seconds.at(-1) ?? 0;
  return seconds.map((second) => (second === end ? 'now' : `−${((end - second) / 60).toLocaleString('en')} min`));
}
