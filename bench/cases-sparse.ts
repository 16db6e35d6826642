/** The cases about files whose size says little: thin disks of many terabytes, and the memory that any file costs. */
import { assertSame, assertSameSparse } from './compare.js';
import {
  type Bench,
  type BenchCase,
  blockferry,
  type CaseResult,
  type Contender,
  compareWith,
  peaksMiB,
  runSeries,
} from './measure.js';
import { type Bound, worstFinding } from './statistics.js';

const memoryBound: Bound = { kind: 'at most', value: 200 };

export const sparseCases: readonly BenchCase[] = [
  {
    name: 'sparse',
    title: 'copy --no-sync of 5 TiB of which half of --size is data, beside plain copies of as much data',
    sourceBytes: (size) => size,
    run: sparse,
  },
  {
    name: 'rss',
    title: 'peak memory of durable copies: --size, the same with --read-back, and 5 TiB with holes',
    sourceBytes: (size) => size + size / 2,
    run: memory,
  },
];

async function sparse(bench: Bench): Promise<CaseResult> {
  const { workspace, signal } = bench;
  const dataBytes = bench.sizeBytes / 2;
  const [thin, plain] = [await workspace.sparseSource(dataBytes), await workspace.source(dataBytes)];
  const plainTarget = workspace.path('cp-target');
  const contenders: readonly Contender[] = [
    blockferry(['--no-sync', thin], workspace.path('thin'), 'blockferry, sparse'),
    blockferry(['--no-sync', plain], workspace.path('plain'), 'blockferry, plain'),
    { name: 'cp, plain', argv: ['cp', '--reflink=never', plain, plainTarget], target: plainTarget },
  ];
  const check = (target: string): Promise<void> =>
    target === contenders[0]?.target
      ? assertSameSparse(thin, target, dataBytes, signal)
      : assertSame(plain, target, signal);
  const results = await runSeries(bench, { contenders, cached: plain, warmBytes: dataBytes, check });
  const findings = [
    ...compareWith(results, 'blockferry, plain', 'ours / theirs', { kind: 'at most', value: 3 }),
    ...compareWith(results, 'cp, plain', 'ours / theirs', { kind: 'at most', value: 3 }),
    worstFinding('blockferry, sparse: peak memory', 'MiB', peaksMiB(results[0]), memoryBound),
  ];
  return { contenders: results, findings, notes: [] };
}

async function memory(bench: Bench): Promise<CaseResult> {
  const { workspace, sizeBytes, signal } = bench;
  const dataBytes = sizeBytes / 2;
  const [huge, thin] = [await workspace.source(sizeBytes), await workspace.sparseSource(dataBytes)];
  const contenders: readonly Contender[] = [
    blockferry([huge], workspace.path('huge'), 'blockferry'),
    blockferry(['--read-back', huge], workspace.path('huge-read-back'), 'blockferry --read-back'),
    blockferry([thin], workspace.path('thin'), 'blockferry, sparse'),
  ];
  const check = (target: string): Promise<void> =>
    target === contenders[2]?.target
      ? assertSameSparse(thin, target, dataBytes, signal)
      : assertSame(huge, target, signal);
  const results = await runSeries(bench, { contenders, warmBytes: sizeBytes, check });
  const findings = results.map((result) =>
    worstFinding(`${result.name}: peak memory`, 'MiB', peaksMiB(result), memoryBound),
  );
  return { contenders: results, findings, notes: [] };
}
