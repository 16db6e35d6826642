/** The cases that copy folders of many small files, and the one that copies such a folder again. */
import {
  type Bench,
  type BenchCase,
  blockferry,
  type CaseResult,
  type Contender,
  compareWith,
  leftOut,
  peaksMiB,
  refusal,
  runRounds,
  runSeries,
  wallTimes,
} from './measure.js';
import type { Peer } from './peers.js';
import { type Bound, valueFinding, worstFinding } from './statistics.js';
import { assertSameTree, makeTree, TREE_FILE_BYTES } from './tree-files.js';

const QUICK_DIVISOR = 100;
const PAIRS_MAX = 7;
/** A file, its inode and its name, in the source's folder and in the target's. */
const CACHE_BYTES_PER_FILE = 2 * (TREE_FILE_BYTES + 1024);
const PROBE_FILES = 3;

const cpTree: Peer = { name: 'cp -r', argv: (...ends) => ['cp', '-r', '--reflink=never', ...ends] };
const cpTreeAndSync: Peer = {
  name: 'cp -r + sync -f',
  argv: (...ends) => ['sh', '-c', 'cp -r --reflink=never "$0" "$1" && sync -f "$1"', ...ends],
};
const cpUpdate: Peer = {
  name: 'cp -ru',
  argv: (source, target) => ['cp', '-ru', '--reflink=never', `${source}/.`, target],
};
const rsyncTree: Peer = {
  name: 'rsync -a',
  argv: (source, target) => ['rsync', '-a', '--whole-file', `${source}/`, target],
  tool: 'rsync',
};

interface TreeCopy {
  readonly name: string;
  readonly title: string;
  readonly files: number;
  readonly options: readonly string[];
  readonly peer: Peer;
  readonly bound?: Bound;
}

const treeBound: Bound = { kind: 'at most', value: 2.5, aim: 1.5 };

const copies: readonly TreeCopy[] = [
  {
    name: 'tree',
    title: 'copy -r --no-sync of 10,000 files of 4 KiB, beside cp -r',
    files: 10_000,
    options: ['--no-sync'],
    peer: cpTree,
    bound: treeBound,
  },
  {
    name: 'tree-durable',
    title: 'copy -r of 10,000 files of 4 KiB, flushed, beside cp -r and sync -f',
    files: 10_000,
    options: [],
    peer: cpTreeAndSync,
  },
  {
    name: 'tree-100k',
    title: 'copy -r --no-sync of 100,000 files of 4 KiB, beside cp -r',
    files: 100_000,
    options: ['--no-sync'],
    peer: cpTree,
    bound: treeBound,
  },
];

/** The contents of the folder, as `cp -r source target` copies them to a target that is not there. */
function ours(options: readonly string[], source: string, target: string): Contender {
  return blockferry(['-r', ...options, `${source}/`], target);
}

function theirs(peer: Peer, source: string, target: string): Contender {
  return { ...peer, argv: peer.argv(source, target), target };
}

/** What Blockferry says when it cannot copy even a tiny folder; otherwise what the case found. */
async function orRefusal(bench: Bench, run: () => Promise<CaseResult>): Promise<CaseResult> {
  const { workspace, signal } = bench;
  const [source, target] = [workspace.path('tree-probe'), workspace.path('tree-probe-target')];
  try {
    await makeTree(source, PROBE_FILES, signal);
    const said = refusal(['-r', '--no-sync', `${source}/`, target]);
    return said === undefined ? await run() : leftOut(`copy -r: ${said}`);
  } finally {
    await workspace.remove(source);
    await workspace.remove(target);
  }
}

async function copyTree(bench: Bench, { files, options, peer, bound }: TreeCopy): Promise<CaseResult> {
  const { workspace, signal } = bench;
  const count = filesOf(bench, files);
  const source = await workspace.treeSource(count);
  const results = await runSeries(bench, {
    contenders: [ours(options, source, workspace.path('ours')), theirs(peer, source, workspace.path('theirs'))],
    warmBytes: count * CACHE_BYTES_PER_FILE,
    check: (target) => assertSameTree(source, target, signal),
    setAside: true,
  });
  return { contenders: results, findings: compareWith(results, peer.name, 'ours / theirs', bound), notes: [] };
}

async function copyAgain(bench: Bench): Promise<CaseResult> {
  const { workspace, signal } = bench;
  const source = await workspace.treeSource(filesOf(bench, 10_000));
  const contenders = [
    ours(['--no-sync'], source, workspace.path('ours')),
    theirs(cpUpdate, source, workspace.path('updated')),
    theirs(rsyncTree, source, workspace.path('synced')),
  ];
  const check = (target: string): Promise<void> => assertSameTree(source, target, signal);
  const series = { contenders, warmBytes: 0, check, keepTargets: true };
  bench.print.note('once to make the targets:');
  await runRounds({ ...bench, pairs: 1 }, series);
  const results = await runSeries(bench, series);
  const bound: Bound = { kind: 'at most', value: 1 };
  const findings = [
    valueFinding('blockferry, wall time', 's', wallTimes(results[0]), bound),
    ...compareWith(results, cpUpdate.name, 'ours / theirs'),
    ...compareWith(results, rsyncTree.name, 'ours / theirs'),
  ];
  return { contenders: results, findings, notes: [] };
}

async function copyMillion(bench: Bench): Promise<CaseResult> {
  const { workspace, signal } = bench;
  const source = await workspace.treeSource(filesOf(bench, 1_000_000));
  try {
    const results = await runSeries(bench, {
      contenders: [ours(['--no-sync'], source, workspace.path('ours'))],
      warmBytes: 0,
      check: (target) => assertSameTree(source, target, signal),
    });
    const findings = [
      worstFinding('blockferry: peak memory', 'MiB', peaksMiB(results[0]), { kind: 'at most', value: 200 }),
      valueFinding('blockferry, wall time', 's', wallTimes(results[0])),
    ];
    return { contenders: results, findings, notes: [] };
  } finally {
    await workspace.remove(source);
  }
}

function filesOf({ quick }: Bench, files: number): number {
  return quick ? files / QUICK_DIVISOR : files;
}

export const treeCases: readonly BenchCase[] = [
  ...copies.map((copy) => ({
    name: copy.name,
    title: copy.title,
    sourceBytes: () => copy.files * TREE_FILE_BYTES,
    pairsMax: PAIRS_MAX,
    run: (bench: Bench) => orRefusal(bench, () => copyTree(bench, copy)),
  })),
  {
    name: 'tree-rerun',
    title: 'copy -r --no-sync again over a finished copy of 10,000 files, beside cp -ru and rsync -a again',
    sourceBytes: () => 10_000 * TREE_FILE_BYTES,
    pairsMax: PAIRS_MAX,
    run: (bench) => orRefusal(bench, () => copyAgain(bench)),
  },
  {
    name: 'tree-million',
    title: 'peak memory of copy -r --no-sync of 1,000,000 files of 4 KiB',
    sourceBytes: () => 1_000_000 * TREE_FILE_BYTES,
    pairsMax: 1,
    onlyWhenNamed: true,
    run: (bench) => orRefusal(bench, () => copyMillion(bench)),
  },
];
