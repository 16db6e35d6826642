/**
 * Where an `sftp://` location leads: `sftp://user@host:port/absolute/path`, or `sftp://host/~/below-the-home`, together
 * with what the settings of ssh say of that host. Plain data, so that every thread connects in the same way without
 * looking again; it holds no secrets.
 */
import { userInfo } from 'node:os';
import { join } from 'node:path';
import type { Location } from '../../core/endpoint.js';
import { TransferError } from '../../core/errors.js';
import { showPath } from '../../platform/path-bytes.js';
import { locationOptions } from '../location-options.js';
import { expandPath, type HostOptions, hostOptions, userFolder } from './config.js';

export interface SftpAddress {
  /** As it was typed: what people call it. */
  readonly alias: string;
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** The name of the server in the files of known hosts, where that is another one. */
  readonly keyAlias?: string;
  /** Keys that were named; without any, the usual ones are tried. */
  readonly identities: readonly string[];
  /** No other keys than these. */
  readonly identitiesOnly: boolean;
  /** The socket of an agent. */
  readonly agent?: string;
  readonly knownHosts: readonly string[];
  /** Files with keys that no server may show. */
  readonly revokedKeys: readonly string[];
  /** A setting that would let unknown servers in, which is not followed. */
  readonly lax?: string;
}

export interface SftpPlace {
  readonly address: SftpAddress;
  /** Absolute, or relative to the home folder there, which is then said. */
  readonly path: string;
  readonly fromHome: boolean;
}

const PORT_DEFAULT = 22;
const LAX = new Set(['no', 'off', 'accept-new']);

/** @throws TransferError E_USAGE */
export function readPlace({ text, name }: Location): SftpPlace {
  const url = new URL(text);
  const refuse = (what: string, hint: string): never => {
    throw new TransferError('E_USAGE', `${name}: ${what}`, { hint });
  };
  const { identity } = locationOptions(url, ['identity']);
  if (url.password !== '') {
    refuse('a location holds no password: every process of this machine could read it', 'Leave it out, and be asked.');
  }
  const alias = decoded(url.hostname, name).replace(/^\[(.*)\]$/, '$1');
  if (alias === '' || /[\s\0]/.test(alias)) refuse('there is no host in it', 'Write it as sftp://user@host:port/path.');
  const user = url.username === '' ? undefined : decoded(url.username, name);
  const address = addressOf(name, { alias, user, port: url.port, identity });
  const path = decoded(url.pathname, name);
  if (path.includes('\0')) refuse('a path cannot hold a zero byte', 'Leave out %00.');
  if (path === '' || path === '/~' || path === '/~/') refuse('there is no path in it', 'Add the path of the file.');
  if (url.hash !== '') refuse('a # in a path is written as %23', 'Write it so.');
  return { address, path: path.startsWith('/~/') ? path.slice(3) : path, fromHome: path.startsWith('/~/') };
}

interface Typed {
  readonly alias: string;
  readonly user: string | undefined;
  readonly port: string;
  readonly identity: string | undefined;
}

function addressOf(name: string, { alias, user, port, identity }: Typed): SftpAddress {
  const options = hostOptions(alias, user);
  const value = (keyword: string): string | undefined => options.get(keyword)?.[0];
  refuseDetours(name, options);
  const host = (value('hostname') ?? alias).replaceAll('%h', alias).replaceAll('%%', '%').toLowerCase();
  const to = {
    host,
    port: portOf(name, port || (value('port') ?? String(PORT_DEFAULT))),
    user: user ?? value('user') ?? userInfo().username,
  };
  const files = (keyword: string, usual: readonly string[]): string[] =>
    (options.get(keyword) ?? usual).filter((path) => path !== 'none').map((path) => expandPath(path, to));
  const agent = agentOf(value('identityagent'), to);
  const strict = value('stricthostkeychecking')?.toLowerCase();
  const keyAlias = value('hostkeyalias');
  const users = ['known_hosts', 'known_hosts2'].map((file) => join(userFolder(), file));
  return {
    alias,
    ...to,
    ...(keyAlias !== undefined && { keyAlias }),
    identities: identity === undefined ? files('identityfile', []) : [expandPath(identity, to)],
    identitiesOnly: identity !== undefined || value('identitiesonly')?.toLowerCase() === 'yes',
    ...(agent !== undefined && { agent }),
    knownHosts: [
      ...files('userknownhostsfile', users),
      ...files('globalknownhostsfile', ['/etc/ssh/ssh_known_hosts', '/etc/ssh/ssh_known_hosts2']),
    ],
    revokedKeys: files('revokedhostkeys', []),
    ...(strict !== undefined && LAX.has(strict) && { lax: `StrictHostKeyChecking ${strict}` }),
  };
}

function portOf(name: string, text: string): number {
  if (/^\d{1,5}$/.test(text) && Number(text) >= 1 && Number(text) <= 65_535) return Number(text);
  throw new TransferError('E_USAGE', `${name}: ${showPath(text)} is no port`, {
    hint: 'Give one from 1 to 65535, in the location or in the settings of ssh.',
  });
}

function refuseDetours(name: string, options: HostOptions): void {
  for (const [keyword, spelled] of [
    ['proxyjump', 'ProxyJump'],
    ['proxycommand', 'ProxyCommand'],
  ] as const) {
    const values = options.get(keyword);
    if (values === undefined || values[0]?.toLowerCase() === 'none') continue;
    throw new TransferError(
      'E_USAGE',
      `${name}: the settings of ssh lead there by ${spelled}, which is not supported`,
      {
        hint: 'Open a way with ssh -L PORT:host:22 and copy by sftp://localhost:PORT, with HostKeyAlias for its key.',
      },
    );
  }
}

function agentOf(setting: string | undefined, to: Parameters<typeof expandPath>[1]): string | undefined {
  if (setting === 'none') return undefined;
  if (setting === undefined || setting === 'SSH_AUTH_SOCK') return process.env.SSH_AUTH_SOCK || undefined;
  return setting.startsWith('$') ? process.env[setting.replace(/^\$\{?|\}$/g, '')] : expandPath(setting, to);
}

function decoded(text: string, name: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    throw new TransferError('E_USAGE', `${name}: cannot be read as a URL`, { hint: 'Write % as %25.', cause });
  }
}

/** The server, as messages call it. */
export function serverName({ alias, port }: SftpAddress): string {
  const host = alias.includes(':') ? `[${alias}]` : alias;
  return `sftp://${host}${port === PORT_DEFAULT ? '' : `:${port}`}`;
}

/** A file there, as messages call it. */
export function fileNameAt(address: SftpAddress, path: string): string {
  return `${serverName(address)}${showPath(path)}`;
}

/** What tells one server and user from all others. */
export function serverKey({ user, host, port }: SftpAddress): string {
  return `sftp://${user}@${host}:${port}`;
}
