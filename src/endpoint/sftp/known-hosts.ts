/**
 * The files in which OpenSSH keeps the keys of servers (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT). A server whose key is
 * not there, or is another one, or was revoked, is refused: nobody is trusted because he was there first.
 */
import { createHash, createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { errnoOf, TransferError } from '../../core/errors.js';
import { MiB } from '../../core/units.js';

const FILE_BYTES_MAX = 16 * MiB;
/** The one that is no part of a name. */
const PORT_PLAIN = 22;

/** Whose key it is: as in the files, where a port that is not 22 is part of the name. */
export interface HostName {
  readonly host: string;
  readonly port: number;
}

interface KnownKey {
  readonly revoked: boolean;
  readonly hosts: string;
  readonly type: string;
  readonly key: string;
  readonly place: string;
}

export type Verdict =
  | { readonly is: 'known' }
  | { readonly is: 'revoked'; readonly place: string }
  | { readonly is: 'changed'; readonly place: string }
  | { readonly is: 'unknown'; readonly otherTypes: readonly string[] };

export class KnownHosts {
  readonly files: readonly string[];
  readonly #keys: readonly KnownKey[];

  /**
   * Files that are not there know nobody.
   * @param revoked files with keys of their own, which must be there
   * @throws TransferError of one that cannot be read
   */
  constructor(files: readonly string[], revoked: readonly string[] = []) {
    this.files = files;
    this.#keys = [...files.flatMap((path) => readKeys(path)), ...revoked.flatMap((path) => readRevoked(path))];
  }

  /** The types of keys that are known of a server, in the order of the files. */
  typesOf(name: HostName): readonly string[] {
    const types = this.#keysOf(name).flatMap(({ revoked, type }) => (revoked ? [] : [type]));
    if (types.length === 0 && name.port !== PORT_PLAIN) return this.typesOf({ ...name, port: PORT_PLAIN });
    return [...new Set(types)];
  }

  /** @param key as the server sent it: its type, then what belongs to it (RFC 4253, section 6.6) */
  judge(name: HostName, key: Uint8Array): Verdict {
    const sent = Buffer.from(key).toString('base64');
    const type = typeOfKey(key);
    const keys = this.#keysOf(name);
    const revoked = keys.find((known) => known.revoked && known.key === sent);
    if (revoked) return { is: 'revoked', place: revoked.place };
    const valid = keys.filter((known) => !known.revoked);
    if (valid.some((known) => known.key === sent)) return { is: 'known' };
    const other = valid.find((known) => known.type === type);
    if (other) return { is: 'changed', place: other.place };
    // As ssh does: the very key of that host is good at all of its ports.
    const plain = name.port === PORT_PLAIN ? undefined : this.judge({ ...name, port: PORT_PLAIN }, key);
    if (plain?.is === 'known' || plain?.is === 'revoked') return plain;
    return { is: 'unknown', otherTypes: [...new Set(valid.map((known) => known.type))] };
  }

  #keysOf({ host, port }: HostName): readonly KnownKey[] {
    const name = fileName({ host, port });
    return this.#keys.filter((known) => matchesHosts(known.hosts, name));
  }
}

/** How the files write a server's name. */
export function fileName({ host, port }: HostName): string {
  return port === PORT_PLAIN ? host.toLowerCase() : `[${host.toLowerCase()}]:${port}`;
}

/** As ssh-keygen -l shows it. */
export function fingerprintOf(key: Uint8Array): string {
  return `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`;
}

export function typeOfKey(key: Uint8Array): string {
  const bytes = Buffer.from(key);
  const length = bytes.length < 4 ? 0 : bytes.readUInt32BE(0);
  return length > 64 ? '' : bytes.subarray(4, 4 + length).toString('latin1');
}

function readKeys(path: string): KnownKey[] {
  const lines = readLines(path) ?? [];
  return lines.flatMap((line, n) => readKey(line, `${path}, line ${n + 1}`) ?? []);
}

/** Public keys, one a line. */
function readRevoked(path: string): KnownKey[] {
  const lines = readLines(path);
  if (lines === undefined || lines[0] === 'SSHKRL') {
    const what =
      lines === undefined ? 'the file of revoked keys is not there' : 'a KRL of revoked keys is not understood';
    throw new TransferError('E_AUTH', `${path}: ${what}`, {
      hint: 'No server is trusted without it. RevokedHostKeys in the settings of ssh may name a file of public keys.',
    });
  }
  return lines.flatMap((line, n) => readKey(`@revoked * ${line}`, `${path}, line ${n + 1}`) ?? []);
}

/** Undefined: there is no such file. */
function readLines(path: string): string[] | undefined {
  try {
    const bytes = readFileSync(path);
    if (bytes.length > FILE_BYTES_MAX) throw new Error(`it has ${bytes.length} bytes`);
    return bytes.toString('utf8').split('\n');
  } catch (thrown) {
    if (errnoOf(thrown) === 'ENOENT' || errnoOf(thrown) === 'ENOTDIR') return undefined;
    throw new TransferError('E_AUTH', `${path}: the keys of servers cannot be read`, {
      hint: 'Check its permissions. No server is trusted without it.',
      cause: thrown,
    });
  }
}

/** Lines of authorities for certificates are passed over: no certificates are asked for. */
function readKey(line: string, place: string): KnownKey | undefined {
  const words = line.trim().split(/\s+/);
  if (words[0] === undefined || words[0] === '' || words[0].startsWith('#')) return undefined;
  const marker = words[0].startsWith('@') ? words.shift() : undefined;
  const [hosts, type, key] = words;
  if ((marker !== undefined && marker !== '@revoked') || !hosts || !type || !key) return undefined;
  return { revoked: marker === '@revoked', hosts, type, key, place };
}

function matchesHosts(hosts: string, name: string): boolean {
  if (hosts.startsWith('|')) return matchesHashed(hosts, name);
  return matchesPatterns(hosts.toLowerCase().split(','), name);
}

/** The name itself is not in the file, only its HMAC-SHA1 with a salt. */
function matchesHashed(hosts: string, name: string): boolean {
  const [, kind, salt = '', hash = ''] = hosts.split('|');
  if (kind !== '1') return false;
  return createHmac('sha1', Buffer.from(salt, 'base64')).update(name).digest('base64') === hash;
}

/** `*` stands for any characters, `?` for one; what a pattern with `!` matches is out (ssh_config(5), PATTERNS). */
export function matchesPatterns(patterns: readonly string[], name: string): boolean {
  const matching = patterns.filter((pattern) => matchesPattern(pattern.replace(/^!/, ''), name));
  return matching.length > 0 && !matching.some((pattern) => pattern.startsWith('!'));
}

/** By hand: a regular expression could be made to take for ever. */
function matchesPattern(pattern: string, name: string): boolean {
  let [p, n, star, mark] = [0, 0, -1, 0];
  while (n < name.length) {
    if (pattern[p] === '*') [star, mark, p] = [p, n, p + 1];
    else if (pattern[p] === '?' || (p < pattern.length && pattern[p] === name[n])) [p, n] = [p + 1, n + 1];
    else if (star === -1) return false;
    else [p, mark, n] = [star + 1, mark + 1, mark + 1];
  }
  while (pattern[p] === '*') p++;
  return p === pattern.length;
}
