/** The commands, their options and their help. Everything that cannot be understood is refused with exit code 2. */
import { Argument, Command, CommanderError, Option } from 'commander';
import { type Algorithm, DIGEST_BYTES } from '../core/digest.js';

import { TransferError } from '../core/errors.js';
import { addBench, type BenchFlags } from './bench-program.js';
import { addDisk, type DiskCommands } from './disk-program.js';
import { arrangeHelp, COMPLETION_HELP, COPY_HELP, EXAMPLES, LEFTOVERS_HELP, STATUS_HELP, VERIFY_HELP } from './help.js';
import { addHttpOptions, type HttpFlags } from './http-flags.js';
import { addJob, addTop, type JobCommands } from './job-program.js';
import { addMigrate, type MigrateCommands } from './migrate-program.js';
import {
  collect,
  count,
  days,
  FINISH_BY,
  LANES_MAX,
  type OutputFlags,
  rate,
  size,
  WORKERS_MAX,
} from './option-values.js';
import { addPeerCommands, addServe, type PeerCommands, type ServeCommands } from './serve-program.js';
import { addPolicy, addServiceUnit, type PolicyCommands, type UnitCommands } from './service-program.js';

import { packageVersion } from './version.js';
import { addVm, type VmCommands } from './vm-program.js';
import { addYieldOptions, type YieldFlags } from './yield-flags.js';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

export type Reflink = 'auto' | 'always' | 'never';

const LAYOUTS = ['raw', 'vhd-fixed', 'vhd-dynamic', 'vhdx'] as const;
export type Layout = (typeof LAYOUTS)[number];

export interface CopyFlags extends OutputFlags, HttpFlags, YieldFlags {
  readonly recursive?: boolean;
  readonly preserve?: boolean;
  readonly include?: readonly string[];
  readonly exclude?: readonly string[];
  readonly dryRun?: boolean;
  readonly manifest?: string;
  readonly algorithm: Algorithm;
  /** `sha256` or `sha256:HEX`. */
  readonly checksum?: string;
  readonly reflink: Reflink;
  readonly explain?: boolean;
  readonly limit?: number;
  readonly finishBy?: string;
  readonly chunkSize?: number;
  readonly workers?: number;
  readonly lanes?: number;
  readonly readBack?: boolean;
  readonly overwrite?: boolean;
  readonly discard?: boolean;
  readonly delta?: boolean;
  readonly sync: boolean;
  readonly check: boolean;
  readonly to?: Layout;
  readonly flatten?: boolean;
  readonly parents?: readonly string[];
  readonly background?: boolean;
  readonly state?: string;
}

export interface VerifyFlags extends OutputFlags, HttpFlags {
  readonly content?: boolean;
  readonly parents?: readonly string[];
  readonly recursive?: boolean;
  readonly manifest?: string;
  readonly workers?: number;
  readonly receipt?: string;
  readonly signedBy?: string;
}

export interface LeftoversFlags extends OutputFlags {
  readonly abort?: boolean;
  /** Days. */
  readonly olderThan: number;
}

export interface Commands {
  copy(sources: readonly string[], target: string, flags: CopyFlags): Promise<void>;
  /** Without a target there is a receipt. */
  verify(target: string | undefined, source: string | undefined, flags: VerifyFlags): Promise<void>;
  status(target: string, flags: OutputFlags): Promise<void>;
  leftovers(location: string, flags: LeftoversFlags): Promise<void>;
  bench(locations: readonly string[], flags: BenchFlags): Promise<void>;
  readonly disk: DiskCommands;
  readonly serve: ServeCommands;
  readonly peer: PeerCommands;
  readonly job: JobCommands;
  readonly policy: PolicyCommands;
  readonly service: UnitCommands;
  readonly vm: VmCommands;
  readonly migrate: MigrateCommands;
  completion(shell: Shell, program: Command): Promise<void>;
}

export function createProgram(commands: Commands): Command {
  const program = new Command('blockferry')
    .description('Copies huge files and disk images: proven, and resumable after any interruption.')
    .version(packageVersion())
    .exitOverride()
    // The options of a command go behind it, so that those of `serve token add` are not taken by `serve`.
    .enablePositionalOptions()
    .configureOutput({ outputError: () => undefined })
    .addHelpText('after', EXAMPLES);
  addCopy(program, commands);
  addVerify(program, commands);
  addStatus(program, commands);
  addLeftovers(program, commands);
  addBench(program, (locations, flags) => commands.bench(locations, flags));
  addDisk(program, () => commands.disk);
  addServe(program, () => commands.serve);
  addPeerCommands(program, () => commands.peer);
  addJob(program, () => commands.job);
  addTop(program, () => commands.job);
  addPolicy(program, () => commands.policy);
  addServiceUnit(program, () => commands.service);
  addVm(program, () => commands.vm);
  addMigrate(program, () => commands.migrate);
  addCompletion(program, commands);
  arrangeHelp(program);
  return program;
}

function addCopy(program: Command, commands: Commands): void {
  const copy = program
    .command('copy')
    .description('copy files or whole folders, or go on with an interrupted copy')
    .usage('[options] <source...> <target>')
    .argument('<locations...>', 'one or more sources, then the target; paths or URLs')
    .option('-r, --recursive', 'copy folders with all that is in them; "folder/" means its contents')
    .option('--preserve', 'keep modes, times, extended attributes and, as root, owners')
    .option('--include <glob>', 'copy only what matches; may be repeated', collect)
    .option('--exclude <glob>', 'leave out what matches; may be repeated', collect)
    .option('--dry-run', 'print what would be done, with sizes and time, and change nothing')
    .option('--manifest <file>', 'write the digests of all chunks to this file, for verify')
    .addOption(
      new Option('--algorithm <name>', 'hash of the chunks; sha256 also tells what was changed on purpose')
        .choices(Object.keys(DIGEST_BYTES))
        .default('xxh64'),
    )
    .option(
      '--checksum <sha256[:HEX]>',
      'read the new file once more, in order, for its SHA-256, and compare it with HEX',
    )
    .addOption(
      new Option('--reflink <when>', 'share the blocks of the source where the file system can')
        .choices(['auto', 'always', 'never'])
        .default('auto'),
    )
    .addOption(new Option('--to <layout>', 'make a new disk of what the guest sees of the source').choices(LAYOUTS))
    .option('--flatten', 'make one disk of an image and of all that it builds on')
    .option('--parents <folder>', 'where images that others build on may be, too; may be repeated', collect)
    .option('--no-check', 'copy a disk image also when it is damaged')
    .option('--explain', 'print where the time went')
    .option('--background', 'hand the copy to the service, and print the id of its job')
    .option('--state <folder>', 'with --background: state folder of the service')
    .option('--limit <rate>', 'bytes per second at most, such as 50MiB (50M) or 400Mbit; 0: no limit', rate('--limit'))
    .option('--finish-by <time>', FINISH_BY)
    .option('--chunk-size <size>', 'bytes of a chunk of a new copy, such as 8MiB', size('--chunk-size'))
    .option('--workers <n>', 'threads that copy', count('--workers', WORKERS_MAX))
    .option('--lanes <n>', 'chunks under way at the same time', count('--lanes', LANES_MAX))
    .option('--read-back', 'read the target past the cache before it gets its name, repair what differs')
    .option('--no-resume-ok', 'copy a large file also from a server without byte ranges, in one stream')
    .option('--overwrite', 'replace an existing target, once the new copy is whole and proven')
    .option('--delta', 'of the target that is replaced, take over the chunks that are the same')
    .option('--discard', 'throw a partial copy away and start afresh')
    .option('--no-sync', 'skip the flushes: faster, but a power cut may cost finished work')
    .option('--json', 'one event a line on the standard output')
    .option('--quiet', 'say nothing but errors')
    .addHelpText('after', COPY_HELP)
    .action((locations: string[], flags: CopyFlags) => {
      const target = locations.at(-1);
      if (locations.length < 2 || target === undefined) throw targetMissing();
      return commands.copy(locations.slice(0, -1), target, flags);
    });
  addYieldOptions(copy);
  addHttpOptions(copy);
}

function addVerify(program: Command, commands: Commands): void {
  const verify = program
    .command('verify')
    .description('compare two files or folders, or one with a manifest, and say where they differ')
    .argument('[target]', 'what is to be proven')
    .argument('[source]', 'what it is compared with')
    .option('-r, --recursive', 'compare folders, file by file')
    .option('--manifest <file>', 'compare with what a copy wrote down with --manifest')
    .option('--content', 'compare what guests see of two disk images of any formats')
    .option('--parents <folder>', 'where images that others build on may be, too; may be repeated', collect)
    .option('--workers <n>', 'threads that read', count('--workers', WORKERS_MAX))
    .option('--receipt <file>', 'check the receipt of a migration instead, and its signature')
    .option('--signed-by <key>', 'with --receipt: the key that must have signed it, as sha256:HEX')
    .option('--json', 'one object on the standard output')
    .option('--quiet', 'say nothing but errors; the exit code tells')
    .addHelpText('after', VERIFY_HELP)
    .action((target: string | undefined, source: string | undefined, flags: VerifyFlags) => {
      if (flags.receipt !== undefined) {
        if (target !== undefined) throw receiptAlone();
        return commands.verify(undefined, undefined, flags);
      }
      if (target === undefined) throw nothingToCompare();
      if (source !== undefined && flags.manifest !== undefined) throw comparesWithTwo();
      if (source === undefined && flags.manifest === undefined) throw nothingToCompare();
      return commands.verify(target, source, flags);
    });
  addHttpOptions(verify);
}

function receiptAlone(): TransferError {
  return new TransferError('E_USAGE', 'a receipt is checked by itself, and a location was given too', {
    hint: 'Write: blockferry verify --receipt <file>',
  });
}

function comparesWithTwo(): TransferError {
  return new TransferError('E_USAGE', 'verify compares with a source or with a manifest, and both were given', {
    hint: 'Leave one of the two out.',
  });
}

function nothingToCompare(): TransferError {
  return new TransferError('E_USAGE', 'verify has nothing to compare with: it needs a second location or a manifest', {
    hint: [
      'Write: blockferry verify <target> <source>, or: blockferry verify <target> --manifest <file>',
      'How far a copy got is told by: blockferry status <target>',
    ].join('\n'),
  });
}

function addStatus(program: Command, commands: Commands): void {
  program
    .command('status')
    .description('what an interrupted copy holds, from where, and why it stopped')
    .argument('<target>', 'the target of the copy')
    .option('--json', 'one object on the standard output')
    .addHelpText('after', STATUS_HELP)
    .action((target: string, flags: OutputFlags) => commands.status(target, flags));
}

function addLeftovers(program: Command, commands: Commands): void {
  program
    .command('leftovers')
    .description('list uploads to a bucket that nobody finished, and abort them')
    .argument('<location>', 'a bucket, or the beginning of keys in it: s3://bucket/prefix')
    .option('--abort', 'abort those that are old enough, and that no copy from here goes on with')
    .option('--older-than <days>', 'how old is old enough', days('--older-than'), 1)
    .option('--json', 'one object on the standard output')
    .addHelpText('after', LEFTOVERS_HELP)
    .action((location: string, flags: LeftoversFlags) => commands.leftovers(location, flags));
}

function addCompletion(program: Command, commands: Commands): void {
  program
    .command('completion')
    .description('print what a shell needs to complete this command')
    .addArgument(new Argument('<shell>', 'the shell').choices(SHELLS))
    .addHelpText('after', COMPLETION_HELP)
    .action((shell: Shell) => commands.completion(shell, program));
}

/** What commander throws as an exit code (help was shown) or as an error in our words; anything else as it is. */
export function usageError(thrown: unknown): number | unknown {
  if (!(thrown instanceof CommanderError)) return thrown;
  if (thrown.exitCode === 0) return 0;
  // Help for somebody who typed no command at all was printed already.
  if (thrown.code === 'commander.help') return 2;
  const message = thrown.message.replace(/^error: /, '').replaceAll('\n', ' ');
  return new TransferError('E_USAGE', message, {
    hint: 'blockferry --help and blockferry <command> --help tell more.',
  });
}

function targetMissing(): TransferError {
  return new TransferError('E_USAGE', 'copy needs a source and a target', {
    hint: 'Write: blockferry copy <source...> <target>',
  });
}
