/** `blockferry disk`: the commands about disk images, their options and their help. */
import { type Command, Option } from 'commander';
import {
  DISK_CHAIN_HELP,
  DISK_CHECK_HELP,
  DISK_DIGEST_HELP,
  DISK_HELP,
  DISK_INFO_HELP,
  DISK_MAP_HELP,
  DISK_MERGE_HELP,
} from './disk-help.js';
import { addHttpOptions, type HttpFlags } from './http-flags.js';
import { collect, count, type OutputFlags, rate, WORKERS_MAX } from './option-values.js';

export interface DiskFlags extends OutputFlags, HttpFlags {
  readonly parents?: readonly string[];
}

export interface DiskMapFlags extends DiskFlags {
  readonly alone?: boolean;
  readonly list?: boolean;
  readonly svg?: string;
}

export interface DiskChainFlags extends DiskFlags {
  readonly setParent?: string;
  readonly anyParent?: boolean;
}

export interface DiskMergeFlags extends DiskFlags {
  readonly all?: boolean;
  readonly into?: string;
  readonly keep?: boolean;
  readonly breakOthers?: boolean;
  readonly limit?: number;
}

export interface DiskDigestFlags extends DiskFlags {
  readonly of: 'container' | 'content' | 'both';
  readonly sha256?: boolean;
  readonly workers?: number;
}

export interface DiskCommands {
  info(image: string, flags: DiskFlags): Promise<void>;
  map(image: string, flags: DiskMapFlags): Promise<void>;
  check(image: string, flags: DiskFlags): Promise<void>;
  chain(image: string, flags: DiskChainFlags): Promise<void>;
  merge(image: string, flags: DiskMergeFlags): Promise<void>;
  digest(image: string, flags: DiskDigestFlags): Promise<void>;
}

export function addDisk(program: Command, commands: () => DiskCommands): void {
  const disk = program
    .command('disk')
    .description('look into disk images (VHD, VHDX, qcow2, raw), check and merge them')
    .usage('<command> [options] <image>')
    .addHelpText('after', DISK_HELP);
  onImageAnywhere(disk, 'info', 'format, sizes, identity and parent of an image')
    .addHelpText('after', DISK_INFO_HELP)
    .action((image: string, flags: DiskFlags) => commands().info(image, flags));
  onImageAnywhere(disk, 'map', 'what is allocated, as a picture and as a list')
    .option('--list', 'list the extents: where each begins, its length, and the image that holds it')
    .option('--alone', 'this image alone, without those that it builds on')
    .option('--svg <file>', 'draw the picture, in a new file')
    .addHelpText('after', DISK_MAP_HELP)
    .action((image: string, flags: DiskMapFlags) => commands().map(image, flags));
  onImageAnywhere(disk, 'check', 'find what is wrong with an image and with those that it builds on')
    .addHelpText('after', DISK_CHECK_HELP)
    .action((image: string, flags: DiskFlags) => commands().check(image, flags));
  onImageAnywhere(disk, 'chain', 'the images that an image builds on, and where each was found')
    .option('--set-parent <file>', 'make the image name this file as its parent, in place')
    .option('--any-parent', 'with --set-parent: also one that is not what the image was made on')
    .addHelpText('after', DISK_CHAIN_HELP)
    .action((image: string, flags: DiskChainFlags) => commands().chain(image, flags));
  addMerge(disk, commands);
  addDigest(disk, commands);
}

function addMerge(disk: Command, commands: () => DiskCommands): void {
  onImage(disk, 'merge', 'merge an image into the one that it builds on, in place')
    .option('--all', 'merge the whole chain into its base')
    .option('--into <file>', 'merge all down to this image of the chain')
    .option('--keep', 'do not remove the image once it is merged')
    .option('--break-others', 'merge although other images build on the parent; their disks will be wrong')
    .option('--limit <rate>', 'bytes per second at most, such as 50MiB (50M) or 400Mbit; 0: no limit', rate('--limit'))
    .option('--quiet', 'say nothing but errors')
    .addHelpText('after', DISK_MERGE_HELP)
    .action((image: string, flags: DiskMergeFlags) => commands().merge(image, flags));
}

function addDigest(disk: Command, commands: () => DiskCommands): void {
  onImageAnywhere(disk, 'digest', 'what an image is known by: the file, and what a guest sees')
    .addOption(
      new Option('--of <what>', 'only one of the two').choices(['container', 'content', 'both']).default('both'),
    )
    .option('--sha256', 'the SHA-256 too; takes one more reading')
    .option('--workers <n>', 'threads that read', count('--workers', WORKERS_MAX))
    .option('--quiet', 'no progress')
    .addHelpText('after', DISK_DIGEST_HELP)
    .action((image: string, flags: DiskDigestFlags) => commands().digest(image, flags));
}

/** What all of them have. */
function onImage(disk: Command, name: string, about: string): Command {
  return disk
    .command(name)
    .description(about)
    .argument('<image>', 'a path, or a URL as for copy')
    .option('--parents <folder>', 'look for the images that it builds on here, too; may be repeated', collect)
    .option('--json', JSON_ABOUT[name] ?? 'one object on the standard output');
}

/** Those that only read have what is needed to ask a server. */
function onImageAnywhere(disk: Command, name: string, about: string): Command {
  return addHttpOptions(onImage(disk, name, about));
}

const JSON_ABOUT: Readonly<Record<string, string>> = { merge: 'one event a line on the standard output' };
