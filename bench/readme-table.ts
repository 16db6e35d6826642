/** README's table, made from the recorded numbers: what a reader asks first, in the words of README. */
import type { Report } from './report.js';
import { columnWidths, show } from './show.js';
import type { Finding } from './statistics.js';

interface Row {
  readonly case: string;
  /** Ends so in the bench; absent: the first number of the case. */
  readonly what?: string;
  readonly label: string;
}

const ROWS: readonly Row[] = [
  { case: 'cached', label: '`--no-sync` from the page cache, beside `cp`' },
  { case: 'dd', label: 'the same, beside `dd bs=1M`' },
  { case: 'qemu-img', label: 'the same, beside `qemu-img convert -W`' },
  { case: 'nbdcopy', label: 'the same, beside `nbdcopy`' },
  { case: 'rsync', label: '`rsync --whole-file --inplace`, beside Blockferry' },
  { case: 'rclone', label: '`rclone copyto`, beside Blockferry' },
  { case: 'durable', label: 'flushed, beside `cp` and `sync` of the file' },
  { case: 'durable-qemu-img', label: 'flushed, beside `qemu-img convert -t writeback -W`' },
  { case: 'read-back', label: 'flushed and `--read-back`, beside `cp` and `sync`' },
  { case: 'tree', label: '10,000 files of 4 KiB, `-r --no-sync`, beside `cp -r`' },
  { case: 'tree-100k', label: '100,000 files, the same' },
  { case: 'tree-durable', label: '10,000 files, flushed, beside `cp -r` and `sync -f`' },
  { case: 'http', what: '/ curl', label: 'http from nginx, beside `curl -o`' },
  { case: 'http', what: '/ aria2c', label: 'http from nginx, beside `aria2c -x4`' },
  { case: 'sparse', label: '5 TiB with 1 GiB of data, beside 1 GiB without holes' },
  { case: 'disk-vhdx', label: '`--to raw` of a dynamic VHDX, beside `qemu-img convert -n -W`' },
  { case: 'disk-qcow2', label: '`--to raw` of a qcow2, beside the same' },
  { case: 'disk-merge', label: '`disk merge` of a qcow2, beside `qemu-img commit`' },
  { case: 'hash', what: 'sha256sum', label: 'SHA-256 of every chunk, beside `sha256sum`' },
  { case: 'hash', what: 'xxh64sum', label: 'xxh64 of every chunk, beside `xxh64sum`' },
];

/** Markdown: the ratios, and a line of what is no ratio. Numbers that were not measured are left out. */
export function readmeTable(report: Report): string {
  const rows = ROWS.flatMap((row) => {
    const finding = find(report, row);
    return finding === undefined ? [] : [cellsOf(row.label, finding)];
  });
  const head = ['case', 'time (best runs)', 'spread'];
  const widths = columnWidths([head, ...rows]);
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line), '', ...sentences(report)].join(
    '\n',
  );
}

function find({ cases }: Report, { case: name, what = '' }: Row): Finding | undefined {
  return cases.find((one) => one.name === name)?.findings.find((finding) => finding.what.endsWith(what));
}

function cellsOf(label: string, { median, best, min, max, unit }: Finding): readonly string[] {
  return [label, `${show(median, unit)} (${show(best, unit)})`, `${min.toFixed(2)} – ${max.toFixed(2)}`];
}

function sentences(report: Report): readonly string[] {
  const of = (name: string): readonly Finding[] => report.cases.find((one) => one.name === name)?.findings ?? [];
  const off = of('limits').map(({ max }) => max);
  const peaks = [...of('rss'), ...of('tree-million')].filter(({ unit }) => unit === 'MiB').map(({ max }) => max);
  const resent = of('resume').find(({ unit }) => unit === 'MiB');
  const lost = of('resume').find(({ unit }) => unit === 's');
  const again = of('tree-rerun').find(({ unit }) => unit === 's');
  return [
    ...(off.length > 0
      ? [`Limits from 64 KiB/s to 1 GiB/s were off by ${show(Math.max(0, ...off), '%')} at most over 10 s.`]
      : []),
    ...(peaks.length > 0 ? [`Peak memory: ${show(Math.max(...peaks), 'MiB')} at most.`] : []),
    ...(resent && lost
      ? [`A kill cost ${show(resent.median, 'MiB')} sent twice and ${show(lost.median, 's')}, by median.`]
      : []),
    ...(again ? [`A finished tree of 10,000 files is passed again in ${show(again.median, 's')}.`] : []),
  ];
}
