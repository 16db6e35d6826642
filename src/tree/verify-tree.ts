/**
 * Verifies a folder: each file that a manifest, or another folder, says should be there. Files go to the workers in
 * batches, large ones in parts; nothing grows with the number of files. Nothing is written.
 */
import { realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type ByteRange, ChunkGrid } from '../core/chunk.js';
import { nowMs } from '../core/clock.js';
import { beginRoot, DIGEST_BYTES, loadHasher, toHex } from '../core/digest.js';
import { errnoOf, TransferError } from '../core/errors.js';
import { GiB, MiB } from '../core/units.js';
import type { ManifestFile } from '../journal/manifest.js';
import { checkManifest, readManifest } from '../journal/manifest-reader.js';
import { decodePath, encodePath, showPath } from '../platform/path-bytes.js';
import type { EventStream } from '../transfer/event-stream.js';
import type { FileToVerify } from '../transfer/requests.js';
import type { TransferParts } from '../transfer/transfer.js';
import { VERIFY_BLOCK_BYTES } from '../transfer/verify.js';
import { VerifyLanes } from '../transfer/verify-lanes.js';
import { rootUnfit } from '../transfer/verify-manifest.js';
import { type FileState, type TreeVerifyResult, VerifyReport } from './verify-report.js';
import { measuredWalk, walk } from './verify-walk.js';

/** Paths. */
export type VerifyTreeRequest = { readonly target: string } & (
  | { readonly manifest: string }
  | { readonly source: string }
);

/** What one worker gets at a time: the many small files of a batch, or a part of a large one. */
const BATCH_FILES = 256;
const BATCH_BYTES = 16 * MiB;
const PART_BYTES_MIN = 64 * MiB;
const PART_BYTES_MAX = GiB;
const LANES_PER_WORKER = 2;

interface Item {
  readonly state: FileState;
  readonly file: FileToVerify;
}

export class TreeVerification {
  readonly #request: VerifyTreeRequest;
  readonly #parts: TransferParts;
  readonly #lanes: VerifyLanes;
  readonly #report = new VerifyReport();

  constructor(request: VerifyTreeRequest, parts: TransferParts) {
    this.#request = request;
    this.#parts = parts;
    this.#lanes = new VerifyLanes(parts);
  }

  get events(): EventStream {
    return this.#lanes.events;
  }

  suspend(): void {
    this.#lanes.suspend();
  }

  /** To be called once. @throws TransferError; that files differ or are missing is an answer and no error */
  async run(): Promise<TreeVerifyResult> {
    const { clock } = this.#parts;
    const startMs = nowMs(clock);
    const request = this.#request;
    const { target } = request;
    try {
      await assertFolder(target);
      if ('manifest' in request) await this.#verify(await this.#manifestItems(request.manifest));
      else await this.#verify(await this.#folderItems(request.source));
      const filesExtra = await this.#extra();
      const found = this.#report.result();
      const against = showPath('manifest' in request ? request.manifest : request.source);
      const elapsedMs = Math.round(nowMs(clock) - startMs);
      return { ...found, target: showPath(target), against, filesExtra, elapsedMs };
    } finally {
      await this.#lanes.end([]);
    }
  }

  async #verify(items: AsyncGenerator<Item>): Promise<void> {
    const { runner } = this.#parts;
    const batches = batched(items);
    const { target } = this.#request;
    const { control } = this.#lanes;
    const other = 'source' in this.#request && { otherFolder: this.#request.source };
    await this.#lanes.run(runner.workers * LANES_PER_WORKER, async () => {
      const { value: batch, done } = await batches.next();
      if (done) return false;
      const files = batch.map(({ file }) => file);
      const task = { folder: target, ...other, files, blockBytes: VERIFY_BLOCK_BYTES, control };
      for (const { at, ...problem } of await runner.run('verify-files', task)) {
        const item = batch[at];
        if (item) this.#report.add(item.state, problem);
      }
      return true;
    });
  }

  /** The manifest is read to its end once before anything is compared: hours later is too late to find it cut off. */
  async #manifestItems(manifest: string): Promise<AsyncGenerator<Item>> {
    const { bytes } = await checkManifest(manifest);
    this.#lanes.progress.bytesTotal = bytes;
    return this.#itemsOfManifest(manifest);
  }

  async *#itemsOfManifest(manifest: string): AsyncGenerator<Item> {
    let current: { state: FileState; file: ManifestFile; root: ReturnType<typeof beginRoot> } | undefined;
    const assertRoot = (): void => {
      if (current && toHex(current.root.digest()) !== current.file.root) throw rootUnfit(manifest, current.file.path);
    };
    for await (const item of readManifest(manifest)) {
      if (item.type === 'digests' && current) {
        current.root.update(item.digests);
        for (const file of partsOf(current.file, item.chunk, item.digests)) yield { state: current.state, file };
        continue;
      }
      assertRoot();
      if (item.type !== 'file') continue;
      const { file } = item;
      const { path, size } = file;
      if (file.of === 'content') throw ofOneDisk(manifest);
      const root = beginRoot(await loadHasher(file.algorithm), file);
      current = { file, root, state: this.#report.begin(path, size) };
      if (size === 0) yield { state: current.state, file: { path, size, range: { offset: 0, length: 0 } } };
    }
  }

  /** The source is walked twice, so that how much there is to do is known and no list of it is held. */
  async #folderItems(source: string): Promise<AsyncGenerator<Item>> {
    await assertFolder(source);
    const silent = (): void => undefined;
    for await (const { size } of measuredWalk(source, silent)) this.#lanes.progress.bytesTotal += size;
    return this.#itemsOfFolder(source);
  }

  async *#itemsOfFolder(source: string): AsyncGenerator<Item> {
    let others = 0;
    const unreadable = (path: string, errno: string): void => {
      throw new TransferError('E_SOURCE_ACCESS', `${showPath(join(source, path))}: cannot be read (${errno})`, {
        hint: 'Check the permissions of the folder: what is in it could not be compared.',
      });
    };
    for await (const { path, kind, size } of measuredWalk(source, unreadable)) {
      if (kind === 'other') others++;
      if (kind === 'other') continue;
      const link = kind === 'link';
      const state = this.#report.begin(path, size, link);
      for (const range of rangesOf(size)) yield { state, file: { path, size, range, ...(link && { link }) } };
    }
    if (others > 0) this.#lanes.note(`${others} special files (pipes, sockets, devices) were not compared`);
  }

  /** What else is in the target: whatever was walked, less what was found under a name that it should have. */
  async #extra(): Promise<number> {
    const { target } = this.#request;
    const skip = 'manifest' in this.#request ? await placeInside(target, this.#request.manifest) : undefined;
    const unreadable = (path: string, errno: string): void =>
      this.#lanes.note(
        `${showPath(join(target, path))} cannot be read (${errno}), so what is extra in it is not known`,
      );
    let walked = 0;
    for await (const { path, kind } of walk(target, unreadable)) {
      if (this.#lanes.stopped) throw new TransferError('E_STOPPED', 'stopped; nothing was changed');
      if (kind === 'file' && path !== skip) walked++;
    }
    return Math.max(0, walked - this.#report.present);
  }
}

/** Batches of small files; what is large goes alone. */
async function* batched(items: AsyncGenerator<Item>): AsyncGenerator<readonly Item[]> {
  let batch: Item[] = [];
  let bytes = 0;
  for await (const item of items) {
    batch.push(item);
    bytes += item.file.range.length;
    if (batch.length < BATCH_FILES && bytes < BATCH_BYTES) continue;
    yield batch;
    [batch, bytes] = [[], 0];
  }
  if (batch.length > 0) yield batch;
}

function* partsOf(file: ManifestFile, from: number, digests: Uint8Array): Generator<FileToVerify> {
  const { path, size, algorithm, chunkBytes } = file;
  const grid = new ChunkGrid(size, chunkBytes);
  const digestBytes = DIGEST_BYTES[algorithm];
  const step = Math.max(1, Math.floor(partBytes(size) / chunkBytes)) * digestBytes;
  for (let at = 0; at < digests.length; at += step) {
    const bytes = digests.slice(at, at + step);
    const { offset } = grid.range(from + at / digestBytes);
    const length = Math.min(size - offset, (bytes.length / digestBytes) * chunkBytes);
    yield { path, size, range: { offset, length }, digests: { algorithm, chunkBytes, bytes } };
  }
}

function* rangesOf(size: number): Generator<ByteRange> {
  const step = partBytes(size);
  let offset = 0;
  do {
    yield { offset, length: Math.min(step, size - offset) };
    offset += step;
  } while (offset < size);
}

/** Parts enough for all workers, and not so many that opening the file costs more than reading it. */
function partBytes(size: number): number {
  return Math.min(PART_BYTES_MAX, Math.max(PART_BYTES_MIN, Math.ceil(size / 64 / MiB) * MiB));
}

async function assertFolder(path: string): Promise<void> {
  const there = await stat(encodePath(path)).catch((thrown) => {
    const errno = errnoOf(thrown);
    if (errno !== 'ENOENT' && errno !== 'ENOTDIR') throw cannotLook(path, thrown);
  });
  if (there?.isDirectory()) return;
  const what = there ? 'is no folder' : 'no such folder';
  throw new TransferError(there ? 'E_SOURCE_KIND' : 'E_SOURCE_MISSING', `${showPath(path)}: ${what}`, {
    hint: 'Check the path.',
  });
}

function cannotLook(path: string, cause: unknown): TransferError {
  return new TransferError('E_SOURCE_ACCESS', `${showPath(path)}: cannot be looked at (${errnoOf(cause)})`, {
    hint: 'Check the permissions of the folders above it.',
    cause,
  });
}

function ofOneDisk(manifest: string): TransferError {
  return new TransferError('E_USAGE', `${showPath(manifest)} speaks of the content of a disk, and of no file`, {
    hint: 'Compare it with the disk itself: blockferry verify <disk> --manifest <file>',
  });
}

/** The manifest may lie in the folder that it speaks of. */
async function placeInside(folder: string, file: string): Promise<string | undefined> {
  const real = async (path: string): Promise<string> => decodePath(await realpath(encodePath(path), 'buffer'));
  const [whole, path] = [await real(folder), await real(file)];
  return path.startsWith(`${whole}/`) ? path.slice(whole.length + 1) : undefined;
}
