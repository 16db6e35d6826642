/**
 * What a copy does to a neighbour that flushes: a process that writes 4 KiB and calls fsync in a loop, on the same file
 * system, alone and beside each mover. All movers leave a durable copy. What it tells depends on the disk and on who
 * else uses it, so it is stated and not promised.
 */
import { fileURLToPath } from 'node:url';
import { systemClock } from '../src/core/clock.js';
import { type ServiceHost, startServiceHost } from '../test/support/service-host.js';
import { assertSame } from './compare.js';
import { startFlushing } from './fsync-child.js';
import type { Bench, BenchCase, ContenderResult } from './measure.js';
import { cpAndSync } from './peers.js';
import { measuredRun, type RunCost } from './resource-use.js';
import { type Finding, ratioFinding, valueFinding } from './statistics.js';
import { warmMemory } from './warm-memory.js';

const JOB = fileURLToPath(new URL('./service-job.js', import.meta.url));
const ALONE_MS = 5000;
const ROUNDS_MAX = 5;

/** And the milliseconds of all flushes in each round. */
interface Mover {
  readonly name: string;
  /** Absent: nobody moves anything. */
  readonly argv?: readonly string[];
  readonly runs: RunCost[];
  readonly flushes: number[][];
}

export const fsyncCase: BenchCase = {
  name: 'fsync-neighbour',
  title: 'a process that flushes 4 KiB in a loop: how long its fsync takes alone, and beside copies on its disk',
  sourceBytes: (size) => size,
  pairsMax: ROUNDS_MAX,
  onlyWhenNamed: true,
  run: async (bench) => {
    const source = await bench.workspace.source(bench.sizeBytes);
    const target = bench.workspace.path('moved');
    const host = await startServiceHost();
    try {
      const movers = moversOf(host, source, target);
      for (let round = 1; round <= bench.pairs; round++) {
        for (const mover of movers) await runOnce(bench, mover, source, target);
        const told = movers.map(({ name, flushes }) => `${name} ${percentile(flushes.at(-1), 0.99).toFixed(1)}`);
        bench.print.note(`${String(round).padStart(2)}/${bench.pairs}  p99 in ms: ${told.join('   ')}`);
      }
      const contenders = movers.flatMap(({ name, runs, argv }): ContenderResult[] => (argv ? [{ name, runs }] : []));
      return { contenders, findings: findingsOf(movers), notes: [] };
    } finally {
      await host.stop();
    }
  },
};

function moversOf({ socketPath }: ServiceHost, source: string, target: string): readonly Mover[] {
  const job = (priority: string): readonly string[] => [
    ...[process.execPath, JOB, socketPath, source, target],
    ...[priority, 'sync'],
  ];
  return [
    { name: 'foreground job', argv: job('foreground') },
    { name: 'background job', argv: job('normal') },
    { name: 'cp + sync', argv: cpAndSync.argv(source, target) },
    { name: 'nobody' },
  ].map((mover) => ({ ...mover, runs: [], flushes: [] }));
}

async function runOnce(bench: Bench, mover: Mover, source: string, target: string): Promise<void> {
  const { workspace, signal, quick } = bench;
  await workspace.remove(target);
  await workspace.readThrough(source);
  if (!quick) await warmMemory(bench.sizeBytes, signal);
  const neighbour = await startFlushing(workspace.path('flushed'));
  try {
    if (mover.argv)
      mover.runs.push(await measuredRun({ ...mover, argv: mover.argv, scratch: workspace.path('use'), signal }));
    else await systemClock.sleep(quick ? 100 : ALONE_MS, signal);
  } finally {
    mover.flushes.push([...(await neighbour.stop())]);
  }
  if (mover.argv) await assertSame(source, target, signal);
}

function percentile(values: readonly number[] = [], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

function findingsOf(movers: readonly Mover[]): Finding[] {
  const shares = [
    ['p50', 0.5],
    ['p99', 0.99],
    ['max', 1],
  ] as const;
  const times = ({ flushes }: Mover, share: number): number[] => flushes.map((one) => percentile(one, share));
  const findings = movers.flatMap((mover) =>
    shares.map(([what, share]) => valueFinding(`fsync beside ${mover.name}, ${what}`, 'ms', times(mover, share))),
  );
  const [foreground, background, cp] = movers as [Mover, Mover, Mover];
  return [
    ...findings,
    ratioFinding('fsync p99, background job / cp', times(background, 0.99), times(cp, 0.99)),
    ratioFinding('fsync p99, background / foreground job', times(background, 0.99), times(foreground, 0.99)),
  ];
}
