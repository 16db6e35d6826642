/** `blockferry disk merge`: merges images, and tells how to go on after an interruption. */
import { systemClock } from '../../core/clock.js';
import { TransferError } from '../../core/errors.js';
import { type MergeDiskOptions, mergeDisk } from '../../index.js';
import type { DiskMergeFlags } from '../disk-program.js';
import { EXIT_INTERRUPTED, follow } from '../follow.js';
import { mergeLines } from '../render/disk-text.js';
import { createReporter } from '../render/reporter.js';
import { goOnLine } from '../resume-command.js';
import type { Session } from '../session.js';
import { lookFor } from './disk.js';

export async function runDiskMerge(session: Session, image: string, flags: DiskMergeFlags): Promise<number> {
  const run = mergeDisk(mergeOptions(image, flags));
  const reporter = await createReporter(session, 'merging', flags);
  try {
    const result = await follow(run, reporter, session, { keeps: true });
    if (flags.json) session.out.json({ schema: 1, at: systemClock.wallMs(), type: 'result', ...result });
    else if (!flags.quiet) for (const line of mergeLines(image, result)) session.out.line(line);
    return 0;
  } catch (thrown) {
    if (!(thrown instanceof TransferError) || thrown.code !== 'E_STOPPED') throw thrown;
    if (flags.json) session.out.json({ schema: 1, type: 'error', error: thrown.toJSON() });
    session.err.line(`blockferry: ${thrown.message}`);
    session.err.line(goOnLine(session.args));
    return EXIT_INTERRUPTED;
  }
}

function mergeOptions(child: string, flags: DiskMergeFlags): MergeDiskOptions {
  const { all = false, into, keep = false, breakOthers = false, limit } = flags;
  if (all && into !== undefined) {
    throw new TransferError('E_USAGE', '--all and --into say two things', { hint: 'Leave one of the two out.' });
  }
  return {
    child,
    into: all ? 'base' : into === undefined ? 'parent' : { path: into },
    ...{ keep, breakOthers, ...lookFor(flags) },
    ...(limit !== undefined && { limitBytesPerSecond: limit }),
  };
}
