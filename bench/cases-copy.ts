/** The cases that copy one file from a disk to the same disk: Blockferry and one peer, in turn. */
import { totalmem } from 'node:os';
import { formatBytes, MiB } from '../src/core/units.js';
import { assertSame } from './compare.js';
import {
  type Bench,
  type BenchCase,
  blockferry,
  type CaseResult,
  compareWith,
  isPresent,
  leftOut,
  type Over,
  runSeries,
  wallTimes,
} from './measure.js';
import * as peers from './peers.js';
import { type Bound, valueFinding } from './statistics.js';

const SMALL_BYTES = MiB;
/** The source and both targets stay in the page cache; with less memory something else would be measured. */
const MEMORY_PER_BYTE = 3.25;

/** One file, one peer. */
interface Duel {
  readonly name: string;
  readonly title: string;
  /** Of our side. */
  readonly options: readonly string[];
  readonly peer: peers.Peer;
  readonly over: Over;
  readonly bound?: Bound;
  /** Huge files that the source is as large as. Default 1. */
  readonly times?: number;
}

const cachedBound: Bound = { kind: 'at most', value: 1.05, aim: 0.85 };
const cached = { options: ['--no-sync'], over: 'ours / theirs' } as const;
const durable = { options: [], over: 'ours / theirs' } as const;

const duels: readonly Duel[] = [
  {
    ...cached,
    name: 'cached',
    title: 'copy --no-sync, source in the page cache, process start included, beside cp --reflink=never',
    peer: peers.cp,
    bound: cachedBound,
  },
  {
    ...cached,
    name: 'cached-6g',
    title: 'the same with a file three times as large: the steady state',
    peer: peers.cp,
    bound: cachedBound,
    times: 3,
  },
  { ...cached, name: 'dd', title: 'copy --no-sync beside dd bs=1M', peer: peers.dd },
  {
    ...cached,
    name: 'qemu-img',
    title: 'copy --no-sync beside qemu-img convert -W from raw to raw, caches -t unsafe -T writeback: no flush',
    peer: peers.qemuImg,
  },
  {
    ...cached,
    name: 'nbdcopy',
    title: 'copy --no-sync beside nbdcopy from file to file, which begins to write out at once',
    peer: peers.nbdcopy,
  },
  {
    ...cached,
    name: 'rsync',
    title: 'copy --no-sync beside rsync --whole-file --inplace, which flushes nothing either',
    peer: peers.rsync,
    over: 'theirs / ours',
    bound: { kind: 'at least', value: 3, aim: 4 },
  },
  {
    ...cached,
    name: 'rclone',
    title: 'copy --no-sync beside rclone copyto, which hashes too and flushes nothing either',
    peer: peers.rclone,
    over: 'theirs / ours',
    bound: { kind: 'at least', value: 5, aim: 6 },
  },
  {
    ...durable,
    name: 'durable',
    title: 'copy, flushed to the disk, beside cp and sync of that file',
    peer: peers.cpAndSync,
    bound: { kind: 'at most', value: 1.15 },
  },
  { ...durable, name: 'durable-dd', title: 'copy, flushed, beside dd bs=1M conv=fsync', peer: peers.ddFsync },
  {
    ...durable,
    name: 'durable-qemu-img',
    title: 'copy, flushed, beside qemu-img convert -W, caches -t writeback -T writeback: flushed at the end',
    peer: peers.qemuImgFlushed,
  },
  { ...durable, name: 'durable-nbdcopy', title: 'copy, flushed, beside nbdcopy --flush', peer: peers.nbdcopyFlushed },
  {
    ...durable,
    name: 'read-back',
    title: 'copy --read-back: flushed, then read again past the cache, beside cp and sync',
    options: ['--read-back'],
    peer: peers.cpAndSync,
  },
];

async function fight(bench: Bench, { options, peer, over, bound, times = 1 }: Duel): Promise<CaseResult> {
  const { workspace, signal } = bench;
  const bytes = times * bench.sizeBytes;
  const memoryBytes = bytes * MEMORY_PER_BYTE;
  if (totalmem() < memoryBytes) return leftOut(`it needs ${formatBytes(memoryBytes)} of memory`);
  if (!isPresent(peer)) return leftOut(`${peer.name} is not installed`);
  const source = await workspace.source(bytes);
  const target = workspace.path('theirs');
  const theirs = { ...peer, argv: peer.argv(source, target), target };
  const contenders = [blockferry([...options, source], workspace.path('ours')), theirs];
  const check = (copied: string): Promise<void> => assertSame(source, copied, signal);
  const results = await runSeries(bench, { contenders, cached: source, warmBytes: bytes, check });
  return { contenders: results, findings: compareWith(results, theirs.name, over, bound), notes: [] };
}

const smallCase: BenchCase = {
  name: 'small',
  title: `copy of ${formatBytes(SMALL_BYTES)}, process start included`,
  sourceBytes: () => SMALL_BYTES,
  run: async (bench) => {
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
  },
};

export const copyCases: readonly BenchCase[] = [
  ...duels.map((duel) => ({
    name: duel.name,
    title: duel.title,
    sourceBytes: (size: number) => (duel.times ?? 1) * size,
    run: (bench: Bench) => fight(bench, duel),
  })),
  smallCase,
];
