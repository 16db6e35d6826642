/**
 * What a manifest says: of each file of a copy its path, its size and the digests of its chunks, in lines of JSON. Each
 * line is bounded, so that it is read and written as a stream; the last one vouches for all others. The format is
 * described for strangers in docs/manifest.md.
 */
import { isUtf8 } from 'node:buffer';
import { CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, CHUNK_COUNT_MAX } from '../core/chunk.js';
import { type Algorithm, DIGEST_BYTES, sameBytes, toHex } from '../core/digest.js';
import type { ProofLevel } from '../core/events.js';
import { KiB } from '../core/units.js';
import { decodePath, encodePath } from '../platform/path-bytes.js';

export const MANIFEST_FORMAT = 'blockferry-manifest';
const MANIFEST_VERSION = 1;
export const FIRST_LINE = `${JSON.stringify({ format: MANIFEST_FORMAT, version: MANIFEST_VERSION })}\n`;
/** Digests in one line, and in one piece of what is read. */
export const LINE_CHUNKS_MAX = 4096;
/** Longer lines are damage: 4096 SHA-256 digests in hex are 256 KiB. */
export const LINE_BYTES_MAX = 320 * KiB;
/** Linux's PATH_MAX. */
const PATH_BYTES_MAX = 4096;
/** A backslash is not allowed in a manifest, where other systems would take it for a separator. */
const BACKSLASH_ESCAPE = '\udc5c';
/** With the `u` flag it matches only where it stands alone, never as half of an emoji. */
const ESCAPED_BACKSLASH = /\udc5c/gu;

export interface ManifestFile {
  /** Relative to the target folder; of a single file its name. Bytes that are no UTF-8 as in platform/path-bytes. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  readonly chunkBytes: number;
  readonly algorithm: Algorithm;
  readonly proof: ProofLevel;
  /** The hash over all chunk digests, in hex. */
  readonly root: string;
  /** Size and digests are of what a guest sees of the disk. Absent: of the file itself. */
  readonly of?: 'content';
}

export type ManifestLine =
  | { readonly type: 'first' }
  | { readonly type: 'file'; readonly file: ManifestFile }
  | { readonly type: 'digests'; readonly chunk: number; readonly digests: Uint8Array }
  | { readonly type: 'run'; readonly chunk: number; readonly count: number; readonly digest: Uint8Array }
  | { readonly type: 'total'; readonly total: ManifestTotal };

export interface ManifestTotal {
  readonly files: number;
  readonly bytes: number;
  /** SHA-256 over all lines before, newlines included, in hex. */
  readonly sha256: string;
}

export function encodeFile({ path, size, chunkBytes, algorithm, proof, root, of }: ManifestFile): string {
  const written = path.replaceAll('\\', BACKSLASH_ESCAPE);
  return `${JSON.stringify({ path: written, size, chunkBytes, algorithm, proof, root, of })}\n`;
}

export function encodeTotal({ files, bytes, sha256 }: ManifestTotal): string {
  return `${JSON.stringify({ files, bytes, sha256 })}\n`;
}

/** The lines of a file's digests; of chunks that repeat, such as those of a hole, the digest is written once. */
export function* encodeDigests(digests: Uint8Array, algorithm: Algorithm): Generator<string> {
  const bytes = DIGEST_BYTES[algorithm];
  const count = digests.length / bytes;
  const digest = (chunk: number): Uint8Array => digests.subarray(chunk * bytes, (chunk + 1) * bytes);
  for (let from = 0, to = 0; from < count; from = to) {
    to = from + runLength(digest, from, count);
    if (to > from + 1) {
      yield `${JSON.stringify({ chunk: from, count: to - from, digest: toHex(digest(from)) })}\n`;
      continue;
    }
    while (to < count && to - from < LINE_CHUNKS_MAX && runLength(digest, to, Math.min(count, to + 2)) === 1) to++;
    yield `${JSON.stringify({ chunk: from, digests: toHex(digests.subarray(from * bytes, to * bytes)) })}\n`;
  }
}

function runLength(digest: (chunk: number) => Uint8Array, from: number, end: number): number {
  let to = from + 1;
  while (to < end && sameBytes(digest(to), digest(from))) to++;
  return to - from;
}

/** One line without its newline, or what is wrong with it, as the end of a sentence. */
export function decodeLine(line: Uint8Array): ManifestLine | string {
  const fields = fieldsOf(line);
  if (fields === undefined) return 'is not a JSON object';
  if ('format' in fields) return decodeFirst(fields);
  if ('path' in fields) return decodeFile(fields);
  if ('chunk' in fields) return decodeDigests(fields);
  if ('files' in fields) return decodeTotal(fields);
  return 'is of no known kind';
}

type Fields = Readonly<Record<string, unknown>>;

function fieldsOf(line: Uint8Array): Fields | undefined {
  if (!isUtf8(line)) return undefined;
  try {
    const value: unknown = JSON.parse(Buffer.from(line.buffer, line.byteOffset, line.length).toString());
    return typeof value === 'object' && value !== null ? (value as Fields) : undefined;
  } catch (thrown) {
    if (thrown instanceof SyntaxError) return undefined;
    throw thrown;
  }
}

function decodeFirst({ format, version }: Fields): ManifestLine | string {
  if (format !== MANIFEST_FORMAT) return 'names another format';
  if (version === MANIFEST_VERSION) return { type: 'first' };
  return `says version ${JSON.stringify(version)}; this Blockferry knows version ${MANIFEST_VERSION}`;
}

function decodeFile({ path: written, size, chunkBytes, algorithm, proof, root, of }: Fields): ManifestLine | string {
  if (typeof written !== 'string') return 'has a path that is no text';
  if (written.includes('\\')) return 'has a path with a backslash';
  const path = written.replace(ESCAPED_BACKSLASH, '\\');
  const wrong = whyNoPath(path);
  if (wrong !== undefined) return `has a path that ${wrong}: ${JSON.stringify(written.slice(0, 200))}`;
  if (!isCount(size)) return 'has no size';
  const bounded = isCount(chunkBytes) && (chunkBytes <= CHUNK_BYTES_MAX || chunkBytes === size);
  if (!bounded || chunkBytes < CHUNK_BYTES_MIN) return 'has no chunk size';
  if (size / chunkBytes > CHUNK_COUNT_MAX) return `speaks of more than ${CHUNK_COUNT_MAX} chunks`;
  if (!isAlgorithm(algorithm)) return `has an unknown algorithm: ${JSON.stringify(algorithm)?.slice(0, 80)}`;
  if (proof !== 'written' && proof !== 'read-back') return 'has no proof level';
  if (!isHex(root) || root.length !== DIGEST_BYTES[algorithm] * 2) return 'has no root';
  if (of !== undefined && of !== 'content') return 'has digests of neither a file nor the content of a disk';
  return { type: 'file', file: { path, size, chunkBytes, algorithm, proof, root, ...(of && { of }) } };
}

/** What is wrong with a path as the end of a sentence; undefined when it stays inside the folder it is put into. */
export function whyNoPath(path: string): string | undefined {
  if (path.startsWith('/')) return 'is absolute';
  if (path.includes('\0')) return 'has a NUL';
  const parts = path.split('/');
  if (parts.includes('')) return 'has an empty part';
  if (parts.includes('..') || parts.includes('.')) return 'has a part "." or ".."';
  const bytes = Buffer.from(encodePath(path));
  if (bytes.length > PATH_BYTES_MAX) return `is longer than ${PATH_BYTES_MAX} bytes`;
  // Otherwise one name could be written in several ways.
  return decodePath(bytes) === path ? undefined : 'is not written in the one right way';
}

function decodeDigests({ chunk, count, digest, digests }: Fields): ManifestLine | string {
  if (!isCount(chunk)) return 'has no chunk number';
  if (isHex(digests) && digests !== '') return { type: 'digests', chunk, digests: fromHex(digests) };
  if (!isHex(digest)) return 'has no digests';
  if (!isCount(count) || count === 0) return 'has no count of chunks';
  return { type: 'run', chunk, count, digest: fromHex(digest) };
}

function decodeTotal({ files, bytes, sha256 }: Fields): ManifestLine | string {
  if (!isCount(files) || !isCount(bytes) || !isHex(sha256)) return 'is no total';
  return { type: 'total', total: { files, bytes, sha256 } };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isAlgorithm(value: unknown): value is Algorithm {
  return typeof value === 'string' && Object.hasOwn(DIGEST_BYTES, value);
}

function isHex(value: unknown): value is string {
  return typeof value === 'string' && value.length % 2 === 0 && /^[0-9a-f]*$/.test(value);
}

function fromHex(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex, 'hex'));
}
