/**
 * Writes chunks to a web server: as ranges of a partial file, a few MiB at a time, or as one PUT of a whole file, which
 * streams. Both look at what was stored before they call it finished.
 */
import { Readable } from 'node:stream';
import type { ByteRange } from '../../core/chunk.js';
import { systemClock } from '../../core/clock.js';
import type { Digest } from '../../core/digest.js';
import { TransferError } from '../../core/errors.js';
import type { ChunkWriter } from '../../core/target.js';
import { KiB, MiB } from '../../core/units.js';
import { checkStored, sampleOf } from './check.js';
import { untilStored, type WebAnswer } from './client.js';
import { LOCKED, maybeOurLock, refusal, succeeded } from './errors.js';
import type { Losses } from './losses.js';
import type { UploadPlace } from './place.js';

export interface WritingParts {
  readonly place: UploadPlace;
  readonly url: URL;
  readonly losses: Losses;
  /** It is written under a name that nobody else uses: that of a partial file. */
  readonly ownName: boolean;
  /** Bytes of the whole file. */
  readonly size: number;
  /** How long the server may be silent. */
  readonly silenceMsMax: number;
}

/** Of one request. More would not be faster, and each lane has so much memory. */
const SEGMENT_BYTES = 2 * MiB;
/** Buffers that are used again: each chunk would otherwise leave garbage of its size. */
const spare: Buffer[] = [];
const SPARE_MAX = 16;
/** A gap that is not worth a request of its own. */
const GAP_BYTES = 64 * KiB;

interface Segment {
  readonly offset: number;
  readonly bytes: Buffer;
}

export class RangeWriter implements ChunkWriter {
  readonly #parts: WritingParts;
  readonly #range: ByteRange;
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  #buffer: Buffer | undefined;
  /** Bytes of the buffer that are in use, and of them those of the segment that is still growing. */
  #used = 0;
  #growing = 0;
  #at: number;
  readonly #segments: Segment[] = [];
  /** The end of what was sent last. */
  #sample: Segment | undefined;
  readonly #breaks: number;

  constructor(parts: WritingParts, range: ByteRange, signal: AbortSignal) {
    this.#parts = parts;
    this.#breaks = parts.losses.breaks;
    this.#range = range;
    this.#at = range.offset;
    this.#signal = AbortSignal.any([signal, this.#stop.signal]);
  }

  async write(block: Uint8Array): Promise<void> {
    for (let done = 0; done < block.length; ) {
      if (this.#room === 0) await this.#send();
      const piece = block.subarray(done, done + this.#room);
      this.#roomy.set(piece, this.#used);
      this.#grow(piece.length);
      done += piece.length;
    }
  }

  skip(length: number): void {
    if (this.#growing > 0 && length <= GAP_BYTES && length <= this.#room) {
      this.#roomy.fill(0, this.#used, this.#used + length);
      this.#grow(length);
      return;
    }
    this.#seal();
    this.#at += length;
  }

  async finish(): Promise<undefined> {
    await this.#send();
    const { losses, place, url, size } = this.#parts;
    if (this.#sample) await checkStored(place, { url, size, ...this.#sample }, this.#signal);
    // Only now nothing reads it any more.
    if (this.#buffer?.length === SEGMENT_BYTES && spare.length < SPARE_MAX) spare.push(this.#buffer);
    this.#buffer = undefined;
    losses.wrote(place.nameOf(url), this.#breaks);
  }

  abort(): void {
    this.#stop.abort();
  }

  get #roomy(): Buffer {
    const length = Math.min(this.#range.length, SEGMENT_BYTES);
    this.#buffer ??= (length === SEGMENT_BYTES ? spare.pop() : undefined) ?? Buffer.allocUnsafeSlow(length);
    return this.#buffer;
  }

  get #room(): number {
    return this.#roomy.length - this.#used;
  }

  #grow(length: number): void {
    this.#used += length;
    this.#growing += length;
    this.#at += length;
  }

  #seal(): void {
    if (this.#growing === 0) return;
    const bytes = this.#roomy.subarray(this.#used - this.#growing, this.#used);
    this.#segments.push({ offset: this.#at - this.#growing, bytes });
    this.#growing = 0;
  }

  async #send(): Promise<void> {
    this.#seal();
    for (const segment of this.#segments) await putRange(this.#parts, segment, this.#signal);
    const last = this.#segments.at(-1);
    if (last) {
      const bytes = Buffer.from(sampleOf(last.bytes));
      this.#sample = { offset: last.offset + last.bytes.length - bytes.length, bytes };
    }
    this.#segments.length = 0;
    this.#used = 0;
  }
}

/** Changes so many bytes of a file that is there. */
export async function putRange(
  { place, url, size, silenceMsMax }: Omit<WritingParts, 'losses' | 'ownName'>,
  { offset, bytes }: Segment,
  signal: AbortSignal,
): Promise<void> {
  const headers = { 'content-range': `bytes ${offset}-${offset + bytes.length - 1}/${size}`, 'if-match': '*' };
  const answer = await place.ask({ method: 'PUT', url, headers, body: bytes, silenceMsMax }, signal);
  if (succeeded(answer)) return;
  const name = place.nameOf(url);
  if (answer.status === LOCKED) throw maybeOurLock(name);
  if (answer.status !== 412) throw refusal(name, 'cannot be written', answer);
  throw new TransferError('E_TARGET_CHANGED', `the partial copy ${name} was removed while it was written`, {
    hint: 'See what else writes there. Run the same command again.',
  });
}

const AHEAD_BYTES = 512 * KiB;

export class WholeWriter implements ChunkWriter {
  readonly #parts: WritingParts;
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  readonly #ifAbsent: boolean;
  readonly #body = new Readable({ highWaterMark: AHEAD_BYTES, read: () => this.#wake?.() });
  #wake: (() => void) | undefined;
  #answer: Promise<WebAnswer | TransferError> | undefined;
  #underWay = false;
  #sample: Uint8Array = new Uint8Array(0);
  readonly #breaks: number;

  /** @param ifAbsent nothing may stand there yet */
  constructor(parts: WritingParts, ifAbsent: boolean, signal: AbortSignal) {
    this.#parts = parts;
    this.#breaks = parts.losses.breaks;
    this.#ifAbsent = ifAbsent;
    this.#signal = AbortSignal.any([signal, this.#stop.signal]);
    // The request tells what went wrong.
    this.#body.on('error', () => undefined);
    this.#body.on('close', () => this.#wake?.());
  }

  async write(block: Uint8Array): Promise<void> {
    this.#answer ??= this.#put();
    if (this.#body.destroyed) await this.#endedEarly();
    // The caller uses its block again, and the socket may not have taken the bytes by then.
    const bytes = Buffer.from(block);
    this.#sample = sampleOf(bytes);
    if (this.#body.push(bytes)) return;
    const taken = new Promise<void>((resolve) => {
      this.#wake = resolve;
      if (this.#body.destroyed) resolve();
    });
    await this.#orSilence(taken);
    this.#wake = undefined;
    if (this.#body.destroyed) await this.#endedEarly();
  }

  /** A server that takes nothing more is one that is silent. */
  async #orSilence(taken: Promise<void>): Promise<void> {
    const settled = new AbortController();
    const late = systemClock.sleep(this.#parts.silenceMsMax, settled.signal).then(() => 'late' as const);
    const ended = await Promise.race([taken, late]).finally(() => settled.abort());
    if (ended !== 'late') return;
    this.abort();
    const { place, url, losses } = this.#parts;
    losses.broke();
    throw new TransferError('E_TIMEOUT', `${place.nameOf(url)}: the server takes nothing more`, {
      hint: 'Check the network and the server, then run the same command again.',
    });
  }

  skip(): void {
    throw new TransferError('E_BUG', 'a file that is sent whole has no holes');
  }

  async finish(digest: Digest): Promise<undefined> {
    this.#answer ??= this.#put();
    if (!this.#body.destroyed) this.#body.push(null);
    const answer = await this.#answer;
    if (answer instanceof TransferError) throw answer;
    const { place, url, size, losses } = this.#parts;
    if (!succeeded(answer)) throw this.#refused(answer);
    const offset = size - this.#sample.length;
    const sha256 = digest.length === 32 ? digest : undefined;
    await checkStored(place, { url, offset, bytes: this.#sample, size, sha256 }, this.#signal);
    losses.wrote(place.nameOf(url), this.#breaks);
  }

  /** The connection is closed with the request in its middle: only by that the server learns that it is over. */
  abort(): void {
    if (this.#underWay) this.#parts.losses.abandoned();
    this.#stop.abort();
    this.#body.destroy();
  }

  /** Never rejects: whoever writes or finishes meets what went wrong. */
  async #put(): Promise<WebAnswer | TransferError> {
    const { place, url, size, silenceMsMax } = this.#parts;
    const headers = { 'content-length': String(size), ...(this.#ifAbsent && { 'if-none-match': '*' }) };
    const untilAnswered = untilStored(size, silenceMsMax);
    const request = { method: 'PUT', url, headers, body: this.#body, silenceMsMax: untilAnswered } as const;
    this.#underWay = true;
    try {
      return await place.ask(request, this.#signal);
    } catch (thrown) {
      return TransferError.from(thrown);
    } finally {
      this.#underWay = false;
    }
  }

  /** A lock, and a file, may be those of a request of ours that has ended here and not yet there. */
  #refused(answer: WebAnswer): TransferError {
    const { place, url, losses, ownName } = this.#parts;
    const name = place.nameOf(url);
    if (losses.leftBehind && answer.status === 412) {
      const what = 'what is there may be a piece of this very file, or the file of somebody else';
      return new TransferError('E_TARGET_EXISTS', `${name}: a request of ours broke, and ${what}`, {
        hint: 'See what is there. With --overwrite the same command replaces it.',
      });
    }
    if (answer.status === LOCKED && (ownName || losses.leftBehind)) return maybeOurLock(name);
    return refusal(name, 'cannot be written', answer);
  }

  /** The server answered, or the connection broke, before all of the body was sent. */
  async #endedEarly(): Promise<never> {
    const { place, url } = this.#parts;
    const answer = await this.#answer;
    if (answer instanceof TransferError) throw answer;
    if (answer && !succeeded(answer)) throw this.#refused(answer);
    throw new TransferError('E_PROTOCOL', `${place.nameOf(url)}: the server answered before it had the whole file`, {
      hint: 'Check the server and the proxies before it.',
    });
  }
}

/** A file without bytes, which is made anew where nothing may stand there. */
export async function putEmpty(
  { place, url }: Pick<WritingParts, 'place' | 'url'>,
  ifAbsent: boolean,
  signal: AbortSignal,
): Promise<void> {
  const headers = ifAbsent ? { 'if-none-match': '*' } : {};
  const answer = await place.ask({ method: 'PUT', url, headers, body: new Uint8Array(0) }, signal);
  if (!succeeded(answer)) throw refusal(place.nameOf(url), 'cannot be written', answer);
}
