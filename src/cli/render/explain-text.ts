/** Where the time of a copy went, as a small table, and in one sentence what bounds it and what one could do. */
import { formatDuration } from '../../core/units.js';
import type { TimeAccount, TimeSpent } from '../../index.js';

const ROWS: Readonly<Record<keyof TimeSpent, string>> = {
  sourceReadMs: 'reading the source',
  hashMs: 'hashing',
  targetWriteMs: 'writing the target',
  targetReadMs: 'reading the target',
  limitMs: 'the limit',
  classLimitMs: 'the limit of a class',
  allLimitMs: 'the limit of all jobs',
  windowLimitMs: 'the limit of a window',
  deadlineMs: 'no need to hurry',
  sourcePressureMs: 'others at the source',
  targetPressureMs: 'others at the target',
  linkPressureMs: 'others on the link',
  workerMs: 'waiting for a worker',
  flushMs: 'waiting for a flush',
  retryMs: 'waiting for a retry',
  queuedMs: 'behind other jobs',
  idleMs: 'nothing left to start',
  otherMs: 'everything between',
};

const LABEL_COLUMNS = Math.max(...Object.values(ROWS).map((label) => label.length));
const BAR_COLUMNS_MIN = 8;
const BAR_COLUMNS_MAX = 40;
/** What takes at least this share of the time in which lanes did not wait for a worker bounds the copy. */
const BOUND_SHARE = 0.4;

export interface ExplainLook {
  readonly columns: number;
  /** Processors of this machine. */
  readonly cores: number;
}

export function explainLines(account: TimeAccount, look: ExplainLook): string[] {
  const { lanes, workers, openingMs, copying, readingBack, checksummingMs, committingMs } = account;
  if (lanes === 0) return ['time spent: none, nothing was left to copy'];
  const phases = [
    { what: 'looking at both ends', wallMs: openingMs },
    { what: 'copying', ...copying },
    { what: 'reading back', ...readingBack },
    { what: 'reading for the checksum', wallMs: checksummingMs },
    { what: 'putting it in place', wallMs: committingMs },
  ];
  const rows = phases
    .filter(({ what, wallMs }) => wallMs > 0 || what === 'copying')
    .flatMap((phase) => table(phase, lanes));
  const timeColumns = Math.max(...rows.map(({ time }) => time.length));
  const longer = readingBack.wallMs > copying.wallMs ? readingBack : copying;
  return [
    `time spent (lanes: ${lanes}, workers: ${workers})`,
    ...rows.map((row) => rowText(row, { label: LABEL_COLUMNS + 4, time: timeColumns, all: look.columns })),
    ...wrapped(boundText(longer.spent, workers, look.cores), look.columns),
  ];
}

export interface Row {
  readonly label: string;
  readonly time: string;
  /** Of the lanes' time of the phase; absent: the line of a phase itself. */
  readonly share?: number;
}

function table(phase: { what: string; wallMs: number; spent?: TimeSpent }, lanes: number): Row[] {
  const parts = Object.entries(phase.spent ?? {}) as [keyof TimeSpent, number][];
  const head = {
    label: `  ${phase.what}${parts.length > 0 && lanes > 1 ? `, ${lanes} x` : ''}`,
    time: timeText(phase.wallMs),
  };
  const totalMs = parts.reduce((sum, [, ms]) => sum + ms, 0);
  const rows = parts
    .filter(([, ms]) => ms > 0)
    .map(([key, ms]) => ({ label: `    ${ROWS[key]}`, time: timeText(ms), share: ms / totalMs }));
  return [head, ...rows];
}

/** A line with a bar, where there is room for one; `columns`: of the label, of the time, and of all of it. */
export function rowText(
  { label, time, share }: Row,
  columns: { readonly label: number; readonly time: number; readonly all: number },
): string {
  const start = `${label.padEnd(columns.label)}  ${time.padStart(columns.time)}`;
  if (share === undefined) return start;
  const text = `${start}${`${Math.round(share * 100)}`.padStart(4)} %`;
  const room = Math.min(BAR_COLUMNS_MAX, columns.all - text.length - 2);
  return room < BAR_COLUMNS_MIN ? text : `${text}  ${'#'.repeat(Math.round(share * room))}`.trimEnd();
}

/** Finer than elsewhere: hundredths tell the parts of a short copy apart. */
export function timeText(ms: number): string {
  return ms < 9995 ? `${(ms / 1000).toFixed(2)} s` : formatDuration(ms);
}

type Cause = Exclude<keyof TimeSpent, 'workerMs'>;

/** Lanes that wait for a worker wait for what the workers do; so that is what bounds the copy. */
export function boundText(spent: TimeSpent, workers: number, cores: number): string {
  const causes = (Object.entries(spent) as [Cause | 'workerMs', number][]).filter(
    (entry): entry is [Cause, number] => entry[0] !== 'workerMs',
  );
  const total = causes.reduce((sum, [, ms]) => sum + ms, 0);
  const [cause, ms] = causes.reduce((most, entry) => (entry[1] > most[1] ? entry : most));
  if (total === 0 || ms / total < BOUND_SHARE) {
    return `Nothing alone bounds the copy, its steps share the time: ${moreWorkers(workers, cores)}`;
  }
  if (cause === 'hashMs') return `Hashing bounds the copy: ${moreWorkers(workers, cores)}`;
  return BOUND_BY[cause];
}

function moreWorkers(workers: number, cores: number): string {
  if (workers < cores) return `--workers ${cores} would use all ${cores} cores.`;
  return `more workers won't help on ${cores} ${cores === 1 ? 'core' : 'cores'}.`;
}

const BOUND_BY: Readonly<Record<Exclude<Cause, 'hashMs'>, string>> = {
  sourceReadMs:
    'Reading the source bounds the copy: where it answers slowly but to many at once, as over a network, ' +
    'more --lanes and --workers help.',
  targetWriteMs: 'Writing the target bounds the copy: it takes no more, and more workers would only queue there.',
  targetReadMs: 'Reading the target again bounds the copy: that is what its proof costs.',
  limitMs: 'The limit that was set bounds the copy: a higher --limit makes it faster.',
  classLimitMs: 'The limit of its class bounds the copy: the policy says what it is.',
  allLimitMs: 'The limit of all jobs together bounds the copy: the policy says what it is.',
  windowLimitMs: 'The limit of a window of the policy bounds the copy.',
  deadlineMs: 'Its deadline bounds the copy: it goes no faster than it has to. Without --finish-by it is done sooner.',
  sourcePressureMs: 'Others who need the source bound the copy: it gives way to them.',
  targetPressureMs: 'Others who need the target bound the copy: it gives way to them.',
  linkPressureMs: 'Others who need the link bound the copy: it gives way to them.',
  flushMs:
    'Making the data durable bounds the copy: that is how fast the target really is. --no-sync leaves it out, and ' +
    'a power cut may then cost finished work.',
  retryMs: 'Errors bound the copy: what failed and was tried again is told above.',
  queuedMs: 'Other jobs of the service went first: a higher priority lets this one go before them.',
  idleMs:
    'The end bounds the copy: too few chunks were left to keep all lanes busy. A smaller --chunk-size spreads them.',
  otherMs: 'Opening and closing chunks bounds the copy: a larger --chunk-size makes them fewer.',
};

function wrapped(text: string, columns: number): string[] {
  const lines: string[] = [];
  let line = ' ';
  for (const word of text.split(' ')) {
    if (line.length + 1 + word.length > columns && line.trim() !== '') {
      lines.push(line);
      line = ' ';
    }
    line += ` ${word}`;
  }
  return [...lines, line];
}
