/**
 * One number as a strip of a chart: its spread as a whisker, its median as a dot, its best runs as a ring, its target
 * as a line with the good side shaded. Places along the strip are percentages, so that it is as wide as its page.
 */
import type { Finding } from './statistics.js';

export const STRIP_HEIGHT = 26;
/** What the marks mean. */
export const CHART_KEY =
  'Dot: median of the runs. Ring: best run over best run. Line: all runs. Shaded: the target is met.';
const MIDDLE = STRIP_HEIGHT / 2;
/** Room at both ends, so that a dot at the end is whole. */
const MARGIN_PERCENT = 3;
const RATIO_TICKS = [0.125, 0.25, 0.5, 1, 2, 4, 8, 16, 32];
/** Where few of those are on the scale. */
const RATIO_TICKS_CLOSE = [0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 3, 4];
const RATIO_TICKS_MIN = 4;
const LINEAR_TICKS = 4;

export interface Scale {
  /** Percent of the strip's width. */
  readonly at: (value: number) => number;
  readonly ticks: readonly number[];
  /** Where nothing is: 1 for ratios, 0 for all else. */
  readonly origin: number;
}

/** One scale for numbers of one unit, their targets included. Ratios are drawn by their logarithm. */
export function scaleOf(findings: readonly Finding[]): Scale {
  const ratios = findings[0]?.unit === 'x';
  const values = findings.flatMap(({ min, max, best, bound }) => [min, max, best, ...(bound ? [bound.value] : [])]);
  return ratios ? ratioScale(values) : linearScale(values);
}

function ratioScale(values: readonly number[]): Scale {
  const [low, high] = [Math.log(Math.min(0.8, ...values)), Math.log(Math.max(1.25, ...values))];
  const at = (value: number): number => inside((Math.log(value) - low) / (high - low));
  const within = (tick: number): boolean => Math.log(tick) >= low && Math.log(tick) <= high;
  const ticks = RATIO_TICKS.filter(within);
  return { at, ticks: ticks.length < RATIO_TICKS_MIN ? RATIO_TICKS_CLOSE.filter(within) : ticks, origin: 1 };
}

function linearScale(values: readonly number[]): Scale {
  const [low, high] = [Math.min(0, ...values), Math.max(0, ...values)];
  const span = high - low || 1;
  const step = niceStep(span / LINEAR_TICKS);
  const first = Math.ceil(low / step);
  const ticks = Array.from({ length: Math.floor(high / step) - first + 1 }, (_, at) => (first + at) * step);
  return { at: (value) => inside((value - low) / span), ticks, origin: 0 };
}

/** The next of 1, 2 and 5 times a power of ten. */
function niceStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least));
  return ([1, 2, 5].find((factor) => factor * power >= least) ?? 10) * power;
}

function inside(part: number): number {
  return MARGIN_PERCENT + part * (100 - 2 * MARGIN_PERCENT);
}

/** SVG elements for a strip that is {@link STRIP_HEIGHT} high; their classes are those of {@link stripStyle}. */
export function drawStrip(finding: Finding, scale: Scale): string {
  const { unit, min, max, median, best, runs, verdict } = finding;
  const x = (value: number): string => `${Number(scale.at(value).toFixed(2))}%`;
  const missed = verdict === 'missed' ? ' missed' : '';
  const marks = [zone(finding, scale), upright('origin', x(scale.origin))];
  if (unit !== 'x') marks.push(level(`bar${missed}`, x(scale.origin), x(median)));
  if (runs > 1) marks.push(level(`whisker${missed}`, x(min), x(max)));
  if (unit === 'x') marks.push(`<circle class="best${missed}" cx="${x(best)}" cy="${MIDDLE}" r="5"/>`);
  marks.push(`<circle class="median${missed}" cx="${x(median)}" cy="${MIDDLE}" r="4"/>`);
  return marks.join('');
}

/** Where the target is kept, and the target itself; nothing without one. */
function zone({ bound }: Finding, { at }: Scale): string {
  if (bound === undefined) return '';
  const place = Number(at(bound.value).toFixed(2));
  const [from, width] = bound.kind === 'at most' ? [0, place] : [place, 100 - place];
  const shade = `x="${from}%" y="2" width="${Number(width.toFixed(2))}%" height="${STRIP_HEIGHT - 4}"`;
  return `<rect class="zone" ${shade}/>${upright('target', `${place}%`)}`;
}

function upright(name: string, x: string): string {
  return `<line class="${name}" x1="${x}" x2="${x}" y1="0" y2="${STRIP_HEIGHT}"/>`;
}

function level(name: string, from: string, to: string): string {
  return `<line class="${name}" x1="${from}" x2="${to}" y1="${MIDDLE}" y2="${MIDDLE}"/>`;
}

const LIGHT = {
  paper: '#ffffff',
  ink: '#1f2328',
  faint: '#59636e',
  rule: '#d1d9e0',
  mark: '#0969da',
  missed: '#cf222e',
  good: '#1a7f37',
};
const DARK: typeof LIGHT = {
  paper: '#0d1117',
  ink: '#e6edf3',
  faint: '#9198a1',
  rule: '#3d444d',
  mark: '#4493f8',
  missed: '#f85149',
  good: '#3fb950',
};

/** CSS of the strips and the colours that all else may use, light or dark as the reader has it. */
export function stripStyle(): string {
  const colours = (set: typeof LIGHT): string =>
    `:root{${Object.entries(set)
      .map(([name, value]) => `--${name}:${value}`)
      .join(';')}}`;
  return `${colours(LIGHT)}
@media (prefers-color-scheme:dark){${colours(DARK)}}
.zone{fill:var(--good);opacity:.1}.target{stroke:var(--good);stroke-width:2}
.origin{stroke:var(--rule)}.whisker{stroke:var(--mark);stroke-width:2}
.bar{stroke:var(--mark);stroke-width:8;opacity:.45}.median{fill:var(--mark)}
.best{fill:none;stroke:var(--mark);stroke-width:1.5}
.whisker.missed,.bar.missed,.best.missed{stroke:var(--missed)}.median.missed{fill:var(--missed)}`;
}
