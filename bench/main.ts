/**
 * The bench: measures every number that Blockferry promises, beside the programs that people use for the same job. A
 * wrong copy ends it with an error; a missed target is told and is no error, since the machine may be to blame.
 */
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { nowMs, systemClock } from '../src/core/clock.js';
import { TransferError } from '../src/core/errors.js';
import { formatDuration } from '../src/core/units.js';
import { changesSince, incomparable } from './change.js';
import { renderChart } from './chart.js';
import { Printer } from './demo-print.js';
import { describeMachine } from './machine.js';
import { BASELINE, CHART, type Options, readOptions } from './options.js';
import { renderPage } from './page.js';
import { readmeTable } from './readme-table.js';
import {
  assertRecordable,
  type Report,
  type ReportedCase,
  readReport,
  recorded,
  reportedCase,
  writeReport,
} from './report.js';
import { printCase, printChanges, printMachine, printSummary } from './table.js';
import { neededBytes, Workspace } from './workspace.js';

/** What was measured before an error or Ctrl-C took its time, and is told all the same; it is not recorded. */
async function measure(
  options: Options,
  print: Printer,
  signal: AbortSignal,
  tell: (report: Report, whole: boolean) => Promise<void>,
): Promise<void> {
  const { chosen, sizeBytes, quick, dir, record } = options;
  const machine = describeMachine(dir);
  const about = { schema: 1, machine, sizeBytes, quick } as const;
  if (record) assertRecordable(await baselineOf(), about);
  printMachine(print, machine);
  const needed = neededBytes(chosen.map((bench) => bench.sourceBytes(sizeBytes)));
  const workspace = await Workspace.open(dir, needed, signal);
  const cases: ReportedCase[] = [];
  try {
    for (const { name, title, run, pairsMax } of chosen) {
      print.step(`${name}: ${title}`);
      const startMs = nowMs(systemClock);
      const pairs = Math.min(options.pairs, pairsMax ?? options.pairs);
      const result = await run({ workspace, sizeBytes, pairs, quick, print, signal, plot: options.plot });
      printCase(print, result);
      print.note(`took ${formatDuration(nowMs(systemClock) - startMs)}`);
      cases.push(reportedCase(name, title, result));
    }
  } finally {
    await workspace.close();
    if (cases.length > 0) await tell({ ...about, cases }, cases.length === chosen.length);
  }
}

async function tellAll(options: Options, print: Printer, report: Report, whole = true): Promise<void> {
  const { json, html, chart, table, record, against, from } = options;
  printSummary(print, report);
  // The baseline is not compared with itself.
  const old = from === BASELINE && against === undefined ? undefined : await baselineOf(against);
  const why = old && incomparable(old, report);
  const changes = old && why === undefined ? changesSince(old, report) : undefined;
  if (why !== undefined) print.line(`Not compared with the baseline: ${why}.`);
  if (changes !== undefined) printChanges(print, changes);
  if (json !== undefined) await writeReport(json, report);
  if (html !== undefined) await writeFile(html, renderPage(report, changes));
  if (chart !== undefined) await writeFile(chart, renderChart(report));
  if (record && whole) await recordNow(report, print);
  if (record && !whole) print.line('Not recorded: the run did not come to its end.');
  if (table) print.line(readmeTable(report));
}

async function recordNow(report: Report, print: Printer): Promise<void> {
  const baseline = recorded(await baselineOf(), report);
  await writeReport(BASELINE, baseline);
  await mkdir(dirname(CHART), { recursive: true });
  await writeFile(CHART, renderChart(baseline));
  print.line(`recorded in ${BASELINE}, drawn in ${CHART}; README's table: --from bench/baseline.json --table`);
}

/** The results in the file that was named, or else the recorded baseline, if there is one. */
async function baselineOf(path?: string): Promise<Report | undefined> {
  return path !== undefined || existsSync(BASELINE) ? readReport(path ?? BASELINE) : undefined;
}

async function main(): Promise<void> {
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => stop.abort(new TransferError('E_STOPPED', `the bench was stopped by ${name}`)));
  }
  process.stdout.on('error', (cause) =>
    stop.abort(new TransferError('E_STOPPED', 'nobody reads the output', { cause })),
  );
  try {
    const options = readOptions(process.argv.slice(2));
    const print = new Printer(process.stdout);
    if ('help' in options) process.stdout.write(options.help);
    else if (options.from !== undefined) await tellAll(options, print, await readReport(options.from));
    else await measure(options, print, stop.signal, (...told) => tellAll(options, print, ...told));
  } catch (thrown) {
    const error = TransferError.from(stop.signal.aborted ? stop.signal.reason : thrown);
    process.stderr.write(`\nerror: ${error.message}\n${error.detail.hint ? `${error.detail.hint}\n` : ''}`);
    process.exitCode = error.exitCode;
  }
}

await main();
