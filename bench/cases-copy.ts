/** The cases that copy one file from a disk to the same disk, beside the programs that people use for it. */
import { totalmem } from 'node:os';
import { formatBytes, MiB } from '../src/core/units.js';
import { assertSame } from './compare.js';
import {
  type Bench,
  type BenchCase,
  blockferry,
  type CaseResult,
  type Contender,
  compareWith,
  isPresent,
  leftOut,
  type Over,
  runSeries,
  wallTimes,
} from './measure.js';
import { type Bound, valueFinding } from './statistics.js';

const SMALL_BYTES = MiB;
/** The source and both targets stay in the page cache; with less memory something else would be measured. */
const MEMORY_PER_BYTE = 3.25;

interface Duel {
  readonly bytes: number;
  /** Options of our side. */
  readonly options: readonly string[];
  readonly peer: (source: string, target: string) => Omit<Contender, 'target'>;
  readonly over: Over;
  readonly bound?: Bound;
}

const cp = (source: string, target: string): Omit<Contender, 'target'> => ({
  name: 'cp',
  argv: ['cp', '--reflink=never', source, target],
});

const cpAndSync = (source: string, target: string): Omit<Contender, 'target'> => ({
  name: 'cp + sync',
  argv: ['sh', '-c', 'cp --reflink=never "$0" "$1" && sync "$1"', source, target],
});

async function duel(bench: Bench, { bytes, options, peer, over, bound }: Duel): Promise<CaseResult> {
  const { workspace, signal } = bench;
  const memoryBytes = bytes * MEMORY_PER_BYTE;
  if (totalmem() < memoryBytes) return leftOut(`it needs ${formatBytes(memoryBytes)} of memory`);
  const source = await workspace.source(bytes);
  const theirTarget = workspace.path('theirs');
  const theirs = { ...peer(source, theirTarget), target: theirTarget };
  const contenders = [blockferry([...options, source], workspace.path('ours')), theirs];
  if (!isPresent(theirs)) return leftOut(`${theirs.name} is not installed`);
  const check = (target: string): Promise<void> => assertSame(source, target, signal);
  const results = await runSeries(bench, { contenders, cached: source, warmBytes: bytes, check });
  return { contenders: results, findings: compareWith(results, theirs.name, over, bound), notes: [] };
}

const cachedBound: Bound = { kind: 'at most', value: 1.05, aim: 0.85 };

export const copyCases: readonly BenchCase[] = [
  {
    name: 'cached',
    title: 'copy --no-sync, source in the page cache, process start included, beside cp --reflink=never',
    sourceBytes: (size) => size,
    run: (bench) =>
      duel(bench, {
        bytes: bench.sizeBytes,
        options: ['--no-sync'],
        peer: cp,
        over: 'ours / theirs',
        bound: cachedBound,
      }),
  },
  {
    name: 'cached-6g',
    title: 'the same with a file three times as large: the steady state',
    sourceBytes: (size) => 3 * size,
    run: (bench) =>
      duel(bench, {
        bytes: 3 * bench.sizeBytes,
        options: ['--no-sync'],
        peer: cp,
        over: 'ours / theirs',
        bound: cachedBound,
      }),
  },
  {
    name: 'durable',
    title: 'copy, flushed to the disk, beside cp and sync of that file',
    sourceBytes: (size) => size,
    run: (bench) =>
      duel(bench, {
        bytes: bench.sizeBytes,
        options: [],
        peer: cpAndSync,
        over: 'ours / theirs',
        bound: { kind: 'at most', value: 1.15 },
      }),
  },
  {
    name: 'read-back',
    title: 'copy --read-back: flushed, then read again past the cache, beside cp and sync',
    sourceBytes: (size) => size,
    run: (bench) =>
      duel(bench, { bytes: bench.sizeBytes, options: ['--read-back'], peer: cpAndSync, over: 'ours / theirs' }),
  },
  {
    name: 'rsync',
    title: 'copy --no-sync beside rsync --whole-file --inplace, which flushes nothing either',
    sourceBytes: (size) => size,
    run: (bench) =>
      duel(bench, {
        bytes: bench.sizeBytes,
        options: ['--no-sync'],
        peer: (source, target) => ({
          name: 'rsync',
          argv: ['rsync', '--whole-file', '--inplace', source, target],
          tool: 'rsync',
        }),
        over: 'theirs / ours',
        bound: { kind: 'at least', value: 3, aim: 4 },
      }),
  },
  {
    name: 'rclone',
    title: 'copy --no-sync beside rclone copyto, which hashes too and flushes nothing either',
    sourceBytes: (size) => size,
    run: (bench) =>
      duel(bench, {
        bytes: bench.sizeBytes,
        options: ['--no-sync'],
        peer: (source, target) => ({
          name: 'rclone',
          argv: ['rclone', '--config', '', 'copyto', source, target],
          tool: 'rclone',
        }),
        over: 'theirs / ours',
        bound: { kind: 'at least', value: 5, aim: 6 },
      }),
  },
  {
    name: 'small',
    title: `copy of ${formatBytes(SMALL_BYTES)}, process start included`,
    sourceBytes: () => SMALL_BYTES,
    run: small,
  },
];

async function small(bench: Bench): Promise<CaseResult> {
  const { workspace, signal } = bench;
  const source = await workspace.source(SMALL_BYTES);
  const contenders = [
    blockferry([source], workspace.path('flushed'), 'blockferry'),
    blockferry(['--no-sync', source], workspace.path('cached'), 'blockferry --no-sync'),
  ];
  const check = (target: string): Promise<void> => assertSame(source, target, signal);
  const results = await runSeries(bench, { contenders, cached: source, warmBytes: 0, check });
  const bound: Bound = { kind: 'at most', value: 0.3 };
  const findings = results.map((result) => valueFinding(`${result.name}, wall time`, 's', wallTimes(result), bound));
  return { contenders: results, findings, notes: [] };
}
