/**
 * Signature version 4: of a request, and of the pieces of a body that is sent as it is read. Each piece's signature
 * holds its SHA-256 and the signature before it, so the server takes a body whole, in order and unchanged, or not at
 * all.
 */
import { createHmac, hash } from 'node:crypto';
import { AwsV4Signer } from 'aws4fetch';
import { systemClock } from '../../core/clock.js';
import type { S3Credentials } from './credentials.js';

export const UNSIGNED = 'UNSIGNED-PAYLOAD';
export const STREAMED = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD';
const ALGORITHM = 'AWS4-HMAC-SHA256';
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

/** Keys that were derived from a secret, each good for a day and a region. */
const derived = new Map<string, Buffer>();
const DERIVED_MAX = 100;

/** The headers to send; without credentials, as they are. */
export async function sign(request: ToSign, region: string, credentials: S3Credentials | undefined): Promise<Signed> {
  if (credentials === undefined) return { headers: { ...request.headers } };
  const datetime = new Date(systemClock.wallMs()).toISOString().replace(/[:-]|\.\d{3}/g, '');
  const { accessKeyId, secretAccessKey, sessionToken } = credentials;
  const signer = new AwsV4Signer({
    method: request.method,
    url: request.url.href,
    headers: { ...request.headers, 'x-amz-content-sha256': request.payload },
    ...{ accessKeyId, secretAccessKey, region, datetime },
    ...(sessionToken && { sessionToken }),
    service: 's3',
  });
  // The signer would go to other threads for each hash, and wait for them; here they take microseconds.
  const scope = `${datetime.slice(0, 8)}/${region}/s3/aws4_request`;
  const key = keyFor(secretAccessKey, scope);
  const text = `${ALGORITHM}\n${datetime}\n${scope}\n${hash('sha256', await signer.canonicalString())}`;
  const signature = createHmac('sha256', key).update(text).digest('hex');
  const who = `Credential=${accessKeyId}/${scope}, SignedHeaders=${signer.signedHeaders}`;
  const authorization = `${ALGORITHM} ${who}, Signature=${signature}`;
  const headers = { ...Object.fromEntries(signer.headers), authorization };
  if (request.payload !== STREAMED) return { headers };
  return { headers, pieces: new PieceSigner(key, `${datetime}\n${scope}`, signature) };
}

function keyFor(secretAccessKey: string, scope: string): Buffer {
  const name = `${scope} ${secretAccessKey}`;
  const known = derived.get(name);
  if (known) return known;
  const key = scope
    .split('/')
    .reduce((from, step) => createHmac('sha256', from).update(step).digest(), Buffer.from(`AWS4${secretAccessKey}`));
  if (derived.size >= DERIVED_MAX) derived.clear();
  derived.set(name, key);
  return key;
}

export class PieceSigner {
  readonly #key: Buffer;
  readonly #about: string;
  #before: string;

  /** @param seed the signature of the request */
  constructor(key: Buffer, about: string, seed: string) {
    this.#key = key;
    this.#about = `${ALGORITHM}-PAYLOAD\n${about}`;
    this.#before = seed;
  }

  /** The signature of the next piece, in hex; an empty one ends the body. */
  next(piece: Uint8Array): string {
    const text = `${this.#about}\n${this.#before}\n${EMPTY_SHA256}\n${hash('sha256', piece)}`;
    this.#before = createHmac('sha256', this.#key).update(text).digest('hex');
    return this.#before;
  }
}
