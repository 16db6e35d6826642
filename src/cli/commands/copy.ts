/** `blockferry copy`: copies one file and tells how it went. */
import { availableParallelism } from 'node:os';
import { systemClock } from '../../core/clock.js';
import { TransferError } from '../../core/errors.js';
import { formatBytes } from '../../core/units.js';
import {
  type ChecksumRequest,
  type CopyOptions,
  copy,
  status,
  type TransferEvent,
  type TransferResult,
} from '../../index.js';
import { EXIT_INTERRUPTED, follow } from '../follow.js';
import { httpOptions } from '../http-flags.js';
import type { CopyFlags } from '../program.js';
import { explainLines } from '../render/explain-text.js';
import { createReporter } from '../render/reporter.js';
import { copyLines } from '../render/summary.js';
import { goOnLine } from '../resume-command.js';
import type { Session } from '../session.js';
import { yieldOptionsOf } from '../yield-flags.js';

/** Of an output that is no terminal. */
const COLUMNS_DEFAULT = 80;

export async function runCopy(
  session: Session,
  sources: readonly string[],
  target: string,
  flags: CopyFlags,
): Promise<number> {
  if (flags.background) {
    const { runCopyBackground } = await import('./copy-background.js');
    return runCopyBackground(session, sources, target, flags);
  }
  if (flags.state !== undefined) {
    throw new TransferError('E_USAGE', '--state is for a copy in the background', {
      hint: 'Say --background too, or leave it out.',
    });
  }
  if (flags.recursive || flags.dryRun || sources.length > 1) {
    const { runCopyTree } = await import('./copy-tree.js');
    return runCopyTree(session, sources, target, flags);
  }
  const [source = ''] = sources;
  const run = copy(copyOptions(source, target, flags));
  const reporter = await createReporter(session, 'copying', flags, (cells) => run.chunkMap(cells));
  // Once both ends are known, the events name the file, also where the target that was typed is a folder.
  let file = target;
  const watch = (event: TransferEvent): void => {
    if (event.type === 'state' && event.state === 'transferring') file = event.target;
  };
  try {
    const result = await follow(run, reporter, session, { watch, keeps: true });
    if (flags.json) session.out.json({ schema: 1, at: systemClock.wallMs(), type: 'result', ...result });
    else if (!flags.quiet) for (const line of summaryLines(result, session, flags)) session.out.line(line);
    return 0;
  } catch (thrown) {
    if (!(thrown instanceof TransferError) || thrown.code !== 'E_STOPPED') throw thrown;
    if (flags.json) session.out.json({ schema: 1, at: systemClock.wallMs(), type: 'error', error: thrown.toJSON() });
    for (const line of await stoppedLines(session, file)) session.err.line(line);
    return EXIT_INTERRUPTED;
  }
}

function summaryLines(result: TransferResult, { out }: Session, flags: CopyFlags): string[] {
  const lines = copyLines(result, flags.sync);
  if (!flags.explain) return lines;
  const { columns = COLUMNS_DEFAULT } = out.stream;
  return [...lines, ...explainLines(result.spent, { columns, cores: availableParallelism() })];
}

function copyOptions(source: string, target: string, flags: CopyFlags): CopyOptions {
  return {
    source,
    target,
    ...sharedOptions(flags),
    ...httpOptions(flags),
    ...(flags.manifest !== undefined && { manifest: flags.manifest }),
    ...(flags.finishBy !== undefined && { finishBy: flags.finishBy }),
    ...(flags.to !== undefined && { to: flags.to }),
    ...(flags.flatten && { flatten: true }),
    ...(flags.parents && { parentFolders: flags.parents }),
  };
}

/** What the copy of one file and of many are asked for alike. */
export function sharedOptions(flags: CopyFlags): Omit<CopyOptions, 'source' | 'target'> {
  const { limit, chunkSize, workers, lanes, readBack, preserve, reflink, checksum, overwrite, discard } = flags;
  const { sync, algorithm, check, delta } = flags;
  return {
    sync,
    check,
    algorithm,
    readBack: readBack ?? false,
    preserve: preserve ?? false,
    reflink,
    overwrite: overwrite ?? false,
    discard: discard ?? false,
    ...(delta && { delta }),
    ...(checksum !== undefined && { checksum: checksumOption(checksum) }),
    ...(limit !== undefined && { limitBytesPerSecond: limit }),
    ...yieldOptionsOf(flags),
    ...(chunkSize !== undefined && { chunkBytes: chunkSize }),
    ...(workers !== undefined && { workers }),
    ...(lanes !== undefined && { lanes }),
  };
}

function checksumOption(text: string): ChecksumRequest {
  const [, hex] = /^sha256(?::([0-9a-f]{64}))?$/i.exec(text) ?? [];
  if (/^sha256$/i.test(text)) return { algorithm: 'sha256' };
  if (hex !== undefined) return { algorithm: 'sha256', expected: hex };
  throw new TransferError('E_USAGE', `--checksum: cannot use ${JSON.stringify(text)}`, {
    hint: 'Write sha256, or sha256: and the 64 hex digits that are expected.',
  });
}

/** What is kept is read from the journal, not remembered: that is what the next run will find. */
async function stoppedLines(session: Session, target: string): Promise<string[]> {
  const goOn = goOnLine(session.args);
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
