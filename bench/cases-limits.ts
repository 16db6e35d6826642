/**
 * The case that watches whether a limit is kept: over every window of ten seconds, and not only over the whole copy.
 * Flushes are left out, because a disk that stalls makes a copy slower than its limit and is not what is measured.
 */
import { TransferError } from '../src/core/errors.js';
import { formatRate, GiB, KiB, MiB } from '../src/core/units.js';
import { assertSame } from './compare.js';
import { runCopy } from './demo-child.js';
import type { Bench, BenchCase, CaseResult } from './measure.js';
import { type Finding, type ProgressSample, windowRates, worstFinding } from './statistics.js';
import { warmMemory } from './warm-memory.js';

const WINDOW_MS = 10_000;
/** Long enough that windows of ten seconds begin at several moments. */
const RUN_SECONDS = 13;
const ABOVE_PERCENT_MAX = 2;
const BELOW_PERCENT_MAX = 3;

const FILE_RATES = [64 * KiB, MiB, 16 * MiB, 128 * MiB];
const ZERO_RATES = [128 * MiB, GiB];

export const limitsCase: BenchCase = {
  name: 'limits',
  title: 'copy --limit: the rate in every window of 10 s, from file to file (--no-sync) and from zero: to null:',
  sourceBytes: () => FILE_RATES.reduce((sum, rate) => sum + rate * RUN_SECONDS, 0),
  run: async (bench) => {
    const findings: Finding[] = [];
    for (const rate of FILE_RATES) findings.push(...(await fileToFile(bench, rate)));
    for (const rate of ZERO_RATES) findings.push(...(await zeroToNull(bench, rate)));
    return { contenders: [], findings, notes: [] } satisfies CaseResult;
  },
};

async function fileToFile(bench: Bench, rate: number): Promise<readonly Finding[]> {
  const { workspace, signal } = bench;
  const source = await workspace.source(rate * RUN_SECONDS);
  const target = workspace.path('limited');
  await workspace.readThrough(source);
  await warmMemory(rate * RUN_SECONDS, signal);
  const findings = await watchLimit(bench, 'file to file', rate, ['--no-sync', source, target]);
  await assertSame(source, target, signal);
  await workspace.remove(target);
  return findings;
}

function zeroToNull(bench: Bench, rate: number): Promise<readonly Finding[]> {
  return watchLimit(bench, 'zero: to null:', rate, [`zero:${rate * RUN_SECONDS}`, 'null:']);
}

async function watchLimit(
  { workspace, print, signal }: Bench,
  ends: string,
  rate: number,
  args: readonly string[],
): Promise<readonly Finding[]> {
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
  const rates = windowRates(samples, WINDOW_MS);
  if (rates === undefined) {
    throw new TransferError('E_BUG', `${ends}, ${formatRate(rate)}: the copy was over before ten seconds had passed`);
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
