/** `blockferry job`: jobs are made, looked at, moved and changed; who follows one to its end is in job-watch. */
import { systemClock } from '../../core/clock.js';
import { TransferError } from '../../core/errors.js';
import type { ServiceClient } from '../../daemon/client.js';
import type { JobView } from '../../service/job-service.js';
import type { JobCancelFlags, JobCreateFlags, JobListFlags, JobMove, JobSettingFlags } from '../job-program.js';
import { copyOptionsOf, settingsOf } from '../job-settings.js';
import { jobTable } from '../render/job-table.js';
import { infoLines, jobLine, whyText } from '../render/job-text.js';
import { wrapped } from '../render/paragraph.js';
import { count } from '../render/summary.js';
import { timeLines } from '../render/time-text.js';
import { absolutePrefix, filesOf, findJob, shortId, withService } from '../service-access.js';
import type { ServiceFlags } from '../service-flags.js';
import type { Session } from '../session.js';

const PARAGRAPH_COLUMNS = 80;

export async function runJobCreate(
  session: Session,
  locations: readonly string[],
  flags: JobCreateFlags,
): Promise<number> {
  const { suspended } = flags;
  const options = copyOptionsOf(flags);
  const spec = {
    ...settingsOf(flags),
    files: filesOf(locations),
    ...(suspended && { suspended }),
    ...(Object.keys(options).length > 0 && { options }),
  };
  const job = await withService(flags, (client) => client.create(spec));
  tellNewJob(session, job, flags);
  return 0;
}

/** The id alone is the result, so that a script can take it; what to do with it goes to people. */
export function tellNewJob({ out, err }: Session, job: JobView, { json, quiet }: ServiceFlags): void {
  if (json) out.json(jobObject(job));
  else out.line(job.id);
  if (json || quiet) return;
  err.line(jobLine(job));
  err.line(`  Follow it with: blockferry job watch ${shortId(job.id)}`);
}

function jobObject(job: JobView): object {
  return { schema: 1, type: 'job', ...job };
}

export async function runJobAdd(
  session: Session,
  given: string,
  locations: readonly string[],
  flags: ServiceFlags,
): Promise<number> {
  const files = filesOf(locations);
  return onJob(
    session,
    given,
    flags,
    (client, id) => client.addFiles(id, files),
    ({ progress, ...job }) => {
      return `${jobLine({ progress, ...job })}; ${count(progress.filesTotal, 'file')} now`;
    },
  );
}

/** One call about one job, told in a line. */
async function onJob(
  { out }: Session,
  given: string,
  flags: ServiceFlags,
  call: (client: ServiceClient, id: string) => Promise<JobView>,
  line: (job: JobView) => string = jobLine,
): Promise<number> {
  const job = await withService(flags, async (client) => call(client, await findJob(client, given)));
  if (flags.json) out.json(jobObject(job));
  else out.line(line(job));
  return 0;
}

export async function runJobList({ out, err }: Session, flags: JobListFlags): Promise<number> {
  const { all = false, only } = flags;
  const jobs = await withService(flags, (client) => client.list({ all, ...(only && { states: only }) }));
  if (flags.json) {
    for (const job of jobs) out.json(jobObject(job));
    return 0;
  }
  if (jobs.length === 0) {
    err.line(only || all ? 'no such job is known' : 'no job is under way or waits; --all lists finished ones too');
    return 0;
  }
  const { isTTY, columns } = out.stream;
  const colour = (isTTY ?? false) && (process.env.NO_COLOR ?? '') === '';
  for (const line of jobTable(jobs, { colour, ...(isTTY && columns && { columns }) })) out.painted(line);
  return 0;
}

export async function runJobInfo({ out }: Session, given: string, flags: ServiceFlags): Promise<number> {
  const job = await withService(flags, async (client) => client.get(await findJob(client, given)));
  if (flags.json) out.json(jobObject(job));
  else for (const line of infoLines(job, columnsOf(out))) out.line(line);
  return 0;
}

/** Each by itself: one that cannot be moved keeps no other from it. The gravest error is the one that counts. */
export async function runJobMove(
  session: Session,
  move: JobMove,
  given: readonly string[],
  flags: JobCancelFlags,
): Promise<number> {
  const { out, err } = session;
  return withService(flags, async (client) => {
    // All are known before the first is moved: a slip in one name moves none.
    const ids: string[] = [];
    for (const one of given) ids.push(await findJob(client, one));
    const errors: TransferError[] = [];
    for (const id of new Set(ids)) {
      try {
        const job = await MOVES[move](client, id, flags);
        if (flags.json) out.json(jobObject(job));
        else out.line(movedLine(job));
      } catch (thrown) {
        errors.push(TransferError.from(thrown));
      }
    }
    const [first, ...others] = errors.sort((one, other) => other.exitCode - one.exitCode);
    for (const { message } of others) err.line(`blockferry: ${message}`);
    if (first) throw first;
    return 0;
  });
}

type Moved = JobView & { readonly committed?: number; readonly left?: number };

const MOVES: Readonly<Record<JobMove, (client: ServiceClient, id: string, flags: JobCancelFlags) => Promise<Moved>>> = {
  suspend: (client, id) => client.suspend(id),
  resume: (client, id) => client.resume(id),
  cancel: (client, id, { keepPartial = false }) => client.cancel(id, { keepPartial }),
  complete: (client, id) => client.complete(id),
};

function movedLine(job: Moved): string {
  const { committed, left = 0 } = job;
  if (committed === undefined) return jobLine(job);
  const rest = left > 0 ? `; ${count(left, 'file')} not transferred, and let go of` : '';
  return `${jobLine(job)}; ${count(committed, 'file')} under ${committed === 1 ? 'its name' : 'their names'}${rest}`;
}

export async function runJobSet(session: Session, given: string, flags: JobSettingFlags): Promise<number> {
  const settings = settingsOf(flags);
  if (Object.keys(settings).length === 0) {
    throw new TransferError('E_USAGE', 'job set has nothing to change', {
      hint: 'Say what, such as --priority high or --limit 50MiB. See: blockferry job set --help',
    });
  }
  return onJob(session, given, flags, (client, id) => client.change(id, settings));
}

export async function runJobWhy({ out }: Session, given: string, flags: ServiceFlags): Promise<number> {
  const [job, why] = await withService(flags, async (client) => {
    const id = await findJob(client, given);
    return [await client.get(id), await client.why(id)] as const;
  });
  if (flags.json) {
    out.json({ schema: 1, type: 'why', job: job.id, ...why });
    return 0;
  }
  const columns = columnsOf(out);
  const text = whyText(why, job.name, systemClock.wallMs());
  for (const line of wrapped(text, columns)) out.line(line);
  if (why.time) for (const line of timeLines(why.time, columns)) out.line(line);
  return 0;
}

function columnsOf({ stream }: Session['out']): number {
  return Math.min(stream.columns ?? PARAGRAPH_COLUMNS, PARAGRAPH_COLUMNS);
}

export async function runJobReplacePrefix(
  { out }: Session,
  given: string,
  [from, to]: readonly [string, string],
  flags: ServiceFlags,
): Promise<number> {
  const prefixes = [absolutePrefix(from), absolutePrefix(to)] as const;
  const [id, changed] = await withService(flags, async (client) => {
    const found = await findJob(client, given);
    return [found, await client.replacePrefix(found, ...prefixes)] as const;
  });
  if (flags.json) out.json({ schema: 1, type: 'replaced', job: id, changed });
  else
    out.line(
      changed === 0 ? `no source begins with ${from}; nothing was changed` : `${count(changed, 'source')} changed`,
    );
  return 0;
}
