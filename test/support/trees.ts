/**
 * What tests of tree copies share: folders with known content, what a tree holds told as plain data, and copies through
 * the public API, with a journal folder of the test's own.
 */
import { createHash } from 'node:crypto';
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import { type CopyTreeOptions, copyTree, type TransferEvent, type TreeResult } from '../../src/index.js';

export interface TreeFolders {
  readonly folder: string;
  /** Exists, and is empty. */
  readonly source: string;
  /** Does not exist yet. */
  readonly target: string;
  readonly state: string;
}

/** A folder of its own, gone after the test; journals are kept in it from now on. */
export function treeFolders(within = tmpdir()): TreeFolders {
  const folder = mkdtempSync(join(within, 'blockferry-tree-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const [source, target, state] = ['source', 'target', 'state'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  mkdirSync(source);
  process.env.BLOCKFERRY_STATE = state;
  return { folder, source, target, state };
}

/** Content of files by their paths; a path with `/` at its end is an empty folder, `->` in front of text a link. */
export type Content = Readonly<Record<string, string | Buffer>>;

export function writeTree(root: string, content: Content): void {
  for (const [path, bytes] of Object.entries(content)) {
    const whole = join(root, path);
    mkdirSync(path.endsWith('/') ? whole : dirname(whole), { recursive: true });
    if (path.endsWith('/')) continue;
    if (typeof bytes === 'string' && bytes.startsWith('->')) symlinkSync(bytes.slice(2), whole);
    else writeFileSync(whole, bytes);
  }
}

export const SAMPLE: Content = {
  'one.txt': 'one',
  empty: '',
  'sub/two.txt': 'two two',
  'sub/deep/three.txt': 'three three three',
  'sub/link': '->../one.txt',
  'hollow/': '',
};

export interface Entry {
  readonly kind: 'file' | 'folder' | 'link' | 'other';
  readonly mode: string;
  /** Hash of the bytes, or where a link leads. */
  readonly content: string;
  /** With `times` only. */
  readonly changed?: string;
}

/** All below a folder, by path; names that are not UTF-8 as latin1. The folder itself is `.`. */
export function listing(root: string, { times = false, modes = true } = {}): Record<string, Entry> {
  const found: Record<string, Entry> = {};
  const visit = (path: Buffer, name: string): void => {
    const stat = lstatSync(path, { bigint: true });
    const kind = stat.isFile() ? 'file' : stat.isDirectory() ? 'folder' : stat.isSymbolicLink() ? 'link' : 'other';
    const hash = (): string => createHash('sha256').update(readFileSync(path)).digest('hex').slice(0, 16);
    found[name] = {
      kind,
      mode: modes && kind !== 'link' ? (stat.mode & 0o7777n).toString(8) : '',
      content: kind === 'file' ? `${stat.size} ${hash()}` : kind === 'link' ? readlinkSync(path, 'latin1') : '',
      ...(times && { changed: `${stat.mtimeNs} ${stat.ctimeNs} ${stat.ino}` }),
    };
    if (kind !== 'folder') return;
    for (const child of readdirSync(path, { encoding: 'buffer' })) {
      const text = child.toString('latin1');
      visit(Buffer.concat([path, Buffer.from('/'), child]), name === '.' ? text : `${name}/${text}`);
    }
  };
  visit(Buffer.from(root), '.');
  return found;
}

/** The target holds what the source holds, and nothing of Blockferry's. */
export function expectSameTree(source: string, target: string, about = ''): void {
  const [expected, found] = [listing(source), listing(target)];
  delete expected['.'];
  delete found['.'];
  expect(found, about).toEqual(expected);
}

/** Paths below the folder that only an unfinished copy may leave. */
export function leftBelow(root: string): string[] {
  return readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((name) => name.includes('blockferry'));
}

export type TreeOptions = Partial<CopyTreeOptions> & Pick<CopyTreeOptions, 'sources' | 'target'>;

export async function copyTreeNow(options: TreeOptions): Promise<TreeResult> {
  return copyTree({ recursive: true, workers: 2, ...options }).result;
}

/** The result, and what was told on the way. */
export async function copyTreeTold(options: TreeOptions): Promise<{ result: TreeResult; events: TransferEvent[] }> {
  const run = copyTree({ recursive: true, workers: 2, ...options });
  const events: TransferEvent[] = [];
  for await (const event of run) events.push(event);
  return { result: await run.result, events };
}

/** What became of the files that were not copied: their codes by their paths. */
export function troubles({ failures }: TreeResult): Record<string, string> {
  return Object.fromEntries(failures.map(({ path, state, error }) => [path, `${state} ${error.code}`]));
}
