/** `blockferry vm`: its commands, their options and their help. */
import type { Command } from 'commander';
import { TransferError } from '../core/errors.js';
import { collect, count, type OutputFlags } from './option-values.js';
import {
  VM_ADD_HELP,
  VM_EXPORT_HELP,
  VM_HELP,
  VM_IMPORT_HELP,
  VM_REMOVE_HELP,
  VM_START_HELP,
  VM_STOP_HELP,
} from './vm-help.js';

export interface VmFlags extends OutputFlags {
  readonly state?: string;
}

export interface VmStartFlags extends VmFlags {
  readonly from?: string;
  readonly sha256?: string;
}

export interface VmExportFlags extends VmFlags {
  readonly configuration?: boolean;
  /** From 1. */
  readonly snapshot?: number;
  readonly flatten?: boolean;
}

/** One folder for all, and others for some disks: `d1=/vms/fast`. */
export interface PlaceFlags {
  readonly to?: string;
  readonly disk?: readonly string[];
}

export interface VmImportFlags extends VmFlags, PlaceFlags {
  readonly inPlace?: boolean;
  readonly newId?: boolean;
  readonly name?: string;
}

export interface VmCommands {
  add(file: string, flags: VmFlags): Promise<void>;
  list(flags: VmFlags): Promise<void>;
  info(vm: string, flags: VmFlags): Promise<void>;
  start(vm: string, flags: VmStartFlags): Promise<void>;
  stop(vm: string, flags: VmFlags): Promise<void>;
  remove(vm: string, flags: VmFlags): Promise<void>;
  export(vm: string, folder: string, flags: VmExportFlags): Promise<void>;
  import(folder: string, flags: VmImportFlags): Promise<void>;
}

const VM_ABOUT = 'its id, the beginning of it, or its name';
const SNAPSHOTS_MAX = 63;

export function addVm(program: Command, commands: () => VmCommands): void {
  const vm = program
    .command('vm')
    .description('the virtual machines of this host, their exports and imports')
    .usage('<command> [options]')
    .addHelpText('after', VM_HELP);
  addVmCommand(vm, 'add', 'let a machine be known here, by its description, and print its id')
    .argument('<file>', 'the description (JSON); "-" is the standard input')
    .addHelpText('after', VM_ADD_HELP)
    .action((file: string, flags: VmFlags) => commands().add(file, flags));
  addVmCommand(vm, 'list', 'the machines that are known here, and what each does')
    .addHelpText('after', '\nExamples:\n  blockferry vm list\n  blockferry vm list --json             for a script\n')
    .action((flags: VmFlags) => commands().list(flags));
  addVmCommand(vm, 'info', 'all that is known of a machine')
    .argument('<vm>', VM_ABOUT)
    .addHelpText('after', '\nExamples:\n  blockferry vm info web\n')
    .action((id: string, flags: VmFlags) => commands().info(id, flags));
  addVmCommand(vm, 'start', 'start a machine that is off')
    .argument('<vm>', VM_ABOUT)
    .option('--from <file>', 'go on from this saved state')
    .option('--sha256 <HEX>', 'with --from: what the SHA-256 of the state must be')
    .addHelpText('after', VM_START_HELP)
    .action((id: string, flags: VmStartFlags) => commands().start(id, flags));
  addVmCommand(vm, 'stop', 'end the process of a machine, whatever its guest does')
    .argument('<vm>', VM_ABOUT)
    .addHelpText('after', VM_STOP_HELP)
    .action((id: string, flags: VmFlags) => commands().stop(id, flags));
  addVmCommand(vm, 'remove', 'forget a machine that is off')
    .argument('<vm>', VM_ABOUT)
    .addHelpText('after', VM_REMOVE_HELP)
    .action((id: string, flags: VmFlags) => commands().remove(id, flags));
  addExport(vm, commands);
  addImport(vm, commands);
}

function addExport(vm: Command, commands: () => VmCommands): void {
  addVmCommand(vm, 'export', 'write a machine into a new folder, with all that it needs')
    .argument('<vm>', VM_ABOUT)
    .argument('<folder>', 'the folder to make')
    .option('--configuration', 'the description alone')
    .option('--snapshot <n>', 'what the disks held when that snapshot was made', count('--snapshot', SNAPSHOTS_MAX))
    .option('--flatten', 'one image for each disk, instead of its chain')
    .addHelpText('after', VM_EXPORT_HELP)
    .action((id: string, folder: string, flags: VmExportFlags) => commands().export(id, folder, flags));
}

function addImport(vm: Command, commands: () => VmCommands): void {
  const command = addVmCommand(vm, 'import', 'make a machine of an export, and print its id')
    .argument('<folder>', 'the export')
    .option('--in-place', 'use the files where they are');
  addPlaces(command)
    .option('--new-id', 'give the machine an id of its own')
    .option('--name <text>', 'what to call the machine')
    .addHelpText('after', VM_IMPORT_HELP)
    .action((folder: string, flags: VmImportFlags) => commands().import(folder, flags));
}

/** Where files go. */
export function addPlaces(command: Command): Command {
  return command
    .option('--to <folder>', 'the folder that files go to')
    .option('--disk <id=folder>', 'the folder that a disk goes to, such as d1=/fast; may be repeated', collect);
}

function addVmCommand(vm: Command, name: string, about: string): Command {
  return vm
    .command(name)
    .description(about)
    .option('--state <folder>', 'state folder of the service (default: BLOCKFERRY_STATE, or the usual one)')
    .option('--json', 'one object a line on the standard output');
}

/** `d1=/vms/fast` and its like as a table. @throws TransferError E_USAGE */
export function placesOf({ disk = [] }: PlaceFlags): Record<string, string> {
  return Object.fromEntries(
    disk.map((text) => {
      const [, id, folder] = /^([a-z][a-z0-9]{0,15})=(.+)$/.exec(text) ?? [];
      if (id !== undefined && folder !== undefined) return [id, folder] as const;
      throw new TransferError('E_USAGE', `--disk: cannot use ${JSON.stringify(text)}`, {
        hint: 'Write the id of a disk and its folder, such as d1=/vms/fast. See: blockferry vm info',
      });
    }),
  );
}
