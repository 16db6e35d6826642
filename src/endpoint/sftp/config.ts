/**
 * What ~/.ssh/config and /etc/ssh/ssh_config say of a host (ssh_config(5)): the first value that is found counts. What
 * is not understood here is passed over, except for ways through other hosts, which nobody would want to be left out.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { homedir, userInfo } from 'node:os';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { errnoOf, TransferError } from '../../core/errors.js';
import { MiB } from '../../core/units.js';
import { matchesPatterns } from './known-hosts.js';

const FILE_BYTES_MAX = MiB;
const DEPTH_MAX = 16;
const SYSTEM_FOLDER = '/etc/ssh';
const SEVERAL = new Set(['identityfile']);

/** Keywords in lower case, with the values of their first line; of `identityfile` those of all lines. */
export type HostOptions = ReadonlyMap<string, readonly string[]>;

interface Asked {
  readonly host: string;
  readonly user: string | undefined;
}

/** @throws TransferError of a file that cannot be read */
export function hostOptions(host: string, user: string | undefined): HostOptions {
  const found = new Map<string, string[]>();
  const asked = { host: host.toLowerCase(), user };
  readConfig(join(userFolder(), 'config'), userFolder(), asked, found, 0);
  readConfig(join(SYSTEM_FOLDER, 'ssh_config'), SYSTEM_FOLDER, asked, found, 0);
  return found;
}

export function userFolder(): string {
  return join(homedir(), '.ssh');
}

/** `~`, and the tokens of ssh_config(5) that a path may have. */
export function expandPath(
  path: string,
  facts: { readonly host: string; readonly port: number; user: string },
): string {
  const tokens: Readonly<Record<string, string>> = {
    ...{ '%': '%', d: homedir(), h: facts.host, n: facts.host, p: String(facts.port), r: facts.user },
    ...{ u: userInfo().username, i: String(process.getuid?.() ?? 0) },
  };
  const home = path === '~' || path.startsWith('~/') ? join(homedir(), path.slice(1)) : path;
  return home.replace(/%(.)/g, (whole, token: string) => tokens[token] ?? whole);
}

function readConfig(path: string, folder: string, asked: Asked, found: Map<string, string[]>, depth: number): void {
  const text = readText(path);
  if (text === undefined) return;
  if (depth > DEPTH_MAX) {
    throw new TransferError('E_USAGE', `${path}: too many files include each other`, {
      hint: 'See its Include lines.',
    });
  }
  let applies = true;
  for (const line of text.split('\n')) {
    const [keyword = '', ...values] = wordsOf(line);
    if (keyword === 'host')
      applies = matchesPatterns(
        values.map((value) => value.toLowerCase()),
        asked.host,
      );
    else if (keyword === 'match') applies = matches(values, asked, found);
    else if (!applies || values.length === 0) continue;
    else if (keyword === 'include') {
      for (const included of values.flatMap((value) => filesOf(value, folder))) {
        readConfig(included, folder, asked, found, depth + 1);
      }
    } else if (SEVERAL.has(keyword)) found.set(keyword, [...(found.get(keyword) ?? []), ...values]);
    else if (!found.has(keyword)) found.set(keyword, values);
  }
}

function readText(path: string): string | undefined {
  try {
    const bytes = readFileSync(path);
    if (bytes.length > FILE_BYTES_MAX) throw new Error(`it has ${bytes.length} bytes`);
    return bytes.toString('utf8');
  } catch (thrown) {
    if (errnoOf(thrown) === 'ENOENT' || errnoOf(thrown) === 'ENOTDIR') return undefined;
    throw new TransferError('E_USAGE', `${path}: the settings of ssh cannot be read`, {
      hint: 'Check its permissions.',
      cause: thrown,
    });
  }
}

/** `Keyword value "two words"`, or `Keyword=value`; comments and empty lines have no words. */
function wordsOf(line: string): string[] {
  const [, keyword, rest = ''] = /^\s*([A-Za-z0-9]+)(?:\s*=\s*|\s+)(.*?)\s*$/.exec(line) ?? [];
  if (keyword === undefined) return [];
  const words = [...rest.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare ?? '');
  const comment = words.findIndex((word) => word.startsWith('#'));
  return [keyword.toLowerCase(), ...(comment === -1 ? words : words.slice(0, comment))];
}

/** Criteria that would need a program or a second look are never met. */
function matches(criteria: readonly string[], { host, user }: Asked, found: HostOptions): boolean {
  const [first] = criteria;
  if (first?.toLowerCase() === 'all') return criteria.length === 1;
  const about: Readonly<Record<string, string>> = {
    host: found.get('hostname')?.[0]?.toLowerCase() ?? host,
    originalhost: host,
    user: user ?? found.get('user')?.[0] ?? userInfo().username,
    localuser: userInfo().username,
  };
  for (let at = 0; at < criteria.length; at += 2) {
    const value = about[(criteria[at] as string).toLowerCase()];
    if (value === undefined || !matchesPatterns((criteria[at + 1] ?? '').split(','), value)) return false;
  }
  return criteria.length > 0;
}

/** Patterns count in the last part of the path alone. */
function filesOf(path: string, folder: string): string[] {
  const home = path.startsWith('~/') ? join(homedir(), path.slice(1)) : path;
  const whole = isAbsolute(home) ? home : join(folder, home);
  if (!/[*?]/.test(basename(whole))) return [whole];
  try {
    const names = readdirSync(dirname(whole)).filter((name) => !name.startsWith('.'));
    return names.filter((name) => matchesPatterns([basename(whole)], name)).map((name) => join(dirname(whole), name));
  } catch (thrown) {
    if (errnoOf(thrown) === 'ENOENT' || errnoOf(thrown) === 'ENOTDIR') return [];
    throw thrown;
  }
}
