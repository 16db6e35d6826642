/** `blockferry job`: its commands, their options and their help. */
import { type Command, Option } from 'commander';
import { type Algorithm, DIGEST_BYTES } from '../core/digest.js';
import { TransferError } from '../core/errors.js';
import { JOB_STATES, type JobState } from '../core/events.js';
import { PRIORITIES, type Priority } from '../service/job.js';
import {
  JOB_ADD_HELP,
  JOB_CANCEL_HELP,
  JOB_COMPLETE_HELP,
  JOB_CREATE_HELP,
  JOB_HELP,
  JOB_LIST_HELP,
  JOB_PREFIX_HELP,
  JOB_SET_HELP,
  JOB_WATCH_HELP,
  JOB_WHY_HELP,
  TOP_HELP,
} from './job-help.js';
import { count, duration, FINISH_BY, LANES_MAX, rate, size } from './option-values.js';
import type { Reflink } from './program.js';
import { addServiceOptions, type ServiceFlags } from './service-flags.js';
import { addYieldOptions, type YieldFlags } from './yield-flags.js';

/** What a user sets of a job; false takes it away. */
export interface JobSettingFlags extends ServiceFlags {
  readonly name?: string;
  readonly priority?: Priority;
  readonly autoComplete?: boolean;
  readonly limit?: number;
  readonly finishBy?: string | false;
  readonly retryDelay?: number;
  readonly retryDelayMax?: number;
  /** Milliseconds; true: not said. The name comes from `--no-progress`. */
  readonly progress: number | true;
  readonly maxTime?: number;
  readonly notify?: readonly string[] | false;
  readonly webhook?: string | false;
  readonly webhookSecretFile?: string;
}

export interface JobCreateFlags extends JobSettingFlags, YieldFlags {
  readonly suspended?: boolean;
  readonly overwrite?: boolean;
  readonly delta?: boolean;
  readonly preserve?: boolean;
  readonly readBack?: boolean;
  readonly algorithm?: Algorithm;
  readonly reflink?: Reflink;
  readonly chunkSize?: number;
  readonly lanes?: number;
  readonly sync: boolean;
  readonly check: boolean;
}

export interface JobListFlags extends ServiceFlags {
  readonly all?: boolean;
  readonly only?: readonly JobState[];
}

export interface JobCancelFlags extends ServiceFlags {
  readonly keepPartial?: boolean;
}

/** What is asked of several jobs at once. */
export type JobMove = 'suspend' | 'resume' | 'cancel' | 'complete';

export interface JobCommands {
  /** Sources and targets in turn. */
  create(locations: readonly string[], flags: JobCreateFlags): Promise<void>;
  add(job: string, locations: readonly string[], flags: ServiceFlags): Promise<void>;
  list(flags: JobListFlags): Promise<void>;
  info(job: string, flags: ServiceFlags): Promise<void>;
  watch(job: string, flags: ServiceFlags): Promise<void>;
  top(flags: ServiceFlags): Promise<void>;
  move(move: JobMove, jobs: readonly string[], flags: JobCancelFlags): Promise<void>;
  set(job: string, flags: JobSettingFlags): Promise<void>;
  why(job: string, flags: ServiceFlags): Promise<void>;
  replacePrefix(job: string, from: string, to: string, flags: ServiceFlags): Promise<void>;
}

export function addJob(program: Command, commands: () => JobCommands): void {
  const job = program
    .command('job')
    .description('copies that the service makes in the background, and what becomes of them')
    .usage('<command> [options]')
    .addHelpText('after', JOB_HELP);
  addCreate(job, commands);
  addToService(job, 'add', 'add files to a job')
    .argument('<job>', JOB_ABOUT)
    .argument('<locations...>', 'a source and its target, and so on in pairs')
    .option('--json', 'the job as one object')
    .addHelpText('after', JOB_ADD_HELP)
    .action((id: string, locations: string[], flags: ServiceFlags) => commands().add(id, locations, flags));
  addLooks(job, commands);
  addMove(job, 'suspend', 'let jobs wait until they are resumed', commands);
  addMove(job, 'resume', 'go on with suspended jobs, or try again at once after an error', commands);
  addMove(job, 'cancel', 'end jobs, and delete what they had copied of unfinished files', commands)
    .option('--keep-partial', 'keep what was copied, for a later copy to the same target')
    .addHelpText('after', JOB_CANCEL_HELP);
  addMove(job, 'complete', 'give transferred files their names', commands).addHelpText('after', JOB_COMPLETE_HELP);
  addSet(job, commands);
  addToService(job, 'replace-prefix', 'change how the sources of a job begin')
    .argument('<job>', JOB_ABOUT)
    .argument('<from>', 'what they begin with')
    .argument('<to>', 'what they begin with from now on')
    .option('--json', 'one object on the standard output')
    .addHelpText('after', JOB_PREFIX_HELP)
    .action((id: string, from: string, to: string, flags: ServiceFlags) =>
      commands().replacePrefix(id, from, to, flags),
    );
}

/** `blockferry top`: `job list`, live. */
export function addTop(program: Command, commands: () => JobCommands): void {
  addToService(program, 'top', 'the jobs of the service, live on the terminal')
    .addHelpText('after', TOP_HELP)
    .action((flags: ServiceFlags) => commands().top(flags));
}

const JOB_ABOUT = 'its id, the beginning of it, or its name';

function addToService(job: Command, name: string, about: string): Command {
  return addServiceOptions(job.command(name).description(about));
}

function addCreate(job: Command, commands: () => JobCommands): void {
  const create = addToService(job, 'create', 'give the service files to copy, and print the id of the job')
    .usage('[options] <source> <target> [<source> <target>...]')
    .argument('<locations...>', 'a source and its target, and so on in pairs; paths or URLs')
    .option('--suspended', 'wait for "job resume"');
  addSettings(addYieldOptions(create))
    .option('--auto-complete', 'give the files their names as soon as all are transferred')
    .option('--overwrite', 'replace existing targets, once the new copies are whole and proven')
    .option('--delta', 'of the targets that are replaced, take over the chunks that are the same')
    .option('--preserve', 'keep modes, times, extended attributes and, as root, owners')
    .option('--read-back', 'read the targets past the cache before they get their names, repair what differs')
    .addOption(new Option('--algorithm <name>', 'hash of the chunks').choices(Object.keys(DIGEST_BYTES)))
    .addOption(
      new Option('--reflink <when>', 'share the blocks of the source where the file system can').choices([
        ...(['auto', 'always', 'never'] as const),
      ]),
    )
    .option('--chunk-size <size>', 'bytes of a chunk of a new copy, such as 8MiB', size('--chunk-size'))
    .option('--lanes <n>', 'chunks of a file under way at the same time', count('--lanes', LANES_MAX))
    .option('--no-sync', 'skip the flushes: faster, but a power cut may cost finished work')
    .option('--no-check', 'copy a disk image also when it is damaged')
    .option('--json', 'the job as one object')
    .addHelpText('after', JOB_CREATE_HELP)
    .action((locations: string[], flags: JobCreateFlags) => commands().create(locations, flags));
}

/** What is said when a job is made, and may be changed. */
function addSettings(command: Command): Command {
  return command
    .option('--name <text>', 'what to call the job (default: its first source)')
    .addOption(new Option('--priority <class>', 'which jobs go first (default: normal)').choices(PRIORITIES))
    .option('--limit <rate>', 'bytes per second at most, such as 50MiB (50M) or 400Mbit; 0: no limit', rate('--limit'))
    .option('--finish-by <time>', FINISH_BY)
    .option('--retry-delay <time>', 'wait before the first retry, such as 30s; it doubles', duration('--retry-delay'))
    .option('--retry-delay-max <time>', 'the longest that this wait may get', duration('--retry-delay-max'))
    .option('--no-progress <time>', 'give up after errors for so long without progress', duration('--no-progress'))
    .option('--max-time <time>', 'give up after so long spent copying; 0: never', duration('--max-time'))
    .option('--notify <word>', 'run this program when the job ends; repeat it for its arguments', word)
    .option('--webhook <url>', 'tell this server when the job ends')
    .option('--webhook-secret-file <file>', 'file with the secret that signs what it is told');
}

function word(value: string, before: readonly string[] | boolean | undefined): string[] {
  return [...(Array.isArray(before) ? before : []), value];
}

function addLooks(job: Command, commands: () => JobCommands): void {
  addToService(job, 'list', 'the jobs, how far each is, and what it waits for')
    .option('--all', 'finished and cancelled jobs too, as long as they are known')
    .option('--only <states>', 'only jobs in these states, separated by commas', states)
    .option('--json', 'one object a job and line')
    .addHelpText('after', JOB_LIST_HELP)
    .action((flags: JobListFlags) => commands().list(flags));
  addToService(job, 'info', 'all that is known of a job, and its files')
    .argument('<job>', JOB_ABOUT)
    .option('--json', 'one object on the standard output')
    .addHelpText('after', example('job info 3f2a91c0'))
    .action((id: string, flags: ServiceFlags) => commands().info(id, flags));
  addToService(job, 'watch', 'follow a job to its end')
    .argument('<job>', JOB_ABOUT)
    .option('--json', 'one event a line on the standard output')
    .option('--quiet', 'say nothing but errors')
    .addHelpText('after', JOB_WATCH_HELP)
    .action((id: string, flags: ServiceFlags) => commands().watch(id, flags));
  addToService(job, 'why', 'why a job is where it is, and what can be done')
    .argument('<job>', JOB_ABOUT)
    .option('--json', 'one object on the standard output')
    .addHelpText('after', JOB_WHY_HELP)
    .action((id: string, flags: ServiceFlags) => commands().why(id, flags));
}

function addMove(job: Command, move: JobMove, about: string, commands: () => JobCommands): Command {
  const command = addToService(job, move, about)
    .argument('<jobs...>', 'their ids, the beginnings of them, or their names')
    .option('--json', 'one object a job and line')
    .action((ids: string[], flags: JobCancelFlags) => commands().move(move, ids, flags));
  const plain = move === 'suspend' || move === 'resume';
  return plain ? command.addHelpText('after', example(`job ${move} 3f2a91c0`)) : command;
}

function addSet(job: Command, commands: () => JobCommands): void {
  const set = addToService(job, 'set', 'change a job, whether it is under way or not').argument('<job>', JOB_ABOUT);
  addSettings(set)
    .option('--no-finish-by', 'as fast as it goes again')
    .option('--no-notify', 'run no program any more')
    .option('--no-webhook', 'tell no server any more')
    .option('--auto-complete', 'give the files their names as soon as all are transferred')
    .option('--no-auto-complete', 'wait for "job complete"')
    .option('--json', 'the job as one object')
    .addHelpText('after', JOB_SET_HELP)
    .action((id: string, flags: JobSettingFlags) => commands().set(id, flags));
}

function states(text: string): JobState[] {
  const given = text.split(',').map((one) => one.trim());
  const known = JOB_STATES.filter((state) => given.includes(state));
  if (known.length > 0 && known.length === new Set(given).size) return known;
  throw new TransferError('E_USAGE', `--only: cannot use ${JSON.stringify(text)}`, {
    hint: `Write one or more of these, separated by commas: ${JOB_STATES.join(', ')}.`,
  });
}

function example(line: string): string {
  return `\nExamples:\n  blockferry ${line}\n`;
}
