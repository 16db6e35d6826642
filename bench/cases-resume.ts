/**
 * The case that kills a copy at random moments and counts what that costs: the bytes that the next run sends again, and
 * the seconds that both runs took beyond one that nobody killed. What the killed run had sent is read from the part
 * file itself: every byte of the source is data, so what is allocated was written.
 */
import { existsSync, statSync } from 'node:fs';
import { CHUNK_BYTES_DEFAULT } from '../src/core/chunk.js';
import { TransferError } from '../src/core/errors.js';
import { formatBytes, formatDuration, MiB } from '../src/core/units.js';
import { journalPath, partPath } from '../src/endpoint/part-names.js';
import { CHECKPOINT_BYTES } from '../src/transfer/checkpointer.js';
import { assertSame } from './compare.js';
import { runCopy } from './demo-child.js';
import { type Bench, type BenchCase, type CaseResult, copyCommand, NOT_SHARED } from './measure.js';
import { measuredRun, runAndKill } from './resource-use.js';
import { valueFinding, worstFinding } from './statistics.js';
import { warmMemory } from './warm-memory.js';

const LANES = 4;
const RESENT_BYTES_MAX = 2 * CHECKPOINT_BYTES + LANES * CHUNK_BYTES_DEFAULT;

export const resumeCase: BenchCase = {
  name: 'resume',
  title: `durable copy --lanes ${LANES}, killed with -9 at random moments and run again, beside one left alone`,
  sourceBytes: (size) => size,
  run: resumes,
};

interface KilledCopy {
  readonly source: string;
  readonly target: string;
  readonly args: readonly string[];
}

interface ResumeCost {
  readonly resentBytes: number;
  /** Below 0 when the disk was faster than in the run that nobody killed. */
  readonly lostSeconds: number;
}

async function resumes(bench: Bench): Promise<CaseResult> {
  const { workspace, sizeBytes, pairs } = bench;
  const source = await workspace.source(sizeBytes);
  const target = workspace.path('killed');
  const copy = { source, target, args: [...NOT_SHARED, '--lanes', String(LANES), source, target] };
  const costs: ResumeCost[] = [];
  for (let round = 1; round <= pairs; round++) costs.push(await killOnce(bench, copy, round));
  await workspace.remove(target);
  const bound = { kind: 'at most', value: RESENT_BYTES_MAX / MiB } as const;
  const resentMiB = costs.map(({ resentBytes }) => resentBytes / MiB);
  const findings = [
    worstFinding('sent twice', 'MiB', resentMiB, bound),
    valueFinding(
      'time lost by the kill',
      's',
      costs.map(({ lostSeconds }) => lostSeconds),
    ),
  ];
  return { contenders: [], findings, notes: [] };
}

async function killOnce(bench: Bench, { source, target, args }: KilledCopy, round: number): Promise<ResumeCost> {
  const { workspace, sizeBytes, signal, print, pairs } = bench;
  const scratch = workspace.path('resource-use');
  await fresh(bench, target);
  const whole = await measuredRun({ argv: copyCommand(...args), scratch, signal });
  await fresh(bench, target);
  const killMs = Math.random() * whole.wallSeconds * 1000;
  const killed = await runAndKill(copyCommand(...args), killMs, signal);
  const { written, again, seconds } = await resume(bench, args, target);
  await assertSame(source, target, signal);
  const lostSeconds = killed.wallSeconds + seconds - whole.wallSeconds;
  const counts = `${formatBytes(written)} were written, ${formatBytes(again)} sent by the next run`;
  const when = `killed after ${formatDuration(killMs)} of ${formatDuration(whole.wallSeconds * 1000)}`;
  print.note(`${String(round).padStart(2)}/${pairs}  ${when}: ${counts}, ${lostSeconds.toFixed(2)} s lost`);
  return { resentBytes: Math.max(0, written + again - sizeBytes), lostSeconds };
}

async function fresh({ workspace, sizeBytes, signal, quick }: Bench, target: string): Promise<void> {
  await workspace.remove(target);
  if (!quick) await warmMemory(sizeBytes, signal);
}

interface Resumed {
  /** Bytes that the killed run had written. */
  readonly written: number;
  /** Bytes that the next run sent. */
  readonly again: number;
  readonly seconds: number;
}

async function resume(
  { workspace, signal, sizeBytes }: Bench,
  args: readonly string[],
  target: string,
): Promise<Resumed> {
  const [part, journal] = [partPath(target), journalPath(target)];
  // The kill came too late to stop anything.
  if (existsSync(target) && !existsSync(part) && !existsSync(journal)) {
    return { written: sizeBytes, again: 0, seconds: 0 };
  }
  const file = existsSync(part) ? part : target;
  const written = existsSync(file) ? Math.min(sizeBytes, statSync(file).blocks * 512) : 0;
  const copy = await runCopy(workspace.folder, args, () => 'go on', signal);
  if (copy.exitCode !== 0 || copy.progress === undefined) {
    throw new TransferError('E_BUG', `the resumed copy ended with ${copy.exitCode}\n${copy.errorOutput}`);
  }
  const { bytesDone, bytesReused, bytesZero } = copy.progress;
  return { written, again: bytesDone - bytesReused - bytesZero, seconds: copy.elapsedMs / 1000 };
}
