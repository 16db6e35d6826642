/**
 * The files that are being copied, one line each: the name, shortened in the middle, since both its folder and its end
 * tell files apart; then how far it is. Widths are those of a terminal, on which some characters take two columns.
 */
import stringWidth from 'string-width';
import type { FileEvent } from '../../core/events.js';
import { formatBytes } from '../../core/units.js';
import { showPath } from '../../platform/path-bytes.js';
import { BYTES_COLUMNS, drawnBar, type Look, percentText } from './progress-text.js';

const NAME_SHARE = 0.4;
const NAME_COLUMNS_MAX = 60;
const BAR_COLUMNS_MIN = 8;
const BAR_COLUMNS_MAX = 40;
const AMOUNT_COLUMNS = 2 * BYTES_COLUMNS + ' of '.length;
const ELLIPSIS = '..';

/** The files under way, in the order in which they were begun. */
export class RunningFiles {
  readonly #files = new Map<string, FileEvent>();

  see(event: FileEvent): void {
    if (event.state === 'started') this.#files.set(event.path, event);
    else this.#files.delete(event.path);
  }

  get count(): number {
    return this.#files.size;
  }

  /** At most `rows` lines; when there are more files, the last one says how many. */
  lines(look: Look, rows: number): string[] {
    const files = [...this.#files.values()];
    if (files.length <= rows) return files.map((file) => fileLine(file, look));
    if (rows <= 0) return [];
    const more = `  and ${files.length - rows + 1} more files`;
    return [...files.slice(0, rows - 1).map((file) => fileLine(file, look)), more.slice(0, look.columns)];
  }
}

function fileLine({ path, size, bytesDone = 0 }: FileEvent, look: Look): string {
  const amounts = { bytesDone, bytesTotal: size };
  const columns = Math.min(NAME_COLUMNS_MAX, Math.floor(look.columns * NAME_SHARE));
  const name = fitted(showPath(path), columns);
  const room = look.columns - columns - ' 100% []'.length;
  const amount =
    room - 2 - AMOUNT_COLUMNS >= BAR_COLUMNS_MIN
      ? `  ${formatBytes(bytesDone).padStart(BYTES_COLUMNS)} of ${formatBytes(size)}`
      : '';
  const bar = Math.min(BAR_COLUMNS_MAX, room - (amount === '' ? 0 : 2 + AMOUNT_COLUMNS));
  const drawn = bar < BAR_COLUMNS_MIN ? '' : ` ${drawnBar(amounts, bar, look.colour)}`;
  return `${name} ${percentText(amounts)}${drawn}${amount}`;
}

/** As many columns, filled up with spaces or with the middle left out. */
export function fitted(text: string, columns: number): string {
  const width = stringWidth(text);
  if (width <= columns) return text + ' '.repeat(columns - width);
  const letters = [...new Intl.Segmenter(undefined, { granularity: 'grapheme' }).segment(text)].map((s) => s.segment);
  const room = columns - ELLIPSIS.length;
  if (room < 2) return '.'.repeat(columns);
  const start = taken(letters, Math.floor(room / 2));
  const end = taken(letters.reverse(), room - Math.floor(room / 2));
  const short = `${start.join('')}${ELLIPSIS}${end.reverse().join('')}`;
  return short + ' '.repeat(columns - stringWidth(short));
}

/** The first letters that fit. */
function taken(letters: readonly string[], columns: number): string[] {
  const fitting: string[] = [];
  let width = 0;
  for (const letter of letters) {
    width += stringWidth(letter);
    if (width > columns) break;
    fitting.push(letter);
  }
  return fitting;
}
