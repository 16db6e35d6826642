/**
 * Compares one location with what a manifest says of it: every chunk is read and hashed on the workers. Where the
 * storage knows of holes they are not read. Nothing is written.
 */
import { type ByteRange, ChunkGrid } from '../core/chunk.js';
import { nowMs } from '../core/clock.js';
import { beginRoot, DIGEST_BYTES, loadHasher, rootDigest, sameBytes, toHex } from '../core/digest.js';
import type { Location } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import type { ManifestFile } from '../journal/manifest.js';
import { checkManifest, readManifest } from '../journal/manifest-reader.js';
import { showPath } from '../platform/path-bytes.js';
import type { EventStream } from './event-stream.js';
import { hashChunks } from './hash-chunks.js';
import type { SourceInfo } from './requests.js';
import { openSource } from './retry.js';
import type { TransferParts } from './transfer.js';
import { deviceTail, isRounding, mergeTouching, RANGES_MAX, type VerifyResult } from './verify.js';
import { VerifyLanes } from './verify-lanes.js';

export interface VerifyManifestRequest {
  readonly target: Location;
  /** The same as a disk: what a guest sees of it. */
  readonly content: Location;
  /** Path of a manifest that speaks of one file, whatever it calls it. */
  readonly manifest: string;
}

interface Listed {
  readonly file: ManifestFile;
  /** Of the chunks that the target holds whole. */
  readonly digests: Uint8Array;
}

export class ManifestVerification {
  readonly #request: VerifyManifestRequest;
  readonly #parts: TransferParts;
  readonly #lanes: VerifyLanes;

  constructor(request: VerifyManifestRequest, parts: TransferParts) {
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

  /** To be called once. @throws TransferError; that they differ is an answer and no error */
  async run(): Promise<VerifyResult> {
    const { runner, clock } = this.#parts;
    const startMs = nowMs(clock);
    const opened: SourceInfo[] = [];
    try {
      const { files } = await checkManifest(this.#request.manifest);
      const content = files === 1 && (await isOfContent(this.#request.manifest));
      const location = content ? this.#request.content : this.#request.target;
      const target = await openSource(runner, location, this.#lanes.retryRules());
      opened.push(target);
      assertOneFile(this.#request.manifest, files);
      const listed = await onlyFile(this.#request.manifest, target.size);
      const digests = await this.#hash(target, listed.file);
      await runner.run('check-source', { ref: target.ref });
      const ranges = await this.#differing(target, listed, digests);
      return await this.#result({ target, listed, digests, ranges, elapsedMs: nowMs(clock) - startMs });
    } finally {
      await this.#lanes.end(opened.map(({ ref }) => ref));
    }
  }

  /** Digests of the chunks that the target holds whole. */
  #hash(target: SourceInfo, { algorithm, size, chunkBytes }: ManifestFile): Promise<Uint8Array> {
    const grid = new ChunkGrid(size, chunkBytes);
    return hashChunks({ grid, algorithm, count: wholeChunks(grid, target.size) }, target, this.#lanes, this.#parts);
  }

  async #differing(target: SourceInfo, { file, digests: expected }: Listed, digests: Uint8Array): Promise<ByteRange[]> {
    const grid = new ChunkGrid(file.size, file.chunkBytes);
    const bytes = DIGEST_BYTES[file.algorithm];
    const ranges: ByteRange[] = [];
    const whole = wholeChunks(grid, target.size);
    for (let chunk = 0; chunk < whole; chunk++) {
      const [from, to] = [chunk * bytes, (chunk + 1) * bytes];
      if (!sameBytes(digests.subarray(from, to), expected.subarray(from, to))) ranges.push(grid.range(chunk));
    }
    const held = Math.min(file.size, whole * file.chunkBytes);
    if (held < file.size) ranges.push({ offset: held, length: file.size - held });
    const tail = target.size - file.size;
    if (await isRounding(target, file.size, this.#parts.runner, this.#lanes)) return mergeTouching(ranges);
    if (tail > 0 && target.sizeIs === 'capacity') this.#lanes.note(deviceTail(target.name, tail));
    else if (tail > 0) ranges.push({ offset: file.size, length: tail });
    return mergeTouching(ranges);
  }

  async #result(found: {
    readonly target: SourceInfo;
    readonly listed: Listed;
    readonly digests: Uint8Array;
    readonly ranges: readonly ByteRange[];
    readonly elapsedMs: number;
  }): Promise<VerifyResult> {
    const { target, listed, digests, ranges, elapsedMs } = found;
    const { size, algorithm, chunkBytes, proof, of = 'container' } = listed.file;
    const root = target.size < size ? '' : toHex(rootDigest(await loadHasher(algorithm), listed.file, digests));
    return {
      same: ranges.length === 0,
      one: { name: target.name, size: target.size },
      other: { name: showPath(this.#request.manifest), size },
      differing: ranges.slice(0, RANGES_MAX),
      bytesDiffering: ranges.reduce((sum, range) => sum + range.length, 0),
      ...{ root, of, algorithm, chunkBytes, proof },
      elapsedMs: Math.round(elapsedMs),
    };
  }
}

/** How many chunks a target of this size holds to their ends. */
function wholeChunks(grid: ChunkGrid, size: number): number {
  return size < grid.size ? Math.floor(size / grid.chunkBytes) : grid.count;
}

/** Whether the digests of the first file are of what a guest sees. */
async function isOfContent(manifest: string): Promise<boolean> {
  for await (const item of readManifest(manifest)) if (item.type === 'file') return item.file.of === 'content';
  return false;
}

/** @throws TransferError E_USAGE */
function assertOneFile(manifest: string, files: number): void {
  if (files !== 1) {
    throw new TransferError('E_USAGE', `${showPath(manifest)} speaks of ${files} files; the target is one`, {
      hint: 'Give the folder that the files are in as the target.',
    });
  }
}

/**
 * The one file that the manifest speaks of. A short line can tell of millions of chunks, so no more digests are kept
 * than the target, of so many bytes, can be compared with.
 */
async function onlyFile(manifest: string, targetBytes: number): Promise<Listed> {
  let listed: { file: ManifestFile; digests: Uint8Array; root: ReturnType<typeof beginRoot> } | undefined;
  for await (const item of readManifest(manifest)) {
    if (item.type === 'file') {
      const { size, chunkBytes, algorithm } = item.file;
      const kept = wholeChunks(new ChunkGrid(size, chunkBytes), targetBytes) * DIGEST_BYTES[algorithm];
      const root = beginRoot(await loadHasher(algorithm), item.file);
      listed = { file: item.file, digests: new Uint8Array(kept), root };
    } else if (item.type === 'digests' && listed) {
      listed.root.update(item.digests);
      const at = item.chunk * DIGEST_BYTES[listed.file.algorithm];
      if (at < listed.digests.length) listed.digests.set(item.digests.subarray(0, listed.digests.length - at), at);
    }
  }
  if (!listed || toHex(listed.root.digest()) !== listed.file.root) throw rootUnfit(manifest, listed?.file.path ?? '');
  return listed;
}

export function rootUnfit(manifest: string, path: string): TransferError {
  const message = `${showPath(manifest)} cannot be trusted: the root of ${showPath(path)} is not that of its digests`;
  return new TransferError('E_MANIFEST', message, {
    hint: 'Whatever made it made a mistake, or somebody changed it. Get the manifest once more from where it was made.',
  });
}
