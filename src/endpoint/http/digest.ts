/**
 * Digests that servers send with what they send. One of a body is checked while it is read; one of the whole file is
 * checked where the whole is read in one go, and is kept for the checksum of the copy. What is not understood counts as
 * not sent.
 */
import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { crc32 } from 'node:zlib';
import { TransferError } from '../../core/errors.js';
import { headerOf } from './errors.js';

interface Hash {
  update(bytes: Uint8Array): unknown;
  digest(): Buffer;
}

interface Named {
  readonly header: string;
  readonly hash: Hash;
  readonly expected: Buffer;
}

/** Of RFC 9530 §5; the others are broken, or nobody's. */
const FIELD_ALGORITHMS: Readonly<Record<string, string>> = { 'sha-256': 'sha256', 'sha-512': 'sha512' };
/** Headers whose value is nothing but a digest. What they say of a range is told differently by different servers. */
const PLAIN_HEADERS: Readonly<Record<string, () => Hash>> = {
  'content-md5': () => createHash('md5'),
  'x-amz-checksum-sha256': () => createHash('sha256'),
  'x-amz-checksum-sha1': () => createHash('sha1'),
  'x-amz-checksum-crc32': () => new Crc32(),
};
const DIGEST_BYTES: Readonly<Record<string, number>> = { sha256: 32, sha512: 64 };

/** Follows the bytes of a body; `end` says when all have come. @throws TransferError E_PROTOCOL, which is retried */
export class BodyCheck {
  readonly #name: string;
  readonly #named: readonly Named[];

  private constructor(name: string, named: readonly Named[]) {
    this.#name = name;
    this.#named = named;
  }

  /** Undefined: the server says nothing that could be checked. `whole`: the body is all of the file. */
  static of(name: string, headers: IncomingHttpHeaders, whole: boolean): BodyCheck | undefined {
    const named = [
      ...fieldDigests('content-digest', headers),
      ...(whole ? [...fieldDigests('repr-digest', headers), ...plainDigests(headers)] : []),
    ];
    return named.length === 0 ? undefined : new BodyCheck(name, named);
  }

  update(bytes: Uint8Array): void {
    for (const { hash } of this.#named) hash.update(bytes);
  }

  end(): void {
    for (const { header, hash, expected } of this.#named) {
      if (hash.digest().equals(expected)) continue;
      throw new TransferError('E_PROTOCOL', `${this.#name}: what came is not what the server's ${header} says`, {
        hint: 'Check the server, its disks, and the proxies before it. Nothing of the answer was kept.',
      });
    }
  }
}

/** The SHA-256 of the whole file in hex, where the server says it. */
export function reprSha256(headers: IncomingHttpHeaders): string | undefined {
  return parseDigestField(headerOf(headers, 'repr-digest'))?.get('sha256')?.toString('hex');
}

function fieldDigests(header: string, headers: IncomingHttpHeaders): Named[] {
  const digests = parseDigestField(headerOf(headers, header)) ?? [];
  return [...digests].map(([algorithm, expected]) => ({ header, hash: createHash(algorithm), expected }));
}

/** Of an object that was put together from parts, S3 sends digests of digests; `-` and the count of parts tell. */
function plainDigests(headers: IncomingHttpHeaders): Named[] {
  if (headerOf(headers, 'x-amz-checksum-type')?.toUpperCase() === 'COMPOSITE') return [];
  return Object.entries(PLAIN_HEADERS).flatMap(([header, newHash]) => {
    const expected = decoded(headerOf(headers, header));
    const hash = newHash();
    return expected?.length === newHash().digest().length ? [{ header, hash, expected }] : [];
  });
}

/** One member of a dictionary (RFC 9651 §3.2), such as `sha-256=:BASE64:`, with the comma behind it. */
const MEMBER = new RegExp(
  '[ \\t]*([a-z*][a-z0-9_.*-]*)' +
    '(?:=(?::([A-Za-z0-9+/=]*):|"(?:[^"\\\\]|\\\\.)*"|[^\\s",;:]+))?' +
    '(?:;[^",]*)?[ \\t]*(?:,|$)',
  'y',
);

/** By Node's names of the algorithms; a field that is no dictionary is as good as none. */
export function parseDigestField(text: string | undefined): Map<string, Buffer> | undefined {
  if (text === undefined) return undefined;
  const digests = new Map<string, Buffer>();
  MEMBER.lastIndex = 0;
  while (MEMBER.lastIndex < text.length) {
    const match = MEMBER.exec(text);
    if (match === null) return undefined;
    const [, key = '', value] = match;
    const algorithm = FIELD_ALGORITHMS[key];
    const digest = decoded(value);
    if (algorithm && digest && digest.length === DIGEST_BYTES[algorithm]) digests.set(algorithm, digest);
  }
  return digests;
}

function decoded(base64: string | undefined): Buffer | undefined {
  return base64 !== undefined && /^[A-Za-z0-9+/]+={0,2}$/.test(base64) ? Buffer.from(base64, 'base64') : undefined;
}

class Crc32 implements Hash {
  #value = 0;

  update(bytes: Uint8Array): void {
    this.#value = crc32(bytes, this.#value);
  }

  digest(): Buffer {
    const digest = Buffer.alloc(4);
    digest.writeUInt32BE(this.#value);
    return digest;
  }
}
