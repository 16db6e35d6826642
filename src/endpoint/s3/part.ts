/**
 * One chunk on its way into a multipart upload, as the part of its number. The server checks the SHA-256 of every
 * piece of it against the signatures, and what it answers is the part's ETag, by which the part is known from then on.
 */
import type { ByteRange } from '../../core/chunk.js';
import { TransferError } from '../../core/errors.js';
import type { ChunkWriter, Token } from '../../core/target.js';
import { headerOf } from '../http/errors.js';
import { framedBytes, PartBody, pieceBytesFor } from './body.js';
import { exchange, signedFor } from './client.js';
import { type S3Answer, s3Error } from './errors.js';
import { nameOf, type S3Place, urlOf } from './place.js';
import { STREAMED } from './sign.js';

/** A multipart upload that was begun. */
export interface Upload {
  readonly place: S3Place;
  readonly uploadId: string;
  /** Ours: it is in the object's metadata, and tells our commit from somebody else's object. */
  readonly copyId: string;
  readonly chunkBytes: number;
  readonly size: number;
}

/** Parts are counted from 1. */
export function partNumber({ chunkBytes }: Upload, { offset }: ByteRange): number {
  return Math.floor(offset / chunkBytes) + 1;
}

/** As we keep it: without quotes, which an XML document may write in another way. */
export function bareEtag(etag: string): string {
  return etag.replace(/^"|"$/g, '');
}

export class PartWriter implements ChunkWriter {
  readonly #upload: Upload;
  readonly #range: ByteRange;
  readonly #signal: AbortSignal;
  readonly #stop = new AbortController();
  readonly #onAbort = (): void => this.#stop.abort();
  #body: PartBody | undefined;
  #answer: Promise<S3Answer> | undefined;
  #answered = false;

  constructor(upload: Upload, range: ByteRange, signal: AbortSignal) {
    this.#upload = upload;
    this.#range = range;
    this.#signal = signal;
    if (signal.aborted) this.#stop.abort();
    else signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  async write(block: Uint8Array): Promise<void> {
    this.#body ??= await this.#begin(block.length);
    await this.#body.write(block);
    if (this.#answered) throw await this.#refusal();
  }

  skip(): void {
    throw new TransferError('E_BUG', 'a part of an S3 upload has no holes');
  }

  async finish(): Promise<Token> {
    const body = this.#body ?? (await this.#begin(0));
    await body.end();
    const answer = (await this.#answer) as S3Answer;
    this.#signal.removeEventListener('abort', this.#onAbort);
    const name = nameOf(this.#upload.place);
    if (answer.status !== 200 || !body.whole) throw s3Error(name, answer, 'part');
    const etag = bareEtag(headerOf(answer.headers, 'etag') ?? '');
    if (etag === '') throw noEtag(name);
    body.release();
    return etag;
  }

  abort(): void {
    this.#signal.removeEventListener('abort', this.#onAbort);
    this.#stop.abort();
    this.#body?.stop();
  }

  /** @param blockBytes of the first block, which the others are like */
  async #begin(blockBytes: number): Promise<PartBody> {
    const { place, uploadId } = this.#upload;
    const { length } = this.#range;
    const url = urlOf(place, { partNumber: String(partNumber(this.#upload, this.#range)), uploadId });
    const about = { 'content-encoding': 'aws-chunked', 'x-amz-decoded-content-length': String(length) };
    const signed = await signedFor(place, { method: 'PUT', url, headers: about, payload: STREAMED });
    if (signed.pieces === undefined) throw new TransferError('E_BUG', 'an upload without credentials');
    const pieceBytes = pieceBytesFor(blockBytes);
    const body = new PartBody(signed.pieces, pieceBytes);
    const headers = { ...signed.headers, 'content-length': String(framedBytes(length, pieceBytes)) };
    this.#answer = exchange({ name: nameOf(place), method: 'PUT', url, headers, body }, this.#stop.signal);
    // An answer that comes before the end is a refusal: then nobody may wait for the rest to be sent.
    const onAnswer = (): void => {
      this.#answered = true;
      body.stop();
    };
    this.#answer.then(onAnswer, onAnswer);
    return body;
  }

  async #refusal(): Promise<TransferError> {
    const answer = (await this.#answer) as S3Answer;
    return s3Error(nameOf(this.#upload.place), answer, 'part');
  }
}

function noEtag(name: string): TransferError {
  return new TransferError('E_PROTOCOL', `${name}: the server took a part without giving it an ETag`, {
    hint: 'Check whether this server knows multipart uploads.',
  });
}
