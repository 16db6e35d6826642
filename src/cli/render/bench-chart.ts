/** The result of a benchmark as a chart: which panels there are, and what is drawn in each. */
import { type BenchmarkReport, type EndReport, isMeasured, type Measurement } from '../../benchmark/report.js';
import { formatBytes, formatRate, MiB } from '../../core/units.js';
import { showPath } from '../../platform/path-bytes.js';
import { patternText, settingsText, shortBytes, shortTime } from './bench-table.js';
import { type BarsPanel, chartSvg, type LinesPanel, type Panel, type Series } from './chart-svg.js';

type Pick = (measurement: Measurement) => boolean;

export function benchChart(report: BenchmarkReport): string {
  const { machine, source, target, seconds } = report;
  const ends = [endText(source), ...(target && target.name !== source.name ? [endText(target)] : [])];
  const { cpu, cores, memoryBytes, system, node } = machine;
  const measured = report.measurements.filter(isMeasured);
  const panels = [blockPanel(measured), threadPanel(measured), lanePanel(measured), latencyPanel(measured)];
  return chartSvg({
    title: `blockferry bench: ${ends.join(' to ')}`,
    about: [
      `${cpu}, ${cores} cores, ${formatBytes(memoryBytes)}, ${system}, Node ${node}`,
      `each step ${seconds} s, ${new Date(report.at).toISOString().slice(0, 16).replace('T', ' ')} UTC`,
    ],
    panels: [...panels, partsPanel(report, measured), copiesPanel(report)].filter((panel) => panel !== undefined),
  });
}

function endText({ name, fileSystem }: EndReport): string {
  return showPath(name) + (fileSystem === undefined ? '' : ` (${fileSystem})`);
}

const isDirect: Pick = ({ pattern }) => 'access' in pattern && pattern.access === 'direct' && !isSmall(pattern);

function isSmall(pattern: Measurement['pattern']): boolean {
  return ('order' in pattern && pattern.order === 'random') || ('flush' in pattern && pattern.flush === 'each');
}

function blockPanel(measured: readonly Measurement[]): LinesPanel | undefined {
  const some = measured.filter((one) => isDirect(one) && one.threads === 1);
  const by = (one: Measurement): number => one.pattern.blockBytes;
  return ratePanel(some, by, { title: 'Rate by block size, direct, 1 thread', across: 'block', label: shortBytes });
}

function threadPanel(measured: readonly Measurement[]): LinesPanel | undefined {
  const some = measured.filter(({ pattern }) => {
    return (
      'access' in pattern && pattern.blockBytes === MiB && pattern.access !== 'cached' && pattern.access !== 'buffered'
    );
  });
  const by = (one: Measurement): number => one.threads;
  return ratePanel(some, by, { title: 'Rate by threads, 1 MiB blocks', across: 'threads', label: String });
}

function lanePanel(measured: readonly Measurement[]): LinesPanel | undefined {
  const some = measured.filter(
    ({ pattern, threads }) => pattern.kind === 'fetch' && !isSmall(pattern) && threads === 1,
  );
  const usual = some.filter(({ pattern }) => pattern.blockBytes === 8 * MiB);
  const by = ({ pattern }: Measurement): number => (pattern.kind === 'fetch' ? pattern.lanes : 0);
  return ratePanel(usual, by, { title: 'Rate by lanes, 8 MiB chunks, 1 worker', across: 'lanes', label: String });
}

/** One line for each way of reading and writing; undefined where there is nothing to compare. */
function ratePanel(
  measured: readonly Measurement[],
  by: (one: Measurement) => number,
  about: { readonly title: string; readonly across: string; readonly label: (value: number) => string },
): LinesPanel | undefined {
  const { title, across, label } = about;
  const places = [...new Set(measured.map(by))].sort((a, b) => a - b);
  if (places.length < 2) return undefined;
  const names = [...new Set(measured.map(seriesName))];
  const series: Series[] = names.map((name) => {
    const own = measured.filter((one) => seriesName(one) === name);
    return { name, values: places.map((place) => own.find((one) => by(one) === place)?.bytesPerSecond) };
  });
  return { kind: 'lines', title, across, labels: places.map(label), series, scale: 'linear', format: formatRate };
}

function seriesName({ pattern }: Measurement): string {
  if (pattern.kind === 'fetch') return 'read';
  return `${pattern.kind}, ${'access' in pattern ? pattern.access : ''}`;
}

function latencyPanel(measured: readonly Measurement[]): LinesPanel | undefined {
  const some = measured.filter(({ pattern, latencyMs }) => isSmall(pattern) && latencyMs);
  if (some.length === 0) return undefined;
  const series = some.map(({ pattern, latencyMs }): Series => {
    const name = `${pattern.kind === 'write' ? 'write' : 'read'} ${patternText(pattern)}`;
    return { name, values: [latencyMs?.p50, latencyMs?.p90, latencyMs?.p99, latencyMs?.p999, latencyMs?.max] };
  });
  return {
    ...{ kind: 'lines', title: 'Latency of 4 KiB', across: 'percentile', scale: 'log', format: shortTime, series },
    labels: ['50', '90', '99', '99.9', 'max'],
  };
}

/** What stands against what: the best of each part of a copy. */
function partsPanel({ copies }: BenchmarkReport, measured: readonly Measurement[]): BarsPanel {
  const best = (name: string, pick: Pick): BarsPanel['bars'] => {
    const rates = measured.filter(pick).map(({ bytesPerSecond }) => bytesPerSecond);
    return rates.length === 0 ? [] : [{ name, value: Math.max(...rates) }];
  };
  const hash = (algorithm: string): Pick => {
    return ({ pattern, threads }) => pattern.kind === 'hash' && pattern.algorithm === algorithm && threads === 1;
  };
  const bars = [
    ...best('read, direct', (one) => one.pattern.kind === 'read' && isDirect(one)),
    ...best('read, cache emptied', ({ pattern }) => pattern.kind === 'read' && pattern.access === 'cold'),
    ...best('read, chunks', ({ pattern }) => pattern.kind === 'fetch' && !isSmall(pattern)),
    ...best('write, direct', (one) => one.pattern.kind === 'write' && isDirect(one)),
    ...best('write, flushed', ({ pattern }) => pattern.kind === 'write' && pattern.flush === 'end'),
    ...best('xxh64, 1 thread', hash('xxh64')),
    ...best('sha256, 1 thread', hash('sha256')),
    ...(copies.length > 0 ? [{ name: 'copy', value: Math.max(...copies.map((one) => one.bytesPerSecond)) }] : []),
  ];
  return { kind: 'bars', title: 'The best of each part', bars, format: formatRate };
}

function copiesPanel({ copies }: BenchmarkReport): Panel | undefined {
  if (copies.length === 0) return undefined;
  const bars = copies.map((copy) => {
    return { name: `${settingsText(copy)}, ${shortBytes(copy.chunkBytes)}`, value: copy.bytesPerSecond };
  });
  return { kind: 'bars', title: 'Copies: flushed and compared', bars, format: formatRate };
}
