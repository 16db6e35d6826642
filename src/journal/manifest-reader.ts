/**
 * Reads a manifest as a stream. It may come from anywhere: every line is bounded and checked, no path leads out of the
 * folder it is applied to, and whoever has read to the end knows that nothing is missing or damaged.
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { DIGEST_BYTES, loadHash64 } from '../core/digest.js';
import { errnoOf, TransferError } from '../core/errors.js';
import { KiB } from '../core/units.js';
import { encodePath, showPath } from '../platform/path-bytes.js';
import { HashSet } from './hash-set.js';
import {
  decodeLine,
  LINE_BYTES_MAX,
  LINE_CHUNKS_MAX,
  type ManifestFile,
  type ManifestLine,
  type ManifestTotal,
} from './manifest.js';
import { keyOf } from './tree-record.js';

const { O_NONBLOCK, O_RDONLY } = constants;
const READ_BYTES = 256 * KiB;
const NEWLINE = 0x0a;

/** A file, then its digests in order and without gaps, at most 4096 a piece; and after all files the total. */
export type ManifestItem =
  | { readonly type: 'file'; readonly file: ManifestFile }
  | { readonly type: 'digests'; readonly chunk: number; readonly digests: Uint8Array }
  | { readonly type: 'total'; readonly total: ManifestTotal };

/**
 * What a manifest says, item by item. What comes before the total may still turn out to be cut off or damaged.
 * @throws TransferError E_MANIFEST when it is damaged or hostile, E_SOURCE_MISSING, E_SOURCE_ACCESS, E_SOURCE_READ
 */
export async function* readManifest(path: string): AsyncGenerator<ManifestItem> {
  for await (const items of readBlocks(path)) for (const item of items) yield item;
}

/** Reads all of it for its total: that it is whole is known before hours are spent on it. @throws TransferError */
export async function checkManifest(path: string): Promise<ManifestTotal> {
  let total: ManifestTotal | undefined;
  for await (const items of readBlocks(path)) for (const item of items) if (item.type === 'total') total = item.total;
  return total as ManifestTotal;
}

/** The items of each block that is read, to be gone through before the next. */
async function* readBlocks(path: string): AsyncGenerator<Iterable<ManifestItem>> {
  const handle = await openManifest(path);
  try {
    const state = new ReadState(path, await loadHash64());
    for (;;) {
      const block = Buffer.allocUnsafe(READ_BYTES);
      const { bytesRead } = await handle.read(block, 0, block.length, null);
      if (bytesRead === 0) break;
      yield state.block(block.subarray(0, bytesRead));
    }
    state.end();
  } catch (thrown) {
    throw readError(path, thrown);
  } finally {
    await handle.close();
  }
}

async function openManifest(path: string): Promise<FileHandle> {
  let handle: FileHandle | undefined;
  try {
    // O_NONBLOCK, so that a pipe does not hold us up.
    handle = await open(encodePath(path), O_RDONLY | O_NONBLOCK);
    if ((await handle.stat()).isFile()) return handle;
  } catch (thrown) {
    throw readError(path, thrown);
  }
  await handle.close();
  throw new TransferError('E_SOURCE_KIND', `${showPath(path)} is not a file; a manifest was expected`, {
    hint: 'Give the file that copy --manifest wrote.',
  });
}

class ReadState {
  readonly #path: string;
  readonly #hash = createHash('sha256');
  readonly #hash64: (bytes: Uint8Array) => bigint;
  readonly #paths = new HashSet();
  #rest: Buffer = Buffer.alloc(0);
  #number = 0;
  #file: ManifestFile | undefined;
  #chunk = 0;
  #files = 0;
  #bytes = 0;
  #ended = false;

  constructor(path: string, hash64: (bytes: Uint8Array) => bigint) {
    this.#path = path;
    this.#hash64 = hash64;
  }

  *block(bytes: Buffer): Generator<ManifestItem> {
    const text = Buffer.concat([this.#rest, bytes]);
    let from = 0;
    for (let to = text.indexOf(NEWLINE); to >= 0; to = text.indexOf(NEWLINE, from)) {
      this.#number++;
      if (to - from > LINE_BYTES_MAX) throw this.#wrong('is too long');
      yield* this.#line(text.subarray(from, to + 1));
      from = to + 1;
    }
    this.#rest = text.subarray(from);
    if (this.#rest.length > LINE_BYTES_MAX) throw damaged(this.#path, this.#number + 1, 'is too long');
  }

  *#line(bytes: Uint8Array): Generator<ManifestItem> {
    const line = decodeLine(bytes.subarray(0, -1));
    if (typeof line === 'string') throw this.#wrong(line);
    if (this.#ended) throw this.#wrong('stands behind the total');
    if ((line.type === 'first') !== (this.#number === 1)) throw this.#wrong('stands where it must not stand');
    if (line.type === 'total') yield { type: 'total', total: this.#total(line.total) };
    else if (line.type === 'file') yield { type: 'file', file: this.#begin(line.file) };
    else if (line.type !== 'first') yield* this.#digests(line);
    this.#hash.update(bytes);
  }

  #begin(file: ManifestFile): ManifestFile {
    this.#assertComplete();
    // Otherwise one file could stand for two, and hide one that nobody listed.
    if (!this.#paths.add(keyOf(this.#hash64, file.path))) throw this.#wrong('names a file for the second time');
    this.#file = file;
    this.#chunk = 0;
    this.#files++;
    this.#bytes += file.size;
    return file;
  }

  *#digests(line: ManifestLine & { readonly type: 'digests' | 'run' }): Generator<ManifestItem> {
    if (!this.#file) throw this.#wrong('has digests of no file');
    const digestBytes = DIGEST_BYTES[this.#file.algorithm];
    const given = line.type === 'run' ? line.digest.length : line.digests.length;
    const count = line.type === 'run' ? line.count : given / digestBytes;
    if (line.type === 'run' ? given !== digestBytes : !Number.isInteger(count) || count > LINE_CHUNKS_MAX)
      throw this.#wrong('has digests of a wrong length');
    if (line.chunk !== this.#chunk) throw this.#wrong(`speaks of chunk ${line.chunk}, where ${this.#chunk} is next`);
    if (count > this.#left) throw this.#wrong('has more digests than the file has chunks');
    for (let done = 0; done < count; done += LINE_CHUNKS_MAX) {
      const chunk = this.#chunk + done;
      const length = Math.min(LINE_CHUNKS_MAX, count - done);
      yield { type: 'digests', chunk, digests: line.type === 'run' ? repeated(line.digest, length) : line.digests };
    }
    this.#chunk += count;
  }

  #total(total: ManifestTotal): ManifestTotal {
    this.#assertComplete();
    if (total.files !== this.#files || total.bytes !== this.#bytes)
      throw this.#wrong(`speaks of ${total.files} files, and there are ${this.#files}`);
    if (total.sha256 !== this.#hash.copy().digest('hex')) throw this.#wrong('does not fit the lines before it');
    this.#ended = true;
    return total;
  }

  end(): void {
    if (!this.#ended || this.#rest.length > 0) throw cutOff(this.#path);
  }

  /** Chunks of the file whose digests are still to come. */
  get #left(): number {
    return this.#file ? Math.ceil(this.#file.size / this.#file.chunkBytes) - this.#chunk : 0;
  }

  #assertComplete(): void {
    if (this.#left > 0) throw this.#wrong(`comes before the last ${this.#left} digests of the file before it`);
  }

  #wrong(what: string): TransferError {
    return damaged(this.#path, this.#number, what);
  }
}

function repeated(digest: Uint8Array, count: number): Uint8Array {
  return new Uint8Array(Buffer.alloc(count * digest.length, digest));
}

function damaged(path: string, line: number, what: string): TransferError {
  return new TransferError('E_MANIFEST', `${showPath(path)} cannot be trusted: line ${line} ${what}`, {
    hint: 'Get the manifest once more from where it was made; one that a newer version made needs that version.',
  });
}

function cutOff(path: string): TransferError {
  return new TransferError('E_MANIFEST', `${showPath(path)} is cut off: its last line is not the total`, {
    hint: 'Get the whole manifest once more from where it was made.',
  });
}

function readError(path: string, thrown: unknown): TransferError {
  const errno = errnoOf(thrown);
  if (thrown instanceof TransferError || errno === undefined) return TransferError.from(thrown);
  if (errno === 'ENOENT' || errno === 'ENOTDIR') {
    return new TransferError('E_SOURCE_MISSING', `${showPath(path)}: there is no such manifest`, {
      hint: 'Check the path. A manifest is made by: blockferry copy --manifest <file> <source> <target>',
      cause: thrown,
    });
  }
  const denied = errno === 'EACCES' || errno === 'EPERM';
  return new TransferError(
    denied ? 'E_SOURCE_ACCESS' : 'E_SOURCE_READ',
    `${showPath(path)}: cannot be read (${errno})`,
    {
      hint: 'Check the permissions of the manifest and of the folders above it.',
      cause: thrown,
    },
  );
}
