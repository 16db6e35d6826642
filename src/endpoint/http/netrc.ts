/**
 * The netrc file: user and password for a host, as ftp, curl and git read it. A file that others can read is refused
 * where it holds a password for the host that is asked, and is nobody's business elsewhere.
 */
import type { Stats } from 'node:fs';
import { open } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { errnoOf, TransferError } from '../../core/errors.js';
import { MiB } from '../../core/units.js';
import { encodePath, showPath } from '../../platform/path-bytes.js';

export interface Login {
  readonly user: string;
  readonly password: string;
}

const FILE_BYTES_MAX = MiB;

/**
 * What the file says of the host, or else of all hosts; of this user only, where one is given. NETRC names the file,
 * and else it is ~/.netrc. @throws TransferError E_USAGE
 */
export async function netrcLogin(host: string, user: string, env: NodeJS.ProcessEnv): Promise<Login | undefined> {
  const path = env.NETRC || join(env.HOME || homedir(), '.netrc');
  const { text, stat } = await readNetrc(path, Boolean(env.NETRC));
  const login = findLogin(text, host, user);
  if (login && stat && othersMayRead(stat)) {
    throw new TransferError('E_USAGE', `${showPath(path)} holds a password, and others may read it`, {
      hint: `Say: chmod 600 ${showPath(path)}`,
    });
  }
  return login;
}

/** Whether the mode lets anybody but the owner read it, where there is such a thing. */
export function othersMayRead({ mode }: Pick<Stats, 'mode'>): boolean {
  return process.platform !== 'win32' && (mode & 0o077) !== 0;
}

async function readNetrc(path: string, named: boolean): Promise<{ readonly text: string; readonly stat?: Stats }> {
  try {
    const file = await open(encodePath(path), 'r');
    try {
      const stat = await file.stat();
      // A pipe would never end; and a longer file is none.
      if (!stat.isFile() || stat.size > FILE_BYTES_MAX) return { text: '' };
      return { text: await file.readFile('utf8'), stat };
    } finally {
      await file.close();
    }
  } catch (thrown) {
    const code = errnoOf(thrown);
    if (!named && (code === 'ENOENT' || code === 'ENOTDIR')) return { text: '' };
    throw new TransferError('E_USAGE', `${showPath(path)} cannot be read (${code ?? 'unknown'})`, {
      hint: named ? 'NETRC names it: give it another value, or none.' : 'Mend its permissions.',
      cause: thrown,
    });
  }
}

/** The first entry that suits; `default` suits every host, and stands last by its definition. */
export function findLogin(text: string, host: string, user = ''): Login | undefined {
  return entriesOf(text).find(
    (entry) =>
      (entry.host === undefined || entry.host.toLowerCase() === host.toLowerCase()) &&
      (user === '' || entry.user === user) &&
      (entry.user !== '' || entry.password !== ''),
  );
}

interface Entry extends Login {
  /** Absent: all hosts. */
  readonly host?: string;
}

function entriesOf(text: string): Entry[] {
  const entries: Entry[] = [];
  let entry: { host?: string; user: string; password: string } | undefined;
  const words = wordsOf(text);
  for (let word = words.next(); !word.done; word = words.next()) {
    const value = (): string => words.next().value ?? '';
    if (word.value === 'machine' || word.value === 'default') {
      entry = { ...(word.value === 'machine' && { host: value() }), user: '', password: '' };
      entries.push(entry);
    } else if (word.value === 'login' && entry) entry.user = value();
    else if (word.value === 'password' && entry) entry.password = value();
    else if (word.value === 'account') value();
  }
  return entries;
}

const COMMENT = /^[ \t]*#.*$/gmu;
/** A word, or one in quotes, in which a backslash takes the next character as it is. */
const WORD = /[ \t\r\n]*(?:"((?:[^"\\]|\\.)*)"?|([^ \t\r\n]+))/suy;
/** A macro ends with an empty line. */
const MACRO = /[^\n]*(?:\n(?!\r?\n)[^\n]*)*/uy;

function* wordsOf(file: string): Generator<string, undefined> {
  const text = file.replace(COMMENT, '');
  let at = 0;
  for (;;) {
    WORD.lastIndex = at;
    const match = WORD.exec(text);
    if (match === null) return;
    at = WORD.lastIndex;
    const [, quoted, plain] = match;
    if (plain === 'macdef') {
      MACRO.lastIndex = at;
      at += MACRO.exec(text)?.[0].length ?? 0;
    } else yield plain ?? unescaped(quoted ?? '');
  }
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t' };

function unescaped(quoted: string): string {
  return quoted.replace(/\\(.)/gsu, (_all, character: string) => ESCAPES[character] ?? character);
}
