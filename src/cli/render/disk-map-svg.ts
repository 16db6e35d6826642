/**
 * What a disk has allocated, as one SVG: a square for each part of the disk, filled as far as it is data, with
 * as many dots as the number of the image that holds it.
 */
import { formatBytes } from '../../core/units.js';
import type { DiskMap, DiskMapCell } from '../../index.js';
import { shortBytes } from './bench-table.js';
import { escaped, PALETTE_STYLE, rounded, svgText } from './svg.js';

const CELL = 13;
const STEP = 15;
const PER_ROW = 64;
const LEFT = 24;
const TITLE_HEIGHT = 64;
const LEGEND_STEP = 22;
const SERIES = 4;
const WIDTH = LEFT * 2 + PER_ROW * STEP;

const STYLE = `${PALETTE_STYLE}
.empty { fill: none; stroke: var(--rule); } .zero { fill: var(--rule); }
.left { fill: none; stroke: var(--dim); stroke-dasharray: 2 2; }`;

export function diskMapSvg(map: DiskMap): string {
  const { cells, cellBytes, size, images, zeroBytes } = map;
  const rows = Math.ceil(cells.length / PER_ROW);
  const legendTop = TITLE_HEIGHT + rows * STEP + 20;
  const legend = legendParts(map, legendTop);
  const height = legendTop + legend.length * LEGEND_STEP + 8;
  const title = `What is allocated of ${images[0] ?? ''}`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" role="img"`,
    `  viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}">`,
    `<title>${escaped(title)}</title><style>${STYLE}</style>`,
    `<rect class="ground" width="100%" height="100%"/>`,
    svgText(LEFT, 30, title, 'title'),
    svgText(
      LEFT,
      50,
      `${formatBytes(size)}, of which ${formatBytes(zeroBytes)} are zero; each square is ${shortBytes(cellBytes)}`,
      'dim',
    ),
    ...cells.map((cell, at) => cellSvg(cell, at)),
    ...legend,
    '</svg>\n',
  ].join('\n');
}

function cellSvg(cell: DiskMapCell, at: number): string {
  return square(LEFT + (at % PER_ROW) * STEP, TITLE_HEIGHT + Math.floor(at / PER_ROW) * STEP, cell);
}

/** A square that is filled from below, and never so little that it looks empty. */
function square(x: number, y: number, { kind, image = 0, dataShare }: DiskMapCell): string {
  const box = (name: string, from = 0): string =>
    `<rect class="${name}" x="${x}" y="${rounded(y + from)}" width="${CELL}" height="${rounded(CELL - from)}"/>`;
  if (kind === 'zero') return box('zero');
  if (kind === 'absent') return box('left');
  if (kind === 'none') return box('empty');
  const filled = Math.max(2, Math.min(1, dataShare) * CELL);
  return (filled < CELL ? box('empty') : '') + box(`f${image % SERIES}`, CELL - filled) + dots(x, y + CELL, image);
}

/** So many as the image's number, for those who cannot tell the colours apart. */
function dots(x: number, bottom: number, image: number): string {
  const at = Array.from({ length: image % SERIES }, (_, dot) => x + 3 + dot * 3.5);
  return at.map((cx) => `<circle class="ground" cx="${rounded(cx)}" cy="${bottom - 3}" r="1.3"/>`).join('');
}

function legendParts({ images, dataBytes, cells }: DiskMap, top: number): string[] {
  const entries: (readonly [DiskMapCell, string])[] = images.map((name, image) => [
    { kind: 'data', image, dataShare: 1 },
    `data in ${name}: ${formatBytes(dataBytes[image] ?? 0)}`,
  ]);
  if (cells.some(({ kind }) => kind === 'zero'))
    entries.push([{ kind: 'zero', dataShare: 0 }, 'zero, as an image says']);
  if (cells.some(({ kind }) => kind === 'absent'))
    entries.push([{ kind: 'absent', dataShare: 0 }, 'left to its parent']);
  entries.push([{ kind: 'none', dataShare: 0 }, 'never written']);
  return entries.map(([cell, words], at) => {
    const y = top + at * LEGEND_STEP;
    return square(LEFT, y, cell) + svgText(LEFT + 22, y + 11, words, '');
  });
}
