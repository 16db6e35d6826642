/** One page with everything that was measured: charts, tables, the machine. It needs no network and no script. */
import { formatBytes } from '../src/core/units.js';
import type { Change } from './change.js';
import { type ChartGroup, type ChartRow, chartGroups, inOrder } from './chart-groups.js';
import { escapeMarkup } from './markup.js';
import { PAGE_STYLE } from './page-style.js';
import type { Report, ReportedCase } from './report.js';
import { show, showChange, showKept, showSpread, showTarget, showTrial } from './show.js';
import { CHART_KEY, drawStrip, type Scale, scaleOf, stripStyle } from './strip.js';

export function renderPage(report: Report, changes: readonly Change[] = []): string {
  const cases = inOrder(report.cases);
  const findings = cases.flatMap(({ findings }) => findings);
  const sections = [
    ...chartGroups(report).map(groupSection),
    changesSection(changes),
    section('All numbers', numbersTable(cases, changes)),
    section('What each program took', programsTable(cases)),
    notesSection(cases),
    section('Versions', list(Object.values(report.machine.tools))),
  ];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Blockferry, measured</title>
<style>${stripStyle()}
${PAGE_STYLE}</style>
</head>
<body>
<h1>Blockferry, measured</h1>
<p>${escapeMarkup(showKept(findings))}. ${escapeMarkup(showTrial(report.quick, findings))}</p>
<p class="faint">${escapeMarkup(machineLine(report))}</p>
<p class="faint key">${key()} ${CHART_KEY}</p>
${sections.join('\n')}
</body>
</html>
`;
}

/** A number that shows every kind of mark. */
function key(): string {
  const marks = { unit: 'x', runs: 9, min: 0.85, max: 1.15, median: 1, best: 0.92, verdict: 'ok' } as const;
  const finding = { ...marks, what: '', values: [], better: 'lower', bound: { kind: 'at most', value: 1.05 } } as const;
  return stripSvg(drawStrip(finding, scaleOf([finding])), 'how to read the charts');
}

function machineLine({ machine, sizeBytes, cases }: Report): string {
  const { blockferry, node, cores, cpu, memoryBytes, kernel, fileSystem } = machine;
  const days = [...new Set(cases.map(({ measuredAt }) => measuredAt.slice(0, 10)))].join(', ');
  const where = `${cores} cores (${cpu}), ${formatBytes(memoryBytes)} of memory, Linux ${kernel}, ${fileSystem}`;
  return `Blockferry ${blockferry}, Node ${node}; ${where}. Huge files of ${formatBytes(sizeBytes)}. ${days}`;
}

function section(title: string, body: string): string {
  return body === '' ? '' : `<section><h2>${escapeMarkup(title)}</h2>\n${body}\n</section>`;
}

function groupSection({ title, reading, rows }: ChartGroup): string {
  const scale = scaleOf(rows.map(({ finding }) => finding));
  const lines = rows.map((row) => chartRow(row, scale));
  return section(title, `<p class="faint">${escapeMarkup(reading)}</p>\n${lines.join('\n')}\n${axis(scale, rows)}`);
}

function chartRow({ case: name, finding }: ChartRow, scale: Scale): string {
  const { what, unit, median, bound, verdict } = finding;
  const sign = bound?.kind === 'at least' ? '≥' : '≤';
  const target = bound === undefined ? '' : ` <span class="faint">${sign} ${show(bound.value, unit)}</span>`;
  return `<div class="row"><span><b>${escapeMarkup(name)}</b> <span class="faint">${escapeMarkup(what)}</span></span>
${stripSvg(drawStrip(finding, scale), `${name}, ${what}: ${show(median, unit)}`)}
<span class="value ${verdict === 'missed' ? 'missed' : ''}">${show(median, unit)}${target}</span></div>`;
}

function stripSvg(marks: string, label: string): string {
  return `<svg role="img" aria-label="${escapeMarkup(label)}">${marks}</svg>`;
}

function axis({ at, ticks }: Scale, rows: readonly ChartRow[]): string {
  const unit = rows[0]?.finding.unit ?? '';
  const marks = ticks.map((tick) => `<span style="left:${at(tick).toFixed(2)}%">${Number(tick.toPrecision(6))}</span>`);
  return `<div class="row last"><span></span>
<div class="axis faint">${marks.join('')}</div><span class="faint">${unit}</span></div>`;
}

function changesSection(changes: readonly Change[]): string {
  if (changes.length === 0) return '';
  const news = changes.filter(({ verdict }) => verdict === 'better' || verdict === 'worse');
  const lines = news.map((change) => `${change.case}, ${change.what}: ${showChange(change)}`);
  return section('Since the baseline', lines.length === 0 ? '<p>No change beyond the noise.</p>' : list(lines));
}

function numbersTable(cases: readonly ReportedCase[], changes: readonly Change[]): string {
  const compared = changes.length > 0;
  const head = ['case', 'number', 'median', 'spread', 'best', 'runs', 'target', 'verdict'];
  const rows = cases.flatMap(({ name, findings }) =>
    findings.map((finding) => {
      const { what, unit, median, best, runs, verdict } = finding;
      const change = changes.find((one) => one.case === name && one.what === what);
      const numbers = [show(median, unit), showSpread(finding), show(best, unit), String(runs), showTarget(finding)];
      const cells = [name, what, ...numbers].map(cell);
      const judged = `<td class="${verdict.split(',')[0]}">${verdict}</td>`;
      const since = change ? `<td class="${change.verdict}">${escapeMarkup(showChange(change))}</td>` : '<td></td>';
      return [...cells, judged, ...(compared ? [since] : [])];
    }),
  );
  return table(compared ? [...head, 'since the baseline'] : head, rows);
}

function programsTable(cases: readonly ReportedCase[]): string {
  const head = ['case', 'program', 'wall median', 'best', 'CPU median', 'peak memory'];
  const rows = cases.flatMap(({ name, contenders }) =>
    contenders.map((one) => {
      const seconds = [one.wallSecondsMedian, one.wallSecondsBest, one.cpuSecondsMedian];
      return [name, one.name, ...seconds.map((value) => show(value, 's')), formatBytes(one.peakRssBytes)].map(cell);
    }),
  );
  return table(head, rows);
}

function notesSection(cases: readonly ReportedCase[]): string {
  const notes = cases.flatMap(({ name, notes }) => notes.map((note) => `${name}: ${note}`));
  return section('How it was measured', list([...cases.map(({ name, title }) => `${name}: ${title}`), ...notes]));
}

function cell(text: string): string {
  return `<td>${escapeMarkup(text)}</td>`;
}

function list(lines: readonly string[]): string {
  return lines.length === 0 ? '' : `<ul>${lines.map((line) => `<li>${escapeMarkup(line)}</li>`).join('')}</ul>`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return '';
  const lines = rows.map((row) => `<tr>${row.join('')}</tr>`).join('\n');
  return `<div class="scroll"><table><thead><tr>${head.map((name) => `<th>${name}</th>`).join('')}</tr></thead>
<tbody>${lines}</tbody></table></div>`;
}
