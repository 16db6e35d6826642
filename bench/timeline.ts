/** How fast movers went over time while a neighbour came and went, one under the other, as an SVG. */
import { escapeMarkup } from './markup.js';
import type { Beside } from './neighbours.js';
import { stripStyle } from './strip.js';

const WIDTH = 840;
const LEFT = 200;
const RIGHT = 20;
const PLOT_HEIGHT = 84;
const GAP = 18;
const HEAD = 44;
const FOOT = 34;
const TICK_SECONDS = 5;

export interface Timeline extends Pick<Beside, 'p99' | 'line'> {
  readonly name: string;
}

/** `ceiling`: bytes per second of the disk. */
export function renderTimelines(lines: readonly Timeline[], ceiling: number): string {
  const seconds = Math.max(1, ...lines.flatMap(({ line }) => line.points.map(([at]) => at)));
  const x = (at: number): number => LEFT + (at / seconds) * (WIDTH - LEFT - RIGHT);
  const y = (rate: number): number => PLOT_HEIGHT - Math.min(1.15, rate / ceiling) * (PLOT_HEIGHT / 1.2);
  const plots = lines.map((line, index) => {
    const top = HEAD + index * (PLOT_HEIGHT + GAP);
    return `<g transform="translate(0 ${top})">${drawTimeline(line, x, y, ceiling)}</g>`;
  });
  const height = HEAD + lines.length * (PLOT_HEIGHT + GAP) + FOOT;
  const ticks = Array.from({ length: Math.floor(seconds / TICK_SECONDS) + 1 }, (_, tick) => tick * TICK_SECONDS).map(
    (at) => `<text class="faint" x="${round(x(at))}" y="${height - 20}" text-anchor="middle">${at} s</text>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" role="img">
<title>Movers beside a neighbour that comes and goes</title>
<style>${stripStyle()}
svg{font:13px system-ui,sans-serif}text{fill:var(--ink)}.faint{fill:var(--faint)}.paper{fill:var(--paper)}
.here{fill:var(--good);opacity:.12}.rate{fill:none;stroke:var(--mark);stroke-width:1.6}
.ceiling{stroke:var(--rule);stroke-dasharray:4 3}.base{stroke:var(--rule)}</style>
<rect class="paper" width="100%" height="100%"/>
<text x="12" y="24">What movers read of a disk of 60 MiB/s. Shaded: a neighbour reads 4 KiB at a time.</text>
${plots.join('\n')}
${ticks.join('')}
</svg>
`;
}

type Axis = (value: number) => number;

function drawTimeline({ name, p99, line }: Timeline, x: Axis, y: Axis, ceiling: number): string {
  const [from, to] = line.victim;
  const path = line.points.map(([at, rate], index) => `${index === 0 ? 'M' : 'L'}${round(x(at))} ${round(y(rate))}`);
  const across = (rate: number, kind: string): string =>
    `<line class="${kind}" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${round(y(rate))}" y2="${round(y(rate))}"/>`;
  return [
    `<text x="12" y="34">${escapeMarkup(name)}</text>`,
    `<text class="faint" x="12" y="54">its p99: ${p99.toFixed(1)} ms</text>`,
    `<rect class="here" x="${round(x(from))}" width="${round(x(to) - x(from))}" y="0" height="${PLOT_HEIGHT}"/>`,
    across(ceiling, 'ceiling'),
    across(0, 'base'),
    `<path class="rate" d="${path.join('')}"/>`,
  ].join('');
}

function round(value: number): string {
  return value.toFixed(1);
}
