/**
 * Sends the bytes of a range in frames: read, hashed and written block by block, with holes as gaps and the digest at
 * the end.
 */
import type { ServerResponse } from 'node:http';
import type { ByteRange } from '../core/chunk.js';
import { DIGEST_BYTES, type Hasher } from '../core/digest.js';
import type { ChunkReader, Extent } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import {
  EXTENTS_PER_RANGE_MAX,
  FRAME,
  FRAME_BYTES_MAX,
  FRAME_HEAD_BYTES,
  frame,
  gapFrame,
  hashGap,
  writeFrameHead,
} from '../core/frames.js';
import { KiB } from '../core/units.js';
import type { BlockBuffers } from '../transfer/block-buffers.js';
import type { Pace } from '../transfer/pace.js';
import { withoutDescriptors } from './roots.js';

export interface SendParts {
  readonly range: ByteRange;
  /** Absent: all of it is data. */
  readonly extents: Iterable<Extent> | undefined;
  readonly open: (range: ByteRange) => ChunkReader;
  readonly hasher: Hasher;
  readonly algorithm: keyof typeof DIGEST_BYTES;
  readonly buffers: BlockBuffers;
  readonly pace: Pace;
  readonly signal: AbortSignal;
  /** Throws when what is read must not be read any more. */
  readonly assertOpen: () => void;
  /** Throws when it is not what it was; absent: it may change. */
  readonly assertSame?: () => void;
}

/** The head of a frame lies before its bytes, which lie on a page: one write sends both, and nothing is copied. */
const DATA_AT = 4 * KiB;
const BUFFER_BYTES = DATA_AT + FRAME_BYTES_MAX;
const BUFFERS = 2;

export async function sendRange(response: ServerResponse, parts: SendParts): Promise<void> {
  const extents = fewExtents(parts);
  // With many clients under a low limit, none waits so long for its next bytes that it gives up.
  const frameBytes = parts.pace.blockBytes(FRAME_BYTES_MAX);
  const length = bytesOf(extents, parts, frameBytes);
  response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': length });
  response.flushHeaders();
  const sender = new Sender(response, parts, frameBytes);
  try {
    for (const extent of extents) await sender.send(extent);
    parts.assertSame?.();
    await sender.end();
    response.end();
  } catch (thrown) {
    await sender.fail(TransferError.from(thrown));
  } finally {
    sender.giveBack();
  }
}

/** A range in very many pieces is data: telling them apart would cost more than sending them. */
function fewExtents({ range, extents }: SendParts): readonly Extent[] {
  const whole: Extent = { ...range, kind: 'data' };
  const found: Extent[] = [];
  for (const extent of extents ?? [whole]) {
    if (found.length >= EXTENTS_PER_RANGE_MAX) return [whole];
    if (extent.length > 0) found.push(extent);
  }
  return found;
}

function bytesOf(extents: readonly Extent[], { algorithm }: SendParts, frameBytes: number): number {
  const frames = ({ kind, length }: Extent): number =>
    kind === 'zero' ? FRAME_HEAD_BYTES : length + FRAME_HEAD_BYTES * Math.ceil(length / frameBytes);
  return extents.reduce((sum, extent) => sum + frames(extent), FRAME_HEAD_BYTES + DIGEST_BYTES[algorithm]);
}

class Sender {
  readonly #response: ServerResponse;
  readonly #parts: SendParts;
  readonly #buffers: Uint8Array[];
  readonly #frameBytes: number;
  #writing: Promise<void> | undefined;
  #turn = 0;

  constructor(response: ServerResponse, parts: SendParts, frameBytes: number) {
    this.#frameBytes = frameBytes;
    this.#response = response;
    this.#parts = parts;
    this.#buffers = Array.from({ length: BUFFERS }, () => parts.buffers.take(BUFFER_BYTES));
  }

  async send(extent: Extent): Promise<void> {
    const { hasher, open } = this.#parts;
    if (extent.kind === 'zero') {
      hashGap(hasher, extent.length);
      await this.#writing;
      await this.#write(gapFrame(extent.length));
      return;
    }
    const reader = open(extent);
    try {
      for (let left = extent.length; left > 0; ) left -= await this.#block(reader, Math.min(left, this.#frameBytes));
    } finally {
      reader.close();
    }
  }

  /** Read and hashed while the one before is sent. Two writes at a time would be copied together to be sent. */
  async #block(reader: ChunkReader, length: number): Promise<number> {
    const { pace, signal, hasher, assertOpen } = this.#parts;
    if (pace.limited) await pace.take(length, signal);
    assertOpen();
    const buffer = this.#buffers[this.#turn++ % BUFFERS] as Uint8Array;
    const block = buffer.subarray(DATA_AT, DATA_AT + length);
    const got = await reader.next(block);
    if (got < length) throw new TransferError('E_TARGET_CHANGED', 'the partial copy became shorter while it was read');
    hasher.update(block);
    writeFrameHead(buffer.subarray(DATA_AT - FRAME_HEAD_BYTES), { kind: FRAME.data, length });
    await this.#writing;
    this.#writing = this.#write(buffer.subarray(DATA_AT - FRAME_HEAD_BYTES, DATA_AT + length));
    // It is awaited before the next one.
    this.#writing.catch(() => undefined);
    return length;
  }

  async end(): Promise<void> {
    await this.#writing;
    await this.#write(frame(FRAME.end, this.#parts.hasher.digest()));
  }

  /** The length is promised already: the reason goes as a frame, and the connection ends with it. */
  async fail(error: TransferError): Promise<void> {
    await this.#writing?.catch(() => undefined);
    if (this.#response.writable) {
      const { code, hint } = error;
      const message = withoutDescriptors(error.message);
      const content = Buffer.from(JSON.stringify({ error: { code, message, ...(hint && { hint }) } }));
      await this.#write(frame(FRAME.failure, content)).catch(() => undefined);
    }
    this.#response.socket?.destroySoon();
  }

  giveBack(): void {
    for (const buffer of this.#buffers) this.#parts.buffers.give(buffer);
  }

  #write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#response.write(bytes, (error) => (error ? reject(error) : resolve()));
    });
  }
}
