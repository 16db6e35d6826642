/**
 * Takes the bytes of a range in frames, hashes what came and writes it, block by block. It counts as written only when
 * the digest at its end is that of what came.
 */
import type { IncomingMessage } from 'node:http';
import { type Clock, nowMs } from '../core/clock.js';
import { DIGEST_BYTES, type Hasher, sameBytes } from '../core/digest.js';
import { TransferError } from '../core/errors.js';
import { badFrame, FRAME, FRAME_BYTES_MAX, FRAME_HEAD_BYTES, hashGap, readFrameHead } from '../core/frames.js';
import type { ChunkWriter } from '../core/target.js';
import { KiB } from '../core/units.js';
import type { BlockBuffers } from '../transfer/block-buffers.js';
import type { Pace } from '../transfer/pace.js';

export interface ReceiveParts {
  readonly length: number;
  readonly writer: ChunkWriter;
  readonly hasher: Hasher;
  readonly algorithm: keyof typeof DIGEST_BYTES;
  readonly buffers: BlockBuffers;
  readonly pace: Pace;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Throws when nothing may be written any more. */
  readonly assertOpen: () => void;
  /** Called now and then while bytes come: a client that has sent all of them waits for a limit that it cannot see. */
  readonly goesOn: () => void;
}

/** A body that comes more slowly is a way to hold connections, and no copy. */
const SLOW_MS = 60_000;
const SLOW_BYTES = KiB;
/** Shorter than the silence after which a client gives up. */
const BEAT_MS = 15_000;

/** @throws TransferError what was wrong with the body, or with writing it */
export function receiveRange(request: IncomingMessage, parts: ReceiveParts): Promise<void> {
  const receiver = new Receiver(parts);
  return new Promise<void>((resolve, reject) => {
    const fail = (thrown: unknown): void => {
      request.off('data', take);
      reject(TransferError.from(thrown));
    };
    const take = (piece: Buffer): void => {
      try {
        receiver.take(piece);
        if (parts.pace.limited) wait(piece.length);
      } catch (thrown) {
        fail(thrown);
      }
    };
    const wait = (bytes: number): void => {
      request.pause();
      parts.pace.take(bytes, parts.signal).then(() => request.resume(), fail);
    };
    request.on('data', take);
    request.once('close', () => fail(new TransferError('E_NETWORK', 'the client left in the middle of a range')));
    request.once('end', () => {
      try {
        resolve(receiver.finish());
      } catch (thrown) {
        fail(thrown);
      }
    });
  }).finally(() => receiver.close());
}

class Receiver {
  readonly #parts: ReceiveParts;
  readonly #block: Uint8Array;
  readonly #head = new Uint8Array(FRAME_HEAD_BYTES);
  #headFilled = 0;
  #kind = 0;
  #frameBytes = 0;
  #filled = 0;
  #left: number;
  #claimed: Uint8Array | undefined;
  #windowMs: number;
  #windowBytes = 0;
  #beatMs: number;

  constructor(parts: ReceiveParts) {
    this.#parts = parts;
    this.#left = parts.length;
    this.#block = parts.buffers.take(FRAME_BYTES_MAX);
    this.#windowMs = nowMs(parts.clock);
    this.#beatMs = this.#windowMs;
  }

  take(piece: Uint8Array): void {
    this.#assertQuick(piece.length);
    for (let at = 0; at < piece.length; ) {
      if (this.#claimed) throw badFrame('something behind the end');
      at += this.#kind === 0 ? this.#takeHead(piece, at) : this.#takeContent(piece, at);
    }
  }

  finish(): void {
    const { hasher } = this.#parts;
    if (!this.#claimed) throw badFrame(`an end where ${this.#left} bytes are left`);
    if (sameBytes(this.#claimed, hasher.digest())) return;
    throw new TransferError('E_PROTOCOL', 'what came is not what was sent: its digest is another one', {
      hint: 'Something on the way, or the memory of one of the two hosts, changes bytes. The chunk is sent again.',
    });
  }

  close(): void {
    this.#parts.buffers.give(this.#block);
  }

  #takeHead(piece: Uint8Array, at: number): number {
    const part = piece.subarray(at, at + FRAME_HEAD_BYTES - this.#headFilled);
    this.#head.set(part, this.#headFilled);
    this.#headFilled += part.length;
    if (this.#headFilled < FRAME_HEAD_BYTES) return part.length;
    this.#headFilled = 0;
    const { kind, length } = readFrameHead(this.#head, this.#left);
    if (kind === FRAME.gap) this.#passOver(length);
    else if (kind === FRAME.end && length !== DIGEST_BYTES[this.#parts.algorithm]) throw badFrame('another digest');
    else if (kind === FRAME.failure) throw badFrame('a failure of the client');
    else {
      this.#kind = kind;
      this.#frameBytes = length;
      this.#filled = 0;
    }
    return part.length;
  }

  #takeContent(piece: Uint8Array, at: number): number {
    const part = piece.subarray(at, at + this.#frameBytes - this.#filled);
    this.#block.set(part, this.#filled);
    this.#filled += part.length;
    if (this.#filled === this.#frameBytes) this.#endFrame();
    return part.length;
  }

  #endFrame(): void {
    const content = this.#block.subarray(0, this.#frameBytes);
    const { hasher, writer, assertOpen } = this.#parts;
    if (this.#kind === FRAME.end) this.#claimed = content.slice();
    else {
      assertOpen();
      hasher.update(content);
      if (writer.write(content) !== undefined) throw new TransferError('E_BUG', 'a local end wrote later than it said');
      this.#left -= content.length;
    }
    this.#kind = 0;
  }

  #passOver(length: number): void {
    hashGap(this.#parts.hasher, length);
    this.#parts.writer.skip(length);
    this.#left -= length;
  }

  #assertQuick(bytes: number): void {
    this.#windowBytes += bytes;
    const now = nowMs(this.#parts.clock);
    if (now - this.#beatMs >= BEAT_MS) {
      this.#beatMs = now;
      this.#parts.goesOn();
    }
    if (now - this.#windowMs < SLOW_MS) return;
    if (this.#windowBytes < SLOW_BYTES) throw new TransferError('E_TIMEOUT', 'the body comes too slowly');
    this.#windowMs = now;
    this.#windowBytes = 0;
  }
}
