/** Which service a command speaks to: one whose socket lies in a state folder, or one at an address, with a token. */
import { type Command, Option } from 'commander';
import type { OutputFlags } from './option-values.js';

export interface ServiceFlags extends OutputFlags {
  readonly state?: string;
  readonly service?: string;
  readonly tokenFile?: string;
  readonly ca?: string;
  readonly pin?: string;
}

export const SERVICE_OPTIONS = ['--state', '--service', '--token-file', '--ca', '--pin'] as const;
export const SERVICE_GROUP = 'The service:';

export function addServiceOptions(command: Command): Command {
  const options = [
    new Option('--state <folder>', 'state folder of the service (default: BLOCKFERRY_STATE, or the usual one)'),
    new Option('--service <url>', 'a service at an address, such as http://127.0.0.1:7422 or https://host:7422'),
    new Option('--token-file <file>', 'file with the token for it (default: BLOCKFERRY_TOKEN)'),
    new Option('--ca <file>', 'trust these certificate authorities (PEM) for it, and no others'),
    new Option('--pin <fingerprint>', 'the certificate that it must show, as sha256:HEX'),
  ];
  for (const option of options) command.addOption(option.helpGroup(SERVICE_GROUP));
  return command;
}
