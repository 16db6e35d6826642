/**
 * `blockferry bench` beside fio, which is what its numbers will be compared with: the same file, the same pattern, one
 * thread, in turn. Both are told as seconds for 1 GiB, so that less is better, as in all cases.
 */
import { spawn } from 'node:child_process';
import { copyFile, open } from 'node:fs/promises';
import { measureStep } from '../src/benchmark/measure-step.js';
import type { Step } from '../src/benchmark/plan.js';
import { isMeasured } from '../src/benchmark/report.js';
import { createRunner } from '../src/compose.js';
import { TransferError } from '../src/core/errors.js';
import { GiB, MiB } from '../src/core/units.js';
import type { ChunkRunner } from '../src/transfer/chunk-runner.js';
import { ControlBlock } from '../src/transfer/control-block.js';
import { type Bench, type BenchCase, type CaseResult, isPresent, leftOut } from './measure.js';
import { type Bound, ratioFinding, valueFinding } from './statistics.js';
import { warmMemory } from './warm-memory.js';

const SECONDS = 3;
/** More than any single pass takes. */
const PASS_SECONDS = 600;
const WITHIN: Bound = { kind: 'at most', value: 1.1 };

interface Duel {
  readonly name: string;
  readonly pattern: Step['pattern'];
  readonly fio: readonly string[];
  /** pass: once over the file · time: round and round for some seconds, warmed. */
  readonly until: 'pass' | 'time';
}

const TIMED = ['--time_based', `--runtime=${SECONDS}`, '--ramp_time=450ms'];

const DUELS: readonly Duel[] = [
  {
    name: 'read, direct',
    pattern: { kind: 'read', access: 'direct', order: 'sequential', blockBytes: MiB },
    fio: ['--rw=read', '--direct=1', ...TIMED],
    until: 'time',
  },
  {
    name: 'read, buffered, cache emptied',
    pattern: { kind: 'read', access: 'cold', order: 'sequential', blockBytes: MiB },
    fio: ['--rw=read', '--direct=0', '--invalidate=1'],
    until: 'time',
  },
  {
    name: 'write, direct',
    pattern: { kind: 'write', access: 'direct', flush: 'none', blockBytes: MiB },
    fio: ['--rw=write', '--direct=1', ...TIMED],
    until: 'time',
  },
  {
    name: 'write, buffered, flushed at the end',
    pattern: { kind: 'write', access: 'buffered', flush: 'end', blockBytes: MiB },
    fio: ['--rw=write', '--direct=0', '--end_fsync=1'],
    until: 'pass',
  },
];

export const fioCase: BenchCase = {
  name: 'fio',
  title: 'blockferry bench beside fio: sequential, 1 MiB, one thread, in seconds for 1 GiB',
  sourceBytes: (size) => size,
  run: async (bench) => {
    if (!isPresent({ tool: 'fio' })) return leftOut('fio is not installed');
    const path = bench.workspace.path('fio');
    await copyFile(await bench.workspace.source(bench.sizeBytes), path);
    await syncFile(path);
    const runner = await createRunner(1);
    try {
      return await allDuels(bench, runner, path);
    } finally {
      await runner.close();
      await bench.workspace.remove(path);
    }
  },
};

async function allDuels(bench: Bench, runner: ChunkRunner, path: string): Promise<CaseResult> {
  const control = ControlBlock.create();
  bench.signal.addEventListener('abort', () => control.stop(), { once: true });
  const rounds = DUELS.map((duel) => ({ ...duel, ours: [] as number[], theirs: [] as number[] }));
  try {
    for (let pair = 1; pair <= bench.pairs; pair++) {
      for (const round of rounds) {
        const ours = async (): Promise<void> =>
          void round.ours.push(GiB / (await ourRate(round, path, bench, { runner, control })));
        const theirs = async (): Promise<void> => void round.theirs.push(GiB / (await fioRate(round, path, bench)));
        await warmMemory(bench.sizeBytes, bench.signal);
        // Not counted: what the pattern before left behind, pages and the lack of them, belongs to neither.
        await fioRate(round, path, bench);
        for (const run of pair % 2 === 1 ? [ours, theirs] : [theirs, ours]) await run();
        const [one, other] = [round.ours.at(-1), round.theirs.at(-1)].map((seconds) => seconds?.toFixed(3));
        bench.print.note(`${String(pair).padStart(2)}/${bench.pairs}  ${round.name}: bench ${one} s, fio ${other} s`);
      }
    }
  } finally {
    control.closeAll();
  }
  const findings = rounds.flatMap(({ name, ours, theirs }) => [
    ratioFinding(`${name}: bench / fio`, ours, theirs, WITHIN),
    valueFinding(`${name}: fio, 1 GiB`, 's', theirs),
  ]);
  return { contenders: [], findings, notes: [] };
}

/** Bytes per second. */
async function ourRate(
  { pattern, until }: Duel,
  path: string,
  { sizeBytes }: Bench,
  { runner, control }: { readonly runner: ChunkRunner; readonly control: ControlBlock },
): Promise<number> {
  const step: Step = { end: 'source', pattern, threads: 1, share: 0 };
  const pass = until === 'pass';
  const parts = { runner, control: control.shared, seconds: pass ? PASS_SECONDS : SECONDS };
  // Without a bound of its own a timed write goes round and round, as fio does.
  const bytesMax = pass ? sizeBytes : Number.MAX_SAFE_INTEGER;
  const result = await measureStep(step, { path, bytes: sizeBytes }, { ...parts, bytesMax });
  if (isMeasured(result)) return result.bytesPerSecond;
  throw new TransferError('E_USAGE', `this folder cannot be measured: ${result.refused}`);
}

/** Bytes per second, as fio reckons them: until the last byte is read, or written and, if asked, flushed. */
async function fioRate({ fio }: Duel, path: string, { sizeBytes, signal }: Bench): Promise<number> {
  const common = ['--name=fio', `--filename=${path}`, '--ioengine=psync', '--bs=1M', `--size=${sizeBytes}`];
  const out = await outputOf('fio', [...common, '--overwrite=1', '--output-format=json', ...fio], signal);
  const { jobs } = JSON.parse(out.slice(out.indexOf('{'))) as {
    readonly jobs: readonly { readonly read: { bw_bytes: number }; readonly write: { bw_bytes: number } }[];
  };
  return Math.max(jobs[0]?.read.bw_bytes ?? 0, jobs[0]?.write.bw_bytes ?? 0);
}

async function outputOf(program: string, args: readonly string[], signal: AbortSignal): Promise<string> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'], signal });
  let out = '';
  for await (const text of child.stdout.setEncoding('utf8')) out += text;
  return out;
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r+');
  await file.sync();
  await file.close();
}
