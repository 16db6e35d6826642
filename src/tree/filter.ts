/**
 * Which files of a tree are meant. A pattern without a slash is a name, at any depth; one with a slash is a path below
 * the source. What is excluded stays out with all below it; with an include, only what matches one, or lies in a folder
 * that does, is copied.
 */
import picomatch from 'picomatch';
import { TransferError } from '../core/errors.js';

interface Matcher {
  readonly pattern: string;
  matches(path: string, name: string): boolean;
  /** Something matched it. */
  used: boolean;
}

export class Filter {
  readonly #includes: readonly Matcher[];
  readonly #excludes: readonly Matcher[];

  /** @throws TransferError E_USAGE for a pattern that cannot be read */
  constructor(include: readonly string[] = [], exclude: readonly string[] = []) {
    this.#includes = include.map((pattern) => matcher('--include', pattern));
    this.#excludes = exclude.map((pattern) => matcher('--exclude', pattern));
  }

  /** Only part of the tree is meant, so that folders are made when something in them is copied. */
  get selects(): boolean {
    return this.#includes.length > 0;
  }

  excludes(path: string): boolean {
    return this.#excludes.length > 0 && matches(this.#excludes, path);
  }

  /** `inside`: a folder above was included as a whole. */
  includes(path: string, inside: boolean): boolean {
    const matched = matches(this.#includes, path);
    return inside || this.#includes.length === 0 || matched;
  }

  /** The patterns of what is to be included that nothing has matched. */
  get unused(): readonly string[] {
    return this.#includes.filter(({ used }) => !used).map(({ pattern }) => pattern);
  }
}

function matches(matchers: readonly Matcher[], path: string): boolean {
  const name = path.slice(path.lastIndexOf('/') + 1);
  let matched = false;
  for (const matcher of matchers) {
    if (matched && matcher.used) continue;
    if (!matcher.matches(path, name)) continue;
    matched = true;
    matcher.used = true;
  }
  return matched;
}

function matcher(option: string, pattern: string): Matcher {
  const plain = pattern.replace(/\/+$/, '');
  if (plain === '' || plain.length > 4096) {
    throw new TransferError('E_USAGE', `${option}: ${JSON.stringify(pattern)} matches nothing`, {
      hint: 'Write a name such as "*.tmp", or a path below the source such as "logs/**".',
    });
  }
  const anchored = plain.includes('/');
  const match = picomatch(plain.replace(/^\//, ''), { dot: true, nonegate: true });
  const matches = (path: string, name: string): boolean => match(anchored ? path : name);
  return { pattern, matches, used: false };
}
