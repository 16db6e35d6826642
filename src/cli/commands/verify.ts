/** `blockferry verify`: compares two locations; that they differ is its answer, with exit code 4. */
import { ERROR_KINDS, TransferError } from '../../core/errors.js';
import { type VerifyOptions, verify } from '../../index.js';
import { EXIT_INTERRUPTED, follow } from '../follow.js';
import type { VerifyFlags } from '../program.js';
import { createReporter } from '../render/reporter.js';
import { verifyLines } from '../render/summary.js';
import type { Session } from '../session.js';

export async function runVerify(
  session: Session,
  target: string,
  source: string | undefined,
  flags: VerifyFlags,
): Promise<number> {
  const { workers } = flags;
  const options: VerifyOptions = { target, source: source ?? '', ...(workers !== undefined && { workers }) };
  // One object is asked for, and no events.
  const reporter = await createReporter(session, 'comparing', { quiet: (flags.quiet || flags.json) ?? false });
  try {
    const result = await follow(verify(options), reporter, session);
    if (flags.json) session.out.json({ schema: 1, type: 'verify', ...result });
    else if (!flags.quiet) for (const line of verifyLines(result)) session.out.line(line);
    return result.same ? 0 : ERROR_KINDS.E_DIFFERENT.exitCode;
  } catch (thrown) {
    if (!(thrown instanceof TransferError) || thrown.code !== 'E_STOPPED') throw thrown;
    session.err.line('blockferry: stopped before all was compared; nothing was changed');
    return EXIT_INTERRUPTED;
  }
}
