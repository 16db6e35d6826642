/** `blockferry policy` and `blockferry service`: their commands, their options and their help. */
import { type Command, Option } from 'commander';
import { POLICY_HELP, POLICY_SET_HELP } from './job-help.js';
import { collect, type OutputFlags, size } from './option-values.js';
import { addServiceOptions, type ServiceFlags } from './service-flags.js';
import { SERVICE_HELP, SERVICE_INSTALL_HELP, SERVICE_STATUS_HELP } from './service-help.js';

export interface PolicyCommands {
  show(flags: ServiceFlags): Promise<void>;
  /** `-`: the standard input. */
  set(file: string, flags: ServiceFlags): Promise<void>;
}

/** Of the unit that systemd starts. */
export interface UnitFlags extends OutputFlags {
  readonly user?: boolean;
  readonly system?: boolean;
}

export interface InstallFlags extends UnitFlags {
  readonly write?: readonly string[];
  readonly device?: readonly string[];
  readonly runAs?: string;
  readonly state?: string;
  readonly http?: string;
  /** Bytes. */
  readonly memory?: number;
  readonly dryRun?: boolean;
}

export interface UnitCommands {
  install(flags: InstallFlags): Promise<void>;
  uninstall(flags: UnitFlags): Promise<void>;
  status(flags: UnitFlags & ServiceFlags): Promise<void>;
}

export function addPolicy(program: Command, commands: () => PolicyCommands): void {
  const policy = program
    .command('policy')
    .description('the rules of the service: rates, hours, how many jobs at once')
    .usage('<command> [options]')
    .addHelpText('after', POLICY_HELP);
  addServiceOptions(policy.command('show').description('print the policy that holds'))
    .option('--json', 'one object on the standard output')
    .addHelpText('after', '\nExamples:\n  blockferry policy show\n')
    .action((flags: ServiceFlags) => commands().show(flags));
  addServiceOptions(policy.command('set').description('put another policy in its place'))
    .argument('<file>', 'the new policy (TOML); "-" is the standard input')
    .option('--json', 'one object on the standard output')
    .addHelpText('after', POLICY_SET_HELP)
    .action((file: string, flags: ServiceFlags) => commands().set(file, flags));
}

export function addServiceUnit(program: Command, commands: () => UnitCommands): void {
  const service = program
    .command('service')
    .description('have systemd start the service, and look how it is')
    .usage('<command> [options]')
    .addHelpText('after', SERVICE_HELP);
  addKind(service.command('install').description('write the unit of the service, enable it and start it'))
    .option('--write <folder>', 'the service may write here; may be repeated', collect)
    .option('--device <path>', 'the service may use this device; may be repeated', collect)
    .option('--run-as <user>', 'whose rights the service of the machine has (default: root)')
    .option('--state <folder>', 'its state folder (default: /var/lib/blockferry, or the one of the user)')
    .option('--http <address>', 'where it also listens for HTTP, as for "serve"')
    .option('--memory <size>', 'what it may take at most (default: 1GiB)', size('--memory'))
    .option('--dry-run', 'print the unit, and change nothing')
    .option('--json', 'one object on the standard output')
    .addHelpText('after', SERVICE_INSTALL_HELP)
    .action((flags: InstallFlags) => commands().install(flags));
  addKind(service.command('uninstall').description('stop the service and remove its unit; jobs and state stay'))
    .option('--json', 'one object on the standard output')
    .addHelpText('after', '\nExamples:\n  blockferry service uninstall\n')
    .action((flags: UnitFlags) => commands().uninstall(flags));
  addServiceOptions(addKind(service.command('status').description('whether it is installed, runs and answers')))
    .option('--json', 'one object on the standard output')
    .addHelpText('after', SERVICE_STATUS_HELP)
    .action((flags: UnitFlags & ServiceFlags) => commands().status(flags));
}

function addKind(command: Command): Command {
  return command
    .option('--user', 'the service of this user (default, unless root asks)')
    .addOption(new Option('--system', 'the service of the machine (default for root)').conflicts('user'));
}
