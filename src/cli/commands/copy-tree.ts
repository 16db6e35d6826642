/** `blockferry copy` of several files and of folders: troubles of single files are listed, and set the exit code. */
import { systemClock } from '../../core/clock.js';
import { ERROR_KINDS, TransferError } from '../../core/errors.js';
import { formatBytes } from '../../core/units.js';
import { type CopyTreeOptions, copyTree, type PlannedFile, type TreeResult } from '../../index.js';
import { EXIT_INTERRUPTED, follow } from '../follow.js';
import { httpOptions } from '../http-flags.js';
import type { CopyFlags } from '../program.js';
import { createReporter } from '../render/reporter.js';
import { planTotalLines, treeLines } from '../render/tree-copy-summary.js';
import { goOnLine } from '../resume-command.js';
import type { Session } from '../session.js';
import { sharedOptions } from './copy.js';

export async function runCopyTree(
  session: Session,
  sources: readonly string[],
  target: string,
  flags: CopyFlags,
): Promise<number> {
  // A plan of one file says nothing of either.
  if (flags.recursive || sources.length > 1) assertForTrees(flags);
  const reporter = await createReporter(session, 'copying', flags);
  try {
    const run = copyTree(treeOptions(session, sources, target, flags));
    const result = await follow(run, reporter, session, { keeps: true });
    if (flags.json) session.out.json({ schema: 1, at: systemClock.wallMs(), type: 'result', ...result });
    else if (flags.dryRun) for (const line of planTotalLines(result, flags.limit)) session.out.line(line);
    else if (!flags.quiet) for (const line of treeLines(result, flags.sync)) session.out.line(line);
    return exitCodeOf(result);
  } catch (thrown) {
    if (!(thrown instanceof TransferError) || thrown.code !== 'E_STOPPED') throw thrown;
    if (flags.json) session.out.json({ schema: 1, at: systemClock.wallMs(), type: 'error', error: thrown.toJSON() });
    session.err.line('blockferry: stopped; finished files and chunks are kept');
    session.err.line(goOnLine(session.args));
    return EXIT_INTERRUPTED;
  }
}

function treeOptions(session: Session, sources: readonly string[], target: string, flags: CopyFlags): CopyTreeOptions {
  const onPlanned = (files: readonly PlannedFile[]): void => {
    for (const file of files) {
      if (flags.json) session.out.json({ schema: 1, at: systemClock.wallMs(), type: 'planned', ...file });
      else if (!flags.quiet)
        session.out.line(`${file.action.padEnd(7)} ${formatBytes(file.size).padStart(9)}  ${file.path}`);
    }
  };
  return {
    ...sharedOptions(flags),
    ...{ sources, target },
    recursive: flags.recursive ?? false,
    preserve: flags.preserve ?? false,
    include: flags.include ?? [],
    exclude: flags.exclude ?? [],
    dryRun: flags.dryRun ?? false,
    ...(flags.manifest !== undefined && { manifest: flags.manifest }),
    ...(flags.dryRun && { onPlanned }),
  };
}

/** What speaks of a single file means nothing for many. */
function assertForTrees(flags: CopyFlags): void {
  if (flags.checksum !== undefined) {
    throw new TransferError('E_USAGE', '--checksum is for the copy of a single file', {
      hint: 'For folders and several files, --manifest writes down the digests of all of them.',
    });
  }
  if (flags.delta) {
    throw new TransferError('E_USAGE', '--delta is for the copy of a single file', {
      hint: 'Files of a tree that did not change are skipped without it.',
    });
  }
  if (flags.to !== undefined || flags.flatten || flags.parents) {
    throw new TransferError('E_USAGE', '--to, --flatten and --parents are for the copy of a single disk', {
      hint: 'Copy the disks one by one.',
    });
  }
  if (Object.keys(httpOptions(flags)).length > 0) {
    throw new TransferError('E_USAGE', 'options for a server are for the copy of a single file', {
      hint: 'Leave them out, or copy the files of a server one by one.',
    });
  }
  if (flags.finishBy !== undefined) {
    throw new TransferError('E_USAGE', '--finish-by is for the copy of a single file', {
      hint: 'Several files with one deadline are a job: say --background too, or set a --limit.',
    });
  }
  if (flags.explain) {
    throw new TransferError('E_USAGE', '--explain is for the copy of a single file', {
      hint: 'Leave it out, or copy one of the large files alone to see what bounds it.',
    });
  }
}

/** The gravest of what went wrong with single files. */
function exitCodeOf({ failures, refused, failed }: TreeResult): number {
  if (refused + failed === 0) return 0;
  return Math.max(...failures.map(({ error }) => ERROR_KINDS[error.code].exitCode));
}
