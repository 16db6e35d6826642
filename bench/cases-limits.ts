/**
 * The case that watches whether a limit is kept: over every window of ten seconds, and not only over the whole copy.
 * Flushes are left out, because a disk that stalls makes a copy slower than its limit and is not what is measured.
 */
import { TransferError } from '../src/core/errors.js';
import { formatRate, GiB, KiB, MiB } from '../src/core/units.js';
import { assertSame } from './compare.js';
import { runCopy } from './demo-child.js';
import { type Bench, type BenchCase, type CaseResult, NOT_SHARED } from './measure.js';
import { type Finding, type ProgressSample, windowRates, worstFinding } from './statistics.js';
import { warmMemory } from './warm-memory.js';

interface Watch {
  readonly windowMs: number;
  /** Long enough that windows begin at several moments. */
  readonly runSeconds: number;
  readonly fileRates: readonly number[];
  readonly zeroRates: readonly number[];
}

const FULL: Watch = {
  windowMs: 10_000,
  runSeconds: 13,
  fileRates: [64 * KiB, MiB, 16 * MiB, 128 * MiB],
  zeroRates: [128 * MiB, GiB],
};
const QUICK: Watch = { windowMs: 2000, runSeconds: 4, fileRates: [MiB], zeroRates: [128 * MiB] };
const ABOVE_PERCENT_MAX = 2;
const BELOW_PERCENT_MAX = 3;

export const limitsCase: BenchCase = {
  name: 'limits',
  title: 'copy --limit: the rate in every window of 10 s, from file to file (--no-sync) and from zero: to null:',
  sourceBytes: () => FULL.fileRates.reduce((sum, rate) => sum + rate * FULL.runSeconds, 0),
  run: async (bench) => {
    const findings: Finding[] = [];
    const { fileRates, zeroRates } = watchOf(bench);
    for (const rate of fileRates) findings.push(...(await fileToFile(bench, rate)));
    for (const rate of zeroRates) findings.push(...(await zeroToNull(bench, rate)));
    return { contenders: [], findings, notes: [] } satisfies CaseResult;
  },
};

function watchOf({ quick }: Bench): Watch {
  return quick ? QUICK : FULL;
}

async function fileToFile(bench: Bench, rate: number): Promise<readonly Finding[]> {
  const { workspace, signal } = bench;
  const bytes = rate * watchOf(bench).runSeconds;
  const source = await workspace.source(bytes);
  const target = workspace.path('limited');
  await workspace.readThrough(source);
  if (!bench.quick) await warmMemory(bytes, signal);
  const findings = await watchLimit(bench, 'file to file', rate, [...NOT_SHARED, '--no-sync', source, target]);
  await assertSame(source, target, signal);
  await workspace.remove(target);
  return findings;
}

function zeroToNull(bench: Bench, rate: number): Promise<readonly Finding[]> {
  return watchLimit(bench, 'zero: to null:', rate, [`zero:${rate * watchOf(bench).runSeconds}`, 'null:']);
}

async function watchLimit(
  bench: Bench,
  ends: string,
  rate: number,
  args: readonly string[],
): Promise<readonly Finding[]> {
  const { workspace, print, signal } = bench;
  const { windowMs } = watchOf(bench);
  const samples: ProgressSample[] = [];
  const copy = await runCopy(
    workspace.folder,
    ['--limit', String(rate), ...args],
    (event) => {
      if (event.phase === 'copying') samples.push({ atMs: event.at, bytes: event.bytesDone });
      return 'go on';
    },
    signal,
  );
  if (copy.exitCode !== 0)
    throw new TransferError('E_BUG', `the copy ended with ${copy.exitCode}\n${copy.errorOutput}`);
  const rates = windowRates(samples, windowMs);
  if (rates === undefined) {
    throw new TransferError(
      'E_BUG',
      `${ends}, ${formatRate(rate)}: the copy was over before ${windowMs / 1000} s had passed`,
    );
  }
  const name = `${ends}, ${formatRate(rate)}`;
  const [above, below] = [(rates.fastest / rate - 1) * 100, (1 - rates.slowest / rate) * 100];
  print.note(`${name}: fastest window ${percent(above)}, slowest ${percent(-below)}`);
  return [
    worstFinding(`${name}: above`, '%', [above], { kind: 'at most', value: ABOVE_PERCENT_MAX }),
    worstFinding(`${name}: below`, '%', [below], { kind: 'at most', value: BELOW_PERCENT_MAX }),
  ];
}

function percent(value: number): string {
  return `${value < 0 ? '' : '+'}${value.toFixed(2)} %`;
}
