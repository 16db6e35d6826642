/**
 * What a run of the bench leaves behind as JSON, schema 1: where it was measured, and every number with all its values.
 * The baseline, the page, the chart and README's table are all made from this and from nothing else.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { systemClock } from '../src/core/clock.js';
import { errnoOf, TransferError } from '../src/core/errors.js';
import type { Machine } from './machine.js';
import type { CaseResult, ContenderResult } from './measure.js';
import type { RunCost } from './resource-use.js';
import { type Finding, median } from './statistics.js';

export interface Report {
  readonly schema: 1;
  readonly machine: Machine;
  /** Bytes of a huge file. */
  readonly sizeBytes: number;
  /** Small sizes and few runs: a trial, and no claim. */
  readonly quick: boolean;
  readonly cases: readonly ReportedCase[];
}

export interface ReportedCase {
  readonly name: string;
  readonly title: string;
  /** ISO 8601. */
  readonly measuredAt: string;
  readonly findings: readonly Finding[];
  readonly contenders: readonly ReportedContender[];
  readonly notes: readonly string[];
}

export interface ReportedContender {
  readonly name: string;
  readonly wallSecondsMedian: number;
  readonly wallSecondsBest: number;
  readonly cpuSecondsMedian: number;
  readonly peakRssBytes: number;
  /** Absent in the baseline. */
  readonly runs?: readonly RunCost[];
}

export function reportedCase(name: string, title: string, result: CaseResult): ReportedCase {
  const measuredAt = new Date(systemClock.wallMs()).toISOString();
  const { findings, contenders, notes } = result;
  return { name, title, measuredAt, findings, contenders: contenders.map(reportedContender), notes };
}

function reportedContender({ name, runs }: ContenderResult): ReportedContender {
  const walls = runs.map((run) => run.wallSeconds);
  return {
    name,
    wallSecondsMedian: median(walls),
    wallSecondsBest: Math.min(...walls),
    cpuSecondsMedian: median(runs.map((run) => run.cpuSeconds)),
    peakRssBytes: Math.max(...runs.map((run) => run.peakRssBytes)),
    runs,
  };
}

/** @throws TransferError E_USAGE when there is none, or it is no report of this schema */
export async function readReport(path: string): Promise<Report> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new TransferError('E_USAGE', `cannot read ${path}: ${errnoOf(cause) ?? String(cause)}`, {
      hint: 'Results are written with --json <file>, and the baseline with --record.',
      cause,
    });
  });
  try {
    const report = JSON.parse(text) as Report;
    if (report.schema === 1 && Array.isArray(report.cases)) return report;
  } catch (cause) {
    throw new TransferError('E_USAGE', `${path} is no JSON`, { cause });
  }
  throw new TransferError('E_USAGE', `${path}: expected the results of the bench, schema 1`);
}

export async function writeReport(path: string, report: Report): Promise<void> {
  await writeFile(path, `${oneLineForNumbers(JSON.stringify(report, undefined, 2))}\n`);
}

/** Nine ratios under each other are nine lines that nobody reads. */
function oneLineForNumbers(json: string): string {
  return json.replace(/\[[-+\d.,e\s]+\]/g, (list) => list.replace(/\s+/g, ' ').replace('[ ', '[').replace(' ]', ']'));
}

/** Whether numbers of both may stand in one baseline, and seconds of one be compared with seconds of the other. */
export function sameMachine(one: Machine, other: Machine): boolean {
  const traits = ({ cpu, cores, memoryBytes, fileSystem }: Machine): string =>
    // The kernel keeps a little more or less for itself after each boot.
    JSON.stringify([cpu, cores, Math.round(memoryBytes / 2 ** 30), fileSystem]);
  return traits(one) === traits(other);
}

/**
 * The baseline with the cases that were measured now in place of the old ones: without single runs, and rounded to
 * digits that mean something. @throws TransferError E_USAGE where the numbers cannot stand beside those it keeps
 */
export function recorded(baseline: Report | undefined, now: Report): Report {
  assertRecordable(baseline, now);
  // A case that was left out here says nothing, and an older number of it says more.
  const measured = new Map(now.cases.filter(hasNumbers).map((one) => [one.name, summarized(one)]));
  const old = baseline?.cases.map((one) => measured.get(one.name) ?? one) ?? [];
  const cases = [...old, ...[...measured.values()].filter((one) => !old.includes(one))];
  return { ...now, cases };
}

/** Asked before anything is measured, so that no work is lost. @throws TransferError E_USAGE */
export function assertRecordable(baseline: Report | undefined, now: Omit<Report, 'cases'>): void {
  if (now.quick) throw new TransferError('E_USAGE', '--record: a --quick run is a trial and makes no baseline');
  if (baseline === undefined) return;
  if (baseline.sizeBytes === now.sizeBytes && sameMachine(baseline.machine, now.machine)) return;
  throw new TransferError('E_USAGE', '--record: the baseline is from another machine or another --size', {
    hint: 'Remove bench/baseline.json and record all cases anew.',
  });
}

function hasNumbers({ findings }: ReportedCase): boolean {
  return findings.length > 0;
}

function summarized({ contenders, ...rest }: ReportedCase): ReportedCase {
  const whole = { ...rest, contenders: contenders.map(({ runs: _, ...summary }) => summary) };
  return JSON.parse(JSON.stringify(whole, (_, value) => (typeof value === 'number' ? rounded(value) : value)));
}

function rounded(value: number): number {
  return Number.isInteger(value) ? value : Number(value.toPrecision(5));
}
