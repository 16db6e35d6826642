/**
 * The chart that README shows: every ratio, with its spread and its target, as an SVG that needs nothing else and is
 * readable on light and on dark paper.
 */
import { type ChartGroup, type ChartRow, chartGroups } from './chart-groups.js';
import { escapeMarkup } from './markup.js';
import type { Report } from './report.js';
import { show } from './show.js';
import { CHART_KEY, drawStrip, type Scale, STRIP_HEIGHT, scaleOf, stripStyle } from './strip.js';

const WIDTH = 840;
const LABEL_WIDTH = 370;
const VALUE_WIDTH = 80;
const STRIP_WIDTH = WIDTH - LABEL_WIDTH - VALUE_WIDTH;
const HEAD_HEIGHT = 50;
const AXIS_HEIGHT = 30;
const PADDING = 12;
const KEY_HEIGHT = 20;

export function renderChart(report: Report): string {
  const groups = chartGroups(report).filter(({ rows }) => rows[0]?.finding.unit === 'x');
  let y = PADDING;
  const drawn = groups.map((group) => {
    const text = drawGroup(group, y);
    y += heightOf(group);
    return text;
  });
  const key = `<text class="faint" x="${PADDING}" y="${y + 14}">${CHART_KEY}</text>`;
  const height = y + KEY_HEIGHT + PADDING;
  const style = `${stripStyle()}
svg{font:13px system-ui,sans-serif}text{fill:var(--ink)}.faint{fill:var(--faint)}
.head{font-weight:600;font-size:15px}
.paper{fill:var(--paper)}`;
  const box = `viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${box} role="img">
<title>Blockferry beside other programs: ratios of wall times</title>
<style>${style}</style>
<rect class="paper" width="100%" height="100%"/>
${drawn.join('\n')}
${key}
</svg>
`;
}

function heightOf({ rows }: ChartGroup): number {
  return HEAD_HEIGHT + rows.length * STRIP_HEIGHT + AXIS_HEIGHT;
}

function drawGroup({ title, reading, rows }: ChartGroup, top: number): string {
  const scale = scaleOf(rows.map(({ finding }) => finding));
  const first = top + HEAD_HEIGHT;
  const head = `<text class="head" x="${PADDING}" y="${top + 18}">${escapeMarkup(title)}</text>
<text class="faint" x="${PADDING}" y="${top + 38}">${escapeMarkup(reading)}</text>`;
  const lines = rows.map((row, index) => drawRow(row, scale, first + index * STRIP_HEIGHT));
  const axis = drawAxis(scale, first + rows.length * STRIP_HEIGHT);
  return [head, ...lines, axis].join('\n');
}

function drawRow({ case: name, finding }: ChartRow, scale: Scale, y: number): string {
  const base = y + STRIP_HEIGHT / 2 + 4;
  const what = `<tspan class="faint" dx="6">${escapeMarkup(finding.what)}</tspan>`;
  return `<text x="${PADDING}" y="${base}">${escapeMarkup(name)}${what}</text>
<svg x="${LABEL_WIDTH}" y="${y}" width="${STRIP_WIDTH}" height="${STRIP_HEIGHT}">${drawStrip(finding, scale)}</svg>
<text x="${WIDTH - PADDING}" y="${base}" text-anchor="end">${show(finding.median, finding.unit)}</text>`;
}

function drawAxis({ at, ticks }: Scale, y: number): string {
  return ticks
    .map((tick) => LABEL_WIDTH + (at(tick) / 100) * STRIP_WIDTH)
    .map(
      (x, index) => `<text class="faint" x="${x.toFixed(1)}" y="${y + 16}" text-anchor="middle">${ticks[index]}</text>`,
    )
    .join('');
}
