/** A prepared target on a web server, on any thread: chunks in, chunks read back, and the commit. */
import type { ByteRange } from '../../core/chunk.js';
import type { ChunkReader } from '../../core/endpoint.js';
import { TransferError } from '../../core/errors.js';
import { NEVER } from '../../core/stop.js';
import type { ChunkWriter, CommitRequest, PartMark, Target } from '../../core/target.js';
import { MiB } from '../../core/units.js';
import { connectionsOfThread } from '../http/client.js';
import { SILENCE_MS_MAX } from './client.js';
import { Losses } from './losses.js';
import { commitUpload, markUpload, type UploadPartRef, writtenTo } from './part.js';
import { UploadPlace } from './place.js';
import { UploadReader } from './reader.js';
import { RangeWriter, WholeWriter, type WritingParts } from './writers.js';

const ZERO_BYTES = MiB;

export interface AttachParts {
  /** Among which the connections are divided. Default 1. */
  readonly threads?: number;
  /** How long the server may be silent. */
  readonly silenceMsMax?: number;
}

export function attachUpload(ref: UploadPartRef, parts: AttachParts = {}): Target {
  return ref.way === 'ranges' ? new RangesTarget(ref, parts) : new UploadTarget(ref, parts);
}

class UploadTarget implements Target {
  readonly ref: UploadPartRef;
  protected readonly parts: WritingParts;

  constructor(ref: UploadPartRef, { threads = 1, silenceMsMax = SILENCE_MS_MAX }: AttachParts) {
    this.ref = ref;
    const losses = new Losses(ref.losses);
    const access = { ...ref.access, connections: connectionsOfThread(ref.access, threads) };
    const place = new UploadPlace(access, ref.speaks, losses);
    const ownName = ref.way !== 'in-place';
    this.parts = { place, losses, ownName, url: writtenTo(ref), size: ref.size, silenceMsMax };
  }

  openChunk({ length }: ByteRange, signal: AbortSignal): ChunkWriter {
    if (length !== this.ref.size) throw inChunks(this.parts.place.nameOf(new URL(this.ref.url)));
    return new WholeWriter(this.parts, this.ref.way === 'in-place' && !this.ref.exists, signal);
  }

  openChunkBack(range: ByteRange, signal: AbortSignal): ChunkReader {
    return new UploadReader(this.parts.place, this.parts.url, range, signal);
  }

  async flush(): Promise<void> {
    this.parts.place.assertKept(this.parts.url);
  }

  mark(): Promise<PartMark> {
    return markUpload(this.parts.place, this.ref);
  }

  commit(request: CommitRequest): Promise<readonly string[]> {
    return commitUpload(this.parts.place, this.ref, request, this.parts.silenceMsMax);
  }

  async close(): Promise<void> {
    // The connections belong to the thread.
  }
}

/** An option, or the server, has become another one since the copy was begun. */
function inChunks(name: string): TransferError {
  return new TransferError(
    'E_USAGE',
    `the partial copy of ${name} was written by ranges, and cannot go on by one PUT`,
    {
      hint:
        'Leave upload=whole out, or see why the server takes no ranges any more; then it goes on. ' +
        '--discard throws it away and starts afresh.',
    },
  );
}

class RangesTarget extends UploadTarget {
  override openChunk(range: ByteRange, signal: AbortSignal): ChunkWriter {
    return new RangeWriter(this.parts, range, signal);
  }

  /** No web server punches holes. */
  async zero({ offset, length }: ByteRange): Promise<void> {
    const writer = this.openChunk({ offset, length }, NEVER);
    const zeroes = new Uint8Array(Math.min(ZERO_BYTES, length));
    for (let done = 0; done < length; done += zeroes.length) await writer.write(zeroes.subarray(0, length - done));
    await writer.finish(new Uint8Array(0));
  }
}
