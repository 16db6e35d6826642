/** `blockferry migrate`: its commands, their options and their help. */
import type { Command } from 'commander';
import {
  MIGRATE_ABORT_HELP,
  MIGRATE_CUTOVER_HELP,
  MIGRATE_HELP,
  MIGRATE_PLAN_HELP,
  MIGRATE_RECEIPT_HELP,
  MIGRATE_START_HELP,
  MIGRATE_STATUS_HELP,
  MIGRATE_WATCH_HELP,
} from './migrate-help.js';
import { duration } from './option-values.js';
import { addServiceOptions, type ServiceFlags } from './service-flags.js';
import { addPlaces, type PlaceFlags } from './vm-program.js';

export interface MigrateFlags extends ServiceFlags, PlaceFlags {
  /** `peer://host[:port][/ROOT/folder]`; absent: this host. */
  readonly toHost?: string;
  readonly keepSource?: boolean;
  /** Milliseconds. */
  readonly maxBlackout?: number;
}

export interface MigrateStartFlags extends MigrateFlags {
  readonly prepare?: boolean;
  readonly watch?: boolean;
}

export interface CutoverFlags extends ServiceFlags {
  /** Milliseconds. */
  readonly maxBlackout?: number;
  readonly anyway?: boolean;
}

export interface MigrateStatusFlags extends ServiceFlags {
  readonly all?: boolean;
}

export interface MigrateCommands {
  plan(vm: string, flags: MigrateFlags): Promise<void>;
  start(vm: string, flags: MigrateStartFlags): Promise<void>;
  cutover(migration: string, flags: CutoverFlags): Promise<void>;
  abort(migration: string, flags: ServiceFlags): Promise<void>;
  status(migration: string | undefined, flags: MigrateStatusFlags): Promise<void>;
  watch(migration: string, flags: ServiceFlags): Promise<void>;
  receipt(migration: string, flags: ServiceFlags): Promise<void>;
}

const VM_ABOUT = 'its id, the beginning of it, or its name';
const MIGRATION_ABOUT = 'its id, the beginning of it, or the name of its machine';

export function addMigrate(program: Command, commands: () => MigrateCommands): void {
  const migrate = program
    .command('migrate')
    .description('move virtual machines to other storage while they run')
    .usage('<command> [options]')
    .addHelpText('after', MIGRATE_HELP);
  addBeginnings(migrate, commands);
  addMoves(migrate, commands);
  addLooks(migrate, commands);
}

function addBeginnings(migrate: Command, commands: () => MigrateCommands): void {
  const plan = addToService(migrate, 'plan', 'what a migration would do, with sizes and the predicted blackout');
  addWishes(plan)
    .option('--json', 'one object on the standard output')
    .addHelpText('after', MIGRATE_PLAN_HELP)
    .action((vm: string, flags: MigrateFlags) => commands().plan(vm, flags));
  const start = addToService(migrate, 'start', 'move a machine, and print the id of the migration');
  addWishes(start)
    .option('--prepare', 'stop before the blackout, and wait for "cutover"')
    .option('--watch', 'follow it to its end')
    .option('--json', 'the migration as one object; with --watch one event a line')
    .addHelpText('after', MIGRATE_START_HELP)
    .action((vm: string, flags: MigrateStartFlags) => commands().start(vm, flags));
}

/** What is said of a migration that is to be. */
function addWishes(command: Command): Command {
  return addPlaces(command.argument('<vm>', VM_ABOUT))
    .option('--to-host <peer>', 'another host, as peer://host/ROOT/folder (default: this one)')
    .option('--max-blackout <time>', 'how long its guest may stand still, such as 2s', duration('--max-blackout'))
    .option('--keep-source', 'keep the images at the source when the machine runs at the target');
}

function addMoves(migrate: Command, commands: () => MigrateCommands): void {
  addToService(migrate, 'cutover', 'go on with a migration: into the blackout, or with the step that failed')
    .argument('<migration>', MIGRATION_ABOUT)
    .option('--max-blackout <time>', 'another limit, such as 5s', duration('--max-blackout'))
    .option('--anyway', 'however long the guest stands still')
    .option('--json', 'the migration as one object')
    .addHelpText('after', MIGRATE_CUTOVER_HELP)
    .action((id: string, flags: CutoverFlags) => commands().cutover(id, flags));
  addToService(migrate, 'abort', 'leave the machine at the source, and remove what was copied')
    .argument('<migration>', MIGRATION_ABOUT)
    .option('--json', 'the migration as one object')
    .addHelpText('after', MIGRATE_ABORT_HELP)
    .action((id: string, flags: ServiceFlags) => commands().abort(id, flags));
}

function addLooks(migrate: Command, commands: () => MigrateCommands): void {
  addToService(migrate, 'status', 'how far migrations are, and what they wait for')
    .argument('[migration]', MIGRATION_ABOUT)
    .option('--all', 'those that are over too')
    .option('--json', 'one object a migration and line')
    .addHelpText('after', MIGRATE_STATUS_HELP)
    .action((id: string | undefined, flags: MigrateStatusFlags) => commands().status(id, flags));
  addToService(migrate, 'watch', 'follow a migration to its end')
    .argument('<migration>', MIGRATION_ABOUT)
    .option('--json', 'one event a line on the standard output')
    .option('--quiet', 'say nothing but errors')
    .addHelpText('after', MIGRATE_WATCH_HELP)
    .action((id: string, flags: ServiceFlags) => commands().watch(id, flags));
  addToService(migrate, 'receipt', 'the signed receipt of a migration that is done')
    .argument('<migration>', MIGRATION_ABOUT)
    .option('--json', 'in one line')
    .addHelpText('after', MIGRATE_RECEIPT_HELP)
    .action((id: string, flags: ServiceFlags) => commands().receipt(id, flags));
}

function addToService(migrate: Command, name: string, about: string): Command {
  return addServiceOptions(migrate.command(name).description(about));
}
