/**
 * How a user proves who he is: keys of an agent, keys in files, and, where there is a terminal to ask on, the
 * passphrase of a key or a password. Each is tried when its turn comes, and asked for once in a process.
 */
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { AnyAuthMethod, ParsedKey } from 'ssh2';
import { errnoOf, TransferError } from '../../core/errors.js';
import { showPath } from '../../platform/path-bytes.js';
import type { SftpAddress } from './address.js';
import { userFolder } from './config.js';
import { askSecret } from './prompt.js';

type Ssh = typeof import('ssh2');
type AuthWay = AnyAuthMethod['type'];

const USUAL_KEYS = ['id_ed25519', 'id_ecdsa', 'id_rsa'];
const ASKED_MAX = 3;
const KEY_FILE_BYTES_MAX = 64 * 1024;

/** What was typed in this process, by what it is for. Plain data: it goes along with the ref, and nowhere else. */
export type Secrets = Record<string, string>;

export interface AuthParts {
  readonly ssh: Ssh;
  readonly address: SftpAddress;
  readonly secrets: Secrets;
  /** Aborts when the server does not wait any longer. */
  readonly signal: AbortSignal;
}

/** Tries one way after the other; what was tried, and why something was not, is told where none succeeds. */
export class Authentication {
  readonly tried: string[] = [];
  /** The agent is asked something, and has not answered yet. */
  asksAgent = false;
  readonly #parts: AuthParts;
  readonly #ways: AsyncGenerator<AnyAuthMethod>;
  /** What the server takes; undefined until it says so. */
  #open: readonly AuthWay[] | undefined;

  constructor(parts: AuthParts) {
    this.#parts = parts;
    this.#ways = this.#allWays();
  }

  /** The next way; undefined: there is none left. */
  async next(open: readonly AuthWay[] | null): Promise<AnyAuthMethod | undefined> {
    if (open) this.#open = open;
    const { value, done } = await this.#ways.next();
    return done ? undefined : value;
  }

  async *#allWays(): AsyncGenerator<AnyAuthMethod> {
    const { ssh, address } = this.#parts;
    const { user: username } = address;
    yield { type: 'none', username };
    if (this.#takes('publickey')) {
      const files = keyFiles(address).map((path) => new KeyFile(ssh, path, this.#parts.secrets));
      for (const file of files) if (file.key) yield this.#key(file, file.key);
      if (address.agent !== undefined) {
        this.tried.push('the agent');
        const only = address.identitiesOnly ? files.flatMap((file) => file.publicKey() ?? []) : undefined;
        const agent = agentOf(ssh, address.agent, {
          only,
          onAsk: (asks) => {
            this.asksAgent = asks;
          },
        });
        yield { type: 'agent', username, agent };
      }
      for (const file of files) {
        const key = file.isLocked ? await this.#unlock(file) : undefined;
        if (key) yield this.#key(file, key);
        if (file.obstacle !== undefined) this.tried.push(file.obstacle);
      }
    }
    for (let n = 0; n < ASKED_MAX; n++) {
      const way = this.#takes('password') ? 'password' : 'keyboard-interactive';
      const password = this.#takes(way) ? await this.#password(n) : undefined;
      if (password === undefined) return;
      this.tried.push('a password');
      if (way === 'password') yield { type: way, username, password };
      else yield { type: way, username, prompt: answering(password) };
    }
  }

  #takes(way: AuthWay): boolean {
    return this.#open?.includes(way) ?? false;
  }

  #key(file: KeyFile, key: ParsedKey): AnyAuthMethod {
    this.tried.push(`the key ${showPath(file.path)}`);
    return { type: 'publickey', username: this.#parts.address.user, key };
  }

  async #unlock(file: KeyFile): Promise<ParsedKey | undefined> {
    const { secrets, signal } = this.#parts;
    for (let n = 0; n < ASKED_MAX; n++) {
      const passphrase = await askSecret(`Passphrase for ${showPath(file.path)}`, signal);
      if (passphrase === undefined) {
        this.tried.push(`not ${showPath(file.path)}, which has a passphrase, and there is no terminal to ask for it`);
        return undefined;
      }
      const key = file.parse(passphrase);
      if (!(key instanceof Error)) {
        secrets[file.secretName] = passphrase;
        return key;
      }
    }
    this.tried.push(`not ${showPath(file.path)}, whose passphrase was wrong`);
    return undefined;
  }

  async #password(nth: number): Promise<string | undefined> {
    const { address, secrets, signal } = this.#parts;
    const name = `password ${address.user}@${address.host}:${address.port}`;
    const known = secrets[name];
    if (nth === 0 && known !== undefined) return known;
    const typed = await askSecret(`Password of ${showPath(address.user)} at ${showPath(address.alias)}`, signal);
    if (typed !== undefined) secrets[name] = typed;
    return typed;
  }
}

function keyFiles({ identities }: SftpAddress): readonly string[] {
  if (identities.length > 0) return identities;
  return USUAL_KEYS.map((name) => join(userFolder(), name));
}

/** Questions that are to be answered with what is typed unseen, and no others. */
function answering(password: string): Extract<AnyAuthMethod, { type: 'keyboard-interactive' }>['prompt'] {
  return (_name, _instructions, _language, prompts, finish) =>
    finish(prompts.map(({ echo }) => (echo ? '' : password)));
}

interface AgentWishes {
  /** Of the keys that the agent holds these alone, where some were named. */
  readonly only: readonly Buffer[] | undefined;
  /** Told when the agent is asked, and when it has answered. */
  readonly onAsk: (asks: boolean) => void;
}

function agentOf(ssh: Ssh, socket: string, { only, onAsk }: AgentWishes): InstanceType<Ssh['OpenSSHAgent']> {
  const agent = new ssh.OpenSSHAgent(socket);
  const [getIdentities, sign] = [agent.getIdentities.bind(agent), agent.sign.bind(agent)];
  agent.getIdentities = (answer) => {
    onAsk(true);
    getIdentities((error, keys) => {
      onAsk(false);
      const isNamed = (key: ParsedKey): boolean => only?.some((one) => one.equals(key.getPublicSSH())) ?? true;
      answer(
        error,
        keys?.filter((key) => isNamed(key as ParsedKey)),
      );
    });
  };
  agent.sign = ((...asked: unknown[]) => {
    const answer = asked.pop() as (...answered: unknown[]) => void;
    onAsk(true);
    const heard = (...answered: unknown[]): void => {
      onAsk(false);
      answer(...answered);
    };
    return (sign as (...all: unknown[]) => boolean)(...asked, heard);
  }) as typeof agent.sign;
  return agent;
}

class KeyFile {
  readonly path: string;
  readonly secretName: string;
  readonly #ssh: Ssh;
  readonly #read: Buffer | string | undefined;
  readonly #key: ParsedKey | Error | undefined;

  constructor(ssh: Ssh, path: string, secrets: Secrets) {
    this.path = path;
    this.secretName = `key ${path}`;
    this.#ssh = ssh;
    this.#read = readKeyFile(path);
    // A passphrase is made slow to try on purpose: once is enough.
    if (Buffer.isBuffer(this.#read)) this.#key = this.parse(secrets[this.secretName]);
  }

  /** Undefined: there is none that can be used as it is. */
  get key(): ParsedKey | undefined {
    return this.#key instanceof Error ? undefined : this.#key;
  }

  get isLocked(): boolean {
    return this.#key instanceof Error && /passphrase/i.test(this.#key.message);
  }

  /** Why it cannot be used, and never will. */
  get obstacle(): string | undefined {
    if (typeof this.#read === 'string') return this.#read;
    if (!(this.#key instanceof Error) || this.isLocked) return undefined;
    return `not ${showPath(this.path)}, which is no private key in a form known here (ssh-keygen -p -f makes it one)`;
  }

  parse(passphrase?: string): ParsedKey | Error {
    const parsed = this.#ssh.utils.parseKey(this.#read ?? '', passphrase);
    if (parsed instanceof Error || parsed.isPrivateKey()) return parsed;
    return new Error('a public key');
  }

  /** From the file beside it, where the key itself is locked. */
  publicKey(): Buffer | undefined {
    if (this.key) return this.key.getPublicSSH();
    const bytes = readKeyFile(`${this.path}.pub`, { isPublic: true });
    const parsed = Buffer.isBuffer(bytes) ? this.#ssh.utils.parseKey(bytes) : undefined;
    return parsed === undefined || parsed instanceof Error ? undefined : parsed.getPublicSSH();
  }
}

/** Undefined: there is none. A string: why it is not used. */
function readKeyFile(path: string, { isPublic = false } = {}): Buffer | string | undefined {
  try {
    const { mode, size } = statSync(path);
    if (size > KEY_FILE_BYTES_MAX) return `not ${showPath(path)}, which is too large for a key`;
    if (!isPublic && (mode & 0o077) !== 0) return `not ${showPath(path)}, which others can read (chmod 600)`;
    return readFileSync(path);
  } catch (thrown) {
    if (errnoOf(thrown) === 'ENOENT') return undefined;
    return `not ${showPath(path)}, which cannot be read (${errnoOf(thrown) ?? String(thrown)})`;
  }
}

export function refusedAccess(
  name: string,
  { user, identities }: SftpAddress,
  tried: readonly string[],
): TransferError {
  const said = tried.length === 0 ? 'there was nothing to try' : `tried: ${tried.join('; ')}`;
  const missing = identities.length > 0 ? ` Keys that were named: ${identities.map(showPath).join(', ')}.` : '';
  return new TransferError('E_AUTH', `${name}: the server refuses access to ${showPath(user)} (${said})`, {
    hint: `Check the user name, add the key to an agent (ssh-add), or name its file with ?identity=FILE.${missing}`,
  });
}
