/**
 * Who may do what: a token for each client, of which only the hash is kept. The file is looked at again for every
 * request, so that a token that was removed is refused from then on.
 */
import { randomBytes } from 'node:crypto';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { sha256Hex } from '../core/digest.js';
import { errnoOf, TransferError } from '../core/errors.js';
import type { Place, Right } from '../core/peer-wire.js';
import { count, listOf, object, oneOf, type Shaped, text } from '../core/shape.js';
import { assertPrivate, changePrivately, writePrivately } from '../platform/private-file.js';

const TOKENS_MAX = 10_000;
/** As in `bft_` and 43 characters of base64url: easy to find where it does not belong. */
const PREFIX = 'bft_';

/**
 * `read` and `write`: what peers may do in the roots. `vm`: bring machines to here and run them, from files in roots
 * that they may write to. `jobs`: make jobs here, and see and change those. `admin`: see and change all jobs and the
 * policy.
 */
export const TOKEN_RIGHTS = ['read', 'write', 'vm', 'jobs', 'admin'] as const;
export type TokenRight = (typeof TOKEN_RIGHTS)[number];

const tokenShape = object(
  {
    name: text(64, /^[\w.@-]+$/),
    hash: text(64, /^[0-9a-f]{64}$/),
    rights: listOf(oneOf(...TOKEN_RIGHTS), TOKEN_RIGHTS.length),
    /** Milliseconds since 1970. */
    createdAt: count(),
  },
  {
    /** Absent: all of them. */
    roots: listOf(text(255), 1000),
    expiresAt: count(),
  },
);
const fileShape = object({ tokens: listOf(tokenShape, TOKENS_MAX) });

/** Whoever has it may do what its rights say; with `only`, with that one file. */
export type TokenEntry = Shaped<typeof tokenShape> & { readonly only?: Place };

export function tokensPath(folder: string): string {
  return join(folder, 'tokens.json');
}

/** @throws TransferError E_AUTH where others may read the file, E_USAGE where it is damaged */
export function readTokens(folder: string): readonly TokenEntry[] {
  const path = tokensPath(folder);
  const content = assertPrivate(path);
  if (content === undefined) return [];
  try {
    return fileShape(JSON.parse(content.toString('utf8'))).tokens;
  } catch (cause) {
    throw new TransferError('E_USAGE', `${path} cannot be read as the list of tokens`, {
      hint: 'Mend it, or remove it and make the tokens anew with `blockferry serve token add`.',
      cause,
    });
  }
}

function writeTokens(folder: string, tokens: readonly TokenEntry[]): void {
  writePrivately(tokensPath(folder), `${JSON.stringify({ tokens }, undefined, 2)}\n`);
}

/** Answers the token, which is told this once and kept nowhere. @throws TransferError E_USAGE: the name is taken */
export function addToken(folder: string, entry: Omit<TokenEntry, 'hash'>): Promise<string> {
  return changePrivately(tokensPath(folder), () => {
    const tokens = readTokens(folder);
    if (tokens.some(({ name }) => name === entry.name)) {
      throw new TransferError('E_USAGE', `there is a token for ${entry.name} already`, {
        hint: 'Remove it first, or choose another name.',
      });
    }
    const token = PREFIX + randomBytes(32).toString('base64url');
    writeTokens(folder, [...tokens, { ...entry, hash: sha256Hex(Buffer.from(token)) }]);
    return token;
  });
}

/** @throws TransferError E_USAGE where there is none of that name */
export function removeToken(folder: string, name: string): Promise<void> {
  return changePrivately(tokensPath(folder), () => {
    const tokens = readTokens(folder);
    const left = tokens.filter((token) => token.name !== name);
    if (left.length === tokens.length) {
      throw new TransferError('E_USAGE', `there is no token for ${name}`, { hint: 'See: blockferry serve token list' });
    }
    writeTokens(folder, left);
  });
}

/** The tokens as the file has them now. */
export class TokenBook {
  readonly #folder: string;
  #seen = '';
  #byHash: ReadonlyMap<string, TokenEntry> = new Map();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Whose token it is. A hash is looked up, not the token: how long that takes tells nothing of it. */
  find(hash: string, nowMs: number): TokenEntry | undefined {
    this.#refresh();
    const entry = this.#byHash.get(hash);
    return entry && (entry.expiresAt === undefined || nowMs < entry.expiresAt) ? entry : undefined;
  }

  /** The token that has this name, for whoever has shown it before. */
  named(name: string, nowMs: number): TokenEntry | undefined {
    this.#refresh();
    for (const entry of this.#byHash.values()) if (entry.name === name) return this.find(entry.hash, nowMs);
    return undefined;
  }

  #refresh(): void {
    const seen = this.#look();
    if (seen === this.#seen) return;
    this.#byHash = new Map(readTokens(this.#folder).map((entry) => [entry.hash, entry]));
    this.#seen = seen;
  }

  /** Each change is a new file, so the inode tells it too. */
  #look(): string {
    try {
      const { ino, size, mtimeNs, ctimeNs } = statSync(tokensPath(this.#folder), { bigint: true });
      return `${ino} ${size} ${mtimeNs} ${ctimeNs}`;
    } catch (thrown) {
      if (errnoOf(thrown) === 'ENOENT') return 'none';
      throw thrown;
    }
  }
}

/** `path` absent: whatever it is in that root. */
export function mayUse({ rights, roots, only }: TokenEntry, root: string, right: Right, path?: string): boolean {
  if (only && (only.root !== root || only.path !== path || right !== 'read')) return false;
  return rights.includes(right) && (roots === undefined || roots.includes(root));
}
