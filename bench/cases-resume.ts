/**
 * The case that kills a copy at random moments and counts what the next run sends again. What the killed run had sent
 * is read from the part file itself: every byte of the source is data, so what is allocated was written.
 */
import { existsSync, statSync } from 'node:fs';
import { CHUNK_BYTES_DEFAULT } from '../src/core/chunk.js';
import { TransferError } from '../src/core/errors.js';
import { formatBytes, formatDuration, MiB } from '../src/core/units.js';
import { journalPath, partPath } from '../src/endpoint/part-names.js';
import { CHECKPOINT_BYTES } from '../src/transfer/checkpointer.js';
import { assertSame } from './compare.js';
import { runCopy } from './demo-child.js';
import { type Bench, type BenchCase, copyCommand } from './measure.js';
import { measuredRun, runAndKill } from './resource-use.js';
import { worstFinding } from './statistics.js';
import { warmMemory } from './warm-memory.js';

const LANES = 4;
const RESENT_BYTES_MAX = 2 * CHECKPOINT_BYTES + LANES * CHUNK_BYTES_DEFAULT;

export const resumeCase: BenchCase = {
  name: 'resume',
  title: `durable copy --lanes ${LANES}, killed with -9 at random moments and run again: bytes that are sent twice`,
  sourceBytes: (size) => size,
  run: async (bench) => {
    const { workspace, sizeBytes, signal, print } = bench;
    const source = await workspace.source(sizeBytes);
    const target = workspace.path('killed');
    const args = ['--lanes', String(LANES), source, target];
    await warmMemory(sizeBytes, signal);
    const whole = await measuredRun({ argv: copyCommand(...args), scratch: workspace.path('resource-use'), signal });
    const resent: number[] = [];
    for (let kill = 1; kill <= bench.pairs; kill++) {
      await workspace.remove(target);
      await warmMemory(sizeBytes, signal);
      const killMs = Math.random() * whole.wallSeconds * 1000;
      await runAndKill(copyCommand(...args), killMs, signal);
      const { written, again } = await resume(bench, args, target);
      await assertSame(source, target, signal);
      resent.push(Math.max(0, written + again - sizeBytes));
      const counts = `${formatBytes(written)} were written, ${formatBytes(again)} sent by the next run`;
      print.note(`${String(kill).padStart(2)}/${bench.pairs}  killed after ${formatDuration(killMs)}: ${counts}`);
    }
    await workspace.remove(target);
    const bound = { kind: 'at most', value: RESENT_BYTES_MAX / MiB } as const;
    const found = worstFinding(
      'sent twice',
      'MiB',
      resent.map((bytes) => bytes / MiB),
      bound,
    );
    return { contenders: [], findings: [found], notes: [] };
  },
};

/** Bytes that the killed run had written, and bytes that the next one sends. */
async function resume(
  { workspace, signal, sizeBytes }: Bench,
  args: readonly string[],
  target: string,
): Promise<{ readonly written: number; readonly again: number }> {
  const [part, journal] = [partPath(target), journalPath(target)];
  // The kill came too late to stop anything.
  if (existsSync(target) && !existsSync(part) && !existsSync(journal)) return { written: sizeBytes, again: 0 };
  const file = existsSync(part) ? part : target;
  const written = existsSync(file) ? Math.min(sizeBytes, statSync(file).blocks * 512) : 0;
  const copy = await runCopy(workspace.folder, args, () => 'go on', signal);
  if (copy.exitCode !== 0 || copy.progress === undefined) {
    throw new TransferError('E_BUG', `the resumed copy ended with ${copy.exitCode}\n${copy.errorOutput}`);
  }
  const { bytesDone, bytesReused, bytesZero } = copy.progress;
  return { written, again: bytesDone - bytesReused - bytesZero };
}
