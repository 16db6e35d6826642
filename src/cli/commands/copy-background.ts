/** `blockferry copy --background`: the same copy as a job of the service, which gives it its name by itself. */
import { TransferError } from '../../core/errors.js';
import { copyOptionsOf, finishByOf } from '../job-settings.js';
import type { CopyFlags } from '../program.js';
import { absolute, withService } from '../service-access.js';
import type { Session } from '../session.js';
import { tellNewJob } from './job.js';

export async function runCopyBackground(
  session: Session,
  sources: readonly string[],
  target: string,
  flags: CopyFlags,
): Promise<number> {
  assertForJobs(flags);
  const { limit, finishBy, json, quiet, state } = flags;
  // Several files go into a folder, whether it is there already or not.
  const into = sources.length > 1 && !target.endsWith('/') ? `${target}/` : target;
  const files = sources.map((source) => ({ source: absolute(source), target: absolute(into) }));
  const spec = {
    ...{ files, autoComplete: true, options: copyOptionsOf(flags) },
    ...(limit !== undefined && { limitBytesPerSecond: limit }),
    ...(finishBy !== undefined && { finishBy: finishByOf(finishBy) }),
  };
  const told = {
    ...(json && { json }),
    ...(quiet && { quiet }),
  };
  const job = await withService({ ...told, ...(state !== undefined && { state }) }, (client) => client.create(spec));
  tellNewJob(session, job, told);
  return 0;
}

/** What only a copy of this process can be told, by the option that tells it. */
function assertForJobs(flags: CopyFlags): void {
  const given: readonly (readonly [string, boolean])[] = [
    ['--recursive', flags.recursive ?? false],
    ['--include', flags.include !== undefined],
    ['--exclude', flags.exclude !== undefined],
    ['--dry-run', flags.dryRun ?? false],
    ['--manifest', flags.manifest !== undefined],
    ['--checksum', flags.checksum !== undefined],
    ['--explain', flags.explain ?? false],
    ['--workers', flags.workers !== undefined],
    ['--discard', flags.discard ?? false],
    ['--to', flags.to !== undefined],
    ['--flatten', flags.flatten ?? false],
    ['--parents', flags.parents !== undefined],
    ['--header', flags.header !== undefined],
    ['--token-file', flags.tokenFile !== undefined],
    ['--ca', flags.ca !== undefined],
    ['--cert', flags.cert !== undefined],
    ['--key', flags.key !== undefined],
    ['--connections', flags.connections !== undefined],
    ['--no-resume-ok', flags.resumeOk === false],
  ];
  const names = given.filter(([, is]) => is).map(([name]) => name);
  if (names.length === 0) return;
  throw new TransferError('E_USAGE', `a copy in the background cannot have ${names.join(', ')}`, {
    hint: 'Leave it out, or copy without --background. A job takes its credentials from the service.',
  });
}
