/** The result of a benchmark as a table that fits 80 columns, and as the command line that it speaks for. */
import type { BenchmarkProgress } from '../../benchmark/benchmark.js';
import type { CopySettings } from '../../benchmark/plan.js';
import {
  type Advice,
  type BenchmarkReport,
  type CopyMeasurement,
  type EndReport,
  isMeasured,
  type Measurement,
  type MeasurementResult,
} from '../../benchmark/report.js';
import { CHUNK_BYTES_DEFAULT } from '../../core/chunk.js';
import { formatBytes, formatDuration, formatRate, GiB, KiB, MiB } from '../../core/units.js';
import type { Pattern } from '../../transfer/measure/tasks.js';
import { shellQuote } from '../resume-command.js';

const NAME_COLUMNS = 25;
const CELL_COLUMNS = [8, 8, 11, 6, 7, 7, 7] as const;
const LATENCY_COLUMNS = [8, 9, 9, 9, 9, 9] as const;

/** `locations` as they were typed, for the command line. */
export function benchLines(report: BenchmarkReport, locations: readonly string[]): string[] {
  const { source, target, measurements, copies } = report;
  const of = (end: Measurement['end']): readonly MeasurementResult[] =>
    measurements.filter((one) => one.end === end && !isSmall(one));
  return [
    ...machineLines(report),
    ...section('hashing', of('machine')),
    ...section(`reading ${endText(source)}`, of('source')),
    ...(target ? section(`writing ${endText(target)}`, of('target')) : []),
    ...latencyLines(measurements.filter(isSmall)),
    ...copyLines(copies, report),
    ...noteLines(report),
    ...adviceLines(report.advice, locations, report),
  ];
}

function machineLines({ machine, seconds, bytesWritten }: BenchmarkReport): string[] {
  const { cores, cpu, memoryBytes, system, node } = machine;
  const written = bytesWritten > 0 ? `; ${formatBytes(bytesWritten)} written in all` : '';
  return [
    `${cpu}, ${cores} cores, ${formatBytes(memoryBytes)}, ${system}, Node ${node}`,
    `each step ${seconds} s${written}`,
  ];
}

function endText({ name, kind, bytes, fileSystem }: EndReport): string {
  const on = fileSystem === undefined ? '' : ` on ${fileSystem}`;
  if (kind === 'folder') return `${name} (a scratch file of ${formatBytes(bytes)}${on})`;
  return `${name} (${kind === 'stream' ? '' : `${kind}${on}, `}the first ${formatBytes(bytes)})`;
}

const HEADING = row('', ['block', 'threads', 'rate', 'CPU', 'p50', 'p99', 'max']);

/** Small blocks one by one: how many, and how long each takes. */
function isSmall({ pattern }: MeasurementResult): boolean {
  return ('order' in pattern && pattern.order === 'random') || ('flush' in pattern && pattern.flush === 'each');
}

function latencyLines(results: readonly MeasurementResult[]): string[] {
  if (results.length === 0) return [];
  const lines = results.map((result) => {
    const name = `${DOING[result.end]}, ${patternText(result.pattern)}`;
    if ('refused' in result) return `${row(name, [])}: ${result.refused}`;
    const { p50, p90, p99, p999, max } = result.latencyMs ?? { p50: 0, p90: 0, p99: 0, p999: 0, max: 0 };
    const count = Math.round(result.operationsPerSecond).toString();
    return row(name, [count, ...[p50, p90, p99, p999, max].map(shortTime)], LATENCY_COLUMNS);
  });
  const heading = row('', ['/s', 'p50', 'p90', 'p99', 'p99.9', 'max'], LATENCY_COLUMNS);
  return ['', 'latency of 4 KiB, one after the other', heading, ...lines];
}

const DOING: Readonly<Record<Measurement['end'], string>> = { source: 'read', target: 'write', machine: 'hash' };

function section(title: string, results: readonly MeasurementResult[]): string[] {
  if (results.length === 0) return [];
  const fetched = results.some(({ pattern }) => pattern.kind === 'fetch');
  const heading = fetched ? row('', ['chunk', 'wk x ln', 'rate', 'CPU', 'p50', 'p99', 'max']) : HEADING;
  return ['', title, heading, ...new Set(results.map((result) => resultLine(result, results)))];
}

function resultLine(result: MeasurementResult, among: readonly MeasurementResult[]): string {
  const { pattern, threads } = result;
  const count = pattern.kind === 'fetch' ? `${threads} x ${pattern.lanes}` : String(threads);
  const cells = [shortBytes(pattern.blockBytes), count];
  if ('refused' in result) {
    // Where all of a kind are refused, one line says so.
    const kind = among.filter((one) => patternText(one.pattern) === patternText(pattern));
    return `${row(patternText(pattern), kind.some(isMeasured) ? cells : [])}: ${result.refused}`;
  }
  const { latencyMs } = result;
  const latencies = latencyMs ? [latencyMs.p50, latencyMs.p99, latencyMs.max].map(shortTime) : [];
  const name = patternText(pattern) + (result.cutShort ? ' *' : '');
  return row(name, [...cells, formatRate(result.bytesPerSecond), cpuText(result.cpus), ...latencies]);
}

function row(name: string, cells: readonly string[], columns: readonly number[] = CELL_COLUMNS): string {
  const padded = cells.map((cell, at) => cell.padStart(columns[at] ?? 0));
  return `  ${name.padEnd(NAME_COLUMNS - 2)}${padded.join('')}`.trimEnd();
}

export function patternText(pattern: Pattern): string {
  if (pattern.kind === 'hash') return pattern.algorithm;
  if (pattern.kind === 'fetch') return pattern.order === 'random' ? 'anywhere' : 'chunks in order';
  if (pattern.kind === 'read') return readText(pattern);
  if (pattern.flush === 'each') return 'and fdatasync';
  return pattern.access === 'direct' ? 'direct' : 'buffered and flushed';
}

function readText({ access, order }: Extract<Pattern, { readonly kind: 'read' }>): string {
  if (order === 'random') return 'anywhere, direct';
  if (access === 'direct') return 'direct';
  return access === 'cold' ? 'buffered, cache empty' : 'buffered, from cache';
}

function copyLines(copies: readonly CopyMeasurement[], { source, target }: BenchmarkReport): string[] {
  if (copies.length === 0 || !target) return [];
  const bytes = formatBytes(copies[0]?.bytes ?? 0);
  const emptied = source.kind === 'stream' ? '' : 'cache empty, ';
  return [
    '',
    `copying ${source.name} to ${target.name}`,
    `  ${bytes} each, ${emptied}flushed, and compared with the source`,
    row('', ['chunk', '', 'rate', 'CPU']),
    ...copies.map((copy) =>
      row(settingsText(copy), [shortBytes(copy.chunkBytes), '', formatRate(copy.bytesPerSecond), cpuText(copy.cpus)]),
    ),
  ];
}

export function settingsText({ workers, lanes }: Pick<CopySettings, 'workers' | 'lanes'>): string {
  return `${counted(workers, 'worker')}, ${counted(lanes, 'lane')}`;
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

function noteLines({ measurements, notes }: BenchmarkReport): string[] {
  const short = measurements.some((one) => 'cutShort' in one && one.cutShort);
  const direct = measurements.some(
    (one) => isMeasured(one) && 'access' in one.pattern && one.pattern.access === 'direct',
  );
  const lines = [
    ...(short ? ['* ended early by the bytes that may be written; a larger --size measures longer'] : []),
    ...(direct ? ['direct: past the page cache; a disk or a host may still answer from a cache'] : []),
    ...notes,
  ];
  return lines.length === 0 ? [] : ['', ...lines];
}

const LIMIT_TEXT: Readonly<Record<NonNullable<Advice['limit']>['by'], string>> = {
  source: 'reading the source',
  hash: 'hashing',
  target: 'writing the target',
};

function adviceLines(advice: Advice, locations: readonly string[], report: BenchmarkReport): string[] {
  const { limit, bytesPerSecond, msPerTiB, basis, settings, noise } = advice;
  const lines: string[] = [];
  if (limit) lines.push(`slowest part: ${LIMIT_TEXT[limit.by]}, ${formatRate(limit.bytesPerSecond)}`);
  if (bytesPerSecond !== undefined && msPerTiB !== undefined) {
    const how = basis === 'copies' ? 'as copied' : 'if nothing else is slower';
    lines.push(`1 TiB takes about ${formatDuration(msPerTiB)} at ${formatRate(bytesPerSecond)}, ${how}`);
  }
  const equal = basis === 'copies' ? ` (rates less than ${Math.round(noise * 100)} % apart count as equal)` : '';
  if (settings) lines.push(`best settings${equal}:`, `  ${copyCommandLine(settings, locations, report)}`);
  return lines.length === 0 ? [] : ['', ...lines];
}

/** For a shell; what only the user knows, and what must not be printed, is a word in capitals. */
export function copyCommandLine(
  { workers, lanes, chunkBytes }: CopySettings,
  [source = '', target]: readonly string[],
  report: Pick<BenchmarkReport, 'source' | 'target'>,
): string {
  const chunk = chunkBytes === CHUNK_BYTES_DEFAULT ? [] : ['--chunk-size', shortBytes(chunkBytes).replace(' ', '')];
  const options = ['--workers', String(workers), '--lanes', String(lanes), ...chunk];
  const isFolder = report.source.kind === 'folder';
  const hidden = report.source.kind === 'stream' && report.source.name !== source;
  // A folder alone was measured as both; where to is what it is asked about more often.
  const from = hidden ? 'URL' : isFolder ? (target === undefined ? 'FILE' : `${slashed(source)}FILE`) : source;
  const to = target ?? (isFolder ? source : 'TARGET');
  const words = [from, to === 'TARGET' ? to : report.target ? slashed(to) : to];
  const dashed = words.some((word) => word.startsWith('-')) ? ['--'] : [];
  return ['blockferry', 'copy', ...options, ...dashed, ...words].map(shellQuote).join(' ');
}

function slashed(folder: string): string {
  return folder.endsWith('/') ? folder : `${folder}/`;
}

/** `12/31  read: direct, 1 MiB, 4 threads`. */
export function progressText({ done, steps, now }: BenchmarkProgress): string {
  const count = `${String(done + 1).padStart(2)}/${steps}`;
  if (now === 'scratch') return 'making the scratch files';
  if ('workers' in now) return `${count}  copy: ${settingsText(now)}, ${shortBytes(now.chunkBytes)} chunks`;
  const doing = DOING[now.end];
  const threads = counted(now.threads, 'thread');
  return `${count}  ${doing}: ${patternText(now.pattern)}, ${shortBytes(now.pattern.blockBytes)}, ${threads}`;
}

/** `4 KiB`, `1 MiB`: sizes that are round. */
export function shortBytes(bytes: number): string {
  for (const [unit, name] of [
    [GiB, 'GiB'],
    [MiB, 'MiB'],
    [KiB, 'KiB'],
  ] as const) {
    if (bytes >= unit && bytes % unit === 0) return `${bytes / unit} ${name}`;
  }
  return formatBytes(bytes);
}

/** `85 us`, `1.2 ms`, `340 ms`, `2.1 s`. */
export function shortTime(ms: number): string {
  if (ms < 0.9995) return `${(ms * 1000).toFixed(ms < 0.00995 ? 1 : 0)} us`;
  if (ms < 999.5) return `${ms.toFixed(ms < 9.95 ? 1 : 0)} ms`;
  return `${(ms / 1000).toFixed(ms < 9950 ? 1 : 0)} s`;
}

/** 100 % is one processor. */
function cpuText(cpus: number): string {
  return `${Math.round(cpus * 100)} %`;
}
