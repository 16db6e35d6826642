/** `blockferry serve` and `blockferry peer`: their commands, their options and their help. */
import type { Command } from 'commander';
import { collect, count, type OutputFlags, rate } from './option-values.js';
import { PEER_ADD_HELP, PEER_HELP, SERVE_HELP, TOKEN_ADD_HELP, TOKEN_HELP } from './serve-help.js';

export interface ServeFlags extends OutputFlags {
  readonly root?: readonly string[];
  readonly listen: string;
  readonly cert?: string;
  readonly key?: string;
  readonly limit?: number;
  readonly connections?: number;
  readonly state?: string;
  readonly http?: string;
  readonly httpName?: readonly string[];
}

export interface TokenFlags extends OutputFlags {
  readonly state?: string;
}

export interface TokenAddFlags extends TokenFlags {
  readonly rights: string;
  readonly root?: readonly string[];
  readonly days?: number;
}

export interface PeerAddFlags extends OutputFlags {
  readonly pin?: string;
}

export interface ServeCommands {
  serve(flags: ServeFlags): Promise<void>;
  tokenAdd(name: string, flags: TokenAddFlags): Promise<void>;
  tokenList(flags: TokenFlags): Promise<void>;
  tokenRemove(name: string, flags: TokenFlags): Promise<void>;
}

export interface PeerCommands {
  add(peer: string, flags: PeerAddFlags): Promise<void>;
  list(flags: OutputFlags): Promise<void>;
  remove(peer: string): Promise<void>;
}

const CONNECTIONS_MAX = 100_000;
const DAYS_MAX = 36_500;
const STATE_ABOUT = 'state folder of the service (default: BLOCKFERRY_STATE, or the usual one)';

export function addServe(program: Command, commands: () => ServeCommands): void {
  const serve = program
    .command('serve')
    .description('run the service of jobs, and offer folders of this host to other hosts')
    .enablePositionalOptions()
    .usage('[options]')
    .option('--root <folder>', 'offer this folder, as FOLDER or NAME=FOLDER; may be repeated', collect)
    .option('--listen <address>', 'where roots are offered, as host:port or :port', '127.0.0.1:7421')
    .option('--state <folder>', 'its state folder (default: BLOCKFERRY_STATE, or the usual one)')
    .option('--http <address>', 'where jobs are offered too, as host:port; the page for browsers is there')
    .option('--http-name <name>', 'a name by which browsers call it; may be repeated', collect)
    .option('--cert <file>', 'certificate chain, PEM (default: one of its own, made once)')
    .option('--key <file>', 'key of the certificate, PEM')
    .option(
      '--limit <rate>',
      'bytes per second at most for all other hosts together, such as 50MiB; 0: no limit',
      rate('--limit'),
    )
    .option('--connections <n>', 'connections at the same time (default: 512)', count('--connections', CONNECTIONS_MAX))
    .option('--json', 'one object when it listens')
    .addHelpText('after', SERVE_HELP)
    .action((flags: ServeFlags) => commands().serve(flags));
  const token = serve
    .command('token')
    .description('who may read and write here')
    .usage('<command> [options]')
    .addHelpText('after', TOKEN_HELP);
  token
    .command('add')
    .description('make a token for a client, and print it once')
    .argument('<name>', 'what to call the client')
    .option('--rights <rights>', 'read, write, vm, jobs or admin, or several with commas', 'read')
    .option('--root <name>', 'only in the root of this name; may be repeated', collect)
    .option('--days <n>', 'how long it counts (default: until it is removed)', count('--days', DAYS_MAX))
    .option('--state <folder>', STATE_ABOUT)
    .option('--json', 'one object on the standard output')
    .addHelpText('after', TOKEN_ADD_HELP)
    .action((name: string, flags: TokenAddFlags) => commands().tokenAdd(name, flags));
  token
    .command('list')
    .description('the clients that have a token, and what each may do')
    .option('--state <folder>', STATE_ABOUT)
    .option('--json', 'one object on the standard output')
    .addHelpText('after', example('serve token list'))
    .action((flags: TokenFlags) => commands().tokenList(flags));
  token
    .command('remove')
    .description('refuse a token from now on')
    .argument('<name>', 'what the client is called')
    .option('--state <folder>', STATE_ABOUT)
    .addHelpText('after', example('serve token remove backup-host'))
    .action((name: string, flags: TokenFlags) => commands().tokenRemove(name, flags));
}

export function addPeerCommands(program: Command, commands: () => PeerCommands): void {
  const peer = program
    .command('peer')
    .description('the other hosts that this user knows')
    .usage('<command> [options]')
    .addHelpText('after', PEER_HELP);
  peer
    .command('add')
    .description('keep the token and the certificate of a host')
    .argument('<peer>', 'peer://host[:port]')
    .option('--pin <fingerprint>', 'the certificate that it must show, as sha256:HEX')
    .option('--json', 'one object on the standard output')
    .addHelpText('after', PEER_ADD_HELP)
    .action((where: string, flags: PeerAddFlags) => commands().add(where, flags));
  peer
    .command('list')
    .description('the hosts that are known')
    .option('--json', 'one object on the standard output')
    .addHelpText('after', example('peer list'))
    .action((flags: OutputFlags) => commands().list(flags));
  peer
    .command('remove')
    .description('forget a host and its token')
    .argument('<peer>', 'peer://host[:port]')
    .addHelpText('after', example('peer remove peer://host:7421'))
    .action((where: string) => commands().remove(where));
}

function example(line: string): string {
  return `\nExamples:\n  blockferry ${line}\n`;
}
