/**
 * Jobs as a table of the terminal's width: what matters least is left out first, and the reason of a wait, which
 * matters most, gets a line of its own where there is no room beside the rest. A program's pipe gets whole lines.
 */
import stringWidth from 'string-width';
import { formatDuration, formatRate } from '../../core/units.js';
import { showPath } from '../../platform/path-bytes.js';
import type { JobView } from '../../service/job-service.js';
import { shortId } from '../service-access.js';
import { fitted } from './file-text.js';
import { wrapped } from './paragraph.js';
import { drawnBar, percentText } from './progress-text.js';

export interface TableLook {
  /** Absent: no terminal, and no end of a line. */
  readonly columns?: number;
  readonly colour: boolean;
}

const COLUMNS = ['priority', 'state', 'done', 'rate', 'left'] as const;
type Column = (typeof COLUMNS)[number];
/** What is left out, in this order, where the terminal is narrow. */
const DROPPED: readonly Column[] = ['left', 'rate', 'priority', 'done'];
const ID_COLUMNS = 8;
const NAME_COLUMNS_MAX = 40;
const NAME_COLUMNS_MIN = 7;
/** A longer name is worth more than most columns. */
const NAME_COLUMNS_GOOD = 16;
const BAR_COLUMNS = 14;
const REASON_COLUMNS_MIN = 30;
const GAP = '  ';

type Cells = Readonly<Record<Column, string>>;

interface Row {
  readonly id: string;
  readonly name: string;
  readonly cells: Cells;
  readonly reason: string;
  readonly job?: JobView;
}

interface Layout {
  readonly name: number;
  readonly columns: readonly Column[];
  readonly widths: Readonly<Record<Column, number>>;
  readonly bar: boolean;
  /** Columns for the reason beside the rest; 0: it has lines of its own. */
  readonly reason: number;
}

export function jobTable(jobs: readonly JobView[], look: TableLook): string[] {
  const heading: Row = {
    ...{ id: 'job', name: 'name', reason: 'why' },
    cells: { priority: 'priority', state: 'state', done: 'done', rate: 'rate', left: 'left' },
  };
  const rows = [heading, ...jobs.map(rowOf)];
  const layout = layoutOf(rows, look);
  return rows.flatMap((row) => rowLines(row, layout, look));
}

function rowOf(job: JobView): Row {
  const { id, name, priority, state, progress, reason } = job;
  const { rateBytesPerSecond, remainingMs } = progress;
  const moves = state === 'transferring';
  const cells = {
    ...{ priority, state, done: doneText(job) },
    rate: moves && rateBytesPerSecond > 0 ? formatRate(rateBytesPerSecond) : '',
    left: moves && remainingMs !== undefined ? formatDuration(remainingMs) : '',
  };
  return { id: shortId(id), name: showPath(name), cells, reason: showPath(reason), job };
}

/** Never 100 % of what is not known to its end. */
export function doneText({ progress: { bytesDone, bytesTotal }, state }: JobView): string {
  if (bytesTotal === undefined) return '?';
  // Nothing to copy is all copied only when it has its name.
  if (bytesTotal === 0 && state !== 'acknowledged' && state !== 'transferred') return '0%';
  return percentText({ bytesDone, bytesTotal }).trim();
}

function layoutOf(rows: readonly Row[], { columns = Number.POSITIVE_INFINITY }: TableLook): Layout {
  const longest = (text: (row: Row) => string): number => Math.max(...rows.map((row) => stringWidth(text(row))));
  const widths = Object.fromEntries(
    COLUMNS.map((one) => [one, longest(({ cells }) => cells[one])]),
  ) as Layout['widths'];
  const whole = Number.isFinite(columns) ? NAME_COLUMNS_MAX : columns;
  const nameMax = Math.min(
    whole,
    longest(({ name }) => name),
  );
  let shown: readonly Column[] = COLUMNS;
  const beside = (): number => ID_COLUMNS + GAP.length + shown.reduce((sum, one) => sum + GAP.length + widths[one], 0);
  for (const one of DROPPED) {
    const name = one === 'done' ? NAME_COLUMNS_MIN : NAME_COLUMNS_GOOD;
    if (beside() + Math.min(nameMax, name) <= columns) break;
    shown = shown.filter((other) => other !== one);
  }
  const name = Math.max(NAME_COLUMNS_MIN, Math.min(nameMax, columns - beside()));
  if (!Number.isFinite(columns)) return { name, columns: shown, widths, bar: false, reason: columns };
  const spare = columns - beside() - name;
  const bar = spare >= BAR_COLUMNS && shown.includes('done');
  const reason = spare - (bar ? BAR_COLUMNS : 0) - GAP.length;
  return { name, columns: shown, widths, bar, reason: reason >= REASON_COLUMNS_MIN ? reason : 0 };
}

function rowLines({ id, name, cells, reason, job }: Row, layout: Layout, look: TableLook): string[] {
  const bar = layout.bar ? barCell(job, look.colour) : undefined;
  const parts = layout.columns.flatMap((one) => {
    const right = one === 'done' || one === 'rate';
    const text = right ? cells[one].padStart(layout.widths[one]) : cells[one].padEnd(layout.widths[one]);
    return one === 'done' && bar !== undefined ? [`${text} ${bar}`] : [text];
  });
  const line = [id.padEnd(ID_COLUMNS), fitted(name, layout.name), ...parts].join(GAP);
  if (layout.reason > 0) return [`${line}${GAP}${cut(reason, layout.reason)}`.trimEnd()];
  const { columns = 0 } = look;
  const own = ' '.repeat(ID_COLUMNS + GAP.length);
  // That it copies is what its state says.
  const told = job && reason !== '' && !(job.state === 'transferring' && reason === 'copying');
  const below = told ? wrapped(reason, columns - own.length) : [];
  return [
    bar === undefined ? cut(line.trimEnd(), columns) : line.trimEnd(),
    ...below.map((part) => cut(own + part, columns)),
  ];
}

function barCell(job: JobView | undefined, colour: boolean): string {
  const inside = BAR_COLUMNS - ' []'.length - 1;
  const total = job?.progress.bytesTotal;
  if (!job || total === undefined) return ' '.repeat(inside + 2);
  return drawnBar({ bytesDone: total === 0 ? 0 : job.progress.bytesDone, bytesTotal: total || 1 }, inside, colour);
}

function cut(text: string, columns: number): string {
  return stringWidth(text) <= columns ? text : fitted(text, columns).trimEnd();
}
