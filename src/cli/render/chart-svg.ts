/**
 * Charts as one SVG: panels of lines or bars with labelled axes. Plain text in, plain text out; every colour has a
 * light and a dark form, and every line a mark of its own, so that nothing is told by colour alone.
 */

import { escaped, PALETTE_STYLE, rounded, svgText } from './svg.js';

export interface Series {
  readonly name: string;
  /** One value for each label; undefined leaves a gap. */
  readonly values: readonly (number | undefined)[];
}

export interface LinesPanel {
  readonly kind: 'lines';
  readonly title: string;
  /** What the labels below are. */
  readonly across: string;
  readonly labels: readonly string[];
  readonly series: readonly Series[];
  readonly scale: 'linear' | 'log';
  readonly format: (value: number) => string;
}

export interface BarsPanel {
  readonly kind: 'bars';
  readonly title: string;
  readonly bars: readonly { readonly name: string; readonly value: number }[];
  readonly format: (value: number) => string;
}

export type Panel = LinesPanel | BarsPanel;

export interface Chart {
  readonly title: string;
  /** Lines below the title. */
  readonly about: readonly string[];
  readonly panels: readonly Panel[];
}

const WIDTH = 1000;
const COLUMNS = 2;
const PANEL = { width: WIDTH / COLUMNS, height: 300 } as const;
/** Room around the plot of a panel: title and legend above, labels below, values to the left. */
const ROOM = { top: 62, right: 24, bottom: 48, left: 92 } as const;
const BAR_NAME_WIDTH = 214;
const BAR_HEIGHT_MAX = 26;
const TITLE_HEIGHT = 44;
const ABOUT_HEIGHT = 18;
const MARKS = 4;

const STYLE = `${PALETTE_STYLE}.line { fill: none; stroke-width: 2.5; }
${[0, 1, 2, 3].map((n) => `.s${n} { stroke: var(--c${n}); }`).join(' ')}
`;

export function chartSvg({ title, about, panels }: Chart): string {
  const top = TITLE_HEIGHT + about.length * ABOUT_HEIGHT + 16;
  const height = top + Math.ceil(panels.length / COLUMNS) * PANEL.height;
  const body = panels.map((panel, at) => {
    const [x, y] = [(at % COLUMNS) * PANEL.width, top + Math.floor(at / COLUMNS) * PANEL.height];
    return `<g transform="translate(${x} ${y})">${panelSvg(panel)}</g>`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" role="img"`,
    `  viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}">`,
    `<title>${escaped(title)}</title><style>${STYLE}</style>`,
    `<rect class="ground" width="100%" height="100%"/>`,
    svgText(24, 34, title, 'title'),
    ...about.map((line, at) => svgText(24, TITLE_HEIGHT + 14 + at * ABOUT_HEIGHT, line, 'dim')),
    ...body,
    '</svg>\n',
  ].join('\n');
}

function panelSvg(panel: Panel): string {
  const heading = svgText(24, 22, panel.title, 'head');
  return `${heading}\n${panel.kind === 'bars' ? barsSvg(panel) : linesSvg(panel)}`;
}

function linesSvg(panel: LinesPanel): string {
  const { labels, series, across, format } = panel;
  const plot = { width: PANEL.width - ROOM.left - ROOM.right, height: PANEL.height - ROOM.top - ROOM.bottom };
  const bottom = ROOM.top + plot.height;
  const known = series.flatMap(({ values }) => values.filter((value) => value !== undefined));
  const axis = panel.scale === 'log' ? logAxis(known) : linearAxis(known);
  const x = (at: number): number => ROOM.left + ((at + 0.5) * plot.width) / labels.length;
  const y = (value: number): number => bottom - axis.at(value) * plot.height;
  const right = ROOM.left + plot.width;
  const ruleAt = (at: string): string => `<line class="rule" x1="${ROOM.left}" x2="${right}" y1="${at}" y2="${at}"/>`;
  const rules = axis.ticks.flatMap((tick) => [
    ruleAt(rounded(y(tick))),
    svgText(ROOM.left - 8, y(tick) + 4, format(tick), 'dim', 'end'),
  ]);
  return [
    ...rules,
    ...labels.map((label, at) => svgText(x(at), bottom + 18, label, 'dim', 'middle')),
    svgText(ROOM.left + plot.width / 2, bottom + 38, across, 'dim', 'middle'),
    ...series.map((one, at) => lineSvg(one, at, x, y)),
    legend(series),
  ].join('\n');
}

function lineSvg({ values }: Series, number: number, x: (at: number) => number, y: (value: number) => number): string {
  const points = values.flatMap((value, at) => (value === undefined ? [] : [[x(at), y(value)] as const]));
  const path = points.map(([px, py], at) => `${at === 0 ? 'M' : 'L'}${rounded(px)} ${rounded(py)}`).join(' ');
  const marks = points.map(([px, py]) => mark(px, py, number));
  return `<path class="line s${number % MARKS}" d="${path}"/>${marks.join('')}`;
}

/** Circle, square, diamond, triangle. */
function mark(x: number, y: number, number: number): string {
  const as = `class="f${number % MARKS}"`;
  const at = `transform="translate(${rounded(x)} ${rounded(y)})"`;
  const shapes = [
    `<circle ${as} ${at} r="4.5"/>`,
    `<rect ${as} ${at} x="-4" y="-4" width="8" height="8"/>`,
    `<path ${as} ${at} d="M0 -6L6 0L0 6L-6 0Z"/>`,
    `<path ${as} ${at} d="M0 -6L6 5L-6 5Z"/>`,
  ];
  return shapes[number % MARKS] as string;
}

function legend(series: readonly Series[]): string {
  let x = 30;
  const parts = series.map(({ name }, number) => {
    const part = mark(x, 42, number) + svgText(x + 10, 46, name, 'dim');
    // Wide enough for the letters of any usual font.
    x += 30 + name.length * 7;
    return part;
  });
  return parts.join('');
}

function barsSvg({ bars, format }: BarsPanel): string {
  const width = PANEL.width - BAR_NAME_WIDTH - ROOM.right - 84;
  const step = Math.min(BAR_HEIGHT_MAX + 10, (PANEL.height - 60) / Math.max(1, bars.length));
  const most = Math.max(...bars.map(({ value }) => value), 1);
  return bars
    .map(({ name, value }, at) => {
      const y = 42 + at * step;
      const length = (value / most) * width;
      const size = `width="${rounded(length)}" height="${rounded(step - 10)}"`;
      const middle = y + (step - 10) / 2 + 4.5;
      return [
        svgText(BAR_NAME_WIDTH - 8, middle, name, '', 'end'),
        `<rect class="f0" x="${BAR_NAME_WIDTH}" y="${rounded(y)}" ${size} rx="2"/>`,
        svgText(BAR_NAME_WIDTH + length + 8, middle, format(value), 'dim'),
      ].join('');
    })
    .join('\n');
}

interface Axis {
  readonly ticks: readonly number[];
  /** From 0 at the bottom to 1 at the top. */
  readonly at: (value: number) => number;
}

/** From 0 to a round number above all values, in at most five steps; rounded as bytes are, by powers of two. */
export function linearAxis(values: readonly number[]): Axis {
  const most = Math.max(...values, 1);
  const power = 2 ** Math.floor(Math.log2(most / 4));
  const step = most / power > 6 ? 2 * power : most / power > 5 ? 1.5 * power : power;
  const count = Math.ceil(most / step);
  const ticks = Array.from({ length: count + 1 }, (_, at) => at * step);
  return { ticks, at: (value) => value / (count * step) };
}

/** Whole powers of ten around all values. */
export function logAxis(values: readonly number[]): Axis {
  const positive = values.filter((value) => value > 0);
  const from = Math.floor(Math.log10(Math.min(...positive, Number.MAX_VALUE)));
  if (positive.length === 0) return { ticks: [], at: () => 0 };
  const to = Math.max(from + 1, Math.ceil(Math.log10(Math.max(...positive))));
  const ticks = Array.from({ length: to - from + 1 }, (_, at) => 10 ** (from + at));
  return { ticks, at: (value) => (Math.log10(value) - from) / (to - from) };
}
