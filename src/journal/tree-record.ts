/** The records of a tree's journal: one line each, with a check of its own. */
import { crc32 } from 'node:zlib';
import type { Algorithm } from '../core/digest.js';
import type { FinishedFile } from '../core/tree.js';
import { encodePath } from '../platform/path-bytes.js';
import { CHANGE_BITS } from './done-table.js';

/** Of one line: paths may be longer than any path that the kernel takes. */
export const TREE_LINE_BYTES_MAX = 16 * 1024 * 1024;
const DIGEST_TEXT_MAX = 32 * 1024;
/** Before the time of the last change, at the end of a source's version in a tree. */
export const CHANGE = ' ctime ';

export interface Opened {
  readonly pid: number;
  readonly host: string;
  readonly at: number;
  readonly sync: boolean;
  /** Tells the partial files of this journal from those of any other, on this machine or another one. */
  readonly tag: string;
  readonly algorithm: Algorithm;
  readonly chunkBytes: number;
}

/** Of both ends of a file: they tell one record of a path from another. */
export type Versions = Pick<FinishedFile, 'path' | 'sourceVersion' | 'targetVersion'>;

export function versionsIn({ path, sourceVersion, targetVersion }: Versions): Versions {
  return { path, sourceVersion, targetVersion };
}

export type TreeRecord =
  | { readonly type: 'opened'; readonly opened: Opened }
  | { readonly type: 'begin'; readonly batch: string; readonly folders: readonly string[] }
  | { readonly type: 'end'; readonly batch: string }
  /** `boot`: it was not flushed, and does not outlive this start of the machine for sure. */
  | { readonly type: 'file'; readonly file: FinishedFile; readonly boot?: string }
  /** The digests of a large file, before its record. */
  | { readonly type: 'digests'; readonly path: string; readonly digests: string }
  /** The file did not get its name after all. */
  | ({ readonly type: 'void' } & Versions)
  /** A flush failed: what was recorded without one may be lost. */
  | { readonly type: 'doubt' }
  /** New folders that are writable until they are filled, and shall not stay so. */
  | { readonly type: 'restrict'; readonly folder: string; readonly mode: number }
  /** All folders that were to be restricted are. */
  | { readonly type: 'restricted' }
  /** Found to be the same at both ends, after what was never flushed might have been lost. */
  | {
      readonly type: 'sure';
      readonly path: string;
      readonly sourceVersion: string;
      readonly targetVersion: string;
      readonly boot?: string;
    }
  /** All that was recorded in this start of the machine is durable. */
  | { readonly type: 'synced'; readonly boot: string };

export function keyOf(hash: (bytes: Uint8Array) => bigint, path: string): bigint {
  const bytes = encodePath(path);
  return hash(typeof bytes === 'string' ? Buffer.from(bytes) : bytes);
}

/**
 * The versions of both ends as one value: the low bits tell when anything about the source was changed (ctime), the
 * others all the rest. Times of modification can be put back; that one cannot.
 */
export function versionsOf(hash: (bytes: Uint8Array) => bigint, sourceVersion: string, targetVersion: string): bigint {
  const [version, change] = sourceVersion.split(CHANGE);
  const rest = hash(Buffer.from(`${version}\n${targetVersion}`)) & ~CHANGE_BITS;
  return change === undefined ? rest : rest | (hash(Buffer.from(change)) & CHANGE_BITS) | 1n;
}

/** A line has to stay short enough to be read back. */
function split(record: TreeRecord): TreeRecord[] {
  if (record.type !== 'file' || record.file.digests.length <= DIGEST_TEXT_MAX) return [record];
  const { path, digests } = record.file;
  const pieces: TreeRecord[] = [];
  for (let at = 0; at < digests.length; at += DIGEST_TEXT_MAX) {
    pieces.push({ type: 'digests', path, digests: digests.slice(at, at + DIGEST_TEXT_MAX) });
  }
  return [...pieces, { type: 'file', file: { ...record.file, digests: '' } }];
}

export function encode(record: TreeRecord): string {
  return split(record).map(line).join('');
}

function line(record: TreeRecord): string {
  const { type, ...fields } = record;
  const body = `${type} ${JSON.stringify(fields)}`;
  return `${crc32(body).toString(16).padStart(8, '0')} ${body}\n`;
}

/** Undefined for a damaged line. */
export function decode(text: string): TreeRecord | undefined {
  const whole = text.replace(/^\0+/, '');
  const body = whole.slice(9);
  if (whole[8] !== ' ' || crc32(body) !== Number.parseInt(whole.slice(0, 8), 16)) return undefined;
  const space = body.indexOf(' ');
  return { type: body.slice(0, space), ...JSON.parse(body.slice(space + 1)) } as TreeRecord;
}
