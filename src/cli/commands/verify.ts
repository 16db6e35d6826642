/** `blockferry verify`: compares a location with another or a manifest; that they differ is an answer, exit code 4. */
import { stat } from 'node:fs/promises';
import { ERROR_KINDS, TransferError } from '../../core/errors.js';
import { type Run, type VerifyOptions, verify, verifyTree } from '../../index.js';
import { encodePath } from '../../platform/path-bytes.js';
import { EXIT_INTERRUPTED, follow } from '../follow.js';
import { httpOptions } from '../http-flags.js';
import type { VerifyFlags } from '../program.js';
import { createReporter } from '../render/reporter.js';
import { verifyLines } from '../render/summary.js';
import { treeVerifyLines } from '../render/tree-verify-summary.js';
import type { Session } from '../session.js';

export async function runVerify(
  session: Session,
  target: string,
  source: string | undefined,
  flags: VerifyFlags,
): Promise<number> {
  const { workers, manifest, content, parents } = flags;
  const options: VerifyOptions = {
    target,
    ...(source !== undefined && { source }),
    ...(manifest !== undefined && { manifest }),
    ...(workers !== undefined && { workers }),
    ...(content && { content }),
    ...httpOptions(flags),
    ...(parents && { parentFolders: parents }),
  };
  const tree = flags.recursive || (manifest !== undefined && (await isFolder(target)));
  const told = { session, flags };
  return tree ? tell(verifyTree(options), treeVerifyLines, told) : tell(verify(options), verifyLines, told);
}

async function tell<Result extends { readonly same: boolean }>(
  run: Run<Result>,
  linesOf: (result: Result) => readonly string[],
  { session, flags }: { readonly session: Session; readonly flags: VerifyFlags },
): Promise<number> {
  // One object is asked for, and no events.
  const reporter = await createReporter(session, 'comparing', { quiet: (flags.quiet || flags.json) ?? false });
  try {
    const result = await follow(run, reporter, session, { keeps: false });
    if (flags.json) session.out.json({ schema: 1, type: 'verify', ...result });
    else if (!flags.quiet) for (const line of linesOf(result)) session.out.line(line);
    return result.same ? 0 : ERROR_KINDS.E_DIFFERENT.exitCode;
  } catch (thrown) {
    if (!(thrown instanceof TransferError) || thrown.code !== 'E_STOPPED') throw thrown;
    session.err.line('blockferry: stopped before all was compared; nothing was changed');
    return EXIT_INTERRUPTED;
  }
}

/** What cannot be looked at is no folder: whoever opens it says what is wrong. */
function isFolder(path: string): Promise<boolean> {
  return stat(encodePath(path)).then(
    (there) => there.isDirectory(),
    () => false,
  );
}
