/**
 * What a disk has allocated, as lines of characters and as a list. Each image has a character of its own, so that the
 * picture says the same without colours.
 */
import { formatBytes } from '../../core/units.js';
import type { DiskExtent, DiskMap, DiskMapCell } from '../../index.js';
import { shortBytes } from './bench-table.js';
import type { Look } from './progress-text.js';

/** Of an output that is no terminal. */
export const COLUMNS_DEFAULT = 80;
const INDENT = '  ';
const LINES = 16;
const LINE_COLUMNS_MAX = 128;
const COLOURS = [36, 33, 35, 32, 34] as const;
const IMAGES = '0123456789abcdefghijklmnopqrstuvwxyz';

const lineColumns = ({ columns }: Look): number => Math.max(8, Math.min(LINE_COLUMNS_MAX, columns - 1 - INDENT.length));

/** How many parts of the disk the picture shows. */
export function pictureCells(look: Look): number {
  return lineColumns(look) * LINES;
}

export function diskMapLines(map: DiskMap, look: Look): string[] {
  const columns = lineColumns(look);
  const { cells, cellBytes, size, images } = map;
  const heading = `${images[0] ?? ''}: ${formatBytes(size)}, each character ${shortBytes(cellBytes)}`;
  const picture = cells.map((cell) => painted(signOf(cell), cell, look.colour));
  const lines: string[] = [];
  for (let at = 0; at < picture.length; at += columns) {
    lines.push(INDENT + picture.slice(at, at + columns).join(''));
  }
  return [heading, ...lines, ...legendLines(map, look)];
}

function signOf({ kind, image = 0 }: DiskMapCell): string {
  if (kind === 'data') return IMAGES[image] ?? '#';
  return kind === 'zero' ? 'o' : kind === 'absent' ? '-' : '.';
}

function painted(text: string, { kind, image = 0 }: Pick<DiskMapCell, 'kind' | 'image'>, colour: boolean): string {
  if (!colour) return text;
  const number = kind === 'data' ? COLOURS[image % COLOURS.length] : 90;
  return `\x1b[${number}m${text}\x1b[39m`;
}

function legendLines({ images, dataBytes, zeroBytes, cells }: DiskMap, look: Look): string[] {
  const lines = images.map((name, image) => {
    const sign = painted(IMAGES[image] ?? '#', { kind: 'data', image }, look.colour);
    return `${INDENT}${sign} ${formatBytes(dataBytes[image] ?? 0).padStart(9)}  data in ${name}`;
  });
  const gray = (sign: string): string => painted(sign, { kind: 'none' }, look.colour);
  lines.push(`${INDENT}${gray('o')} ${formatBytes(zeroBytes).padStart(9)}  zero, or never written: .`);
  if (cells.some(({ kind }) => kind === 'absent')) lines.push(`${INDENT}${gray('-')} left to its parent`);
  return lines;
}

/** One line each: where it begins, its length, what it is, and in which image. */
export function extentLines({ extents, images, more }: DiskMap): string[] {
  const rows = extents.map(row);
  const heading = ['offset', 'length', 'what', ''] as const;
  // One after the other: a list of 100,000 rows is too long for the arguments of a call.
  const width = (at: number): number =>
    [heading, ...rows].reduce((most, cells) => Math.max(most, cells[at]?.length ?? 0), 0);
  const widths = [width(0), width(1), width(2)] as const;
  const line = ([offset = '', length = '', kind = '', image = '']: readonly string[]): string => {
    const cells = [offset.padStart(widths[0]), length.padStart(widths[1]), kind.padEnd(widths[2]), image];
    return `  ${cells.join('  ')}`.trimEnd();
  };
  return [
    ...images.map((name, at) => `${at}: ${name}`),
    line(heading),
    ...rows.map(line),
    ...(more > 0 ? [`  and ${more} more`] : []),
  ];
}

function row({ offset, length, kind, image }: DiskExtent): readonly string[] {
  const nobody = kind === 'absent' ? 'left to its parent' : '';
  return [String(offset), shortBytes(length), kind, image === undefined ? nobody : `in ${image}`];
}
