/** `blockferry copy`: copies one file and tells how it went. */
import { systemClock } from '../../core/clock.js';
import { TransferError } from '../../core/errors.js';
import { formatBytes } from '../../core/units.js';
import { type CopyOptions, copy, status, type TransferEvent } from '../../index.js';
import { EXIT_INTERRUPTED, follow } from '../follow.js';
import type { CopyFlags } from '../program.js';
import { createReporter } from '../render/reporter.js';
import { copyLines } from '../render/summary.js';
import { invocation, resumeCommand } from '../resume-command.js';
import type { Session } from '../session.js';

export async function runCopy(
  session: Session,
  sources: readonly string[],
  target: string,
  flags: CopyFlags,
): Promise<number> {
  if (flags.recursive || flags.dryRun || sources.length > 1) {
    const { runCopyTree } = await import('./copy-tree.js');
    return runCopyTree(session, sources, target, flags);
  }
  const [source = ''] = sources;
  const reporter = await createReporter(session, 'copying', flags);
  // Once both ends are known, the events name the file, also where the target that was typed is a folder.
  let file = target;
  const watch = (event: TransferEvent): void => {
    if (event.type === 'state' && event.state === 'transferring') file = event.target;
  };
  try {
    const result = await follow(copy(copyOptions(source, target, flags)), reporter, session, watch);
    if (flags.json) session.out.json({ schema: 1, at: systemClock.wallMs(), type: 'result', ...result });
    else if (!flags.quiet) for (const line of copyLines(result, flags.sync)) session.out.line(line);
    return 0;
  } catch (thrown) {
    if (!(thrown instanceof TransferError) || thrown.code !== 'E_STOPPED') throw thrown;
    for (const line of await stoppedLines(session, file)) session.err.line(line);
    return EXIT_INTERRUPTED;
  }
}

function copyOptions(source: string, target: string, flags: CopyFlags): CopyOptions {
  return {
    source,
    target,
    ...sharedOptions(flags),
    ...(flags.manifest !== undefined && { manifest: flags.manifest }),
  };
}

/** What the copy of one file and of many are asked for alike. */
export function sharedOptions(flags: CopyFlags): Omit<CopyOptions, 'source' | 'target'> {
  const { limit, chunkSize, workers, lanes, readBack, overwrite, discard, sync, algorithm } = flags;
  return {
    sync,
    algorithm,
    readBack: readBack ?? false,
    overwrite: overwrite ?? false,
    discard: discard ?? false,
    ...(limit !== undefined && { limitBytesPerSecond: limit }),
    ...(chunkSize !== undefined && { chunkBytes: chunkSize }),
    ...(workers !== undefined && { workers }),
    ...(lanes !== undefined && { lanes }),
  };
}

/** What is kept is read from the journal, not remembered: that is what the next run will find. */
async function stoppedLines(session: Session, target: string): Promise<string[]> {
  const command = resumeCommand(session.args, invocation(process.argv[1] ?? 'blockferry', process.env));
  const goOn = command ? `  Go on with: ${command}` : '  Go on with the same command.';
  if (session.stuck) return ['blockferry: stopped; what was on record is kept', goOn];
  // Where the journal cannot be read, the numbers are left out; the next run tells what is wrong with it.
  const partial = await status(target).then(
    (found) => found.partial,
    () => undefined,
  );
  if (!partial) return ['blockferry: stopped; what was finished is kept', goOn];
  const kept = formatBytes(partial.bytesClaimed + partial.bytesZero);
  return [`blockferry: stopped; ${kept} of ${formatBytes(partial.bytesTotal)} are copied and kept`, goOn];
}
