/** Which numbers are drawn under each other: those of one unit and one direction, each with its case. */
import { cases } from './cases.js';
import type { Report, ReportedCase } from './report.js';
import type { Finding } from './statistics.js';

export interface ChartRow {
  readonly case: string;
  readonly finding: Finding;
}

export interface ChartGroup {
  readonly title: string;
  /** How to read it, as a sentence. */
  readonly reading: string;
  readonly rows: readonly ChartRow[];
}

interface GroupRule {
  readonly title: string;
  readonly reading: string;
  readonly holds: (row: ChartRow) => boolean;
}

/** The first rule that holds takes the number. */
const RULES: readonly GroupRule[] = [
  {
    title: 'Resume cost',
    reading: 'After a kill at a random moment. Less is better.',
    holds: (row) => row.case === 'resume' && row.finding.unit === 'MiB',
  },
  {
    title: 'Time lost by a kill',
    reading: 'Both runs together, beside one that nobody killed. Below zero the disk was merely faster.',
    holds: (row) => row.case === 'resume',
  },
  {
    title: 'Blockferry’s time over theirs',
    reading: 'Left of 1 Blockferry is faster.',
    holds: ({ finding }) => finding.unit === 'x' && finding.better === 'lower',
  },
  {
    title: 'Their time over Blockferry’s',
    reading: 'Right of 1 Blockferry is faster.',
    holds: ({ finding }) => finding.unit === 'x',
  },
  {
    title: 'Beside a neighbour',
    reading: 'What the neighbour keeps, and what the mover gets. More is better.',
    holds: ({ case: name, finding }) => name === 'neighbour' && finding.unit === '%',
  },
  {
    title: 'Limit accuracy',
    reading: 'The fastest and the slowest window, beside the rate that was asked for.',
    holds: ({ finding }) => finding.unit === '%',
  },
  {
    title: 'Requests of a neighbour',
    reading: 'How long 99 of 100 took at most. Less is better.',
    holds: ({ finding }) => finding.unit === 'ms',
  },
  { title: 'Peak memory', reading: 'Less is better.', holds: ({ finding }) => finding.unit === 'MiB' },
  {
    title: 'Wall time',
    reading: 'Process start included. Less is better.',
    holds: ({ finding }) => finding.unit === 's',
  },
  { title: 'Rates', reading: 'Process start included. More is better.', holds: () => true },
];

/** Groups without rows are left out. */
export function chartGroups(report: Report): readonly ChartGroup[] {
  const rows = inOrder(report.cases).flatMap(({ name, findings }) =>
    findings.map((finding): ChartRow => ({ case: name, finding })),
  );
  return RULES.map((rule) => ({
    title: rule.title,
    reading: rule.reading,
    rows: rows.filter((row) => RULES.find(({ holds }) => holds(row)) === rule),
  }))
    .filter((group) => group.rows.length > 0)
    .sort((a, b) => Number(b.rows[0]?.finding.unit === 'x') - Number(a.rows[0]?.finding.unit === 'x'));
}

/** As the bench runs them, in whatever order they were recorded. */
export function inOrder(reported: readonly ReportedCase[]): readonly ReportedCase[] {
  const place = ({ name }: ReportedCase): number => cases.findIndex((known) => known.name === name);
  return [...reported].sort((a, b) => place(a) - place(b));
}
