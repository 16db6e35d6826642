/**
 * Whether a server really stored what it said it stored: a few bytes of it are read again, and the size with them. A
 * server that takes a range for the whole file is found out by the size, one that stores nothing by the bytes.
 */
import { TransferError } from '../../core/errors.js';
import { parseContentRange, rangeHeader } from '../http/chunk.js';
import { headerOf } from '../http/errors.js';
import { refusal } from './errors.js';
import type { UploadPlace } from './place.js';

const SAMPLE_BYTES = 64;
const HINT = 'Do not trust this server with ranges: write to it with upload=whole, or choose another way.';

export interface Stored {
  readonly url: URL;
  /** Where the bytes are in the file. */
  readonly offset: number;
  readonly bytes: Uint8Array;
  /** Bytes of the whole file. */
  readonly size: number;
  /** Of the whole file, where it is known. */
  readonly sha256?: Uint8Array | undefined;
}

/** The end of what was written, which proves that the server took it to its end. */
export function sampleOf(bytes: Uint8Array): Uint8Array {
  return bytes.subarray(Math.max(0, bytes.length - SAMPLE_BYTES));
}

/**
 * Answers whether the server let us look. @throws TransferError E_TARGET_WRITE for bytes that are not there,
 * E_TARGET_CHANGED for another size
 */
export async function checkStored(place: UploadPlace, stored: Stored, signal: AbortSignal): Promise<boolean> {
  const { url, offset, bytes, size, sha256 } = stored;
  if (bytes.length === 0) return true;
  const range = { offset, length: bytes.length };
  const headers = { range: rangeHeader(range), ...(sha256 && { 'want-repr-digest': 'sha-256=10' }) };
  const answer = await place.open({ method: 'GET', url, headers }, signal);
  const { status, body } = answer;
  body.on('error', () => undefined);
  try {
    const name = place.nameOf(url);
    if (status === 401 || status === 403 || status === 405) return false;
    if (status === 404 || status === 416) throw notStored(name, `it answers with status ${status}`);
    if (status !== 206 && status !== 200) throw refusal(name, 'cannot be looked at', answer);
    const found = parseContentRange(headerOf(answer.headers, 'content-range'));
    const total = status === 206 ? found?.total : Number(headerOf(answer.headers, 'content-length') ?? Number.NaN);
    if (total !== undefined && !Number.isNaN(total) && total !== size) throw otherSize(name, size, total);
    if (sha256) checkDigest(name, headerOf(answer.headers, 'repr-digest'), sha256);
    if (status !== 206 || found?.range?.offset !== offset || found.range.length !== bytes.length) return true;
    if (!(await readAll(body)).equals(bytes)) throw notStored(name, 'other bytes are there');
    return true;
  } catch (thrown) {
    throw thrown instanceof TransferError ? thrown : place.bodyError(url, thrown, '');
  } finally {
    body.destroy();
  }
}

async function readAll(body: AsyncIterable<Buffer>): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of body) {
    pieces.push(piece);
    length += piece.length;
    if (length > SAMPLE_BYTES) break;
  }
  return Buffer.concat(pieces);
}

/** RFC 9530: digests of the whole file, whatever range was asked for. */
function checkDigest(name: string, field: string | undefined, sha256: Uint8Array): void {
  const sent = /(?:^|,)\s*sha-256=:([A-Za-z0-9+/=]+):/.exec(field ?? '')?.[1];
  if (sent === undefined || Buffer.from(sent, 'base64').equals(sha256)) return;
  throw notStored(name, 'its SHA-256 there is another one');
}

function notStored(name: string, what: string): TransferError {
  return new TransferError(
    'E_TARGET_WRITE',
    `${name} is not stored as it was sent, though the server says so: ${what}`,
    {
      hint: HINT,
    },
  );
}

function otherSize(name: string, size: number, total: number): TransferError {
  return new TransferError('E_TARGET_CHANGED', `${name} has ${total} bytes on the server, and was to have ${size}`, {
    hint: `The server replaced it, or something else writes there. ${HINT}`,
  });
}
