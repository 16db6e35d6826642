/**
 * Verifies a batch of files below a folder, one after the other, on a worker: small ones cost little more than their
 * bytes. No symbolic link below the folder is followed, so that nothing outside of it is read.
 */
import { lstatSync, readlinkSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type ByteRange, ChunkGrid } from '../core/chunk.js';
import { type Algorithm, DIGEST_BYTES, type Digest, type Hasher, sameBytes, zeroDigest } from '../core/digest.js';
import type { Location, Source } from '../core/endpoint.js';
import { errnoOf, TransferError } from '../core/errors.js';
import { decodePath, encodePath, showPath } from '../platform/path-bytes.js';
import { compareChunk } from './compare-chunk.js';
import { mapExtents } from './extent-map.js';
import { type ChunkHost, hashRange } from './hash-range.js';
import { type FileFinding, type FileProblem, type FileToVerify, MAP, type VerifyFilesTask } from './requests.js';

export interface VerifyFilesParts {
  readonly open: (location: Location) => Promise<Source>;
  readonly host: (algorithm: Algorithm) => Promise<ChunkHost>;
}

/** @throws TransferError E_STOPPED; whatever is wrong with a file is an answer */
export async function verifyFiles(task: VerifyFilesTask, parts: VerifyFilesParts): Promise<FileFinding[]> {
  const findings: FileFinding[] = [];
  const target = new Inside(task.folder);
  const other = task.otherFolder === undefined ? undefined : new Inside(task.otherFolder);
  for (const [at, file] of task.files.entries()) {
    const problem = await verifyFile(file, { target, other, blockBytes: task.blockBytes }, parts).catch(problemOf);
    if (problem) findings.push({ at, ...problem });
  }
  return findings;
}

/** A file that cannot be read is an answer too; a stop is none, and a bug of ours is none. */
function problemOf(thrown: unknown): FileProblem {
  const error = TransferError.from(thrown);
  if (error.code === 'E_STOPPED' || (error.code === 'E_BUG' && errnoOf(thrown) === undefined)) throw error;
  return { problem: 'unreadable', reason: error.code === 'E_BUG' ? String(errnoOf(thrown)) : error.message };
}

interface Where {
  readonly target: Inside;
  readonly other: Inside | undefined;
  readonly blockBytes: number;
}

async function verifyFile(file: FileToVerify, where: Where, parts: VerifyFilesParts): Promise<FileProblem | undefined> {
  const kind = where.target.kindOf(file.path);
  if (kind === 'nothing') return { problem: 'missing' };
  if (kind !== (file.link ? 'a symbolic link' : 'a file')) return { problem: 'kind', reason: `it is ${kind}` };
  if (file.link) return verifyLink(file, where);
  const source = await openFile(where.target, file.path, parts);
  try {
    if (source.size !== file.size) return { problem: 'size', size: source.size, expectedSize: file.size };
    const differing = where.other
      ? await differingBytes(file, source, where, parts)
      : await differingChunks(file, source, where.blockBytes, parts);
    return differing.length === 0 ? undefined : { problem: 'different', differing };
  } finally {
    await source.close();
  }
}

function openFile(folder: Inside, path: string, parts: VerifyFilesParts): Promise<Source> {
  const text = folder.pathOf(path);
  return parts.open({ scheme: 'file', text, name: showPath(text) });
}

function verifyLink({ path }: FileToVerify, { target, other }: Where): FileProblem | undefined {
  const [held, wanted] = [target, other ?? target].map((folder) => {
    return readlinkSync(encodePath(folder.pathOf(path)), 'buffer');
  }) as [Buffer, Buffer];
  return held.equals(wanted) ? undefined : { problem: 'kind', reason: `it leads to ${showPath(decodePath(held))}` };
}

async function differingChunks(
  { size, range, digests }: FileToVerify,
  source: Source,
  blockBytes: number,
  parts: VerifyFilesParts,
): Promise<ByteRange[]> {
  if (!digests) return [];
  const { algorithm, chunkBytes, bytes } = digests;
  const host = await parts.host(algorithm);
  const grid = new ChunkGrid(size, chunkBytes);
  const differing: ByteRange[] = [];
  const digestBytes = DIGEST_BYTES[algorithm];
  const map = source.extents && (await mapExtents(source.extents(range, host.signal), range, chunkBytes));
  for (let nth = 0; nth * digestBytes < bytes.length; nth++) {
    const chunk = grid.range(grid.at(range.offset) + nth);
    const about = { length: chunk.length, blockBytes, of: 'source' } as const;
    const hole = map?.[nth] === MAP.zero;
    const digest = hole
      ? zeroesOf(host.newHasher, algorithm, chunk.length)
      : (await hashRange(source.openChunk(chunk, host.signal), about, host)).digest;
    if (hole) host.control.add('readBytes', BigInt(chunk.length));
    if (!sameBytes(digest, bytes.subarray(nth * digestBytes, (nth + 1) * digestBytes))) differing.push(chunk);
  }
  return differing;
}

async function differingBytes(
  { path, range }: FileToVerify,
  one: Source,
  { other, blockBytes }: Where,
  parts: VerifyFilesParts,
): Promise<readonly ByteRange[]> {
  const source = await openFile(other as Inside, path, parts);
  try {
    return (await compareChunk(range, { one, other: source, blockBytes }, await parts.host('xxh64'))).differing;
  } finally {
    await source.close();
  }
}

let lastZero: { readonly name: string; readonly digest: Digest } | undefined;

/** Holes come in rows, and most of them are chunks of one length. */
function zeroesOf(newHasher: () => Hasher, algorithm: Algorithm, length: number): Digest {
  const name = `${algorithm} ${length}`;
  if (lastZero?.name !== name) lastZero = { name, digest: zeroDigest(newHasher, length) };
  return lastZero.digest;
}

type Kind = 'nothing' | 'a file' | 'a folder' | 'a symbolic link' | 'a special file' | 'behind a symbolic link';

/** The files of a folder, each reached by folders only. */
class Inside {
  readonly #folder: string;
  #parent: { readonly path: string; readonly kind: Kind } | undefined;

  constructor(folder: string) {
    this.#folder = realPath(folder);
  }

  pathOf(path: string): string {
    return join(this.#folder, path);
  }

  kindOf(path: string): Kind {
    const whole = this.pathOf(path);
    const parent = dirname(whole);
    if (this.#parent?.path !== parent) this.#parent = { path: parent, kind: this.#kindOfFolder(parent) };
    if (this.#parent.kind !== 'a folder') return this.#parent.kind;
    const stat = lstatSync(encodePath(whole), { throwIfNoEntry: false });
    if (!stat) return 'nothing';
    if (stat.isFile()) return 'a file';
    if (stat.isDirectory()) return 'a folder';
    return stat.isSymbolicLink() ? 'a symbolic link' : 'a special file';
  }

  #kindOfFolder(path: string): Kind {
    try {
      if (realPath(path) !== path) return 'behind a symbolic link';
      return lstatSync(encodePath(path)).isDirectory() ? 'a folder' : 'nothing';
    } catch (thrown) {
      if (errnoOf(thrown) === 'ENOENT' || errnoOf(thrown) === 'ENOTDIR') return 'nothing';
      if (errnoOf(thrown) === 'ELOOP') return 'behind a symbolic link';
      throw thrown;
    }
  }
}

function realPath(path: string): string {
  return decodePath(realpathSync.native(encodePath(path), 'buffer'));
}
