/**
 * Signature version 4: of a request, and of the pieces of a body that is sent as it is read. Each piece's signature
 * holds its SHA-256 and the signature before it, so the server takes a body whole, in order and unchanged, or not at
 * all.
 */
import { createHmac, hash } from 'node:crypto';
import { AwsV4Signer } from 'aws4fetch';
import { systemClock } from '../core/clock.js';
import type { S3Credentials } from './s3-credentials.js';

export const UNSIGNED = 'UNSIGNED-PAYLOAD';
export const STREAMED = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD';
const EMPTY_SHA256 = hash('sha256', '');

export interface ToSign {
  readonly method: string;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** The body's SHA-256 in hex, or how else the body is proven. */
  readonly payload: string;
}

export interface Signed {
  readonly headers: Record<string, string>;
  /** Signs the pieces of a body that is {@link STREAMED}. */
  readonly pieces?: PieceSigner;
}

/** Keys that were derived from the secret, which are good for a day. */
const derived = new Map<string, ArrayBuffer>();
const DERIVED_MAX = 100;

/** The headers to send; without credentials, as they are. */
export async function sign(request: ToSign, region: string, credentials: S3Credentials | undefined): Promise<Signed> {
  if (credentials === undefined) return { headers: { ...request.headers } };
  if (derived.size > DERIVED_MAX) derived.clear();
  const datetime = new Date(systemClock.wallMs()).toISOString().replace(/[:-]|\.\d{3}/g, '');
  const { accessKeyId, secretAccessKey, sessionToken } = credentials;
  const signer = new AwsV4Signer({
    method: request.method,
    url: request.url.href,
    headers: { ...request.headers, 'x-amz-content-sha256': request.payload },
    ...{ accessKeyId, secretAccessKey, region, datetime },
    ...(sessionToken && { sessionToken }),
    service: 's3',
    cache: derived,
  });
  const signed = await signer.sign();
  const headers = Object.fromEntries(signed.headers);
  if (request.payload !== STREAMED) return { headers };
  const seed = /Signature=([0-9a-f]{64})$/.exec(headers.authorization ?? '')?.[1] ?? '';
  return { headers, pieces: new PieceSigner(secretAccessKey, region, datetime, seed) };
}

export class PieceSigner {
  readonly #key: Buffer;
  readonly #about: string;
  #before: string;

  constructor(secretAccessKey: string, region: string, datetime: string, seed: string) {
    const day = datetime.slice(0, 8);
    const steps = [day, region, 's3', 'aws4_request'];
    this.#key = steps.reduce(
      (key, step) => createHmac('sha256', key).update(step).digest(),
      Buffer.from(`AWS4${secretAccessKey}`),
    );
    this.#about = `AWS4-HMAC-SHA256-PAYLOAD\n${datetime}\n${steps.join('/')}`;
    this.#before = seed;
  }

  /** The signature of the next piece, in hex; an empty one ends the body. */
  next(piece: Uint8Array): string {
    const text = `${this.#about}\n${this.#before}\n${EMPTY_SHA256}\n${hash('sha256', piece)}`;
    this.#before = createHmac('sha256', this.#key).update(text).digest('hex');
    return this.#before;
  }
}
